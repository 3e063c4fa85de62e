"""How long a step takes is found out by trainings of a moment."""

from __future__ import annotations

import time

import pytest
import test_timing  # as trainings import it
import torch

from tuun_da.errors import ConfigError
from tuun_da.training.models.child_cnn import ChildCNN
from tuun_da.training.timing import STEPS, TimedTraining, gpus_for, made_up_splits, time_training

PAUSE = 0.05


class Sleeps(ChildCNN):
    """A step of known length, and a count of steps."""

    steps = 0

    def forward(self, x):
        if self.training:
            time.sleep(PAUSE)
            type(self).steps += 1
        return super().forward(x)


def timed(**changes):
    settings = {"model": "child_cnn", "image_size": 8, "batch_size": 4, "channels": 1, "classes": 3, "device": "cpu"}
    return TimedTraining(**settings | {"threads": 1} | changes)


def test_the_time_of_a_step_is_that_of_its_network():
    begin = time.monotonic()
    seconds = time_training(timed(model="test_timing:Sleeps"), 0.1)
    assert PAUSE <= seconds < (time.monotonic() - begin) / STEPS  # of one epoch of several


def test_it_ends_with_the_epoch_in_which_its_time_is_over():
    before = test_timing.Sleeps.steps
    time_training(timed(model="test_timing:Sleeps"), 0.0)
    assert test_timing.Sleeps.steps - before == 3 * STEPS  # of fifty epochs the fewest


@pytest.mark.parametrize("model", ["test_timing:missing", "no_such_module:net"])
def test_why_there_is_no_such_training_is_told(model):
    assert model.partition(":")[2] in time_training(timed(model=model), 0.1) or "no_such_module" in model
    assert isinstance(time_training(timed(model=model), 0.1), str)


def test_made_up_images_are_of_the_shape_that_is_timed():
    splits = made_up_splits(timed(channels=3, classes=5))
    assert splits.train_images.shape == (STEPS * 4, 3, 8, 8)
    assert splits.train_images.dtype == torch.uint8
    assert (splits.num_classes, splits.image_size, splits.channels) == (5, 8, 3)


def test_the_cpu_has_no_gpu():
    assert gpus_for("cpu") == 0
    with pytest.raises(ConfigError, match="device must be"):
        gpus_for("cuda:99")
