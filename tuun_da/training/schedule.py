"""The settings of one training, and the learning rate at each of its steps. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_choice, checked_integer, checked_number, made_from_mapping

PRECISIONS = ("auto", "float32", "bfloat16")
METRIC_NAMES = ("accuracy", "balanced_accuracy", "macro_f1")
REWARD_NAMES = ("last", "best", "top3")
SAMPLING_NAMES = ("shuffled", "balanced")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. Raises ConfigError.

    ``model``            basenet_resnet18, child_cnn, wide_resnet_28_10 and the like, a classification model of
                         torchvision, or a function of the user's own as module:function.
    ``weights``          what the network starts from: None for random numbers, DEFAULT for torchvision's pretrained
                         weights, or a file of weights.
    ``epochs``           passes over the training split.
    ``batch_size``       images; at least 2, because batch normalization has no variance of one.
    ``learning_rate``    at its peak, for steps of SGD on the mean loss of a batch.
    ``momentum``         of Nesterov, in [0, 1); 0 is plain SGD.
    ``weight_decay``     L2 penalty, on every parameter.
    ``label_smoothing``  share of the target that is spread over all classes, in [0, 1).
    ``warmup_share``     share of the steps on which the learning rate rises.
    ``seed``             initial weights, order of the images, dropout and augmentation; not the split of the data.
    ``precision``        auto: bfloat16 autocast on CUDA, float32 on CPU.
    ``metric``           of validation and test: accuracy, balanced_accuracy (mean recall of the classes), or macro_f1.
    ``reward``           the score of a training: last (epoch), best (epoch), or top3 (the mean of the best three epochs
                         that do not over-fit).
    ``reward_gap``       for top3: how far the validation accuracy may be below the training accuracy.
    ``reward_epochs``    for top3: how many epochs, if not three.
    ``sampling``         of the training images: shuffled, or balanced, where every class comes equally often.
    ``compile``          torch.compile of the network: a minute at first, then faster steps on a GPU. Results differ
                         from those without it by rounding.
    """

    model: str = "basenet_resnet18"
    weights: str | None = None
    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    warmup_share: float = 0.2
    seed: int = 0
    precision: str = "auto"
    metric: str = "accuracy"
    reward: str = "last"
    reward_gap: float = 0.05
    reward_epochs: int = 3
    sampling: str = "shuffled"
    compile: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ConfigError(f"model must be a name or module:function, got {self.model!r}")
        if self.weights is not None and (not isinstance(self.weights, str) or not self.weights):
            raise ConfigError(f"weights must be DEFAULT or the path of a file, got {self.weights!r}")
        if not isinstance(self.compile, bool):
            raise ConfigError(f"compile must be true or false, got {self.compile!r}")
        for name, low, high in (
            ("epochs", 1, None),
            ("batch_size", 2, None),
            ("seed", 0, 2**63 - 1),
            ("reward_epochs", 1, None),
        ):
            object.__setattr__(self, name, checked_integer(name, getattr(self, name), low=low, high=high))
        for name, interval in (
            ("learning_rate", "(0, inf)"),
            ("momentum", "[0, 1)"),
            ("weight_decay", "[0, inf)"),
            ("label_smoothing", "[0, 1)"),
            ("warmup_share", "[0, 1)"),
            ("reward_gap", "[0, 1]"),
        ):
            object.__setattr__(self, name, checked_number(name, getattr(self, name), interval))
        for name, choices in (
            ("precision", PRECISIONS),
            ("metric", METRIC_NAMES),
            ("reward", REWARD_NAMES),
            ("sampling", SAMPLING_NAMES),
        ):
            checked_choice(name, getattr(self, name), choices)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> TrainConfig:
        """The settings in a JSON object. Raises ConfigError."""
        return made_from_mapping(cls, mapping)


def one_cycle(position: float, *, total_steps: int, peak: float, warmup_share: float) -> float:
    """The learning rate at ``position`` in [0, total_steps]: linear from 0 up to ``peak``, then linear down to 0.

    Piecewise linear form of the one-cycle schedule (Smith 2018, arXiv:1803.09820). Step k covers the positions from
    k to k + 1; taken at its middle, neither the first step nor the last has a rate of 0 and is for nothing.
    """
    if not 0 <= position <= total_steps:
        raise ConfigError(f"position must lie in [0, {total_steps}], got {position!r}")
    summit = warmup_share * total_steps
    if position < summit:
        return peak * position / summit
    return peak * (total_steps - position) / (total_steps - summit)
