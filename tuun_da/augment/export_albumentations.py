"""The text of a policy as an albumentations transform, around functions in numpy."""

from __future__ import annotations

from tuun_da.augment.export_code import Target
from tuun_da.augment.export_numpy import HELPERS, OPERATIONS

HEAD = """
Needs albumentations (written for 2.0.8, the last release under the MIT licence) and numpy, and not tuun_da. Use it as
any transform, of training images only:

    import albumentations as A
    from augmentation import Augmentation

    transform = A.Compose([Augmentation(), A.Normalize()])
    image = transform(image=image)["image"]

In the workers of torch's DataLoader it draws anew in each worker and epoch, as the loader's seed has it.

It takes an image (h, w), (h, w, 1) or (h, w, 3), uint8 or float32 in [0, 1], and returns the same kind.
"""

STANDARD_IMPORTS = ("import sys", "from random import Random", "from typing import Any, NamedTuple")
IMPORTS = """
import albumentations as A
import numpy as np
"""

TAIL = '''
class Choice(NamedTuple):
    """All chance for one image: which sub-policy, and for each of its operations: whether it is applied, its sign
    (-1 or 1, counts for SIGNED only), and two numbers in [0, 1) that place crops and decide flips."""

    sub_policy: int
    taken: tuple[bool, ...]
    signs: tuple[float, ...]
    chances: tuple[tuple[float, float], ...]


def draw(random: Random) -> Choice:
    """A random choice."""
    number = random.randrange(len(SUB_POLICIES))
    changed = random.random() >= UNCHANGED_SHARE
    operations = SUB_POLICIES[number]
    return Choice(
        number,
        tuple(random.random() < operation[1] and changed for operation in operations),
        tuple(random.choice((-1.0, 1.0)) for _ in operations),
        tuple((random.random(), random.random()) for _ in operations),
    )


def apply(image: np.ndarray, choice: Choice) -> np.ndarray:
    """The image under ``choice``: no chance."""
    if image.dtype not in (np.uint8, np.float32):
        raise TypeError(f"images must be uint8, or float32 in [0, 1]; got {image.dtype}")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"wanted an image (h, w), (h, w, 1) or (h, w, 3), got {image.shape}")
    result = image.reshape(*image.shape[:2], -1).copy()
    rows = zip(SUB_POLICIES[choice.sub_policy], choice.taken, choice.signs, choice.chances, strict=True)
    for (name, _, value), taken, sign, chance in rows:
        if taken:
            result = FUNCTIONS[name](result, value * sign if name in SIGNED else value, chance)
    return result.reshape(image.shape)


class Augmentation(A.ImageOnlyTransform):
    """Draws for each image, and applies that."""

    def __init__(self, p: float = 1.0) -> None:
        super().__init__(p=p)
        self._worker: tuple[int, Random] | None = None

    def __call__(self, *arguments: Any, force_apply: bool = False, **data: Any) -> Any:
        for name in ("mask", "masks", "bboxes", "keypoints"):
            if data.get(name) is not None and len(data[name]):
                raise ValueError(f"only images can be augmented: {name} would not move along")
        return super().__call__(*arguments, force_apply=force_apply, **data)

    def get_params(self) -> dict[str, Any]:
        return {"choice": draw(self._random())}

    def _random(self) -> Random:
        """albumentations' generator; in a worker of a DataLoader, where each has the same copy, one of the worker."""
        loading = sys.modules.get("torch.utils.data")
        worker = None if loading is None else loading.get_worker_info()
        if worker is None:
            return self.py_random
        if self._worker is None or self._worker[0] != worker.seed:
            self._worker = (worker.seed, Random(worker.seed ^ self.py_random.getrandbits(64)))
        return self._worker[1]

    def apply(self, img: np.ndarray, choice: Choice, **parameters: Any) -> np.ndarray:
        return apply(img, choice)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        return ()
'''

ALBUMENTATIONS = Target(
    name="albumentations",
    head=HEAD,
    standard=STANDARD_IMPORTS,
    imports=IMPORTS,
    helpers=HELPERS,
    operations=OPERATIONS,
    tail=TAIL,
)
