"""Networks by name, and the user's own as module:function. torchvision is loaded when a network of its is wanted."""

from __future__ import annotations

import os

from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_integer
from tuun_da.training.models.names import MODELS, WIDE_RESNET, maker_named
from tuun_da.training.models.pretrained import fit_to_images, pretrained_state
from tuun_da.training.models.weights import load_state, state_from_file, without_wrappers

__all__ = ["MODELS", "build_model"]

PRETRAINED = "DEFAULT"


def build_model(
    name: str, *, num_classes: int, channels: int, image_size: int, weights: str | os.PathLike[str] | None = None
) -> nn.Module:
    """The network ``name``, on the CPU, its weights drawn from torch's global generator, or ``weights`` over them.

    It takes float images (n, channels, image_size, image_size) and gives logits (n, num_classes). ``name`` is in
    ``MODELS``, is another wide_resnet_DEPTH_FACTOR, a classification model of torchvision (of which most are made for
    224 pixels: its ResNets shrink 32x32 to 1x1), or "module:function" of the user, called with the same three keywords.

    ``weights`` is "DEFAULT", torchvision's pretrained weights of that model, downloaded when they are not there; or a
    file with a state dict. Of a torchvision model both are fitted to grey images and to the size. The last layer is
    left as drawn with DEFAULT, and where the file has it for another number of classes. Raises ConfigError, and
    TrainingError if a download fails.
    """
    checked_integer("num_classes", num_classes, low=2)
    checked_integer("channels", channels, low=1)
    checked_integer("image_size", image_size, low=1)
    maker = maker_named(name)
    try:
        model = maker(num_classes=num_classes, channels=channels, image_size=image_size)
    except TypeError as error:
        if ":" not in name or error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from inside the function: a mistake in the network, whose traceback the user needs
        raise ConfigError(
            f"model {name} must take the keywords num_classes, channels and image_size: {error}"
        ) from None
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model {name} must return a torch.nn.Module, got {type(model).__name__}")
    if weights == PRETRAINED:
        state = pretrained_state(name, model, channels=channels, image_size=image_size)
        load_state(
            model, state, source=f"pretrained weights of {name}", name=name, num_classes=num_classes, new_head=True
        )
    elif weights is not None:
        state = state_from_file(weights)
        without_wrappers(state, model.state_dict())
        if not (name in MODELS or ":" in name or WIDE_RESNET.fullmatch(name)):
            fit_to_images(name, model, state, channels=channels, image_size=image_size)
        load_state(model, state, source=f"weights file {os.fspath(weights)}", name=name, num_classes=num_classes)
    return model
