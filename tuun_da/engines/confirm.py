"""The found policy against what costs no search, on the test images: fresh seeds, the same training for everyone.

1. Of the few policies that a search recommends, one is chosen: each is trained anew, with other training and validation
   images than the search had, and the best mean validation score wins. (Where a data set brings a validation split of
   its own, that one stays: a user who divided the images had a reason. Only the seeds are fresh then, and the result
   says so.)
2. It and the baselines are trained with the same seeds, images and settings, those of the search. "ETP + policy" is the
   policy on top of crop + flip: not a baseline, since it costs a search, but another form of the policy. If the search
   was on top of crop + flip already, the policy is that form, and there is one such row.
3. The baseline that is best on validation images is the one to beat. Only when that is fixed, the test images are read,
   once, by the networks as they were kept; the reading goes on record first. The test split is read nowhere else.

The trainings run in worker processes, one a core or a GPU. What has finished is on disk and is not done again.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuun_da.engines.confirmation import (
    BASELINE,
    OTHER_FORM,
    POLICY,
    Choice,
    Confirmation,
    Tried,
    best_on_validation,
    make_confirmation,
)
from tuun_da.engines.export import recommend_several
from tuun_da.engines.finished_trainings import FinishedTrainings, OnProgress
from tuun_da.engines.kept_trainings import KeptTrainings
from tuun_da.engines.policy_identity import policy_digest
from tuun_da.engines.readings import check_readings, record_reading
from tuun_da.engines.retraining import (
    DataFacts,
    Training,
    Workers,
    default_workers,
    look_at,
    versions,
    with_seeds,
)
from tuun_da.engines.searched_settings import settings_of
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import JournalContent

FIRST_SEED = 1_000_000
"""Seeds of a confirmation start here, far from those of trials: the luck of the search must not be counted again."""
FIRST_CHOICE_SEED = 2_000_000
"""Those of the choice among the recommended policies, whose luck must not be counted again either."""
CHOICE_SPLIT = 1_000_000
"""Added to the search's ``split_seed``, and the number of the training: the images of the choice."""

N_CANDIDATES = 3
CHOICE_SEEDS = 3  # trainings of each candidate, or as many as the confirmation itself has if those are fewer
ETP_POLICY = "etp+policy"
"""Among the baselines: the policy on top of crop + flip."""
DEFAULT_BASELINES = ("none", "etp", "trivialaugment", ETP_POLICY)

LABELS = {
    "none": "no augmentation",
    "etp": "crop + flip",
    "etp+cutout": "crop + flip, then Cutout",
    "autoaugment-cifar10": "AutoAugment (CIFAR-10)",
    "autoaugment-svhn": "AutoAugment (SVHN)",
    "autoaugment-imagenet": "AutoAugment (ImageNet)",
    "randaugment": "RandAugment (2, 9)",
    "trivialaugment": "TrivialAugment",
    "trivialaugment-narrow": "TrivialAugment, narrow",
}
"""The baselines by their names in ``augment.named``, for people."""
POLICY_LABEL, ON_TOP_LABEL = "best policy", "crop + flip, then best policy"

CHOOSING = "Choosing on fresh validation images"
TRAINING = "Training policy and baselines"


def unheard(stage: str, done: int, total: int) -> None:
    """For who does not want to know."""


def confirm(
    record: PolicyRecord,
    *,
    folder: Path | None = None,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    n_seeds: int = 5,
    workers: int | None = None,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    fresh: bool = False,
    on_progress: OnProgress = unheard,
) -> Confirmation:
    """Train each baseline and the policy ``n_seeds`` times as the search's trials did, and read the test split.

    The settings are those that the policy file keeps under ``searched``; ``overrides`` replaces some of them, by their
    names in TrainConfig and DataConfig. ``workers`` trainings run side by side (None: one a core, or one a GPU).
    ``folder`` keeps what has finished and the record of test readings; None: nothing is kept. ``fresh`` begins anew.
    Raises ConfigError where the file keeps no settings, JournalError where ``folder`` has a file that is damaged or not
    ours, and what a training raises.
    """
    return _confirm(
        [record],
        folder=folder,
        baselines=baselines,
        n_seeds=n_seeds,
        workers=workers,
        device=device,
        overrides=overrides,
        fresh=fresh,
        on_progress=on_progress,
    )


def confirm_experiment(
    content: JournalContent,
    folder: Path | None,
    *,
    experiment: str | None = None,
    n_candidates: int = N_CANDIDATES,
    baselines: Sequence[str] = DEFAULT_BASELINES,
    n_seeds: int = 5,
    workers: int | None = None,
    device: str = "auto",
    overrides: Mapping[str, Any] | None = None,
    fresh: bool = False,
    on_progress: OnProgress = unheard,
) -> Confirmation:
    """Choose one of the ``n_candidates`` policies that the journal recommends, and confirm it as ``confirm`` does.

    ``folder`` is the journal's. The policy is the ``record`` of the result; ``experiment`` is the id that it gets. A
    network that is code (module:function) must be named in ``overrides``, since a journal is only data. Raises
    ExperimentError where no trial has come to a score, and as ``confirm`` does.
    """
    check_request(baselines, n_seeds, workers, n_candidates)
    found = recommend_several(content, n_candidates, experiment=experiment)
    records = [recommendation.record for recommendation in found if recommendation.record is not None]
    if not records:
        raise ExperimentError("the search space holds no policy, so there is none to confirm")
    return _confirm(
        records,
        folder=folder,
        baselines=baselines,
        n_seeds=n_seeds,
        workers=workers,
        device=device,
        overrides=overrides,
        fresh=fresh,
        on_progress=on_progress,
    )


def check_request(baselines: Sequence[str], n_seeds: int, workers: int | None, n_candidates: int | None = None) -> None:
    """Raise ConfigError for what cannot be done, before a search of hours that ends with it. None is the default."""
    if n_candidates is not None and (
        isinstance(n_candidates, bool) or not isinstance(n_candidates, int) or n_candidates < 1
    ):
        raise ConfigError(f"candidates must be a whole number from 1 on, got {n_candidates!r}")
    if isinstance(n_seeds, bool) or not isinstance(n_seeds, int) or n_seeds < 1:
        raise ConfigError(f"n_seeds must be a whole number from 1 on, got {n_seeds!r}")
    if workers is not None and workers < 1:
        raise ConfigError(f"workers must be a whole number from 1 on, got {workers!r}")
    names = (*LABELS, ETP_POLICY)
    if len(set(baselines)) < len(baselines):
        raise ConfigError(f"baselines must be different ones of {', '.join(names)}; got {','.join(baselines)!r}")
    for name in baselines:
        if name not in names:
            raise ConfigError(f"baseline must be one of {', '.join(names)}; got {name!r}")


def _confirm(
    records: Sequence[PolicyRecord],
    *,
    folder: Path | None,
    baselines: Sequence[str],
    n_seeds: int,
    workers: int | None,
    device: str,
    overrides: Mapping[str, Any] | None,
    fresh: bool,
    on_progress: OnProgress,
) -> Confirmation:
    check_request(baselines, n_seeds, workers)
    candidates = []
    for record in records:
        train, data, applied = settings_of(record, overrides or {})
        candidates.append(Training(train, data, applied, record))
    first = candidates[0]
    n_jobs = max(n_seeds * (len(baselines) + 1), min(n_seeds, CHOICE_SEEDS) * len(candidates))
    with contextlib.ExitStack() as stack:
        check_readings(folder)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tuun_da-"))) if folder is None else folder
        kept = stack.enter_context(KeptTrainings(place, fresh=fresh))
        pool = stack.enter_context(Workers(min(workers or default_workers(device), n_jobs)))
        other = with_seeds(first, seed=0, split_seed=first.data.split_seed + CHOICE_SPLIT).data
        looked: list[DataFacts] = []
        look = (first.data, other if len(candidates) > 1 else None)
        pool.run(look_at, [look], lambda number, facts: looked.append(facts))
        run = FinishedTrainings(pool, kept, looked[0], device, on_progress)
        chosen, choice = (first, None) if len(candidates) == 1 else _choose(run, candidates, min(n_seeds, CHOICE_SEEDS))
        assert chosen.record is not None
        rows = _rows(chosen, baselines)
        seeds = [FIRST_SEED + number for number in range(n_seeds)]
        grid = [[with_seeds(row.training, seed=seed) for seed in seeds] for row in rows]
        validation = run.validation(TRAINING, [row.label for row in rows], grid, keep=True)

        # From here on it is fixed which baseline counts.
        places = [number for number, row in enumerate(rows) if row.kind == BASELINE]
        best = best_on_validation([rows[i].label for i in places], [validation[i] for i in places])
        keys = [run.key(training) for row in grid for training in row]
        readings = record_reading(
            folder,
            chosen.data,
            hashlib.blake2b("".join([kept.run, *keys]).encode(), digest_size=16).hexdigest(),
            {
                "policy": policy_digest(chosen.record),
                "trial": chosen.record.searched.get("trial"),
                "experiment": chosen.record.searched.get("experiment"),
                "rows": [row.label for row in rows],
                "seeds": seeds,
                "baseline_to_beat": best,
                "validation": [statistics.fmean(scores) for scores in validation],
                "train": chosen.train.to_dict(),
                "data": chosen.data.to_dict() | {"digest": looked[0].digest},
                "versions": versions(),
            },
            read_now=any(kept.tested(key) is None for key in keys),
        )
        predictions, labels = run.tested(grid)
    return make_confirmation(
        [(row.label, row.kind) for row in rows],
        validation,
        predictions,
        labels,
        seeds=seeds,
        metric=chosen.train.metric,
        num_classes=looked[0].num_classes,
        n_validation=looked[0].n_validation,
        best_baseline=best,
        readings=readings,
        choice=choice,
        record=chosen.record,
    )


@dataclass(frozen=True)
class _PlannedRow:
    label: str
    kind: str
    training: Training


def _rows(chosen: Training, baselines: Sequence[str]) -> list[_PlannedRow]:
    """The baselines, the policy on top of crop + flip if that is another form of it, and the policy last."""
    on_top = chosen.choice == "etp+search"
    rows = [
        _PlannedRow(LABELS[name], BASELINE, Training(chosen.train, chosen.data, name))
        for name in baselines
        if name != ETP_POLICY
    ]
    if ETP_POLICY in baselines and not on_top:
        other = Training(chosen.train, chosen.data, "etp+search", chosen.record)
        rows.append(_PlannedRow(ON_TOP_LABEL, OTHER_FORM, other))
    return [*rows, _PlannedRow(ON_TOP_LABEL if on_top else POLICY_LABEL, POLICY, chosen)]


def _choose(run: FinishedTrainings, candidates: Sequence[Training], n_seeds: int) -> tuple[Training, Choice]:
    """The candidate with the best mean score on fresh validation images; of equal ones the search's favourite."""
    labels = [f"trial {training.record.searched.get('trial')}" for training in candidates if training.record]
    grid = [
        [
            with_seeds(
                training,
                seed=FIRST_CHOICE_SEED + number,
                split_seed=training.data.split_seed + CHOICE_SPLIT + number,
            )
            for number in range(n_seeds)
        ]
        for training in candidates
    ]
    validation = run.validation(CHOOSING, labels, grid, keep=False)
    best = max(range(len(candidates)), key=lambda i: statistics.fmean(validation[i]))
    tried = tuple(Tried(label, tuple(validation[i]), i == best) for i, label in enumerate(labels))
    return candidates[best], Choice(tried, bool(run.facts.fresh_is_other))
