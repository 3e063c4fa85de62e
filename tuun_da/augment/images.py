"""What a transform can be called on, turned into a batch (n, c, h, w) and back. All checks of input are here.

torchvision and Pillow are not imported: whoever hands over one of their objects has already done so.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from tuun_da.errors import PolicyError

FLOAT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
EXCESS: Mapping[torch.dtype, float] = MappingProxyType(
    {torch.float16: 4e-3, torch.bfloat16: 2e-2, torch.float32: 1e-3, torch.float64: 1e-3}
)
"""How far beyond [0, 1] a pixel may lie by rounding, and is cut off: an antialiased resize makes 1.0000001 of white.

A quarter of a level of 255; in half precision, 4 (float16) and 2 (bfloat16) steps of the type above 1.
"""
PIL_MODES = {"L": 1, "RGB": 3}
ACCEPTED = "a PIL image, a (c, h, w) tensor or an (n, c, h, w) batch"
LOCATED = frozenset({"mask", "masks", "boxes", "bboxes", "keypoints"})
"""Names of what would have to move along with an image."""

ONLY_CLASSIFICATION = (
    "only image classification is supported, because labels stay as they are while boxes, masks and points do not "
    "move along: pass the image by itself"
)


@dataclass(frozen=True)
class OpenedImages:
    """A batch (n, c, h, w), and the way back to the kind of thing that it came as."""

    images: Tensor
    single: bool
    close: Callable[[Tensor], Any]


def open_images(given: Any) -> OpenedImages:
    """The batch in ``given``: a PIL image, a (c, h, w) tensor, an (n, c, h, w) batch or either as tv_tensors.Image.

    Raises PolicyError for anything else, and for values outside [0, 1] in float tensors on the CPU; on other devices
    that check would make the host wait.
    """
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(given, pil.Image):
        return _open_pil(given, pil)
    if isinstance(given, Mapping | Sequence) and not isinstance(given, str | bytes):
        raise PolicyError(f"a transform takes {ACCEPTED}, got a {type(given).__name__}: {ONLY_CLASSIFICATION}")
    if not isinstance(given, Tensor):
        hint = "; torch.from_numpy makes it a tensor" if type(given).__module__ == "numpy" else ""
        raise PolicyError(f"a transform takes {ACCEPTED}, got {type(given).__name__}{hint}")
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    wrapped = tv_tensors is not None and isinstance(given, tv_tensors.TVTensor)
    if wrapped and not isinstance(given, tv_tensors.Image):  # type: ignore[union-attr]
        raise PolicyError(f"a transform takes {ACCEPTED}, got tv_tensors.{type(given).__name__}: {ONLY_CLASSIFICATION}")
    images = given.as_subclass(Tensor) if wrapped else given
    if images.ndim not in (3, 4):
        raise PolicyError(f"images must have shape (c, h, w) or (n, c, h, w), got {tuple(images.shape)}")
    single = images.ndim == 3
    images = images.unsqueeze(0) if single else images
    check_batch(images)
    images = within_range(images)

    def close(result: Tensor) -> Any:
        result = result.squeeze(0) if single else result
        return tv_tensors.wrap(result, like=given) if wrapped else result  # type: ignore[union-attr]

    return OpenedImages(images, single, close)


def check_batch(images: Tensor) -> None:
    """Raise PolicyError unless ``images`` is (n, 1 or 3, h, w), uint8 or float, with at least one pixel each."""
    if not isinstance(images, Tensor):
        raise PolicyError(f"a batch of images must be a tensor (n, c, h, w), got {type(images).__name__}")
    if images.ndim != 4:
        raise PolicyError(f"a batch of images must have shape (n, c, h, w), got {tuple(images.shape)}")
    if images.shape[1] not in (1, 3):
        hint = "; move the channels to the front" if images.shape[3] in (1, 3) else ""
        raise PolicyError(f"images must have 1 or 3 channels, got {images.shape[1]} in {tuple(images.shape)}{hint}")
    if images.shape[2] == 0 or images.shape[3] == 0:
        raise PolicyError(f"images must have at least one pixel, got shape {tuple(images.shape)}")
    if images.dtype != torch.uint8 and images.dtype not in FLOAT_TYPES:
        raise PolicyError(f"images must be uint8, or float in [0, 1]; got {images.dtype}")


def check_samples(samples: Any) -> None:
    """Raise PolicyError unless ``samples`` is a list of images (c, h, w), or of tuples or lists that begin with one.

    Only the first sample is looked at: its image must be a tensor, or an array, which makes a tensor, and nothing
    beside it may be what would have to move along: boxes, masks, keypoints, further images.
    """
    if not isinstance(samples, Sequence) or isinstance(samples, str | bytes):
        raise PolicyError(f"a mini-batch is made of a list of samples, got a {type(samples).__name__}")
    if not samples:
        raise PolicyError("a mini-batch is made of one or more samples, got none")
    sample = samples[0]
    image = sample[0] if isinstance(sample, tuple | list) and sample else sample
    module = type(image).__module__
    if isinstance(image, Tensor) or module == "numpy":
        for other in sample[1:] if image is not sample else ():
            _check_beside(other)
        return
    if module.startswith("PIL."):
        remedy = ": put torchvision's PILToTensor at the end of the data set's own transform"
    elif isinstance(image, Mapping):
        remedy = ": write a function that collates them and calls the transform on the images"
    else:
        remedy = ""
    raise PolicyError(
        "a sample must be an image as a tensor (c, h, w), or a tuple of it and more, such as its label; "
        f"got {'samples' if image is sample else 'images'} of type {type(image).__name__}{remedy}"
    )


def _check_beside(other: Any) -> None:
    """Raise PolicyError for what stands beside an image in a sample and would have to move with it."""
    if isinstance(other, Mapping):
        for name, value in other.items():
            if str(name).lower() in LOCATED:
                raise PolicyError(f"a sample has {name!r} beside its image: {ONLY_CLASSIFICATION}")
            _check_beside(value)
        return
    tv_tensors = sys.modules.get("torchvision.tv_tensors")
    if tv_tensors is not None and isinstance(other, tv_tensors.TVTensor):
        raise PolicyError(f"a sample has tv_tensors.{type(other).__name__} beside its image: {ONLY_CLASSIFICATION}")
    if (isinstance(other, Tensor) or type(other).__module__ == "numpy") and other.ndim >= 2:
        raise PolicyError(
            f"a sample has an array of shape {tuple(other.shape)} beside its image, as a mask or boxes have it: "
            f"{ONLY_CLASSIFICATION}"
        )


def within_range(images: Tensor) -> Tensor:
    """Float ``images`` on the CPU, with values just beyond [0, 1] cut off; free on other devices.

    Raises PolicyError for NaN and for values further out than ``EXCESS``.
    """
    if not images.is_floating_point() or images.device.type != "cpu" or images.numel() == 0:
        return images
    low, high = images.detach().aminmax()
    if low >= 0.0 and high <= 1.0:
        return images
    excess = EXCESS[images.dtype]
    if not (low >= -excess and high <= 1.0 + excess):  # NaN fails both, and aminmax passes it on
        hint = "" if low.isnan() else f"; {_cause_of_range(low.item(), high.item())}"
        raise PolicyError(
            f"float images must lie in [0, 1], got values from {low.item():.7g} to {high.item():.7g}{hint}"
        )
    return images.clamp(0.0, 1.0)


def _cause_of_range(low: float, high: float) -> str:
    if low >= 0.0 and high > 2.0:
        return "images of 0 to 255 must be uint8, or divided by 255"
    return (
        "apply the transform before normalizing, or, if it was an interpolation that overshot (bicubic does), "
        "clamp the images to [0, 1] first"
    )


def check_size(n: int) -> None:
    """Raise PolicyError unless ``n`` can be the size of a batch."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 0:
        raise PolicyError(f"the size of a batch must be a whole number, 0 or more; got {n!r}")


def check_generator(generator: Any) -> None:
    """Raise PolicyError unless ``generator`` is a torch.Generator or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise PolicyError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")


def _open_pil(image: Any, pil: Any) -> OpenedImages:
    """``pil`` is the module PIL.Image."""
    mode = image.mode
    if mode not in PIL_MODES:
        if mode.startswith(("I", "F")):
            remedy = "scale its values to 8 bits and make it mode 'L' first (image.convert would cut them off at 255)"
        else:
            remedy = f"convert it first: image.convert({'L' if mode in ('1', 'LA', 'La') else 'RGB'!r})"
        raise PolicyError(f"PIL images must have mode 'L' or 'RGB', got mode {mode!r}: {remedy}")
    width, height = image.size
    if width == 0 or height == 0:
        raise PolicyError(f"images must have at least one pixel, got a PIL image of {width} x {height}")
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    images = pixels.view(1, height, width, PIL_MODES[mode]).permute(0, 3, 1, 2)

    def close(result: Tensor) -> Any:
        return pil.frombytes(mode, (width, height), result[0].permute(1, 2, 0).contiguous().numpy().tobytes())

    return OpenedImages(images, single=True, close=close)
