"""A training that is interrupted goes on from its checkpoint, and ends as if nothing had happened."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
import torch
from made_images import striped_splits

from tuun_da.augment.batch_transform import Chain
from tuun_da.augment.crop_and_flip import CropAndFlip, Cutout
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import parameters_from_sub_policies
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig

CPU = torch.device("cpu")


def policy_params(kind, magnitude):
    sub_policy = SubPolicy((Operation(kind, 0.5, magnitude), Operation("invert", 0.1, 0.0)))
    return parameters_from_sub_policies([sub_policy])


class Stop(Exception):
    pass


def config(**settings):
    return TrainConfig(**{"model": "child_cnn", "epochs": 5, "batch_size": 10, "learning_rate": 0.02} | settings)


def noisy(images, *, generator):
    flip = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def interrupted(path, splits, *, after, **settings):
    def stop(report):
        if report.epoch == after:
            raise Stop

    with pytest.raises(Stop):
        train(config(**settings), splits, noisy, CPU, stop, checkpoint=path)


def same(first, second):
    return replace(first, seconds=0, startup_seconds=0) == replace(second, seconds=0, startup_seconds=0)


@pytest.mark.parametrize("model", ["child_cnn", "basenet_resnet18"])  # dropout and batch normalization
def test_it_ends_as_if_nothing_had_happened(tmp_path, model):
    splits = striped_splits(noise=90, train=30)
    whole = train(config(model=model, epochs=3), splits, noisy, CPU, evaluate_test=True)
    path = tmp_path / "state.pt"
    interrupted(path, splits, after=1, model=model, epochs=3)
    interrupted(path, splits, after=2, model=model, epochs=3)
    again = train(config(model=model, epochs=3), splits, noisy, CPU, evaluate_test=True, checkpoint=path)
    assert same(again, whole)


def test_all_epochs_are_reported_and_only_the_open_ones_are_trained(tmp_path):
    splits, path, epochs, trained = striped_splits(), tmp_path / "state.pt", [], []
    interrupted(path, splits, after=3)

    @functools.wraps(noisy)  # the file knows a transform by its name
    def watching(images, *, generator):
        trained.append(len(images))
        return noisy(images, generator=generator)

    train(config(), splits, watching, CPU, lambda report: epochs.append(report.epoch), checkpoint=path)
    assert epochs == [1, 2, 3, 4, 5]
    assert len(trained) == 2 * 4


def test_a_finished_training_gives_its_result_again(tmp_path):
    splits, path = striped_splits(), tmp_path / "state.pt"
    first, again = (train(config(), splits, noisy, CPU, evaluate_test=True, checkpoint=path) for _ in range(2))
    assert same(again, first)


def test_with_seconds_between_two_states_only_the_last_epoch_is_sure_to_be_kept(tmp_path):
    splits, path = striped_splits(), tmp_path / "state.pt"

    def stop(report):
        assert not path.exists()
        if report.epoch == 4:
            raise Stop

    with pytest.raises(Stop):
        train(config(), splits, noisy, CPU, stop, checkpoint=path, checkpoint_seconds=1000)
    first = train(config(), splits, noisy, CPU, evaluate_test=True, checkpoint=path, checkpoint_seconds=1000)
    assert path.exists()
    assert same(train(config(), splits, noisy, CPU, evaluate_test=True, checkpoint=path), first)


@pytest.mark.parametrize("settings", [{"seed": 1}, {"epochs": 6}, {"learning_rate": 0.01}])
def test_the_file_of_another_training_is_refused(tmp_path, settings):
    path = tmp_path / "state.pt"
    interrupted(path, striped_splits(), after=1)
    [(name, value)] = settings.items()
    own = getattr(config(), name)
    words = f"its config is {{'{name}': {own}}}, this training's is {{'{name}': {value}}}; remove the file"
    with pytest.raises(ConfigError, match=r"state\.pt is of another training: ") as caught:
        train(config(**settings), striped_splits(), noisy, CPU, checkpoint=path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Policy(policy_params("rotate", 0.5)), Policy(policy_params("rotate", 0.6))),
        (Policy(policy_params("rotate", 0.5)), Policy(policy_params("rotate", 0.5), per="image")),
        (Policy(policy_params("rotate", 0.5)), None),
        (Chain([CropAndFlip(), Policy(policy_params("rotate", 0.5))]), CropAndFlip()),
        (Cutout(share=0.5), Cutout(share=0.4)),
        (noisy, CropAndFlip()),
    ],
)
def test_the_file_of_another_transform_is_refused(tmp_path, first, second):
    path = tmp_path / "state.pt"
    train(config(epochs=1), striped_splits(), first, CPU, checkpoint=path)
    train(config(epochs=1), striped_splits(), first, CPU, checkpoint=path)
    with pytest.raises(ConfigError, match=r"state\.pt is of another training: its transform is"):
        train(config(epochs=1), striped_splits(), second, CPU, checkpoint=path)


@pytest.mark.parametrize("part", ["train_images", "validation_images", "test_labels"])
def test_the_file_of_other_images_is_refused(tmp_path, part):
    path = tmp_path / "state.pt"
    splits, other = striped_splits(), striped_splits(seed=1)
    interrupted(path, splits, after=1)
    changed = {part: getattr(other, part).flip(0)}
    if part == "train_images":
        changed |= {"mean": (0.4,)}  # which a data set of other images has
    with pytest.raises(ConfigError, match=r"state\.pt is of another training: its data is"):
        train(config(), replace(splits, **changed), noisy, CPU, checkpoint=path)


def test_a_folder_that_is_not_there_is_named_before_the_training(tmp_path):
    def never(images, *, generator):
        raise AssertionError

    with pytest.raises(ConfigError, match="must be a file in a folder that is there"):
        train(config(), striped_splits(), never, CPU, checkpoint=tmp_path / "nowhere" / "state.pt")


def test_a_file_that_lacks_a_part_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    interrupted(path, striped_splits(), after=1)
    state = torch.load(path, weights_only=True)
    del state["optimizer"]
    torch.save(state, path)
    with pytest.raises(ConfigError, match="cannot be read: it has no optimizer"):
        train(config(), striped_splits(), noisy, CPU, checkpoint=path)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match=r"checkpoint .*state\.pt cannot be read"):
        train(config(), striped_splits(), noisy, CPU, checkpoint=path)
