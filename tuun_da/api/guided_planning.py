"""From images and minutes to the plan of a guided search."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from tuun_da.api.guided_call import GuidedCall
from tuun_da.api.guided_plan import DEFAULT_MINUTES, GuidedPlan, space_of
from tuun_da.api.guided_text import plan_text
from tuun_da.engines.measuring import Machine, collect_starts, measure_speeds, warm_up
from tuun_da.engines.task_pool import TaskPool
from tuun_da.engines.time_plan import (
    IMBALANCED,
    LEAST_SHARE_OF_PASSES,
    NETWORKS,
    DataSize,
    SearchPlan,
    Speed,
    best_plan,
    enough_passes,
    image_sizes,
    plans,
    with_start,
)
from tuun_da.training.schedule import TrainConfig

MEASURED_SHARE = 0.1  # of the minutes, at most


def make_guided_plan(call: GuidedCall, machine: Machine, pool: TaskPool) -> GuidedPlan:
    """Look at the data, measure the ``machine`` with the workers of the ``pool``, and choose.

    Raises DataError, TrainingError where nothing can train, and ConfigError where the time is too short.
    """
    from tuun_da.training.data_check import check_data
    from tuun_da.training.datasets import load_splits

    minutes = call.request.minutes or DEFAULT_MINUTES
    space = space_of(call.request)
    started = time.time()
    pool.begin_everywhere(warm_up)  # while the images are read
    looked_at = call.request.data_config()
    facts = check_data(looked_at)
    call.say(facts.summary())
    splits = load_splits(replace(looked_at, train_size=None))
    if facts.planned is None:
        load_splits(looked_at)  # says what is wrong with the train_size that is wished for
    start_seconds = collect_starts(pool, started)

    counts = splits.train_labels.bincount(minlength=splits.num_classes).tolist()
    data = DataSize(
        train=len(splits.train_labels),
        validation=len(splits.validation_labels),
        test=len(splits.test_labels),
        classes=splits.num_classes,
        channels=splits.channels,
        image_size=splits.image_size,
        smallest_class=min(counts),
        largest_class=max(counts),
    )
    wishes = call.request.wishes()
    call.say(f"Measuring how fast {machine} can train ...")

    def found(speeds: Mapping[tuple[str, int], Speed]) -> list[SearchPlan]:
        spent = call.seconds_passed
        return list(plans(data, speeds, wishes, machine.n_workers, start_seconds=start_seconds, spent_seconds=spent))

    def is_hopeless(network: str, size: int, speed: Speed) -> bool:
        return min(plan.total_seconds for plan in found({(network, size): speed})) > 60 * minutes

    speeds = measure_speeds(
        pool,
        machine,
        NETWORKS if wishes.model is None else (wishes.model,),
        image_sizes(data, wishes),
        channels=data.channels,
        classes=data.classes,
        seconds=MEASURED_SHARE * 60 * minutes,
        is_hopeless=is_hopeless,
    )
    search = best_plan(found(speeds), minutes)
    search = with_start(search, call.seconds_passed)
    says = []
    if search.metric == "balanced_accuracy" and wishes.metric is None:
        says.append(
            f"The largest class has {data.largest_class / data.smallest_class:.1f} times the images of the smallest "
            f"({IMBALANCED:g} or more is uneven), so the score is balanced accuracy."
        )
    enough = enough_passes(search.train_size or data.train)
    if search.epochs < LEAST_SHARE_OF_PASSES * enough:
        says.append(
            f"Warning: {search.epochs} passes are few; {enough:.0f} would be enough. Too short a training prefers too "
            "little augmentation."
        )
    train = TrainConfig(
        model=search.model,
        epochs=search.epochs,
        batch_size=search.batch_size,
        learning_rate=search.learning_rate,
        metric=search.metric,
        sampling=search.sampling,
        seed=call.request.seed or 0,
    )
    chosen = replace(
        looked_at,
        image_size=search.image_size,
        train_size=search.train_size,
        validation_size=search.validation_size,
    )
    plan = GuidedPlan(
        minutes=minutes,
        search=search,
        train=train,
        data=chosen,
        space=space,
        choice=call.request.on_top_of or "auto",
        seed=call.request.seed or 0,
        device=machine.device,
        threads=machine.threads,
        trials_per_gpu=machine.trials_per_gpu,
    )
    judged_on = search.validation_size if isinstance(search.validation_size, int) else data.validation
    text = plan_text(plan, search.train_size or data.train, judged_on, str(machine))
    return replace(plan, says=(*says, text))
