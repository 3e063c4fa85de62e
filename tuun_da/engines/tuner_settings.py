"""The tuner's arguments (``classArgs`` in an NNI configuration), checked without nni, so that commands can do it."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuun_da.data_files import shown
from tuun_da.errors import ConfigError
from tuun_da.search.history import OPTIMIZE_MODES
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class TunerSettings:
    """See ``TuunTuner``. Raises ConfigError, naming the argument, what was wanted and what came."""

    optimize_mode: str = "maximize"
    surrogate: str = "gp"
    acquisition: str = "logei"
    beta: float | None = None
    n_initial: int = 10
    probe: str | None = None
    initial: Sequence[str] = ()
    warm_start: Sequence[str] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.probe is not None and not isinstance(self.probe, str):
            raise ConfigError(f"probe must be a file, got {shown(self.probe)}")
        for name in ("initial", "warm_start"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
                raise ConfigError(f"{name} must be a list of names or files, got {shown(value)}")
            object.__setattr__(self, name, list(value))  # as JSON has it
        if self.optimize_mode not in OPTIMIZE_MODES:
            raise ConfigError(
                f"optimize_mode must be one of {', '.join(OPTIMIZE_MODES)}; got {shown(self.optimize_mode)}"
            )
        if isinstance(self.seed, int) and self.seed >= 2**53:
            raise ConfigError(f"seed must be below 2**53, which NNI keeps as it is; got {self.seed}")
        # The optimizer checks its own settings when it is made; NNI hands over the real space only later.
        Optimizer(
            SearchSpace.from_nni({"x": {"_type": "uniform", "_value": [0, 1]}}),
            surrogate=self.surrogate,
            acquisition=self.acquisition,
            beta=self.beta,
            n_initial=self.n_initial,
            seed=self.seed,
        )

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any]) -> TunerSettings:
        """Settings from a mapping, as ``classArgs`` has them."""
        names = {field.name for field in dataclasses.fields(cls)}
        cls.refuse_unknown(set(arguments) - names)
        return cls(**arguments)

    @classmethod
    def refuse_unknown(cls, names: Iterable[str]) -> None:
        """Raise ConfigError if there is any name, with the ones that were probably meant."""
        known = [field.name for field in dataclasses.fields(cls)]
        mistakes = []
        for name in sorted(map(str, names)):
            close = difflib.get_close_matches(name, known, n=1)
            mistakes.append(f"the tuner has no argument {name!r}" + (f"; did you mean {close[0]!r}?" if close else "."))
        if mistakes:
            raise ConfigError(f"{' '.join(mistakes)} It takes {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        """The settings by name, ready for JSON."""
        return dataclasses.asdict(self)
