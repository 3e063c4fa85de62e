"""Networks by name, and the user's own as module:function."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_integer
from tuun_da.training.models.basenet import BasenetResNet18
from tuun_da.training.models.child_cnn import ChildCNN

MODELS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"basenet_resnet18": BasenetResNet18, "child_cnn": ChildCNN}
)
"""All networks by name; each is called with ``num_classes``, ``channels`` and ``image_size`` (side in pixels)."""


def build_model(
    name: str, *, num_classes: int, channels: int, image_size: int, weights: str | None = None
) -> nn.Module:
    """The network ``name``, on the CPU, its weights drawn from torch's global generator.

    It takes float images (n, channels, image_size, image_size) and gives logits (n, num_classes). ``name`` is in
    ``MODELS``, or is "module:function" of the user, called with the same three keywords. Raises ConfigError.
    """
    checked_integer("num_classes", num_classes, low=2)
    checked_integer("channels", channels, low=1)
    checked_integer("image_size", image_size, low=1)
    maker = MODELS[name] if name in MODELS else imported_maker(name)
    try:
        model = maker(num_classes=num_classes, channels=channels, image_size=image_size)
    except TypeError as error:
        if name in MODELS or error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from inside the function: a mistake in the network, whose traceback the user needs
        raise ConfigError(
            f"model {name} must take the keywords num_classes, channels and image_size: {error}"
        ) from None
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model {name} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def imported_maker(name: str) -> Callable[..., object]:
    """The function that "module:function" names; modules in the working folder are found too. Raises ConfigError."""
    module_name, colon, function_name = name.partition(":")
    if not (colon and module_name and function_name):
        raise ConfigError(f"model must be one of {', '.join(MODELS)}, or module:function; got {name!r}")
    if os.getcwd() not in sys.path:  # a console script has its own folder on the path, not the user's
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a user's module can fail in any way while it is imported
        raise ConfigError(
            f"module {module_name} of model {name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, function_name, None)
    if function is None:
        raise ConfigError(f"module {module_name} of model {name} has no {function_name}")
    if not callable(function):
        raise ConfigError(f"model {name} must be a function or a class, got {type(function).__name__}")
    maker: Callable[..., object] = function
    return maker
