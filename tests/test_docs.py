"""docs/drop_in.md: each example runs by itself, and does to the images what the page says."""

from __future__ import annotations

import random
import re
import socket
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, v2

from tuun_da import Policy
from tuun_da.errors import PolicyError

PAGE = Path(__file__).parents[1] / "docs" / "drop_in.md"
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    for section in PAGE.read_text().split("\n## ")
}
SHARED = "What the examples share"
EXAMPLES = [(heading, number) for heading, blocks in SECTIONS.items() for number in range(len(blocks))]

Run = Callable[..., types.ModuleType]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs an example of the page, once, in a folder with what the examples share, without network."""
    folder = tmp_path_factory.mktemp("drop_in")
    ran: dict[tuple[str, int], types.ModuleType] = {}

    def run_example(heading: str, number: int = 0) -> types.ModuleType:
        if (heading, number) not in ran:
            module = types.ModuleType(f"example_{len(ran)}")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                exec(compile(SECTIONS[heading][number], f"{PAGE.name}: {heading}", "exec"), module.__dict__)
            assert not [one for one in caught if "single images" in str(one.message)]
            ran[heading, number] = module
        return ran[heading, number]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        # read when datasets and timm are imported, which is in the examples
        patch.setenv("HF_HOME", str(folder / "hugging_face"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_DATASETS_OFFLINE", "1")
        patch.setattr(socket.socket, "connect", local_connect)
        run_example(SHARED)
        yield run_example


def local_connect(self: socket.socket, address: Any, connect: Callable[..., None] = socket.socket.connect) -> None:
    """Workers hand over tensors through sockets of the machine; others are the network."""
    assert self.family == socket.AF_UNIX, f"an example connects to {address}"
    connect(self, address)


@pytest.fixture(autouse=True)
def _own_chance() -> Iterator[None]:
    with torch.random.fork_rng():
        yield


def originals(part: str = "train") -> Tensor:
    """The images (n, 3, 32, 32) of the folder, uint8, in order."""
    return torch.stack([image for image, _ in ImageFolder(f"digits/{part}", v2.PILToTensor())])


def unchanged(images: Tensor, part: str = "train") -> int:
    """How many of ``images`` (n, 3, 32, 32), of 0 to 255, are among the originals, to a tenth of a level."""
    known = originals(part).float().flatten(1)
    return sum(bool(((known - image).abs().amax(1) < 0.1).any()) for image in images.float().flatten(1))


def levels(normalized: Tensor, mean: tuple[float, ...] = (0.5,) * 3, std: tuple[float, ...] = (0.5,) * 3) -> Tensor:
    """Normalized images (n, 3, h, w) as they were before, 0 to 255."""
    return (
        v2.functional.normalize(normalized, [-m / s for m, s in zip(mean, std, strict=True)], [1 / s for s in std])
        * 255
    )


def check_epochs(make_loader: Callable[[int], DataLoader[Any]], images_of: Callable[[Any], Tensor]) -> None:
    """Two epochs of a loader differ in every batch, and the loader's seed repeats them.

    The data set has to be one image again and again, so that nothing but its transform can make a difference.
    """

    def two_epochs(seed: int) -> list[Tensor]:
        loader = make_loader(seed)
        torch.manual_seed(random.randrange(1000))  # has no part in it
        return [images_of(batch) for _ in range(2) for batch in loader]

    first = two_epochs(0)
    assert all(torch.equal(a, b) for a, b in zip(first, two_epochs(0), strict=True))
    assert len(first) == 4  # of the first worker and the second, in the first epoch and the second
    assert all(not torch.equal(first[a], first[b]) for a in range(4) for b in range(a))
    assert not torch.equal(first[0], two_epochs(1)[0])
    assert all(len(torch.unique(batch, dim=0)) > 3 for batch in first)


@pytest.mark.parametrize(("heading", "number"), EXAMPLES, ids=lambda value: str(value))
def test_example_runs(run: Run, heading: str, number: int) -> None:
    run(heading, number)


def test_links_lead_to_sections() -> None:
    names = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in SECTIONS}
    links = re.findall(r"\]\(#(.*?)\)", PAGE.read_text())
    assert len(links) > 6
    assert set(links) <= names


def test_a_batch_in_the_loop_is_augmented_and_repeats_itself(run: Run) -> None:
    example = run("On a mini-batch, in the training loop")
    assert example.policy.record.per == "batch"
    assert example.images.dtype == torch.uint8
    assert unchanged(example.images) < 10
    assert example.loss.isfinite()
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(example.policy(originals()))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_collate_augments_in_workers(run: Run) -> None:
    example = run("As `collate_fn`")
    assert example.policy.record.per == "batch"
    assert (example.images.dtype, example.images.shape) == (torch.uint8, (40, 3, 32, 32))
    assert unchanged(example.images) < 10
    data = [(originals()[3], 3)] * 40

    def loader(seed: int) -> DataLoader[Any]:
        return DataLoader(
            data,  # type: ignore[arg-type]
            batch_size=20,
            num_workers=2,
            collate_fn=example.policy.collate,
            generator=torch.Generator().manual_seed(seed),
        )

    check_epochs(loader, lambda batch: batch[0])


def test_mixup_after_the_policy_has_images_of_the_unit_range(run: Run) -> None:
    example = run("As `collate_fn`", 1)
    assert example.images.dtype == torch.float32
    assert 0.0 <= example.images.min() <= example.images.max() <= 1.0
    assert torch.allclose(example.shares.sum(1), torch.ones(40))


def test_lightning_augments_in_training_only(run: Run) -> None:
    import lightning

    example = run("In a Lightning module")
    assert example.trainer.global_step == 3
    seen: dict[str, list[Tensor]] = {"training": [], "validation": []}

    class Watched(example.Classifier):  # type: ignore[misc, name-defined]
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen["training"].append(levels(batch[0]))
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            seen["validation"].append(levels(batch[0]))
            return super().validation_step(batch, batch_idx)

    module = Watched()
    trainer = lightning.Trainer(
        max_steps=2,
        val_check_interval=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, example.train, example.val)
    trainer.validate(module, example.val, verbose=False)
    assert [len(seen[stage]) for stage in seen] == [2, 4]  # validated before, after each step, and at the end
    assert all(unchanged(images) < 10 for images in seen["training"])
    assert all(unchanged(images, "val") == 40 for images in seen["validation"])
    assert sorted(module.state_dict()) == ["network.1.bias", "network.1.weight"]


def test_a_lightning_data_module_has_the_same_hook(run: Run) -> None:
    import lightning

    example = run("In a Lightning module")
    policy, seen = Policy.load("best_policy.json"), {"training": 0, "validation": 0}

    class Data(lightning.LightningDataModule):
        def train_dataloader(self) -> Any:
            return example.train

        def val_dataloader(self) -> Any:
            return example.val

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            images, labels = batch
            part = "train" if self.trainer.training else "val"
            assert unchanged(images, part) == 40
            seen["training" if part == "train" else "validation"] += 1
            images = policy(images) if self.trainer.training else images
            return images / 255, labels

    class Plain(example.Classifier):  # type: ignore[misc, name-defined]
        on_after_batch_transfer = lightning.LightningModule.on_after_batch_transfer

    trainer = lightning.Trainer(
        max_steps=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Plain(), datamodule=Data())
    assert seen == {"training": 2, "validation": 1}


def test_compose_is_resize_then_policy_then_normalize(run: Run) -> None:
    example = run("In torchvision's `Compose`")
    picture, _ = ImageFolder("digits/train")[7]
    for transform in (example.transform, example.transform_v1):
        torch.manual_seed(5)
        wanted = v2.functional.to_image(example.policy(picture)).float() / 127.5 - 1
        torch.manual_seed(5)
        result = transform(picture)
        assert torch.allclose(result, wanted.as_subclass(Tensor), atol=1e-6)
    images = torch.stack([example.data[number][0] for number in range(40)])
    assert unchanged(levels(images)) < 10
    with pytest.raises(PolicyError, match="only image classification"):
        example.transform(picture, 3)


@pytest.mark.parametrize("persistent", [False, True], ids=["workers of an epoch", "persistent workers"])
def test_workers_and_epochs_differ_and_repeat_with_the_loaders_seed(run: Run, persistent: bool) -> None:
    example = run("In a data set with workers")
    data = example.Images("digits/train", example.data.policy)
    data.files = [data.files[3]] * 40

    def loader(seed: int) -> DataLoader[Any]:
        return DataLoader(
            data,
            batch_size=20,
            num_workers=2,
            persistent_workers=persistent,
            generator=torch.Generator().manual_seed(seed),
        )

    check_epochs(loader, lambda batch: batch[0])


def test_timm_gets_a_normalized_image_that_the_policy_changed(run: Run) -> None:
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    example = run("In timm")
    picture, _ = ImageFolder("digits/train")[7]

    def image(transform: Callable[..., Tensor]) -> Tensor:
        random.seed(2)
        torch.manual_seed(2)
        return transform(picture)

    plain = image(Compose([example.crop_and_flip, example.to_normalized_tensor]))
    augmented = image(example.transform)
    for one in (plain, augmented):
        assert (one.dtype, one.shape) == (torch.float32, (3, 32, 32))
        restored = levels(one.unsqueeze(0), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        assert torch.allclose(restored, restored.round(), atol=1e-3)
        assert -1e-3 < restored.min() <= restored.max() < 255.001
    assert not torch.equal(plain, augmented)
    assert isinstance(example.images, Tensor)


def test_timms_prefetcher_normalizes_what_the_policy_collated(run: Run) -> None:
    from timm.data import ImageDataset, create_loader
    from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

    example = run("In timm", 1)
    assert example.policy.record.per == "batch"
    assert example.images.dtype == torch.float32
    restored = levels(example.images.cpu(), IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    assert torch.allclose(restored, restored.round(), atol=1e-2)
    assert unchanged(restored) < 10
    plain = create_loader(
        ImageDataset("digits/train"),
        input_size=(3, 32, 32),
        batch_size=40,
        is_training=True,
        no_aug=True,
        num_workers=0,
        device=torch.device("cpu"),
    )
    images, _ = next(iter(plain))
    assert unchanged(levels(images, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)) == 40


def test_timm_without_prefetcher_is_told_to_put_the_policy_before_normalizing(run: Run) -> None:
    from timm.data import ImageDataset, create_loader

    policy = run("In timm", 1).policy
    loader = create_loader(
        ImageDataset("digits/train"),
        input_size=(3, 32, 32),
        batch_size=40,
        is_training=True,
        no_aug=True,
        num_workers=0,
        use_prefetcher=False,
        collate_fn=policy.collate,
    )
    with pytest.raises(PolicyError, match=r"must lie in \[0, 1\], got .*apply the transform before normalizing"):
        next(iter(loader))


def test_timms_mixup_mixes_images_that_the_policy_changed(run: Run) -> None:
    example = run("In timm", 2)
    data = example.loader.dataset
    assert example.policy in data.transform.transforms
    picture, _ = ImageFolder("digits/train")[7]
    image = data.transform(picture)
    assert (image.dtype, image.shape) == (torch.uint8, (3, 32, 32))
    assert (example.images.dtype, example.images.shape) == (torch.float32, (40, 3, 32, 32))
    assert torch.allclose(example.shares.sum(1).cpu(), torch.ones(40, dtype=example.shares.dtype), atol=1e-5)


def test_rows_of_a_hugging_face_data_set_differ_and_repeat_with_the_seed(run: Run) -> None:
    import datasets

    example = run("In a Hugging Face data set")
    assert Path(datasets.config.HF_DATASETS_CACHE).is_relative_to(Path.cwd())
    assert len(example.train) == 120
    rows = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        rows.append(example.train[3]["pixel_values"])
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])
    assert unchanged(levels(torch.stack(example.train[:40]["pixel_values"]))) < 10

    again = example.train.select([3] * 40)
    again.set_transform(example.transform)

    def loader(seed: int) -> DataLoader[Any]:
        return DataLoader(again, batch_size=20, num_workers=2, generator=torch.Generator().manual_seed(seed))

    check_epochs(loader, lambda batch: batch["pixel_values"])


def test_a_hugging_face_transform_sees_a_loaders_mini_batch_at_once(run: Run) -> None:
    policy, sizes = Policy.load("best_policy.json"), []

    def transform(rows: dict[str, list[Any]]) -> dict[str, Any]:
        images = torch.stack([v2.functional.pil_to_tensor(image) for image in rows["image"]])
        sizes.append(len(images))
        return {"pixel_values": policy(images), "label": rows["label"]}

    train = run("In a Hugging Face data set").train.with_format(None)
    train.set_transform(transform)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        batches = list(DataLoader(train, batch_size=40))
    assert sizes == [40, 40, 40]
    assert [batch["pixel_values"].shape for batch in batches] == [(40, 1, 32, 32)] * 3
