"""What a guided search says to its user."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO

from tuun_da.api.guided_plan import GuidedPlan
from tuun_da.engines.confirm import LABELS
from tuun_da.engines.replay import best_trial
from tuun_da.search.history import JournalContent, TrialState

Say = Callable[[str, bool], None]
"""Told a text of one line or more, and whether it is passing: the next one may take its place."""

WIDTH = 100  # of a passing line, so that a shorter one covers it


def console(stream: TextIO | None = None) -> Say:
    """Says it on ``stream`` (None: standard output). On a terminal and in a notebook passing lines are rewritten."""
    out = sys.stdout if stream is None else stream
    rewrites = out.isatty() or type(out).__module__.partition(".")[0] == "ipykernel"  # a notebook
    is_open = False

    def say(text: str, passing: bool) -> None:
        nonlocal is_open
        if rewrites and passing:
            print(f"\r{text:<{WIDTH}}", end="", file=out, flush=True)
            is_open = True
            return
        if is_open:
            print(file=out)
            is_open = False
        print(text, file=out, flush=True)

    return say


def clock_text(seconds: float) -> str:
    """Minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(max(round(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def plan_text(plan: GuidedPlan, trained_on: int, judged_on: int, machine: str) -> str:
    """The plan as a table, with the estimate of each step."""
    search, train = plan.search, plan.train
    side = search.image_size
    confirmed = f"best policy and baselines, {search.seeds} trainings each" if search.confirm else "left out"
    steps = {
        "start": ("start, data, measuring", "done"),
        "baselines": ("baselines", "no augmentation, crop + flip, TrivialAugment"),
        "probe": ("probe", "what each operation does to the images" if search.probe else "left out"),
        "search": ("search", f"{search.n_trials} policies"),
        "confirmation": ("confirmation", confirmed),
        "report": ("report", ""),
    }
    lines = [
        f"Plan, about {clock_text(search.total_seconds)} of {clock_text(60 * plan.minutes)}:",
        f"  images     {side} x {side} pixels, {trained_on} to train on, {judged_on} to judge by",
        f"  training   {train.model}, {train.epochs} passes in batches of {train.batch_size}, learning rate "
        f"{train.learning_rate:g}, about {search.training_seconds:.1f} s",
        f"  score      {train.metric.replace('_', ' ')} on the validation images",
        f"  where      {machine}",
        *(
            f"  {clock_text(search.seconds[name]):>7}  {title:<22} {text}".rstrip()
            for name, (title, text) in steps.items()
            if search.seconds[name] or name == "probe"
        ),
    ]
    return "\n".join(lines)


def baselines_text(scores: Mapping[str, float], *, on_top: bool, told: bool) -> str:
    """What doing nothing, and what is usual, is worth, and what follows from it."""
    meaning = {"none": "doing nothing", "etp": "crop + flip, the usual", "trivialaugment": "TrivialAugment, no search"}
    lines = [f"  {meaning[name]:<28}{score:.4f}" for name, score in scores.items()]
    if told:
        why = "as you said"
    elif on_top:
        why = "which does better than nothing here"
    else:
        why = "which does no better than nothing here"
    where = "The search goes on top of crop + flip" if on_top else "The search goes without crop + flip"
    return "\n".join(["What costs no search (validation score):", *lines, f"{where}, {why}."])


def progress_text(content: JournalContent, n_baselines: int, n_trials: int, scores: Mapping[str, float],
                  seconds_left: float) -> str:  # fmt: skip
    """Trials done, the best score, the best baseline's, and the time that is left of all."""
    done = len(content.trials) - n_baselines
    failed = sum(trial.state is TrialState.FAILED for trial in content.trials)
    best = best_searched(content)
    parts = [f"{done:>3} of {n_trials} trials"]
    if failed:
        parts.append(f"{failed} failed")
    parts.append("no score yet" if best is None else f"best {best:.4f}")
    name = max(scores, key=lambda name: scores[name])
    parts.append(f"{LABELS[name]} {scores[name]:.4f}")
    parts.append(f"about {clock_text(seconds_left)} left in all")
    return ", ".join(parts)


def best_searched(content: JournalContent) -> float | None:
    """The best score of a trial that is no baseline."""
    from dataclasses import replace

    from tuun_da.engines.study import BASELINE_KEY

    events = tuple(e for e in content.events if e.trial is None or BASELINE_KEY not in e.trial.details)
    best = best_trial(replace(content, events=events))
    return None if best is None else best.value


def next_commands(folder: str, policy: str, images: str) -> Sequence[str]:
    """What one would do next; all three are quoted for a shell."""
    return (
        f"tuun-da show {policy} --images {images} -o sheet.png",
        f"tuun-da export {policy} --to torchvision -o augmentation.py",
        f"tuun-da trials {folder}",
    )
