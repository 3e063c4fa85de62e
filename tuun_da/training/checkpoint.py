"""A training's state on the disk, from which it goes on as if it had never stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tuun_da.augment.batch_transform import BatchTransform, Chain
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.training.augmented import Transform
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.sgd import NesterovSGD
from tuun_da.training.splits import Splits

FORMAT = 1


class Checkpoint:
    """The file at ``path``: weights, optimizer, generators and the reports of the epochs so far.

    ``generators`` are those of the training besides torch's own. The file is data (``weights_only``), and holds what
    the training is: its settings, its images, its transform (of a user's own only the name). The file of another
    training raises ConfigError, as a folder does that is not there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: TrainConfig,
        splits: Splits,
        transform: Transform | None,
        model: nn.Module,
        optimizer: NesterovSGD,
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> None:
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise ConfigError(f"checkpoint {self._path} must be a file in a folder that is there")
        self._about = {
            "format": FORMAT,
            "config": config.to_dict(),
            "data": f"{splits.describe()}, digest {splits.digest}",
            "transform": described(transform),
            "device": device.type,
        }
        self._model, self._optimizer, self._generators, self._device = model, optimizer, generators, device

    def restored(self) -> list[dict[str, Any]]:
        """Put the state of the file back, and return the reports of its epochs; none if there is no file."""
        if not self._path.exists():
            return []
        if not self._path.is_file():  # a pipe would wait for ever
            raise ConfigError(f"checkpoint {self._path} cannot be read: it is no regular file")
        try:
            # generators' states must stay on the CPU; load_state_dict takes the rest to where it belongs
            state = torch.load(self._path, map_location="cpu", weights_only=True)
            about = dict(state["about"])
            missing = {"model", "optimizer", "generators", "torch", "cuda", "reports"} - set(state)
            if missing:
                raise ValueError(f"it has no {min(missing)}")
        except Exception as error:  # torch raises many kinds for a file that is none of its own
            raise ConfigError(f"checkpoint {self._path} cannot be read: {error}") from error
        if about != self._about:
            wrong = next((name for name in self._about if about.get(name) != self._about[name]), "format")
            its, ours = about.get(wrong), self._about.get(wrong)
            if isinstance(its, dict) and isinstance(ours, dict):  # of many settings those that differ
                names = [name for name in {**ours, **its} if its.get(name) != ours.get(name)]
                its, ours = ({name: one.get(name) for name in names} for one in (its, ours))
            raise ConfigError(
                f"checkpoint {self._path} is of another training: its {wrong} is {its!r}, this training's is {ours!r}; "
                "remove the file, as tuun-da train --fresh does, or name another one"
            )
        try:
            self._model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            for generator, kept in zip(self._generators, state["generators"], strict=True):
                generator.set_state(kept)
            torch.set_rng_state(state["torch"])
            if self._device.type == "cuda":
                torch.cuda.set_rng_state(state["cuda"], self._device)
            if not isinstance(state["reports"], list) or not all(isinstance(one, dict) for one in state["reports"]):
                raise TypeError("its reports are no list of reports")
        except Exception as error:  # of a file that was made, not written here
            raise ConfigError(f"checkpoint {self._path} cannot be used: {error}") from error
        reports: list[dict[str, Any]] = state["reports"]
        return reports

    def save(self, reports: list[dict[str, Any]]) -> None:
        """Write the state after an epoch, in the place of the one before; a crash leaves one or the other."""
        state = {
            "about": self._about,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generators": [generator.get_state() for generator in self._generators],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
            "reports": reports,
        }
        partial = self._path.with_name(self._path.name + ".partial")
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path)


def described(transform: Transform | None) -> str:
    """What tells one transform from another: all of a policy, the settings of a baseline, the name of another one."""
    if isinstance(transform, Policy):
        record = transform.record
        return json.dumps([transform.to_params(), record.per, record.unchanged_share])
    if isinstance(transform, Chain):
        return json.dumps([described(part) for part in transform.transforms])
    if transform is None or isinstance(transform, BatchTransform):
        return repr(transform)
    return f"{transform.__module__}.{getattr(transform, '__qualname__', type(transform).__qualname__)}"
