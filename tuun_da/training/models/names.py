"""What the name of a network stands for: the function that makes it."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from tuun_da.errors import ConfigError
from tuun_da.training.models.basenet import BasenetResNet18
from tuun_da.training.models.child_cnn import ChildCNN
from tuun_da.training.models.wide_resnet import WideResNet

MODELS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "basenet_resnet18": BasenetResNet18,
        "child_cnn": ChildCNN,
        "wide_resnet_28_10": functools.partial(WideResNet, 28, 10),
        "wide_resnet_40_2": functools.partial(WideResNet, 40, 2),
    }
)
"""Our own networks; each is called with ``num_classes``, ``channels`` and ``image_size`` (side in pixels)."""

WIDE_RESNET = re.compile(r"(?:wide_resnet|wrn)_([0-9]{1,4})_([0-9]{1,4})")


def maker_named(name: str) -> Callable[..., object]:
    """The function that makes the network ``name``, called as those of ``MODELS``. Raises ConfigError."""
    if name in MODELS:
        return MODELS[name]
    if wide := WIDE_RESNET.fullmatch(name):
        return functools.partial(WideResNet, int(wide[1]), int(wide[2]))
    module_name, _, function_name = name.partition(":")
    if module_name and function_name:
        return imported_maker(module_name, function_name)
    # imported here: it takes as long as torch itself, which our own networks need not wait for
    from tuun_da.training.models.torchvision_models import torchvision_model, torchvision_names

    names = torchvision_names()
    if name in names:
        return functools.partial(torchvision_model, name)
    known = [*MODELS, *names]
    nearest = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(
        f"model must be one of {', '.join(MODELS)}, another wide_resnet_DEPTH_FACTOR, any torchvision classification "
        f"model, or module:function; got {name!r}{hint}"
    )


def imported_maker(module_name: str, function_name: str) -> Callable[..., object]:
    """The user's function of that module; modules in the working folder are found too. Raises ConfigError."""
    name = f"{module_name}:{function_name}"
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
