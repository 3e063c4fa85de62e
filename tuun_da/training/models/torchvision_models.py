"""The classification models of torchvision by name, fitted to the classes, channels and size of the images.

Most are made for 224x224 pixels and halve the side five times: a ResNet shrinks 32x32 to 1x1, and learns small images
worse than a network made for them. Those that pool to more than 1x1 (AlexNet, VGG) add up in no fixed order in the
backward pass on CUDA.
"""

from __future__ import annotations

import functools
import itertools

import torch
from torch import nn
from torchvision import models

from tuun_da.errors import ConfigError

AUXILIARY = ("googlenet", "inception_v3")
"""With auxiliary heads, which are left off; and with a normalization of their own for colour images."""

LARGEST_TRIED = 512


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """All of them; those for segmentation, detection and video, and the quantized, are in other modules."""
    return tuple(models.list_models(module=models))


def torchvision_model(name: str, *, num_classes: int, channels: int, image_size: int) -> nn.Module:
    """The model ``name``, with fresh weights: (n, channels, image_size, image_size) to logits (n, num_classes).

    The first convolution is another one where ``channels`` is not 3. Raises ConfigError if the model does not take
    images of that size.
    """
    settings: dict[str, object] = {}
    if name in AUXILIARY:
        # the pretrained weights want colours in [-1, 1], which this makes of normalized ones; grey: see pretrained.py
        settings = {"aux_logits": False, "init_weights": True, "transform_input": channels == 3}
    elif name.startswith("vit_"):
        check_side(name, image_size, patch_size(name))
        settings = {"image_size": image_size}
    elif name.startswith("maxvit_"):
        check_side(name, image_size, 32 * 7)  # windows of 7x7 after five halvings
        settings = {"input_size": (image_size, image_size)}
    model: nn.Module = models.get_model(name, weights=None, num_classes=num_classes, **settings)
    if channels != 3:
        replace_first_convolution(model, channels)
    check_it_takes(name, model, channels, image_size)
    return model


def patch_size(name: str) -> int:
    """Side in pixels of the patches of a vision transformer: 16 of vit_b_16."""
    return int(name.rpartition("_")[2])


def check_side(name: str, image_size: int, step: int) -> None:
    if image_size % step != 0:
        nearest = max(step, round(image_size / step) * step)
        raise ConfigError(
            f"model {name} takes images whose side is a multiple of {step} pixels, got image_size {image_size}; "
            f"the nearest is {nearest}"
        )


def first_convolution(model: nn.Module) -> str:
    """The name, within ``model``, of the convolution that sees the image."""
    found: str = next(name for name, module in model.named_modules() if isinstance(module, nn.Conv2d))
    return found


def replace_first_convolution(model: nn.Module, channels: int) -> None:
    """Let ``model`` take another number of channels; the spread of what the convolution gives stays the same."""
    parent_name, _, own_name = first_convolution(model).rpartition(".")
    parent = model.get_submodule(parent_name)
    old: nn.Conv2d = getattr(parent, own_name)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        nn.init.normal_(new.weight, std=old.weight.std().item() * (old.in_channels / channels) ** 0.5)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    setattr(parent, own_name, new)


def check_it_takes(name: str, model: nn.Module, channels: int, image_size: int) -> None:
    """Raise ConfigError if nothing would be left of such an image somewhere in ``model``."""
    problem = problem_with_side(model, channels, image_size)
    if problem is None:
        return
    too_small, enough = image_size, LARGEST_TRIED
    if enough <= too_small or problem_with_side(model, channels, enough) is not None:
        raise ConfigError(f"model {name} does not take images of {image_size}x{image_size} pixels: {problem}")
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if problem_with_side(model, channels, middle) is None:
            enough = middle
        else:
            too_small = middle
    raise ConfigError(
        f"model {name} takes images of at least {enough}x{enough} pixels, got image_size {image_size} ({problem})"
    )


def problem_with_side(model: nn.Module, channels: int, side: int) -> str | None:
    """What goes wrong with two images of that side, or None. Shapes alone are computed: no number, and none drawn."""
    named = itertools.chain(model.named_parameters(), model.named_buffers())
    tensors = {name: torch.empty_like(tensor, device="meta") for name, tensor in named}
    try:
        torch.func.functional_call(model, tensors, (torch.empty(2, channels, side, side, device="meta"),))
    except (RuntimeError, ValueError, AssertionError) as error:
        return str(error).partition("\n")[0]
    return None
