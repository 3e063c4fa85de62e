"""The file that ``tuun-da export`` writes: it runs without tuun_da, draws as the policy draws, and makes its pixels."""

from __future__ import annotations

import ast
import dataclasses
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.augment.export import TARGETS, is_exported_file, policy_code
from tuun_da.augment.export_code import number, quoted, written_code
from tuun_da.augment.export_torchvision import TORCHVISION
from tuun_da.augment.policy import PolicyDraw
from tuun_da.errors import PolicyError
from tuun_da.operations import OPERATION_TYPES
from tuun_da.policy_format import PolicyRecord

TYPES = list(TORCHVISION.operations)
EXACT = ("posterize", "solarize", "invert", "equalize", "autocontrast", "randomHorizontalFlip")
MAGNITUDES = (0.0, 0.3, 0.5, 0.8, 1.0)
N = 20_000

ONE_OF_EACH = PolicyRecord(
    tuple(SubPolicy((Operation(name, 1.0, magnitude),)) for name in TYPES for magnitude in MAGNITUDES), "image"
)
"""Operation ``i`` of the file has the type ``TYPES[i // 5]`` and the magnitude ``MAGNITUDES[i % 5]``."""

DRAWN = PolicyRecord(
    (
        SubPolicy((Operation("rotate", 0.2, 0.5), Operation("invert", 0.7, 0.5))),
        SubPolicy((Operation("shearX", 0.0, 0.5), Operation("color", 1.0, 0.5), Operation("solarize", 0.5, 0.8))),
        SubPolicy((Operation("randomHorizontalFlip", 0.9, 0.5),)),
    ),
    "image",
    unchanged_share=0.25,
)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "albumentations":
        monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")  # else it asks the network for a newer version
        pytest.importorskip("albumentations", reason="albumentations is not installed")
    return name


class Written:
    """A file for one library, run in a fresh namespace, and called alike for both."""

    def __init__(self, record: PolicyRecord, target: str, folder: Path) -> None:
        self.path = folder / f"{target}_augmentation.py"
        self.path.write_text(policy_code(record, target))
        self.names = SimpleNamespace(**runpy.run_path(str(self.path)))
        self.for_torch = target == "torchvision"

    def draws(self, n: int, seed: int) -> list[Any]:
        if self.for_torch:
            generator = torch.Generator().manual_seed(seed)
            return [self.names.draw(generator) for _ in range(n)]
        from random import Random

        random = Random(seed)
        return [self.names.draw(random) for _ in range(n)]

    def apply(self, image: Tensor, choice: Any) -> Tensor:
        """``image`` (c, h, w); numpy's has its channels last, and grey ones may have none."""
        if self.for_torch:
            result: Tensor = self.names.apply(image, choice)
            return result
        array = image.permute(1, 2, 0).contiguous().numpy()
        result = torch.from_numpy(self.names.apply(array, choice)).permute(2, 0, 1)
        if image.shape[0] == 1:
            assert np.array_equal(self.names.apply(array[..., 0], choice), result[0].numpy())
        return result


def make_images(n: int, channels: int, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Noise, a ramp, a flat channel."""
    images = torch.randint(0, 256, (n, channels, *size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    images[1] = torch.linspace(0, 255, size[1]).round().to(torch.uint8)
    images[2, 0] = 77
    return images if dtype == torch.uint8 else images.to(dtype) / 255


def assert_share(events: list[bool], share: float) -> None:
    """Within 4.5 standard deviations; the seeds are fixed."""
    bound = 4.5 * math.sqrt(share * (1 - share) / len(events))
    assert abs(sum(events) / len(events) - share) <= bound


# ---- pixels ----


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (17, 23), (8, 8), (2, 3), (1, 1)], ids=str)
def test_pixels_at_fixed_choices_are_tuun_das(
    target: str, size: tuple[int, int], channels: int, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Within the tolerances that tuun_da's own functions keep to torchvision's."""
    written = Written(ONE_OF_EACH, target, tmp_path)
    images = make_images(4, channels, size, dtype)
    chances = torch.rand((4, 2), generator=torch.Generator().manual_seed(2))
    white = 255.0 if dtype.is_floating_point else 1.0
    for i, sub_policy in enumerate(ONE_OF_EACH.sub_policies):
        [operation] = sub_policy.operations
        signs = torch.tensor([1.0, -1.0, -1.0, 1.0])
        before = images.clone()
        alone = Policy.from_sub_policies([sub_policy], per="image")
        everyone = torch.ones((4, 1), dtype=torch.bool)
        draw = PolicyDraw(torch.zeros(4, dtype=torch.int64), everyone, signs[:, None], chances[:, None], None)
        ours = alone.transform(images, draw)
        theirs = torch.stack(
            [
                written.apply(image, written.names.Choice(i, (True,), (sign,), (tuple(pair),)))
                for image, sign, pair in zip(images, signs.tolist(), chances.tolist(), strict=True)
            ]
        )
        assert theirs.dtype == dtype
        assert torch.equal(images, before)
        apart = (ours.double() - theirs.double()).abs() * white
        if dtype.is_floating_point:
            assert apart.max() < 0.02, operation
        elif operation.type in EXACT:
            assert apart.max() == 0, operation
        else:
            assert apart.max() <= 1, operation
            # our crops of uint8 are rounded after the rows and after the columns, as torchvision's resize does it
            # natively; the file rounds once
            share = 0.3 if operation.type == "randomCrop" else 0.05
            if size > (3, 3):  # torch's own last pixels, which fill no vector, are rounded once more
                assert (apart > 0).double().mean() < share, operation


def test_operations_come_one_after_the_other_and_only_those_that_are_taken(target: str, tmp_path: Path) -> None:
    record = PolicyRecord((SubPolicy((Operation("posterize", 1.0, 1.0), Operation("invert", 1.0, 0.0))),), "image")
    written = Written(record, target, tmp_path)
    image = make_images(1 + 2, 3, (8, 8), torch.uint8)[0]
    posterized = image & 0xF0
    for taken, wanted in (
        ((True, True), 255 - posterized),
        ((True, False), posterized),
        ((False, True), 255 - image),
        ((False, False), image),
    ):
        choice = written.names.Choice(0, taken, (1.0, 1.0), ((0.0, 0.0),) * 2)
        result = written.apply(image, choice)
        assert torch.equal(result, wanted)
    result.zero_()
    assert image.any()  # an unchanged image is a copy


# ---- draws ----


def test_choices_are_drawn_as_the_policy_says(target: str, tmp_path: Path) -> None:
    written = Written(DRAWN, target, tmp_path)
    draws = written.draws(N, seed=0)
    for i, sub_policy in enumerate(DRAWN.sub_policies):
        mine = [draw for draw in draws if draw.sub_policy == i]
        assert_share([draw.sub_policy == i for draw in draws], 1 / 3)
        assert {len(draw.taken) for draw in mine} == {len(sub_policy.operations)}
        for j, operation in enumerate(sub_policy.operations):
            assert_share([draw.taken[j] for draw in mine], 0.75 * operation.probability)
            assert {draw.signs[j] for draw in mine} == {-1.0, 1.0}
            assert_share([draw.signs[j] > 0 for draw in mine], 0.5)
            assert_share([draw.signs[j] > 0 for draw in mine if draw.taken[j]] or [True, False], 0.5)
            for chance in (0, 1):
                for share in (0.1, 0.5, 0.9):
                    assert_share([draw.chances[j][chance] < share for draw in mine], share)
    # independent, but that both are left out together in a quarter of the images
    first = [draw for draw in draws if draw.sub_policy == 0]
    assert_share([draw.taken == (True, True) for draw in first], 0.75 * 0.2 * 0.7)
    assert_share([draw.taken == (False, False) for draw in first], 0.25 + 0.75 * 0.8 * 0.3)


def test_pictures_are_distributed_as_the_policys(target: str, tmp_path: Path) -> None:
    """The mean level of a bright image with one dark corner tells operations and signs apart."""
    written = Written(DRAWN, target, tmp_path)
    image = torch.full((3, 12, 12), 200, dtype=torch.uint8)
    image[:, :4, :3] = torch.tensor([10, 40, 90], dtype=torch.uint8).view(3, 1, 1)
    ramp = torch.arange(12.0)  # so that a flip counts, too
    n = 4000

    def summary(pictures: Tensor) -> Tensor:
        return (pictures.float() * ramp).mean((1, 2, 3)) + pictures[:, 0].float().amax((1, 2))

    theirs = summary(torch.stack([written.apply(image, draw) for draw in written.draws(n, seed=1)]))
    policy = Policy.from_record(DRAWN)
    ours = summary(policy(image.expand(n, -1, -1, -1), generator=torch.Generator().manual_seed(2)))
    # values up to a rounding apart are the same; then a two-sample Kolmogorov-Smirnov test: 2.0 is a chance of 7e-4
    points = torch.cat([ours, theirs]).round().unique() + 0.5
    assert len(points) >= 8
    gap = (ours[:, None] <= points).double().mean(0) - (theirs[:, None] <= points).double().mean(0)
    assert gap.abs().max() < 2.0 * math.sqrt(2 / n)


def test_the_torchvision_class_draws_from_torchs_generator(tmp_path: Path) -> None:
    written = Written(DRAWN, "torchvision", tmp_path)
    transform, image = written.names.Augmentation(), make_images(3, 3, (12, 12), torch.uint8)[0]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = [transform(image) for _ in range(30)]
        torch.manual_seed(3)
        again = [transform(image) for _ in range(30)]
        torch.manual_seed(3)
        drawn = [written.names.apply(image, written.names.draw()) for _ in range(30)]
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(first, again, drawn, strict=True))
    assert len({tuple(one.flatten().tolist()) for one in first}) > 5


def test_the_albumentations_class_draws_from_its_composes_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    albumentations = pytest.importorskip("albumentations", reason="albumentations is not installed")
    written = Written(DRAWN, "albumentations", tmp_path)
    image = make_images(3, 3, (12, 12), torch.uint8)[0].permute(1, 2, 0).numpy()

    def pictures(seed: int) -> list[bytes]:
        transform = albumentations.Compose([written.names.Augmentation()], seed=seed)
        return [transform(image=image)["image"].tobytes() for _ in range(40)]

    assert pictures(3) == pictures(3) != pictures(4)
    assert len(set(pictures(3))) > 5
    replay = albumentations.ReplayCompose([written.names.Augmentation()])
    done = replay(image=image)
    again = albumentations.ReplayCompose.replay(done["replay"], image=image)
    assert np.array_equal(done["image"], again["image"])
    for name, beside in (("mask", image[..., 0]), ("bboxes", [[0, 0, 1, 1, 0]]), ("keypoints", [[1, 1]])):
        with pytest.raises(ValueError, match=f"only images can be augmented: {name} would not move along"):
            written.names.Augmentation()(image=image, **{name: beside})


class Pictures(torch.utils.data.Dataset[Tensor]):
    """Sixteen times the same ramp, transformed."""

    def __init__(self, transform: Any) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Tensor:
        image = np.tile(np.linspace(0, 255, 12).astype(np.uint8)[:, None, None], (1, 12, 3))
        return torch.from_numpy(np.array(self.transform(image=image)["image"]))


@pytest.mark.parametrize("composed", [False, True])
def test_the_albumentations_class_draws_anew_in_each_worker_and_epoch(
    composed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forked workers all have the same copy of albumentations' generator, and the loader's own never moves on."""
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    albumentations = pytest.importorskip("albumentations", reason="albumentations is not installed")
    augmentation = Written(DRAWN, "albumentations", tmp_path).names.Augmentation()
    pictures = Pictures(albumentations.Compose([augmentation], seed=3) if composed else augmentation)

    def epochs(seed: int) -> list[list[Tensor]]:
        loader = torch.utils.data.DataLoader(
            pictures,
            batch_size=8,
            num_workers=2,
            multiprocessing_context="fork",
            generator=torch.Generator().manual_seed(seed),
        )
        return [list(loader) for _ in range(2)]

    [[first, second], [third, fourth]] = epochs(1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)
    assert not torch.equal(second, fourth)
    again = epochs(1)
    assert torch.equal(again[0][0], first)
    assert torch.equal(again[1][1], fourth)
    assert not torch.equal(epochs(2)[0][0], first)


# ---- kinds of images ----


def test_torchvisions_file_takes_what_transforms_take(tmp_path: Path) -> None:
    written = Written(DRAWN, "torchvision", tmp_path).names
    batch = make_images(5, 3, (12, 10), torch.uint8)
    image, transform, choice = (
        batch[0],
        written.Augmentation(),
        written.Choice(0, (True, True), (1.0, 1.0), ((0, 0),) * 2),
    )
    wanted = written.apply(image, choice)
    assert not torch.equal(wanted, image)
    picture = written.apply(to_pil_image(image), choice)
    assert isinstance(picture, PIL.Image.Image)
    assert torch.equal(pil_to_tensor(picture), wanted)
    wrapped = written.apply(tv_tensors.Image(image), choice)
    assert type(wrapped) is tv_tensors.Image
    assert torch.equal(wrapped.as_subclass(Tensor), wanted)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        result = written.apply((image / 255).to(dtype), choice)
        assert result.dtype == dtype
        assert (result.double() * 255 - wanted).abs().max() < (3 if dtype == torch.bfloat16 else 1.01)
    assert transform(batch).shape == batch.shape
    assert type(transform(tv_tensors.Image(batch))) is tv_tensors.Image
    assert transform(batch[:0]).shape == (0, 3, 12, 10)
    many = transform(image.expand(60, -1, -1, -1))
    assert len(torch.unique(many.flatten(1), dim=0)) > 5  # each image of a batch has its own draw
    compose = v2.Compose([transform, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    assert compose(to_pil_image(image)).shape == image.shape
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[1, 1, 3, 3]]), format="XYXY", canvas_size=(12, 10))
    for given, error, words in (
        (boxes, TypeError, "got BoundingBoxes: only images"),
        (tv_tensors.Video(batch), TypeError, "got Video: only images"),
        (np.zeros((8, 8, 3)), TypeError, "got ndarray"),
        (image.int(), TypeError, "must be uint8, or float"),
        (image[:2], ValueError, "1 or 3 channels"),
        (image[0], ValueError, r"\(c, h, w\), got \(12, 10\)"),
        (PIL.Image.new("RGBA", (4, 4)), ValueError, "L or RGB, got RGBA"),
    ):
        with pytest.raises(error, match=words):
            transform(given)


def test_albumentations_file_refuses_other_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    pytest.importorskip("albumentations", reason="albumentations is not installed")
    written = Written(DRAWN, "albumentations", tmp_path).names
    choice = written.Choice(0, (True, True), (1.0, 1.0), ((0, 0),) * 2)
    with pytest.raises(TypeError, match=r"uint8, or float32 in \[0, 1\]; got float64"):
        written.apply(np.zeros((8, 8, 3)), choice)
    with pytest.raises(ValueError, match=r"wanted an image .* got \(8, 8, 2\)"):
        written.apply(np.zeros((8, 8, 2), dtype=np.uint8), choice)


# ---- the file itself ----

WITHOUT_TUUN_DA = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tuun_da", "nni", "stan"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Block())
import torch
import {module}
transform = {module}.Augmentation()
image = torch.arange(300).remainder(256).to(torch.uint8).view(3, 10, 10)
seen = {{tuple(transform(image).flatten().tolist()) for _ in range(40)}}
print(len(seen), "tuun_da" in sys.modules)
"""


def test_it_runs_where_tuun_da_is_not(tmp_path: Path) -> None:
    written = Written(DRAWN, "torchvision", tmp_path)
    program = WITHOUT_TUUN_DA.format(module=written.path.stem)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    different, loaded = done.stdout.split()
    assert int(different) > 5
    assert loaded == "False"


@pytest.mark.parametrize("name", TARGETS)
def test_it_imports_its_library_and_nothing_of_ours(name: str) -> None:
    tree = ast.parse(policy_code(ONE_OF_EACH, name))
    modules = {
        module.partition(".")[0]
        for node in ast.walk(tree)
        for module in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    libraries = {"torch", "torchvision", "PIL"} if name == "torchvision" else {"albumentations", "numpy"}
    assert modules - set(sys.stdlib_module_names) == libraries


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize(
    "types", [TYPES, *([one] for one in TYPES)], ids=lambda types: types[0] if len(types) == 1 else "all"
)
def test_it_is_tidy_and_holds_only_what_it_needs(name: str, types: list[str], tmp_path: Path) -> None:
    record = PolicyRecord(tuple(SubPolicy((Operation(one, 0.5, 0.5),) * 2) for one in types), "batch", 0.1)
    path = tmp_path / "augmentation.py"
    path.write_text(policy_code(record, name))
    options = ("--isolated", "--no-cache", "--line-length", "120", "--select", "E,F,W,I,B")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    operations = {piece.name for piece in TARGETS[name].operations.values()}
    assert functions & operations == {TARGETS[name].operations[one].name for one in types}
    calls = path.read_text().count
    helpers = functions - operations - {"draw", "apply"}
    assert all(calls(f"{helper}(") >= 2 for helper in helpers)  # its definition, and a call


def test_its_head_says_how_it_was_made_and_how_it_is_applied() -> None:
    code = policy_code(dataclasses.replace(DRAWN, per="batch"), "torchvision")
    assert code.startswith("# Written by `tuun-da export --to torchvision`, tuun_da ")
    text = " ".join((ast.get_docstring(ast.parse(code)) or "").split())
    assert "one of 3 sub-policies is drawn" in text
    assert "A share of 0.25 of the images stays as it is." in text
    assert "made to be applied per batch (one sub-policy for a whole mini-batch); here it is applied per image" in text
    plain = policy_code(PolicyRecord(DRAWN.sub_policies, "image"), "torchvision")
    assert "per batch" not in plain
    assert "stays as it is" not in plain


@pytest.mark.parametrize("name", TARGETS)
def test_its_numbers_are_the_policys_to_the_last_bit(name: str) -> None:
    third = 1 / 3
    record = PolicyRecord(
        (SubPolicy((Operation("translateX", third, 0.1 + 0.2), Operation("posterize", 1e-300, third))),)
    )
    tree = ast.parse(policy_code(record, name))
    [table] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SUB_POLICIES"
    ]
    first, second = record.sub_policies[0].operations
    assert table == ((("translateX", third, first.value), ("posterize", 1e-300, second.value)),)


NASTY = (
    '"""\nimport os\n',
    "\n    raise SystemExit\n#",
    "'); print('x",
    "\\u0022\\u0022\\u0022",
    "{__import__}",
    "x" * 5000,
)


@pytest.mark.parametrize("name", TARGETS)
def test_no_text_of_the_policy_file_reaches_the_code(name: str) -> None:
    plain = policy_code(PolicyRecord(DRAWN.sub_policies, "batch", 0.25), name)
    for text in NASTY:
        searched = {"dataset": text, text: text, "settings": {"data": text, "policy": [text]}}
        assert policy_code(PolicyRecord(DRAWN.sub_policies, "batch", 0.25, searched), name) == plain


@pytest.mark.parametrize("text", NASTY)
def test_names_and_numbers_are_checked_once_more_where_they_become_code(text: str) -> None:
    with pytest.raises(PolicyError, match="operation type must be one of"):
        quoted(text)
    forged = Operation("rotate", 0.5, 0.5)
    object.__setattr__(forged, "type", text)
    with pytest.raises(PolicyError, match="cannot be exported to torchvision"):
        policy_code(PolicyRecord((SubPolicy((forged,)),)), "torchvision")
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(PolicyError, match="must be finite"):
            number(value)


@pytest.mark.parametrize("name", TARGETS)
def test_a_type_that_the_target_lacks_is_refused_by_name(name: str) -> None:
    operations = {kind: piece for kind, piece in TARGETS[name].operations.items() if kind != "rotate"}
    poorer = dataclasses.replace(TARGETS[name], operations=operations)
    record = PolicyRecord((SubPolicy((Operation("invert", 1.0, 0.0),)), SubPolicy((Operation("rotate", 0.0, 0.5),))))
    with pytest.raises(
        PolicyError, match=f"operation 1 of sub-policy 2: rotate cannot be exported to {name}; what can is shearX, "
    ):
        written_code(record, poorer)
    for kind in set(OPERATION_TYPES) - set(TARGETS[name].operations):
        with pytest.raises(PolicyError, match=f"{kind} cannot be exported to {name}"):
            policy_code(PolicyRecord((SubPolicy((Operation(kind, 0.5, 0.5),)),)), name)


def test_another_target_is_refused() -> None:
    with pytest.raises(PolicyError, match="exported to torchvision or albumentations, got 'kornia'"):
        policy_code(DRAWN, "kornia")


def test_both_targets_can_express_the_published_types() -> None:
    published = list(OPERATION_TYPES)[:16]
    assert [list(target.operations) for target in TARGETS.values()] == [published, published]


@pytest.mark.parametrize("make", [lambda: policy_code(DRAWN, "torchvision"), lambda: "print()\n", lambda: ""])
def test_own_files_are_known(make: Callable[[], str], tmp_path: Path) -> None:
    path = tmp_path / "augmentation.py"
    path.write_text(make())
    assert is_exported_file(path) == make().startswith("# Written by")
