"""The same kind out as in, and a clear refusal of everything else: for the policy, the baselines and their chain."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment import AutoAugment, BatchTransform, Chain, CropAndFlip, Cutout, RandAugment, TrivialAugment
from tuun_da.errors import PolicyError

POLICY = Policy.from_sub_policies(
    [SubPolicy((Operation("rotate", 1.0, 1.0), Operation("color", 1.0, 0.8)))], per="image"
)
TRANSFORMS = {
    "Policy": POLICY,
    "CropAndFlip": CropAndFlip(),
    "Cutout": Cutout(),
    "AutoAugment": AutoAugment("svhn"),
    "RandAugment": RandAugment(),
    "TrivialAugment": TrivialAugment(),
    "Chain": Chain([CropAndFlip(), POLICY]),
}
every_transform = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())


def make_image(channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (channels, 11, 14), dtype=torch.uint8, generator=generator)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@every_transform
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_gives_the_same_pixels(transform: BatchTransform, channels: int) -> None:
    image = make_image(channels)
    wanted = transform(image.unsqueeze(0), generator=seeded())
    assert not torch.equal(wanted[0], image)

    single = transform(image, generator=seeded())
    assert type(single) is torch.Tensor
    assert torch.equal(single, wanted[0])

    picture = to_pil_image(image)
    transformed = transform(picture, generator=seeded())
    assert isinstance(transformed, PIL.Image.Image)
    assert (transformed.mode, transformed.size) == (picture.mode, picture.size)
    assert torch.equal(pil_to_tensor(transformed), wanted[0])
    assert torch.equal(pil_to_tensor(picture), image)

    for wrapped in (tv_tensors.Image(image), tv_tensors.Image(image.unsqueeze(0))):
        result = transform(wrapped, generator=seeded())
        assert isinstance(result, tv_tensors.Image)
        assert torch.equal(result.as_subclass(torch.Tensor).view_as(wanted), wanted)


@every_transform
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_type_shape_and_memory_format_are_kept(transform: BatchTransform, dtype: torch.dtype) -> None:
    image = make_image() if dtype == torch.uint8 else (make_image() / 255).to(dtype)
    batch = torch.stack([image, image.flip(2)])
    last = batch.contiguous(memory_format=torch.channels_last)
    for given in (image, batch, last, last[0]):
        result = transform(given, generator=seeded())
        assert (result.dtype, result.shape, result.device) == (dtype, given.shape, given.device)
        assert result.stride() == given.stride()
    assert torch.equal(transform(batch, generator=seeded()), transform(last, generator=seeded()))


@every_transform
def test_empty_batch_and_untouched_input(transform: BatchTransform) -> None:
    assert transform(torch.zeros(0, 3, 8, 8)).shape == (0, 3, 8, 8)
    batch = make_image().expand(6, -1, -1, -1).clone()
    before = batch.clone()
    transform(batch).zero_()
    assert torch.equal(batch, before)


@every_transform
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(8, 8), r"shape \(c, h, w\) or \(n, c, h, w\), got \(8, 8\)"),
        (torch.zeros(1, 1, 3, 8, 8), r"got \(1, 1, 3, 8, 8\)"),
        (torch.zeros(2, 8, 8), "must have 1 or 3 channels, got 2"),
        (torch.zeros(4, 4, 8, 8), "must have 1 or 3 channels, got 4"),
        (torch.zeros(8, 8, 3), "got 8 in .*; move the channels to the front"),
        (torch.zeros(3, 0, 8), "at least one pixel"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), r"must be uint8, or float in \[0, 1\]; got torch.int32"),
        (torch.zeros(3, 8, 8, dtype=torch.bool), "got torch.bool"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), "got torch.complex64"),
        (torch.full((3, 8, 8), 1.01), r"must lie in \[0, 1\], got values from 1.01 to 1.01"),
        (torch.full((3, 8, 8), 1.0011), r"must lie in \[0, 1\], got values from 1.0011 to 1.0011; .*bicubic"),
        (torch.full((3, 8, 8), 255.0), "got values from 255 to 255; images of 0 to 255 must be uint8, or divided"),
        (torch.full((3, 8, 8), -0.5), "from -0.5 to -0.5; apply the transform before normalizing, or, .*bicubic"),
        (torch.full((3, 8, 8), -0.002, dtype=torch.float64), "from -0.002 to -0.002"),
        (torch.full((3, 8, 8), 1.01, dtype=torch.float16), "from 1.009766 to 1.009766"),
        (torch.full((3, 8, 8), 1.03, dtype=torch.bfloat16), "from 1.03125 to 1.03125"),
        (torch.full((1, 3, 8, 8), float("nan")), "got values from nan to nan$"),
        (torch.tensor([0.5, float("nan")]).view(1, 1, 2), "nan"),
        (torch.full((3, 8, 8), 2.0, dtype=torch.bfloat16), "got values from 2 to 2"),
        (np.zeros((8, 8, 3), dtype=np.uint8), "got ndarray; torch.from_numpy makes it a tensor"),
        (None, "got NoneType"),
        ("image.png", "got str"),
        (7, "got int"),
        ((make_image(), 3), "got a tuple: only image classification is supported"),
        ([make_image()], "got a list: only image classification"),
        ({"image": make_image(), "boxes": None}, "got a dict: only image classification"),
        (tv_tensors.Mask(make_image()), "got tv_tensors.Mask: only image classification"),
        (tv_tensors.Video(make_image().unsqueeze(0)), "got tv_tensors.Video: only image classification"),
        (
            tv_tensors.BoundingBoxes(torch.tensor([[1, 1, 3, 3]]), format="XYXY", canvas_size=(8, 8)),
            "got tv_tensors.BoundingBoxes: only image classification",
        ),
        (PIL.Image.new("RGBA", (4, 4)), r"got mode 'RGBA': convert it first: image.convert\('RGB'\)"),
        (PIL.Image.new("P", (4, 4)), r"mode 'P': convert it first: image.convert\('RGB'\)"),
        (PIL.Image.new("LA", (4, 4)), r"mode 'LA': convert it first: image.convert\('L'\)"),
        (PIL.Image.new("1", (4, 4)), r"mode '1': convert it first: image.convert\('L'\)"),
        (PIL.Image.new("CMYK", (4, 4)), r"mode 'CMYK': convert it first: image.convert\('RGB'\)"),
        (PIL.Image.new("I;16", (4, 4)), "mode 'I;16': scale its values to 8 bits"),
        (PIL.Image.new("I", (4, 4)), "mode 'I': scale its values to 8 bits"),
        (PIL.Image.new("F", (4, 4)), "mode 'F': scale its values to 8 bits"),
        (PIL.Image.new("RGB", (0, 4)), "at least one pixel, got a PIL image of 0 x 4"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_everything_else_is_refused(transform: BatchTransform, given: object, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        transform(given)


@every_transform
@pytest.mark.parametrize(
    ("dtype", "excess"),
    [(torch.float32, 9e-4), (torch.float64, 9e-4), (torch.float16, 3e-3), (torch.bfloat16, 1.6e-2)],
    ids=str,
)
def test_what_rounding_adds_to_floats_is_cut_off(transform: BatchTransform, dtype: torch.dtype, excess: float) -> None:
    image = make_image().to(dtype) / 255
    image[:, 0, :5], image[:, 1, :5] = 0.0, 1.0
    beyond = image.clone()
    beyond[:, 0, :5], beyond[:, 1, :5] = -excess, 1.0 + excess
    assert beyond.max() > 1.0
    before = beyond.clone()
    assert torch.equal(transform(beyond, generator=seeded()), transform(image, generator=seeded()))
    assert torch.equal(beyond, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_white_may_come_from_an_antialiased_resize(dtype: torch.dtype) -> None:
    white = torch.ones(3, 50, 37, dtype=dtype)
    sizes = [v2.functional.resize(white, [side, side], antialias=True) for side in range(17, 33)]
    assert max(image.max().item() for image in sizes) > 1.0
    for image in sizes:
        assert POLICY(image).max() <= 1.0


@every_transform
def test_targets_are_refused(transform: BatchTransform) -> None:
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[1, 1, 3, 3]]), format="XYXY", canvas_size=(11, 14))
    with pytest.raises(PolicyError, match="takes one input, got 2: only image classification is supported"):
        transform(make_image(), boxes)
    with pytest.raises(PolicyError, match="only image classification is supported"):
        v2.Compose([transform])(make_image(), boxes)
    with pytest.raises(PolicyError, match="only image classification is supported"):
        v2.Compose([transform])({"image": make_image(), "boxes": boxes})


@every_transform
def test_options_of_a_call_are_by_keyword(transform: BatchTransform) -> None:
    with pytest.raises(PolicyError, match="takes one input, got 2"):
        transform(make_image(), seeded())
    with pytest.raises(TypeError):
        transform(make_image(), seed=3)


@every_transform
def test_transform_checks_its_batch(transform: BatchTransform) -> None:
    draw = transform.draw(2)
    with pytest.raises(PolicyError, match=r"must have shape \(n, c, h, w\), got \(3, 11, 14\)"):
        transform.transform(make_image(), draw)
    with pytest.raises(PolicyError, match="a batch of images must be a tensor"):
        transform.transform([make_image()], draw)
    with pytest.raises(PolicyError, match="batch of 1 images, got one for 2"):
        transform.transform(make_image().unsqueeze(0), draw)


def test_the_policy_itself_needs_neither_torchvision_nor_pillow() -> None:
    """Seconds less for every DataLoader worker that is spawned."""
    program = (
        "import sys, torch; from tuun_da import Policy; "
        "Policy({'operation1_1': 'rotate', 'magnitude1_1': 1.0})(torch.rand(2, 3, 8, 8)); "
        "print(sorted({'PIL', 'torchvision', 'nni', 'stan', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
