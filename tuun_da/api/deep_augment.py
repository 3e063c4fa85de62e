"""DeepAugment as it was published: one call on images and labels (github.com/barisozmen/deepaugment)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuun_da.api.deep_augment_data import data_and_splits
from tuun_da.api.python_search import AUTO, Place, digest, search_in_python
from tuun_da.api.search_data import model_name, refuse_unknown
from tuun_da.api.search_result import BestPolicies
from tuun_da.engines.local_trial import TrialPlan
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.operations import DEEPAUGMENT_TYPES
from tuun_da.search.history import JournalContent, Trial
from tuun_da.space_file import policy_space
from tuun_da.training.checks import checked_choice, checked_integer, checked_number
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import TrialConfig

if TYPE_CHECKING:
    import pandas

VALIDATION_IMAGES = 1000
"""Fresh ones for each trial."""
UNCHANGED_SHARE = 0.2
"""Of the images; each of the five sub-policies gets a fifth of the others, 16 %."""
SURROGATES = {"bayesian_optimization": "forest", "random_search": "random"}
LEARNING_RATES = {"child_cnn": 0.02}
"""Where it is not TrainConfig's, which is for networks with batch normalization."""

ELSEWHERE = {
    "notebook_path": "the history is kept beside the journal, whose place is DeepAugment(..., journal=PATH)",
    "pre_aug_weights_path": "the weights after child_first_train_epochs are kept beside the journal",
    "logging": "leave it out, and set up Python's logging as you like",
}
"""Keys of the published config that are none of the search, and what stands for them."""


@dataclass(frozen=True, kw_only=True)
class DeepAugmentConfig:
    """The keys of DeepAugment's config, with its defaults. Raises ConfigError.

    ``model``                     "basiccnn" (our child_cnn), "wrn_40_2" and the like, any other network that
                                  TrainConfig takes, or a function or class of a module of one's own.
    ``method``                    "bayesian_optimization" or "random_search".
    ``train_set_size``            images that each child trains on.
    ``opt_samples``               trainings that are averaged for each policy.
    ``opt_last_n_epochs``         the reward is the mean of so many of the best epochs that do not over-fit.
    ``opt_initial_points``        trials before the model proposes, the one without augmentation among them.
    ``child_epochs``              passes of each training over its images.
    ``child_first_train_epochs``  passes without augmentation, made once, from whose weights every training starts.
    ``child_batch_size``          images in a step.
    ``child_learning_rate``       not of DeepAugment, whose child trains by another optimizer; None: 0.02 for the
                                  basiccnn, 0.1 for all others.
    """

    model: str = "basiccnn"
    method: str = "bayesian_optimization"
    train_set_size: int = 2000
    opt_samples: int = 3
    opt_last_n_epochs: int = 3
    opt_initial_points: int = 10
    child_epochs: int = 50
    child_first_train_epochs: int = 0
    child_batch_size: int = 64
    child_learning_rate: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", model_name(self.model))
        if self.model.lower() == "basiccnn":
            object.__setattr__(self, "model", "child_cnn")
        checked_choice("method", self.method, SURROGATES)
        for name, low in (
            ("train_set_size", 2),
            ("opt_samples", 1),
            ("opt_last_n_epochs", 1),
            ("opt_initial_points", 1),
            ("child_epochs", 1),
            ("child_first_train_epochs", 0),
            ("child_batch_size", 2),
        ):
            object.__setattr__(self, name, checked_integer(name, getattr(self, name), low=low))
        rate = self.child_learning_rate
        if rate is None:
            rate = LEARNING_RATES.get(self.model, TrainConfig.learning_rate)
        object.__setattr__(self, "child_learning_rate", checked_number("child_learning_rate", rate, "(0, inf)"))

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any] | None) -> DeepAugmentConfig:
        """The settings in a mapping. Raises ConfigError, for an unknown key with the one that was probably meant."""
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f"config must be a mapping of keys to values, got {type(config).__name__}")
        for key in config or ():
            if isinstance(key, str) and key in ELSEWHERE:
                raise ConfigError(f"config key {key!r} of the published package has no meaning here: {ELSEWHERE[key]}")
        refuse_unknown("config key", config or (), [field.name for field in fields(cls)])
        return cls(**(config or {}))


class DeepAugment:
    """Searches a policy as the published package does.

        best = DeepAugment(images, labels, config={"child_epochs": 20}).optimize(300)
        best.policy(images)                       # the recommended one, as a transform
        for policy, score in best[:5]: ...        # the best by their scores

    ``images`` are uint8 (n, h, w) or (n, h, w, 3), ``labels`` whole numbers (n,); or else ``images`` is the name of a
    data set ("cifar10") or the path of a folder or npz file, as in ``find_policy``, and there are no ``labels``. A
    fifth of the images is kept for ``confirm`` unless the data have a test split, ``train_set_size`` are for training,
    all others for validation unless the data have a split for that.

    A policy has five sub-policies of two operations with a magnitude each: 20 dimensions. Each image takes one of them,
    16 % each, or none, 20 %. A random forest and the expected improvement propose; the first trial is no augmentation.
    ``journal``, ``n_workers``, ``seed`` and ``progress`` are those of ``find_policy``; ``device`` and ``threads`` those
    of a trial. Raises DataError, ConfigError.
    """

    def __init__(
        self,
        images: object,
        labels: object = None,
        config: Mapping[str, Any] | None = None,
        *,
        journal: str | os.PathLike[str] | None = AUTO,
        n_workers: int = 0,
        device: str = "auto",
        threads: int | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.config = DeepAugmentConfig.from_mapping(config)
        surrogate = SURROGATES[self.config.method]
        self._settings = TunerSettings(
            surrogate=surrogate, n_initial=self.config.opt_initial_points, initial=["none"], seed=seed
        )
        self._n_workers, self._progress = n_workers, progress
        self._place = Place(journal)
        data, n_validation = data_and_splits(images, labels, self.config.train_set_size, self._place)
        self._plan = TrialPlan(
            train=TrainConfig(
                model=self.config.model,
                epochs=self.config.child_epochs,
                batch_size=self.config.child_batch_size,
                learning_rate=self.config.child_learning_rate or TrainConfig.learning_rate,
                reward="top3",
                reward_epochs=self.config.opt_last_n_epochs,
                seed=seed,
            ),
            data=data,
            trial=TrialConfig(repeats=self.config.opt_samples, validation_sample=min(n_validation, VALIDATION_IMAGES)),
            per="image",
            unchanged_share=UNCHANGED_SHARE,
            device=device,
            threads=threads,
        )
        self._result: BestPolicies | None = None

    def optimize(
        self,
        n_trials: int = 300,
        *,
        on_trial: Callable[[Trial, JournalContent], None] = lambda trial, content: None,
    ) -> BestPolicies:
        """Run trials until there are ``n_trials``, those of earlier calls on the same journal included.

        Ctrl-C ends it, and it returns what there is. After every trial the table of all of them stands as CSV beside
        the journal. Raises as ``find_policy`` does.
        """
        checked_integer("n_trials", n_trials, low=1)
        plan = self._with_validation_sample(self._plan)
        space = policy_space(DEEPAUGMENT_TYPES, probabilities=False)
        if self.config.child_first_train_epochs:
            path = self._first_weights_path(plan)
            try:
                self._train_first(plan, path)
            except KeyboardInterrupt:
                if self._progress:
                    print("Interrupted in the first epochs, of which the last whole one is kept; call it again.")
                nothing = JournalContent(space, self._settings.to_dict(), {}, ())
                return BestPolicies(nothing, interrupted=True, model=plan.train.model, kept=self._place.kept)
            plan = replace(plan, train=replace(plan.train, weights=str(path)))
        journal = self._place.journal(plan, space, self._settings)

        def heard(trial: Trial, content: JournalContent) -> None:
            if journal is not None:
                BestPolicies(content).to_csv(_table_path(journal))
            on_trial(trial, content)

        self._result = search_in_python(
            BestPolicies,
            plan,
            space,
            self._settings,
            n_trials,
            place=self._place,
            n_workers=self._n_workers,
            progress=self._progress,
            on_trial=heard,
        )
        return self._result

    @property
    def result(self) -> BestPolicies:
        """What the last ``optimize`` returned. Raises ExperimentError before the first."""
        if self._result is None:
            raise ExperimentError("there is no result before optimize has run")
        return self._result

    @property
    def history(self) -> pandas.DataFrame:
        """All trials as a table of pandas. Raises ExperimentError before ``optimize``, ConfigError without pandas."""
        return self.result.to_frame()

    def _with_validation_sample(self, plan: TrialPlan) -> TrialPlan:
        """The plan with no more validation images for each trial than there are, which copies of images lessen."""
        from tuun_da.training.trial import trial_splits

        found = len(trial_splits(plan.data).validation_labels)
        if found > VALIDATION_IMAGES:
            return plan
        if self._progress:
            print(
                f"Each trial validates on the same {found} images, all that there are besides those to train and to "
                f"test: with more than {VALIDATION_IMAGES:,} of them it would draw {VALIDATION_IMAGES:,} fresh ones."
            )
        return replace(plan, trial=replace(plan.trial, validation_sample=None))

    def _first_training(self, plan: TrialPlan) -> TrainConfig:
        return replace(plan.train, epochs=self.config.child_first_train_epochs, reward="last")

    def _first_weights_path(self, plan: TrialPlan) -> Path:
        """Where the weights after ``child_first_train_epochs`` are kept: a name for these data and settings."""
        digits = digest([self._first_training(plan).to_dict(), plan.data.to_dict()])
        return self._place.folder / f"first-{digits}.pt"

    def _train_first(self, plan: TrialPlan, path: Path) -> None:
        """Train ``child_first_train_epochs`` without augmentation, unless the file at ``path`` has their weights.

        It is the checkpoint of that training, which goes on where it was interrupted.
        """
        from tuun_da.training.device import pick_device, set_threads
        from tuun_da.training.loop import train
        from tuun_da.training.trial import trial_splits

        config = self._first_training(plan)
        self._place.make_folder()
        if self._progress and not path.exists():
            print(f"Training {config.epochs} epochs without augmentation, from whose weights every trial starts.")
        set_threads(plan.threads)
        with pick_device(plan.device, trials_per_gpu=plan.trials_per_gpu) as device:
            train(config, trial_splits(plan.data), None, device, checkpoint=path)


def _table_path(journal: Path) -> Path:
    """The table of the trials beside their journal, which it must not replace."""
    path = journal.with_suffix(".csv")
    return path if path != journal else journal.with_name(f"{journal.stem}.trials.csv")
