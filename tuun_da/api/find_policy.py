"""A search in one call: the project's own defaults, from Python."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuun_da.api.python_search import AUTO, Place, search_in_python
from tuun_da.api.search_data import model_name, refuse_unknown
from tuun_da.api.search_result import SearchResult
from tuun_da.engines.known import check_known, read_known
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, SearchSpaceError
from tuun_da.search.history import JournalContent, Trial
from tuun_da.search.policy_space import find_policy as layout_of_policy
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space, read_space
from tuun_da.training.checks import checked_number
from tuun_da.training.data_spec import data_spec
from tuun_da.training.options import DATA_NAMES, TRAIN_NAMES, TRIAL_NAMES
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

SEARCH_NAMES = ("surrogate", "acquisition", "beta", "n_initial", "probe", "warm_start")
PLAN_NAMES = ("per", "unchanged_share", "device", "trials_per_gpu", "threads")
BASELINES = ("none", "etp")

KEYWORDS = tuple(
    name
    for name in (*TRAIN_NAMES, *DATA_NAMES, *TRIAL_NAMES, *SEARCH_NAMES, *PLAN_NAMES)
    if name not in ("seed", "data")
)
"""What ``find_policy`` takes besides the keywords in its signature."""


def find_policy(
    data: object,
    n_trials: int = 60,
    *,
    space: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    on_top_of_etp: bool = False,
    initial: Sequence[str] | None = None,
    n_workers: int = 0,
    trial_minutes: float | None = None,
    journal: str | os.PathLike[str] | None = AUTO,
    seed: int = 0,
    progress: bool = True,
    on_trial: Callable[[Trial, JournalContent], None] = lambda trial, content: None,
    **settings: Any,
) -> SearchResult:
    """Search the augmentation policy that trains a network best on ``data``.

        found = tuun_da.find_policy("./images", 30, model="child_cnn", epochs=20, learning_rate=0.02)
        found.policy(images)                      # the transform, ready for a training
        found.save("policy.json")
        print(found.confirm().to_text())          # is it better than doing nothing?

    ``data``           the path of a folder of images (a folder for each class), the name of a data set ("digits",
                       "cifar10", ...), "folder:PATH", "npz:PATH", or a pair of arrays: images uint8 (n, h, w) or
                       (n, h, w, 3), and labels, whole numbers (n,).
    ``n_trials``       trials in all, those of earlier calls on the same journal included.
    ``space``          the search space, as a mapping or a file; None: the published one of 16 types, 30 dimensions.
    ``on_top_of_etp``  apply the policy after crop + flip.
    ``initial``        policies to try first: "none", "etp", "autoaugment-cifar10", "autoaugment-svhn" or policy files;
                       None: no augmentation, then crop + flip, where the space can express them.
    ``n_workers``      0: in this process, where the same seed gives the same trials; n: in n worker processes, of
                       which a GPU or a core each can take one.
    ``trial_minutes``  with workers: a trial that takes longer is ended, and counts as failed; None: no limit.
    ``journal``        where every finished trial is kept: "auto" is a file in ./tuun_da_search that belongs to these
                       data and settings, so that the same call again goes on where it stopped; None: in memory.
    ``seed``           of the suggestions and of every training.
    ``on_trial``       hears of every trial that ends, and what the journal then holds.

    Further keywords are the settings of TrainConfig (model, epochs, batch_size, ...), DataConfig (image_size,
    validation_size, ...), TrialConfig (repeats, ...), TunerSettings (surrogate, probe, warm_start, ...) and TrialPlan
    (per, device, ...). ``model`` may be a function or class of a module, too.

    Ctrl-C ends it, and it returns what there is. Raises ConfigError, DataError, SearchSpaceError, JournalError, and
    ExperimentError where the first trials all fail.
    """
    refuse_unknown("keyword", settings, KEYWORDS)
    if not isinstance(on_top_of_etp, bool):
        raise ConfigError(f"on_top_of_etp must be true or false, got {on_top_of_etp!r}")
    if "model" in settings:
        settings["model"] = model_name(settings["model"])
    given = {name: {key: settings[key] for key in names if key in settings} for name, names in _PARTS.items()}
    space_json = _space(space)
    chosen = _baselines_in(SearchSpace.from_nni(space_json), on_top_of_etp) if initial is None else initial
    tuner = TunerSettings(**given["search"], initial=chosen, seed=seed)
    plan = TrialPlan(
        train=TrainConfig(**given["train"], seed=seed),
        trial=TrialConfig(**given["trial"]),
        policy="etp+search" if on_top_of_etp else "search",
        **given["plan"],
    )
    trial_seconds = None if trial_minutes is None else 60 * checked_number("trial_minutes", trial_minutes, "(0, inf)")
    place = Place(journal)
    data_config = DataConfig(data=_data(data, place), **given["data"])
    return search_in_python(
        SearchResult,
        dataclasses.replace(plan, data=data_config),
        space_json,
        tuner,
        n_trials,
        place=place,
        n_workers=n_workers,
        trial_seconds=trial_seconds,
        progress=progress,
        on_trial=on_trial,
    )


_PARTS: Mapping[str, Sequence[str]] = {
    "train": TRAIN_NAMES,
    "data": DATA_NAMES,
    "trial": TRIAL_NAMES,
    "search": SEARCH_NAMES,
    "plan": PLAN_NAMES,
}


def _data(data: object, place: Place) -> str:
    """The data as DataConfig names them; arrays are kept in a file of the ``place``."""
    if not isinstance(data, tuple | list):
        return data_spec(data)
    if len(data) != 2:
        raise ConfigError(f"data must be a pair of arrays, (images, labels), got {len(data)} of them")
    from tuun_da.training.arrays import checked_arrays, kept_as_npz

    images, labels = checked_arrays(*data)
    place.make_folder()
    return f"npz:{kept_as_npz(images, labels, place.folder)}"


def _space(space: Mapping[str, Any] | str | os.PathLike[str] | None) -> dict[str, Any]:
    """The search space as NNI's JSON. Raises ConfigError, and SearchSpaceError for one without a policy."""
    if space is None:
        return policy_space()
    found = dict(space) if isinstance(space, Mapping) else read_space(space)
    if layout_of_policy(SearchSpace.from_nni(found)) is None:
        raise SearchSpaceError("the search space holds no policy: parameters operation1_1, prob1_1, magnitude1_1, ...")
    return found


def _baselines_in(space: SearchSpace, on_top_of_etp: bool) -> list[str]:
    """Those of ``BASELINES`` that the space can express; crop + flip once is enough."""
    found = []
    for name in BASELINES[: 1 if on_top_of_etp else None]:
        try:
            check_known(read_known(None, [name], []), space)
        except SearchSpaceError:
            continue
        found.append(name)
    return found
