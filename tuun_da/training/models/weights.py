"""A state dict from a file, and into a network."""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from tuun_da.data_files import shown
from tuun_da.errors import ConfigError
from tuun_da.training.checks import checked_path

logger = logging.getLogger(__name__)

NESTED_UNDER = ("state_dict", "model")
WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before each name."""

NAMED_AT_MOST = 3
MAX_VIEW_BYTES = 2**30
"""What a tensor may be that is a view of fewer numbers: one number can stand for 10**15, and what is computed from them
would fill the memory."""


def state_from_file(path: str | os.PathLike[str]) -> OrderedDict[str, Tensor]:
    """The state dict in a file of ``torch.save``, by itself or under "state_dict" or "model".

    Only tensors are read: a pickle can hold code, which is not run. Raises ConfigError.
    """
    file = checked_path("weights", os.fspath(path))
    if not file.is_file():
        raise ConfigError(f"weights must be DEFAULT or a file, and there is no file {os.fspath(path)}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file fails in many ways; none of them is the program's mistake
        raise ConfigError(f"weights file {file} {what_is_wrong(error)}") from error
    for key in NESTED_UNDER:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ConfigError(f"weights file {file} must hold a state dict, got {type(content).__name__}")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ConfigError(
                f"weights file {file} must hold a state dict, names to tensors; got {type(value).__name__} for "
                f"{shown(key)}"
            )
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
            raise ConfigError(f"weights file {file}: {shown(key)} must be a dense tensor of plain numbers")
        if value.nbytes > max(value.untyped_storage().nbytes(), MAX_VIEW_BYTES):
            raise ConfigError(f"weights file {file}: {shown(key)} claims {value.nbytes} bytes and has fewer")
    if not content:
        raise ConfigError(f"weights file {file} holds an empty state dict")
    state = OrderedDict(content)
    if hasattr(content, "_metadata"):  # the versions of the layers, which some of them ask for
        state._metadata = content._metadata  # type: ignore[attr-defined]
    return state


def what_is_wrong(error: Exception) -> str:
    """Why ``torch.load`` did not read a file, as the end of a sentence about that file."""
    found = re.search(r"(?:GLOBAL|Unsupported class) (\S+)", str(error))
    if isinstance(error, pickle.UnpicklingError) and found:
        return (
            f"holds more than tensors ({found[1]}), which could be code and is not loaded; "
            "save the state dict alone: torch.save(model.state_dict(), FILE)"
        )
    reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return f"cannot be read as a state dict of torch.save ({reason})"


def load_state(
    model: nn.Module,
    state: OrderedDict[str, Tensor],
    *,
    source: str,
    name: str,
    num_classes: int,
    new_head: bool = False,
) -> None:
    """Copy ``state`` into ``model``. ``source`` and ``name`` are what the messages call the two.

    The last layer is left as it is with ``new_head``, or where ``state`` has it for another number of classes. Raises
    ConfigError for any other tensor that is missing, not known to the model, or of another shape.
    """
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    without_wrappers(state, own)
    ruined = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if ruined:
        raise ConfigError(f"model {name} does not take {source}: {some(ruined, 'not finite')}")
    head = head_tensors(model, num_classes)
    classes = {key: len(state[key]) for key in head if key in state and state[key].ndim}
    other_classes = bool(head) and all(
        key in classes and classes[key] != num_classes and state[key].shape[1:] == own[key].shape[1:] for key in head
    )
    if new_head or other_classes:
        for key in head:
            state.pop(key, None)
        logger.info(
            "%s: the last layer (%s) is left fresh, for %d classes%s",
            source,
            ", ".join(head),
            num_classes,
            f" in place of {classes[head[0]]}" if head and head[0] in classes else "",
        )
    else:
        head = ()
    shapes = [
        f"{key} {tuple(value.shape)}, in the model {tuple(own[key].shape)}"
        for key, value in state.items()
        if key in own and value.shape != own[key].shape
    ]
    if shapes:
        raise ConfigError(f"model {name} does not take {source}: {some(shapes, 'of another shape')}")
    try:
        result = model.load_state_dict(state, strict=False)  # knows the older forms of its layers' tensors
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:  # a layer may ask more than the shapes
        raise ConfigError(f"model {name} does not take {source}: {error}") from error
    missing = [key for key in result.missing_keys if key not in head]
    if missing or result.unexpected_keys:
        lists = [some(missing, "missing"), some(result.unexpected_keys, "unexpected")]
        raise ConfigError(f"model {name} does not take {source}: {'; '.join(part for part in lists if part)}")


def without_wrappers(state: OrderedDict[str, Tensor], own: Iterable[str]) -> None:
    """Take the prefixes of ``WRAPPERS`` off the names in ``state``, unless the model's ``own`` names have them too."""
    while True:
        for prefix in WRAPPERS:
            if (
                state
                and all(key.startswith(prefix) for key in state)
                and not all(key.startswith(prefix) for key in own)
            ):
                consume_prefix_in_state_dict_if_present(state, prefix)
                break
        else:
            return


def head_tensors(model: nn.Module, num_classes: int) -> tuple[str, ...]:
    """The names of weight and bias of the last linear layer that gives ``num_classes`` numbers; empty if none does.

    Where there is no such layer, of the last convolution that does: SqueezeNet ends in one.
    """
    modules = list(model.named_modules())
    linear = [name for name, m in modules if isinstance(m, nn.Linear) and m.out_features == num_classes]
    convolutions = [name for name, m in modules if isinstance(m, nn.Conv2d) and m.out_channels == num_classes]
    layers = linear or convolutions
    if not layers:
        return ()
    prefix = f"{layers[-1]}." if layers[-1] else ""
    return tuple(key for key in (f"{prefix}weight", f"{prefix}bias") if key in model.state_dict())


def some(names: list[str], what: str) -> str:
    """ "missing: a, b, c and 4 more", or "" if there is none."""
    if not names:
        return ""
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return f"{what}: {', '.join(names[:NAMED_AT_MOST])}{more}"
