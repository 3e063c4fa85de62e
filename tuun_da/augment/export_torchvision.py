"""The text of a policy as a torchvision transform: for each operation type a function, and what stands around them.

Nothing here runs in tuun_da; the file that is written from it runs without tuun_da. Each function computes what its
namesake in ``color.py`` and ``geometric.py`` computes, on one image, by way of torchvision's functionals.
"""

from __future__ import annotations

from tuun_da.augment.export_code import Piece, Target

HEAD = """
Needs torch and torchvision, and not tuun_da. Use it as any transform, of training images only:

    from torchvision.transforms import v2
    from augmentation import Augmentation

    transform = v2.Compose([Augmentation(), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])

It takes a PIL image ("L" or "RGB"), a tensor (c, h, w) or a batch (n, c, h, w), uint8 or float in [0, 1], of 1 or 3
channels, and returns the same kind.
"""

STANDARD_IMPORTS = ("from typing import Any, NamedTuple",)
IMPORTS = """
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F
"""

TAIL = '''
class Choice(NamedTuple):
    """All chance for one image: which sub-policy, and for each of its operations: whether it is applied, its sign
    (-1 or 1, counts for SIGNED only), and two numbers in [0, 1) that place crops and decide flips."""

    sub_policy: int
    taken: tuple[bool, ...]
    signs: tuple[float, ...]
    chances: tuple[tuple[float, float], ...]


def draw(generator: torch.Generator | None = None) -> Choice:
    """A random choice; without a generator from torch's own, which DataLoader seeds differently in each worker."""
    number = int(torch.randint(len(SUB_POLICIES), (), generator=generator))
    changed = float(torch.rand((), generator=generator)) >= UNCHANGED_SHARE
    numbers = torch.rand((len(SUB_POLICIES[number]), 4), generator=generator).tolist()
    return Choice(
        number,
        tuple(changed and row[0] < operation[1] for row, operation in zip(numbers, SUB_POLICIES[number], strict=True)),
        tuple(-1.0 if row[1] < 0.5 else 1.0 for row in numbers),
        tuple((row[2], row[3]) for row in numbers),
    )


def apply(image: Any, choice: Choice) -> Any:
    """The image, PIL or tensor (c, h, w), under ``choice``: no chance."""
    if isinstance(image, PIL.Image.Image):
        if image.mode not in ("L", "RGB"):
            raise ValueError(f"PIL images must have mode L or RGB, got {image.mode}")
        return F.to_pil_image(apply(F.pil_to_tensor(image), choice))
    if isinstance(image, tv_tensors.Image):
        return tv_tensors.wrap(apply(image.as_subclass(Tensor), choice), like=image)
    if not isinstance(image, Tensor) or isinstance(image, tv_tensors.TVTensor):
        raise TypeError(f"wanted a PIL image or a tensor, got {type(image).__name__}: only images can be augmented")
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"wanted an image of 1 or 3 channels, (c, h, w), got {tuple(image.shape)}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"images must be uint8, or float in [0, 1]; got {image.dtype}")
    result = image.to(torch.float32) if image.is_floating_point() else image.clone()
    rows = zip(SUB_POLICIES[choice.sub_policy], choice.taken, choice.signs, choice.chances, strict=True)
    for (name, _, value), taken, sign, chance in rows:
        if taken:
            result = FUNCTIONS[name](result, value * sign if name in SIGNED else value, chance)
    return result.to(image.dtype)


class Augmentation(torch.nn.Module):
    """Draws for each image, and applies that."""

    def forward(self, image: Any) -> Any:
        if type(image) not in (Tensor, tv_tensors.Image) or image.ndim != 4:
            return apply(image, draw())
        results = [apply(one, draw()) for one in image.as_subclass(Tensor)]
        batch = torch.stack(results) if results else image.as_subclass(Tensor).clone()
        return tv_tensors.wrap(batch, like=image) if isinstance(image, tv_tensors.Image) else batch
'''

HELPERS = {
    "white": Piece(
        "white",
        code="""
def white(image: Tensor) -> float:
    return 1.0 if image.is_floating_point() else 255.0
""",
    ),
    "finished": Piece(
        "finished",
        calls=("white",),
        code='''
def finished(pixels: Tensor, image: Tensor) -> Tensor:
    """Computed float pixels in the type of ``image``."""
    pixels = pixels.clamp(0.0, white(image))
    return pixels if image.is_floating_point() else pixels.round().to(torch.uint8)
''',
    ),
    "moved": Piece(
        "moved",
        calls=("white", "finished"),
        imports=("from collections.abc import Callable",),
        code='''
def moved(image: Tensor, function: Callable[..., Tensor], *parameters: Any) -> Tensor:
    """Bilinear, on an endless sheet of mid-grey: less the grey, the image fades into torchvision's zeros."""
    grey = 128.0 / 255.0 * white(image)
    pixels = image.to(torch.float32) - grey
    return finished(function(pixels, *parameters, interpolation=F.InterpolationMode.BILINEAR) + grey, image)
''',
    ),
    "levels": Piece(
        "levels",
        code='''
def levels(image: Tensor) -> Tensor:
    """The nearest of the 256 levels."""
    return (image * 255.0).round().to(torch.uint8) if image.is_floating_point() else image
''',
    ),
}

OPERATIONS = {
    "shearX": Piece(
        "shear_x",
        calls=("moved",),
        imports=("import math",),
        code='''
def shear_x(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """About the centre; ``value`` is the tangent of the angle."""
    return moved(image, F.affine, 0.0, [0.0, 0.0], 1.0, [math.degrees(math.atan(value)), 0.0])
''',
    ),
    "shearY": Piece(
        "shear_y",
        calls=("moved",),
        imports=("import math",),
        code='''
def shear_y(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """About the centre; ``value`` is the tangent of the angle."""
    return moved(image, F.affine, 0.0, [0.0, 0.0], 1.0, [0.0, math.degrees(math.atan(value))])
''',
    ),
    "translateX": Piece(
        "translate_x",
        calls=("moved",),
        code='''
def translate_x(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """To the right by ``value`` times the width."""
    return moved(image, F.affine, 0.0, [value * image.shape[2], 0.0], 1.0, [0.0, 0.0])
''',
    ),
    "translateY": Piece(
        "translate_y",
        calls=("moved",),
        code='''
def translate_y(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """Down by ``value`` times the height."""
    return moved(image, F.affine, 0.0, [0.0, value * image.shape[1]], 1.0, [0.0, 0.0])
''',
    ),
    "rotate": Piece(
        "rotate",
        calls=("moved",),
        code='''
def rotate(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """By ``value`` degrees, counter-clockwise."""
    return moved(image, F.rotate, value)
''',
    ),
    "color": Piece(
        "color",
        code="""
def color(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.adjust_saturation(image, 1.0 + value)
""",
    ),
    "posterize": Piece(
        "posterize",
        calls=("levels",),
        code='''
def posterize(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """To ``value`` bits."""
    if value >= 8.0:
        return image
    result = F.posterize(levels(image), int(value))
    return result / 255.0 if image.is_floating_point() else result
''',
    ),
    "solarize": Piece(
        "solarize",
        calls=("levels",),
        code='''
def solarize(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """Invert from the threshold ``value`` of 255 on; 256 inverts nothing."""
    return torch.where(levels(image) >= value, F.invert(image), image)
''',
    ),
    "contrast": Piece(
        "contrast",
        code="""
def contrast(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.adjust_contrast(image, 1.0 + value)
""",
    ),
    "sharpness": Piece(
        "sharpness",
        code="""
def sharpness(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.adjust_sharpness(image, 1.0 + value)
""",
    ),
    "brightness": Piece(
        "brightness",
        code="""
def brightness(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.adjust_brightness(image, 1.0 + value)
""",
    ),
    "autocontrast": Piece(
        "autocontrast",
        code="""
def autocontrast(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.autocontrast(image)
""",
    ),
    "equalize": Piece(
        "equalize",
        calls=("levels",),
        code="""
def equalize(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    result = F.equalize(levels(image))
    if not image.is_floating_point():
        return result
    unchanged = (result == levels(image)).all(dim=2, keepdim=True).all(dim=1, keepdim=True)
    return torch.where(unchanged, image, result / 255.0)
""",
    ),
    "invert": Piece(
        "invert",
        code="""
def invert(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    return F.invert(image)
""",
    ),
    "randomCrop": Piece(
        "random_crop",
        calls=("finished",),
        code='''
def random_crop(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """Frame by 4/32 of each side, reflected, cut out ``value`` of each side, and resize that to the whole."""
    height, width = image.shape[1:]
    down, across = round(height * 4 / 32), round(width * 4 / 32)
    crop_height, crop_width = max(1, round(value * height)), max(1, round(value * width))
    top = int(chance[0] * (height + 2 * down - crop_height + 1))
    left = int(chance[1] * (width + 2 * across - crop_width + 1))
    framed = F.pad(image.to(torch.float32), [across, down], padding_mode="reflect")
    cropped = F.crop(framed, top, left, crop_height, crop_width)
    return finished(F.resize(cropped, [height, width], interpolation=F.InterpolationMode.BILINEAR), image)
''',
    ),
    "randomHorizontalFlip": Piece(
        "random_horizontal_flip",
        code='''
def random_horizontal_flip(image: Tensor, value: float, chance: tuple[float, float]) -> Tensor:
    """With chance ``value``."""
    return F.horizontal_flip(image) if chance[0] < value else image
''',
    ),
}

TORCHVISION = Target(
    name="torchvision",
    head=HEAD,
    standard=STANDARD_IMPORTS,
    imports=IMPORTS,
    helpers=HELPERS,
    operations=OPERATIONS,
    tail=TAIL,
)
