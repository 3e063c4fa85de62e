"""torchvision's pretrained weights, fitted to the channels and the size of the images."""

from __future__ import annotations

import http.client
import os
import pickle
import re
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from tuun_da.errors import ConfigError, TrainingError

AUXILIARY_HEADS = ("aux1.", "aux2.", "AuxLogits.")

COLOUR_SCALE = tuple(deviation / 0.5 for deviation in (0.229, 0.224, 0.225))
COLOUR_OFFSET = tuple((mean - 0.5) / 0.5 for mean in (0.485, 0.456, 0.406))
"""What GoogLeNet and Inception do with a normalized colour image first: ``x * scale + offset``."""

DENSE_LAYER = re.compile(r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)")
"""Names of the published weights of DenseNet, which has no "." between the two any more."""


def pretrained_state(name: str, model: nn.Module, *, channels: int, image_size: int) -> OrderedDict[str, Tensor]:
    """torchvision's weights of the model ``name``, as ``model``, made for such images, takes them; last layer included.

    Raises ConfigError if there are none, TrainingError if they cannot be downloaded.
    """
    weights = default_weights(name)
    if channels not in (1, 3):
        raise ConfigError(f"pretrained weights of {name} are for images of 1 or 3 channels, got {channels}")
    state = downloaded(name, weights)
    fit_to_images(name, model, state, channels=channels, image_size=image_size)
    return state


def fit_to_images(
    name: str, model: nn.Module, state: OrderedDict[str, Tensor], *, channels: int, image_size: int
) -> None:
    """Change ``state``, weights of torchvision's model ``name`` for any images, to what ``model`` takes for these.

    Grey images are taken as three equal colours: the kernels of the first convolution are added up. The position
    embeddings of a vision transformer are interpolated, auxiliary heads dropped, older names of tensors made new.
    """
    for key in list(state):
        if key.startswith(AUXILIARY_HEADS):
            del state[key]
        elif found := DENSE_LAYER.fullmatch(key):
            state[found[1] + found[2]] = state.pop(key)
    # imported here: torchvision takes as long as torch itself, which other networks need not wait for
    from torchvision.models.vision_transformer import interpolate_embeddings

    from tuun_da.training.models.torchvision_models import AUXILIARY, first_convolution, patch_size

    if name.startswith("vit_") and "encoder.pos_embedding" in state:
        state.update(interpolate_embeddings(image_size, patch_size(name), state))
    convolution = first_convolution(model)
    kernels = state.get(f"{convolution}.weight")
    if channels == 1 and kernels is not None and kernels.ndim == 4 and kernels.shape[1] == 3:
        take_grey(state, convolution, own_normalization=name in AUXILIARY)


def default_weights(name: str) -> Any:
    """torchvision's choice among its weights of that model. Raises ConfigError if it has none."""
    # imported here, as above
    from torchvision.models import get_model_weights

    from tuun_da.training.models.torchvision_models import torchvision_names

    weights = getattr(get_model_weights(name), "DEFAULT", None) if name in torchvision_names() else None
    if weights is None:
        raise ConfigError(
            f"model {name} has no pretrained weights: weights=DEFAULT is for the classification models of torchvision; "
            "a FILE with a state dict is taken by every model"
        )
    return weights


def downloaded(name: str, weights: Any) -> OrderedDict[str, Tensor]:
    """The state dict behind ``weights``, from torch's folder of checkpoints, or downloaded there, its hash checked."""
    folder = os.path.join(torch.hub.get_dir(), "checkpoints")
    file = os.path.join(folder, os.path.basename(weights.url))
    there = os.path.exists(file)
    try:
        state: OrderedDict[str, Tensor] = weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except (OSError, http.client.HTTPException, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if there or os.path.exists(file):
            raise TrainingError(
                f"pretrained weights of {name}: {file} cannot be read ({reason}); delete it to download it again"
            ) from error
        raise TrainingError(
            f"pretrained weights of {name} cannot be downloaded from {weights.url} ({reason}); where there is no "
            f"network, put that file into {folder}"
        ) from error
    return state


def take_grey(state: OrderedDict[str, Tensor], convolution: str, *, own_normalization: bool) -> None:
    """Change ``state`` so that a grey image (n, 1, h, w) gives what it gave as three equal colours.

    With ``own_normalization``, of the model for colour images, its scale goes into the kernels, and its offset into
    the running mean of the batch normalization that follows: exact where the convolution sees no padding.
    """
    kernels = state[f"{convolution}.weight"]  # (out, 3, height, width)
    if own_normalization:
        offset = torch.tensor(COLOUR_OFFSET, dtype=kernels.dtype)
        mean = convolution.removesuffix("conv") + "bn.running_mean"
        state[mean] = state[mean] - (kernels.sum(dim=(2, 3)) * offset).sum(dim=1)
        kernels = kernels * torch.tensor(COLOUR_SCALE, dtype=kernels.dtype)[None, :, None, None]
    state[f"{convolution}.weight"] = kernels.sum(dim=1, keepdim=True)
