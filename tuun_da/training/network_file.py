"""A trained network as a file: its weights, and as plain data all that it takes to use them."""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tuun_da.data_files import write_atomically
from tuun_da.errors import ConfigError
from tuun_da.training.models import build_model
from tuun_da.training.models.weights import load_state
from tuun_da.training.splits import Splits

FORMAT = "tuun_da network"
VERSION = 1
KEYS: Mapping[str, type] = {
    "state_dict": dict,
    "model": str,
    "class_names": list,
    "channels": int,
    "image_size": int,
    "mean": list,
    "std": list,
    "about": dict,
}


class TrainedNetwork(nn.Module):
    """A network as it was trained: images uint8 (n, channels, image_size, image_size) to logits float32 (n, classes).

    Mean and deviation of the training images are inside. ``about`` is what else the file says: settings, scores, ...
    """

    factor: Tensor
    offset: Tensor

    def __init__(
        self,
        network: nn.Module,
        *,
        class_names: tuple[str, ...],
        image_size: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        about: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.class_names, self.image_size, self.about = class_names, image_size, about
        deviations = torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1)
        self.register_buffer("factor", (1 / (255 * deviations)).float())
        self.register_buffer(
            "offset", (-torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1) / deviations).float()
        )

    @property
    def channels(self) -> int:
        return int(self.factor.shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, classes). Raises ConfigError for images of another type or size."""
        wanted = (self.channels, self.image_size, self.image_size)
        if images.dtype != torch.uint8 or images.shape[1:] != wanted:
            raise ConfigError(
                f"images must be uint8 of the shape (n, {', '.join(map(str, wanted))}), got {images.dtype} of the "
                f"shape {tuple(images.shape)}"
            )
        logits: Tensor = self.network(images * self.factor + self.offset)
        return logits


def save_network(path: Path, state: Mapping[str, Tensor], model: str, splits: Splits, about: Mapping[str, Any]) -> None:
    """Write the weights ``state`` of the network ``model`` that was trained on ``splits``, in one step.

    ``about`` is plain data: texts, numbers, truth values, lists and dicts of them. Raises OSError.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "state_dict": dict(state),
        "model": model,
        "class_names": list(splits.class_names),
        "channels": splits.channels,
        "image_size": splits.image_size,
        "mean": list(splits.mean),
        "std": list(splits.std),
        "about": dict(about),
    }
    file = io.BytesIO()
    torch.save(content, file)
    write_atomically(path, file.getvalue())


def state_to_keep(model: nn.Module) -> dict[str, Tensor]:
    """The weights of ``model``, copied to the CPU's memory in the usual order."""
    return {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, tensor in model.state_dict().items()
    }


def load_network(path: str | os.PathLike[str], *, model: str | None = None) -> TrainedNetwork:
    """The network in the file at ``path``, in evaluation mode, on the CPU.

    The file is data, and is read as such; a network that is code of the user's own (module:function) is only made if
    ``model`` names it. Raises ConfigError.
    """
    content = _read(path)
    name = content["model"]
    if ":" in name and model != name:
        raise ConfigError(
            f"network file {path} names the model {name!r}, which is code, and the file is only data; if you trust it, "
            f"say so: model={name!r}"
        )
    class_names = tuple(content["class_names"])
    network = build_model(
        name, num_classes=len(class_names), channels=content["channels"], image_size=content["image_size"]
    )
    state = OrderedDict(content["state_dict"])
    load_state(network, state, source=f"network file {path}", name=name, num_classes=len(class_names))
    trained = TrainedNetwork(
        network,
        class_names=class_names,
        image_size=content["image_size"],
        mean=tuple(content["mean"]),
        std=tuple(content["std"]),
        about=content["about"],
    )
    return trained.eval()


def is_network_file(path: str | os.PathLike[str]) -> bool:
    """Whether the file at ``path`` is one that ``save_network`` wrote, of any version."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # torch raises many kinds for a file that is none of its own
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    if not Path(path).is_file():
        raise ConfigError(f"network file {path} {'is not a file' if Path(path).exists() else 'does not exist'}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ConfigError(f"network file {path} cannot be read: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ConfigError(f"network file {path} was not written by tuun-da train")
    if content.get("version") != VERSION:
        raise ConfigError(
            f"network file {path} has version {content.get('version')!r}; this release reads version {VERSION}"
        )
    for key, kind in KEYS.items():
        if not isinstance(content.get(key), kind):
            raise ConfigError(
                f"network file {path}: {key} must be of type {kind.__name__}, got {type(content.get(key)).__name__}"
            )
    for key in ("mean", "std"):
        if len(content[key]) != content["channels"] or not all(isinstance(value, float) for value in content[key]):
            raise ConfigError(f"network file {path}: {key} must be a number for each channel, got {content[key]!r}")
    return content
