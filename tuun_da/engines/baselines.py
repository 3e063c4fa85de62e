"""The trials that come before all others: no augmentation, crop + flip, TrivialAugment; and beside them the probe.

Each is kept in a file as soon as it has ended, since the journal can begin only when they have decided whether the
search goes on top of crop + flip.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tuun_da.data_files import parse_object, read_text, write_text
from tuun_da.engines.echo import ECHO_KEY
from tuun_da.engines.local_trial import BASELINES, TrialPlan, run_planned
from tuun_da.engines.task_pool import Ended, TaskPool
from tuun_da.errors import ConfigError, ExperimentError, SearchSpaceError, TuunDaError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import Operation, SubPolicy
from tuun_da.search.initial_policies import settings_of_policy
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace

PROBE = "probe"
ON_TOP, ALONE = "etp+search", "search"
_VERSION = 1

Metric = Mapping[str, Any]
"""What a trial said at its end (echo.py)."""


def run_baselines(
    pool: TaskPool,
    plan: TrialPlan,
    kept: Path,
    *,
    probe: Path | None,
    types: tuple[str, ...],
    on_end: Callable[[str, float | None], None],
) -> dict[str, Metric]:
    """The final metrics of ``BASELINES``, trained as ``plan`` says unless the file ``kept`` has them already.

    A ``probe`` of the operation ``types`` is written to that file beside them, unless it is there. ``on_end`` hears of
    each that ends, with its score. Raises ExperimentError where one of them fails: so would all trials.
    """
    done = read_baselines(kept)
    tasks: dict[Any, Callable[[], Any]] = {
        name: functools.partial(run_planned, replace(plan, policy=name), 0, {})
        for name in BASELINES
        if name not in done
    }
    if probe is not None and not probe.exists():
        tasks[PROBE] = functools.partial(measured_probe, plan, types)

    def ended(one: Ended) -> bool:
        if one.error is not None:
            raise ExperimentError(f"{one.key}: {one.error}")
        if one.key == PROBE:
            if "error" in one.result:
                raise ExperimentError(f"the probe failed: {one.result['error']}")
            assert probe is not None
            write_text(probe, one.result["record"], "probe file", ConfigError)
            on_end(PROBE, None)
            return True
        if score_of(one.result) is None:
            raise ExperimentError(f"the baseline {one.key} failed: {one.result[ECHO_KEY]['error']}")
        done[one.key] = one.result
        text = json.dumps({"version": _VERSION, "baselines": done}, indent=1) + "\n"
        write_text(kept, text, "file of baselines", ConfigError)
        on_end(one.key, score_of(one.result))
        return True

    pool.run_all(tasks, ended)
    return {name: done[name] for name in BASELINES}


def read_baselines(kept: Path) -> dict[str, Metric]:
    """The final metrics in that file; none where it is not there. Raises ConfigError."""
    if not kept.exists():
        return {}
    text = read_text(kept, "file of baselines", ConfigError)
    found = parse_object(
        text, f"file of baselines {kept}", version=_VERSION, keys=("baselines",), error_type=ConfigError
    ).get("baselines")
    if not isinstance(found, dict) or any(
        name not in BASELINES or not isinstance(metric, dict) or score_of(metric) is None
        for name, metric in found.items()
    ):
        raise ConfigError(f"file of baselines {kept} must hold final metrics of {', '.join(BASELINES)}")
    return found


def measured_probe(plan: TrialPlan, types: tuple[str, ...]) -> dict[str, str]:
    """In a worker: the content of a probe file for a training as ``plan`` says, as "record"; or the "error"."""
    from tuun_da.training.device import pick_device, set_threads
    from tuun_da.training.probe import measure_probe
    from tuun_da.training.trial import trial_splits

    try:
        set_threads(plan.threads)
        splits = trial_splits(plan.data)
        with pick_device(plan.device, trials_per_gpu=plan.trials_per_gpu) as device:
            record = measure_probe(plan.train, splits, device, types=types)
    except TuunDaError as error:
        return {"error": str(error)}
    except (Exception, SystemExit) as error:  # a network of the user's own may raise anything
        return {"error": f"{type(error).__name__}: {error}"}
    settings = {**record.about["settings"], "data": plan.data.to_dict()}
    return {"record": replace(record, about={**record.about, "settings": settings}).to_json()}


def score_of(metric: Metric) -> float | None:
    """The score of a final metric, None where it has none."""
    value = metric.get("default")
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and isinstance(metric.get(ECHO_KEY), Mapping) else None  # type: ignore[arg-type]


def policy_choice(baselines: Mapping[str, Metric], on_top_of: str) -> str:
    """ "etp+search" or "search": on top of crop + flip if "auto" finds that better than nothing, or if told so."""
    if on_top_of == "auto":
        return ON_TOP if (score_of(baselines["etp"]) or 0.0) > (score_of(baselines["none"]) or 0.0) else ALONE
    return ON_TOP if on_top_of == "etp" else ALONE


def expressible(space: SearchSpace, choice: str) -> dict[str, dict[str, Any]]:
    """The parameters of those baselines that are policies of ``space``, by name.

    On top of crop + flip, the policy that does nothing is crop + flip. Where the space holds more than a policy, none:
    the baselines have no values for the rest.
    """
    layout = find_policy(space)
    if layout is None or layout.others:
        return {}
    found = {}
    idle = (SubPolicy((Operation(layout.types[0], 0.0, 0.0),) * layout.operations_per_sub_policy),)
    for baseline in ("etp",) if choice == ON_TOP else ("none", "etp"):
        does_nothing = baseline == "none" or choice == ON_TOP
        for sub_policies in (KNOWN_POLICIES["none"], idle) if does_nothing else (KNOWN_POLICIES["etp"],):
            try:
                [found[baseline]] = settings_of_policy(space, baseline, sub_policies)
                break
            except SearchSpaceError:  # of other types, or longer than its policies
                continue
    return found


def as_first_trials(
    baselines: Mapping[str, Metric], choice: str, parameters: Mapping[str, Mapping[str, Any]]
) -> dict[str, Metric]:
    """The final metrics as those of trials of the search: with ``parameters``, by name, where it can express them.

    Such a trial says that it had the search's ``choice``, so that its policy is used as the others' are; the rest keep
    no parameters, and say what they were.
    """
    trials: dict[str, Metric] = {}
    for name, metric in baselines.items():
        if name in parameters:
            echo = dict(metric[ECHO_KEY])
            details = dict(echo["details"])
            echo["details"] = details | {"settings": {**details["settings"], "policy": choice}}
            metric = {**metric, ECHO_KEY: echo | {"parameters": dict(parameters[name])}}
        trials[name] = metric
    return trials
