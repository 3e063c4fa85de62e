"""The settings of one training, and the learning rate at each of its steps. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_choice, checked_integer, checked_number, made_from_mapping

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a network is trained. Raises ConfigError.

    ``model``            basenet_resnet18, child_cnn, or a function of the user's own as module:function.
    ``epochs``           passes over the training split.
    ``batch_size``       images; at least 2, because batch normalization has no variance of one.
    ``learning_rate``    at its peak, for steps of SGD on the mean loss of a batch.
    ``momentum``         of Nesterov, in [0, 1); 0 is plain SGD.
    ``weight_decay``     L2 penalty, on every parameter.
    ``label_smoothing``  share of the target that is spread over all classes, in [0, 1).
    ``warmup_share``     share of the steps on which the learning rate rises.
    ``seed``             initial weights, order of the images, dropout and augmentation; not the split of the data.
    ``precision``        auto: bfloat16 autocast on CUDA, float32 on CPU.
    """

    model: str = "basenet_resnet18"
    epochs: int = 50
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    warmup_share: float = 0.2
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ConfigError(f"model must be a name or module:function, got {self.model!r}")
        for name, low, high in (("epochs", 1, None), ("batch_size", 2, None), ("seed", 0, 2**63 - 1)):
            object.__setattr__(self, name, checked_integer(name, getattr(self, name), low=low, high=high))
        for name, interval in (
            ("learning_rate", "(0, inf)"),
            ("momentum", "[0, 1)"),
            ("weight_decay", "[0, inf)"),
            ("label_smoothing", "[0, 1)"),
            ("warmup_share", "[0, 1)"),
        ):
            object.__setattr__(self, name, checked_number(name, getattr(self, name), interval))
        checked_choice("precision", self.precision, PRECISIONS)

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
