"""The contestants of the augmentation benchmark: ours, and the libraries that people use, on equal terms.

Each starts from images as its library likes them best, ready in memory, and gives them back so; only Pillow turns
arrays into its images and back, because that is what Tuun did. The draw is part of the work. Rivals that take one image
at a time draw with Python's own generator. For random policies all rivals go through a table of the 16 types; for
AutoAugment and TrivialAugment, torchvision and kornia have classes of their own, which are taken.

    ours_image, ours_batch              a draw for each image; one sub-policy for each batch
    ..._host_draw                       on CUDA: drawn on the host, as our training loop does
    ..._compiled                        drawn as it is, transformed through torch.compile
    pillow, torchvision_pil, torchvision_tensor, kornia, albumentations      one image after the other
    kornia_grouped                      one call of kornia for all images that get the same operation
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from benchmarks.augment_works import Style, Work
from tuun_da.augment import Policy

RECOMPILE_LIMIT = 64  # of graphs of one method; that of torch is 8, fewer than the sub-policies of two policies
OURS = ("ours_image", "ours_batch", "ours_image_compiled", "ours_batch_compiled")
OURS_ON_CUDA = (*OURS, "ours_image_host_draw", "ours_batch_host_draw")
PACKAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pillow": ("PIL",),
        "torchvision_pil": ("torchvision", "PIL"),
        "torchvision_tensor": ("torchvision",),
        "kornia": ("kornia",),
        "kornia_grouped": ("kornia",),
        "albumentations": ("albumentations", "cv2"),
    }
)
"""What each rival has to import."""
CONTESTANTS = (*OURS_ON_CUDA, *PACKAGES)
ON_CPU_ONLY = ("pillow", "torchvision_pil", "albumentations")

Apply = Callable[[Any], Any]


@dataclass(frozen=True)
class Contestant:
    """One way of doing a work. ``apply`` takes what ``prepare`` makes of uint8 images (n, 3, h, w) on the CPU.

    With ``one_by_one`` that is a list, of any length. ``pixels`` makes a uint8 batch on the CPU of a result, to look
    at; ``device`` is where it runs.
    """

    name: str
    device: torch.device
    one_by_one: bool
    prepare: Apply
    apply: Apply
    pixels: Callable[[Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library, one image at a time: ``prepared`` makes its image of uint8 (3, h, w), ``pixels`` goes back.

    ``operations`` has for each style ``(image, value, chance) -> image`` by type. ``enter`` and ``leave`` belong to the
    work. ``own_class`` is the library's transform for a published distribution, or None.
    """

    operations: Callable[[Style], Mapping[str, Callable[..., Any]]]
    prepared: Callable[[Tensor], Any]
    pixels: Callable[[Any], Tensor]
    enter: Apply = lambda image: image
    leave: Apply = lambda image: image
    own_class: Callable[[Work], Apply | None] = lambda work: None


def missing_packages(name: str) -> list[str]:
    """Those of a contestant that are not installed."""
    return [package for package in PACKAGES.get(name, ()) if importlib.util.find_spec(package) is None]


def make_contestant(name: str, work: Work, device: torch.device, *, side: int, seed: int = 0) -> Contestant | None:
    """The contestant for one distribution and images of ``side``; None where it has no such form.

    Raises ValueError for another name.
    """
    if name not in CONTESTANTS:
        raise ValueError(f"contestant must be one of {', '.join(CONTESTANTS)}; got {name!r}")
    if name.startswith("ours"):
        return _ours(name, work, device, seed)
    if name == "kornia_grouped":
        return _kornia_grouped(work, device, seed)
    device = torch.device("cpu") if name in ON_CPU_ONLY else device
    library = make_library(name)
    apply = library.own_class(work)
    if apply is None:
        one = _drawn(library, work, side, seed)
    else:
        torch.default_generator.manual_seed(seed)  # from which the libraries' own classes draw
        one = apply

    def prepare(images: Tensor) -> list[Any]:
        prepared = [library.prepared(image) for image in images]
        return prepared if device.type == "cpu" else [image.to(device) for image in prepared]

    return Contestant(
        name,
        device,
        True,
        prepare,
        lambda images: [one(image) for image in images],
        lambda results: torch.stack([library.pixels(result).cpu() for result in results]),
    )


def make_library(name: str) -> Library:
    """A rival's library, imported only now: it may not be installed."""
    module = importlib.import_module(f"benchmarks.augment_{name.partition('_')[0]}")
    if name == "pillow":
        return Library(
            operations=module.operations,
            prepared=module.prepared,
            pixels=_from_array,
            enter=module.enter,
            leave=module.leave,
        )
    if name == "albumentations":
        module.one_thread()
        return Library(operations=module.operations, prepared=module.prepared, pixels=_from_array)
    if name == "kornia":
        return Library(
            operations=lambda style: {name: _for_one(call) for name, call in module.operations(style).items()},
            prepared=module.prepared,
            pixels=lambda image: module.pixels(image)[0],
            own_class=module.own_class,
        )
    return Library(
        operations=module.operations,
        prepared=module.prepared_pil if name == "torchvision_pil" else lambda image: image.clone(),
        pixels=module.pixels_of_pil if name == "torchvision_pil" else lambda image: image,
        own_class=module.own_class,
    )


def _drawn(library: Library, work: Work, side: int, seed: int) -> Apply:
    """Draw for one image, and apply that."""
    random = Random(seed)
    draw, operations = work.distribution.draw, library.operations(work.style)
    enter, leave = library.enter, library.leave

    def apply(image: Any) -> Any:
        result = enter(image)
        for step in draw(random, side):
            result = operations[step.type](result, step.value, step.chance)
        return leave(result)

    return apply


def _ours(name: str, work: Work, device: torch.device, seed: int) -> Contestant | None:
    transform = work.ours("batch" if name.startswith("ours_batch") else "image")
    if transform is None:
        return None
    drawn_on = torch.device("cpu") if name.endswith("_host_draw") else device
    generator = torch.Generator(drawn_on).manual_seed(seed)
    # The graph of a policy holds all its sub-policies. For a whole batch one is enough, so each gets a graph, and the
    # host draws which.
    parts = [transform]
    if name == "ours_batch_compiled" and isinstance(transform, Policy):
        parts = [Policy.from_sub_policies([part], per="batch") for part in transform.record.sub_policies]
    acts: list[Callable[..., Tensor]] = [part.transform for part in parts]
    if name.endswith("_compiled"):
        # CUDA graphs, where there is CUDA: at 32x32, to launch a kernel takes longer than to run it
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
        acts = [torch.compile(act, fullgraph=True, dynamic=False, mode=mode) for act in acts]
    random = Random(seed)

    def apply(images: Tensor) -> Tensor:
        number = random.randrange(len(parts))
        return acts[number](images, parts[number].draw(len(images), generator))

    return Contestant(name, device, False, lambda images: images.to(device), apply, lambda result: result.cpu())


def _kornia_grouped(work: Work, device: torch.device, seed: int) -> Contestant:
    module = importlib.import_module("benchmarks.augment_kornia")

    def prepare(images: Tensor) -> Tensor:
        return torch.cat([module.prepared(image) for image in images]).to(device)

    apply = module.Grouped(work.distribution, work.style, seed)
    return Contestant("kornia_grouped", device, False, prepare, apply, lambda result: module.pixels(result).cpu())


def _for_one(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """kornia's, of lists of values, for one."""
    return lambda image, value, chance: operation(image, [value], [chance])


def _from_array(image: Any) -> Tensor:
    """uint8 (3, h, w) of an array (h, w, 3)."""
    return torch.tensor(image).permute(2, 0, 1)
