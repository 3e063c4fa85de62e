"""What a search does with the minutes that it has: pixels, network, passes, images and trials. Loads no torch.

Of all plans whose estimate fits, the one is taken that is worth most. Its worth is what a search can expect to gain, in
standard deviations of the policies: the largest of n draws, E[max of n], times how far a cheap training tells policies
apart as a full one would (its rank correlation with that). The rules, and what they rest on (README, "What is a trial
worth?"; benchmarks/results/proxy_rank.md, "p." below):

- *Passes.* Too short a training prefers no augmentation. Enough are 120 passes over 150 images or fewer and 30 over
  2,000 or more, in between on a straight line of the logarithms (p.: with them rank correlations of 0.86 and 0.75, and
  no clear order of known policies reversed). With a share x of them the correlation is 0.85 x^0.7 (p.: 0.38 for a
  quarter of them on the digits, 0.57 for half, 0.21 for a third on CIFAR-10, 0.64 for half on a quarter of its images);
  more than enough gains little (0.89 and 0.88 with 120 and 240). Below half of them no plan goes, unless told to.
- *Images.* Half of the training images cost a factor of ``HALF_THE_IMAGES`` (p.: a quarter of them, at half of the
  passes that would be enough, 0.64 in place of 0.75).
- *Pixels and network.* Half of the side costs a factor of ``HALF_THE_SIDE``, a plain network ``PLAIN_NETWORK``. Both
  are judged, not measured: CIFAR-10 kept its order of policies from 16 x 16 pixels and a small net to a wider one (p.).
- *Trials.* At least ``FEWEST_TRIALS``, at most ``MOST_TRIALS``: from there on time goes into the trainings.
- *Probe.* It is made where it adds at most ``PROBE_SHARE`` of the time. With it the search was after 30 trials where
  TPE was after 60; after 60 there was no difference (README, "How good is the search?"). ``WITH_PROBE`` is judged.
- *Validation and test.* A search over-fits few validation images, so no plan takes fewer than the data's usual share;
  beyond ``MOST_VALIDATION`` they only cost time.
- *Rare classes.* Where the largest class has ``IMBALANCED`` times the images of the smallest, or more, the score is
  balanced accuracy: with accuracy a network may give the rare classes up.

So more minutes never give a plan that is worth less. Times are in seconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.training.checks import made_from_mapping

ENOUGH_FEW = (150, 120)  # images, passes
ENOUGH_MANY = (2000, 30)
LEAST_SHARE_OF_PASSES = 0.5
SHARES_OF_PASSES = (0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
RANK_CORRELATION = 0.85
HALF_THE_IMAGES = 0.95
HALF_THE_SIDE = 0.9
PLAIN_NETWORK = 0.95
WITH_PROBE = 1.05
PROBE_SHARE = 0.15
FEWEST_TRIALS, MOST_TRIALS = 20, 60
NUMBERS_OF_TRIALS = (20, 24, 28, 32, 36, 40, 45, 50, 55, 60)
TRAIN_SIZES = (500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
FEWEST_PER_CLASS = 10  # images, where not all are taken
MOST_VALIDATION = 2_000
IMBALANCED = 3.0
IMAGE_SIZES = (16, 24, 32, 48, 64, 96, 128)
NETWORKS = ("child_cnn", "basenet_resnet18")
"""Those that are timed where the user names none, the cheapest first."""
BATCH_SIZES = ((300, 16), (2_000, 32), (8_000, 64))  # below so many training images
LARGEST_BATCH = 128
BASELINES = 3
CONFIRMED_ROWS = 5  # none, ETP, TrivialAugment, the policy alone and after ETP
CANDIDATES, CHOICE_SEEDS = 3, 3  # recommended policies among which fresh trainings choose, and how many each
PROBE_SETTINGS = 70  # what a probe measures of 16 types: a look at the validation images each
MOST_PROBED = 2_000  # validation images, of training.probe
EVALUATION = 1 / 3  # of what an image costs in training: the way forward only
SET_UP_SECONDS = 0.3  # of a training: the network is made, the images are placed
ASK_SECONDS = 0.3  # for the next policy
REPORT_SECONDS = 10.0
SAFETY = 1.15  # of what is still to come: machines have other work, policies differ


@dataclass(frozen=True, kw_only=True)
class DataSize:
    """What there is to train on. ``image_size`` is the largest side that is worth while, ``*_class`` count images."""

    train: int
    validation: int
    test: int
    classes: int
    channels: int
    image_size: int
    smallest_class: int
    largest_class: int


@dataclass(frozen=True)
class Speed:
    """Seconds of a step, and of each image in it, while all workers train."""

    step_seconds: float
    image_seconds: float

    @classmethod
    def of_steps(cls, small: tuple[int, float], large: tuple[int, float]) -> Speed:
        """From two batch sizes and the seconds of their steps."""
        (few, short), (many, long) = small, large
        image = max((long - short) / (many - few), 0.1 * long / many)  # the clock is not exact
        return cls(max(short - few * image, 0.0), image)


Speeds = Mapping[tuple[str, int], Speed]
"""By network and image size."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user decided; None leaves it to the plan. Names as in TrainConfig, DataConfig, ``find_policy``."""

    trials: int | None = None
    model: str | None = None
    epochs: int | None = None
    image_size: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    train_size: int | None = None
    validation_size: int | float | None = None
    metric: str | None = None
    sampling: str | None = None
    probe: bool = True
    confirm: bool = True
    seeds: int = 5


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """One way to spend the time. ``seconds`` has the estimate of each step; None of ``train_size`` takes all images."""

    model: str
    image_size: int
    epochs: int
    batch_size: int
    learning_rate: float
    train_size: int | None
    validation_size: int | float | None
    metric: str
    sampling: str
    n_trials: int
    n_workers: int
    probe: bool
    confirm: bool
    seeds: int
    training_seconds: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    worth: float = 0.0

    @property
    def total_seconds(self) -> float:
        """Of the whole command, what is done already included."""
        return sum(self.seconds.values())

    def after_search(self, training_seconds: float) -> float:
        """Seconds from the last trial to the end, if a training takes ``training_seconds``."""
        slower = training_seconds / self.training_seconds
        kept = self.seconds["confirmation"] * slower if self.confirm else 0.0
        return kept + self.seconds["report"]

    def to_dict(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> SearchPlan:
        """The plan in a JSON object. Raises ConfigError."""
        return made_from_mapping(cls, mapping)


def enough_passes(images: int) -> float:
    """Passes over so many training images that tell policies apart as a full training does."""
    (few, most), (many, fewest) = ENOUGH_FEW, ENOUGH_MANY
    share = math.log(max(images, 1) / few) / math.log(many / few)
    return float(most * (fewest / most) ** min(max(share, 0.0), 1.0))


def rank_correlation(share: float) -> float:
    """With a full training, of one that has this share of the passes that are enough."""
    if share <= 1.0:
        return float(RANK_CORRELATION * share**0.7)
    return RANK_CORRELATION + 0.04 * (1.0 - 1.0 / share)


def expected_largest(n: int) -> float:
    """Of n draws from a standard normal distribution (Blom 1958: the mean of the largest is about this quantile)."""
    return statistics.NormalDist().inv_cdf((n - 0.375) / (n + 0.25)) if n > 1 else 0.0


def batch_size_for(images: int) -> int:
    """Images in a step: small where there are few, because a training needs steps."""
    return next((size for below, size in BATCH_SIZES if images < below), LARGEST_BATCH)


def learning_rate_for(model: str, batch_size: int) -> float:
    """At its peak: what worked with one batch size (PROBE_DEFAULTS; the configurations), by the root of this one's."""
    peak, of_batch = (0.02, 16) if model == "child_cnn" else (0.1, 128)
    return round(peak * math.sqrt(batch_size / of_batch), 4)


def image_sizes(data: DataSize, wishes: Wishes) -> list[int]:
    """The sides worth timing, the smallest first."""
    if wishes.image_size is not None:
        return [wishes.image_size]
    return [size for size in IMAGE_SIZES if size < data.image_size] + [data.image_size]


def train_sizes(data: DataSize, wishes: Wishes) -> list[int | None]:
    """Numbers of training images; None is all of them."""
    if wishes.train_size is not None:
        return [wishes.train_size]
    return [*(n for n in TRAIN_SIZES if FEWEST_PER_CLASS * data.classes <= n < data.train), None]


def makespan(jobs: Iterable[float], workers: int) -> float:
    """When the last of ``jobs`` ends, each given to the first worker that is free, in this order."""
    busy = [0.0] * workers
    for job in jobs:
        first = busy.index(min(busy))
        busy[first] += job
    return max(busy)


def plans(
    data: DataSize, speeds: Speeds, wishes: Wishes, n_workers: int, *, start_seconds: float, spent_seconds: float
) -> Iterator[SearchPlan]:
    """All plans that come into question, with their worth and estimate, however long they take."""
    metric = wishes.metric or metric_for(data)
    validation: int | float | None = wishes.validation_size
    n_validation = data.validation
    if validation is None and n_validation > MOST_VALIDATION:
        validation = n_validation = MOST_VALIDATION
    # Of fewer validation images the rest would be trained on, unless that many are named.
    all_images = None if validation == wishes.validation_size else data.train
    for (model, size), speed in speeds.items():
        for train_size in train_sizes(data, wishes):
            images = min(train_size or data.train, data.train)
            batch = wishes.batch_size or batch_size_for(images)
            smaller = 1.0 if wishes.image_size else HALF_THE_SIDE ** max(math.log2(data.image_size / size), 0.0)
            fewer = HALF_THE_IMAGES ** math.log2(data.train / images)
            plain = PLAIN_NETWORK if model == NETWORKS[0] else 1.0
            enough = enough_passes(images)
            for epochs in sorted({wishes.epochs or math.ceil(share * enough) for share in SHARES_OF_PASSES}):
                steps = max(images // batch, 1)
                pass_seconds = steps * (speed.step_seconds + batch * speed.image_seconds)
                judged = EVALUATION * speed.image_seconds
                training = SET_UP_SECONDS + epochs * (pass_seconds + n_validation * judged)
                confirmed = training + data.test * judged
                probe = training + PROBE_SETTINGS * min(n_validation, MOST_PROBED) * judged
                baselines = [training] * BASELINES
                n_confirmed = CONFIRMED_ROWS * wishes.seeds + CANDIDATES * min(CHOICE_SEEDS, wishes.seeds)
                for n_trials in NUMBERS_OF_TRIALS if wishes.trials is None else (wishes.trials,):
                    for with_probe in (False, True) if wishes.probe else (False,):
                        to_come = {
                            "baselines": makespan(baselines, n_workers),
                            "probe": 0.0,
                            "search": makespan([training + ASK_SECONDS] * n_trials, n_workers),
                            "confirmation": 0.0,
                            "report": REPORT_SECONDS,
                        }
                        if with_probe:
                            to_come["probe"] = makespan([*baselines, probe], n_workers) - to_come["baselines"]
                        if wishes.confirm:
                            to_come["confirmation"] = start_seconds + makespan([confirmed] * n_confirmed, n_workers)
                        tells = rank_correlation(epochs / enough) * smaller * fewer * plain
                        yield SearchPlan(
                            model=model,
                            image_size=size,
                            epochs=epochs,
                            batch_size=batch,
                            learning_rate=wishes.learning_rate or learning_rate_for(model, batch),
                            train_size=wishes.train_size or (all_images if images == data.train else images),
                            validation_size=validation,
                            metric=metric,
                            sampling=wishes.sampling or "shuffled",
                            n_trials=n_trials,
                            n_workers=n_workers,
                            probe=with_probe,
                            confirm=wishes.confirm,
                            seeds=wishes.seeds,
                            training_seconds=training,
                            seconds={
                                "start": spent_seconds,
                                **{name: SAFETY * seconds for name, seconds in to_come.items()},
                            },
                            worth=tells * expected_largest(n_trials) * (WITH_PROBE if with_probe else 1.0),
                        )


def best_plan(found: Sequence[SearchPlan], minutes: float) -> SearchPlan:
    """The plan that is worth most of those that fit. Raises ConfigError that says how many minutes would do."""
    seconds = 60.0 * minutes
    fitting = [
        plan
        for plan in found
        if plan.total_seconds <= seconds and (not plan.probe or plan.seconds["probe"] <= PROBE_SHARE * seconds)
    ]
    if fitting:
        return max(fitting, key=lambda plan: (plan.worth, -plan.total_seconds))
    least = min((plan for plan in found if not plan.probe), key=lambda plan: plan.total_seconds)
    wanted = math.ceil(least.total_seconds / 60.0)
    where = "passes" if least.epochs != 1 else "pass"
    raise ConfigError(
        f"--minutes {minutes:g} is too short: the least that is worth doing takes about {wanted} minutes here "
        f"({least.n_trials} trials of {least.epochs} {where} with {least.model} at {least.image_size} x "
        f"{least.image_size} pixels, {least.seconds['search'] / 60:.1f} minutes"
        + (f", and {least.seconds['confirmation'] / 60:.1f} for the confirmation" if least.confirm else "")
        + f"). Say --minutes {wanted}"
        + (", or --no-confirm to leave the confirmation for later" if least.confirm else "")
    )


def metric_for(data: DataSize) -> str:
    """Accuracy, unless classes are rare."""
    return "balanced_accuracy" if data.largest_class >= IMBALANCED * data.smallest_class else "accuracy"


def with_start(plan: SearchPlan, seconds: float) -> SearchPlan:
    """The same plan where all up to now took ``seconds``."""
    return replace(plan, seconds={**plan.seconds, "start": seconds})
