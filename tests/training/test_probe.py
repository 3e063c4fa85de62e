"""The probe measures what it says: against independent evaluations, on a network that has learnt the digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_images import striped_splits
from scipy.stats import entropy
from sklearn.metrics import log_loss

from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.probe_format import ProbeRecord
from tuun_da.training.datasets import load_splits
from tuun_da.training.loop import train
from tuun_da.training.options import PROBE_DEFAULTS
from tuun_da.training.probe import MAGNITUDES, measure_probe, probe_settings
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

CPU = torch.device("cpu")
DIGITS = load_splits(DataConfig(data="digits", validation_size=400))
SMALL = replace(
    DIGITS, validation_images=DIGITS.validation_images[:64], validation_labels=DIGITS.validation_labels[:64]
)
CONFIG = TrainConfig(**{**PROBE_DEFAULTS, "epochs": 8})
QUICK = replace(CONFIG, epochs=2)
ACCURACY, CROSS_ENTROPY, ENTROPY, DISTANCE = range(4)


@pytest.fixture(scope="module")
def probe() -> ProbeRecord:
    return measure_probe(CONFIG, DIGITS, CPU)


def evaluated(images):
    """The four measures of the network of ``probe`` on ``images``, the validation images or what became of them."""
    logits = []
    train(CONFIG, DIGITS, None, CPU, on_trained=lambda classify: logits.append(classify(images)))
    shares = torch.softmax(logits[0].double(), dim=1).numpy()
    labels = DIGITS.validation_labels.numpy()
    distance = np.abs(images.numpy() / 255 - DIGITS.validation_images.numpy() / 255).mean()
    return (
        np.mean(shares.argmax(axis=1) == labels),
        log_loss(labels, shares, labels=range(10)),
        entropy(shares, axis=1).mean(),
        distance,
    )


def test_the_baseline_is_that_of_an_independent_evaluation(probe):
    assert probe.baseline == pytest.approx(evaluated(DIGITS.validation_images), abs=1e-6)
    assert probe.baseline[ACCURACY] == probe.about["validation_accuracy"] > 0.9


def test_the_effects_are_differences_from_the_baseline(probe):
    changed = np.array(probe.baseline) + probe.effects["invert"][0]
    np.testing.assert_allclose(changed, evaluated(255 - DIGITS.validation_images), atol=1e-6)
    changed = np.array(probe.baseline) + probe.effects["randomHorizontalFlip"][-1]  # a chance of 1
    np.testing.assert_allclose(changed, evaluated(DIGITS.validation_images.flip(3)), atol=1e-6)


def test_what_digits_cannot_bear_shows(probe):
    [inverted] = probe.effects["invert"]
    assert inverted[ACCURACY] < -0.5
    assert inverted[CROSS_ENTROPY] > 1
    assert inverted[DISTANCE] > 0.3
    assert probe.effects["translateX"][-1][ACCURACY] < -0.5
    assert probe.effects["posterize"][-1][ACCURACY] > -0.02
    assert probe.effects["color"] == ((0.0,) * 4,) * 5  # grey images have none


@pytest.mark.parametrize("name", [name for name in PUBLISHED_TYPES if OPERATION_TYPES[name].has_magnitude])
def test_magnitude_0_leaves_the_images_as_they_are(probe, name):
    weakest = probe.effects[name][0]
    if name == "randomCrop":  # whose magnitude is the size of the crop
        assert weakest[DISTANCE] > probe.effects[name][-1][DISTANCE] > 0
    else:
        assert weakest == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "name", ["shearX", "shearY", "rotate", "posterize", "solarize", "contrast", "brightness", "randomHorizontalFlip"]
)
def test_the_pixel_distance_grows_with_the_magnitude(probe, name):
    assert np.all(np.diff([row[DISTANCE] for row in probe.effects[name]]) > 0)


def test_all_magnitudes_see_the_same_draws(probe):
    """The images that a chance of 1/4 flips are flipped at 1/2 too, so the damage can only grow on average."""
    distances = [row[DISTANCE] for row in probe.effects["randomHorizontalFlip"]]
    np.testing.assert_allclose(distances, np.array(MAGNITUDES) * distances[-1], atol=0.03)
    assert np.all(np.diff([row[CROSS_ENTROPY] for row in probe.effects["randomHorizontalFlip"]]) > 0)


def test_the_record_says_how_it_was_measured(probe):
    about = probe.about
    assert (about["data"], about["train_images"], about["probed_images"]) == ("digits", 499, 400)
    assert (about["image_size"], about["num_classes"], about["device"]) == (8, 10, "cpu")
    assert TrainConfig.from_mapping(about["settings"]["train"]) == CONFIG
    assert about["versions"]["torch"] == torch.__version__
    assert about["seconds"] > 0
    assert ProbeRecord.from_json(probe.to_json()) == probe


def measured(config=QUICK, splits=SMALL, **options):
    """A record without the one thing that differs each time."""
    record = measure_probe(config, splits, CPU, **options)
    return replace(record, about={name: value for name, value in record.about.items() if name != "seconds"})


def test_the_same_seed_gives_the_same_file_and_another_seed_another():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = measured()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert measured().to_json() == first.to_json()
    assert measured(replace(QUICK, seed=1)).effects != first.effects


def test_the_test_split_is_not_read():
    without = replace(SMALL, test_images=None, test_labels=None)
    assert measured(splits=without) == measured()


def test_the_validation_images_are_not_changed():
    before = SMALL.validation_images.clone()
    measured()
    assert torch.equal(SMALL.validation_images, before)


def test_only_so_many_images_are_measured_and_they_are_a_random_choice():
    """Of ordered classes, the first images would be of one class only."""
    order = DIGITS.validation_labels.argsort(stable=True)
    images, labels = DIGITS.validation_images[order], DIGITS.validation_labels[order]
    record = measured(splits=replace(DIGITS, validation_images=images, validation_labels=labels), max_images=100)
    assert record.about["probed_images"] == 100
    assert record.baseline[ACCURACY] * 100 == pytest.approx(round(record.baseline[ACCURACY] * 100))
    assert record.baseline[ACCURACY] == pytest.approx(record.about["validation_accuracy"], abs=0.12)
    assert record.about["validation_accuracy"] < 0.95  # so that the measures of a class would differ


def test_colour_images_of_another_size():
    record = measured(replace(QUICK, epochs=1, batch_size=10), striped_splits(size=12, channels=3))
    assert record.effects["color"][-1][DISTANCE] > 0


def test_it_tells_how_far_it_is():
    seen = []
    measured(on_progress=lambda *progress: seen.append(progress))
    n = len(probe_settings())
    assert n == 13 * 5 + 3
    assert seen == [("training", done, 2) for done in range(3)] + [("measuring", done, n) for done in range(n + 1)]


def test_it_measures_the_types_that_are_asked_for_and_no_others():
    asked = ("rotate", "cutout", "channelPermutation", "gaussianNoise")
    some, usual = measured(types=asked), measured()
    assert tuple(usual.effects) == PUBLISHED_TYPES
    assert tuple(some.effects) == tuple(name for name in OPERATION_TYPES if name in asked)
    assert some.effects["rotate"] == usual.effects["rotate"]  # whatever else is measured
    assert some.effects["channelPermutation"] == ((0.0,) * 4,)  # grey images have one order only
    for name in ("cutout", "gaussianNoise"):
        distances = [row[DISTANCE] for row in some.effects[name]]
        assert distances[0] == 0.0
        assert np.all(np.diff(distances) > 0)


def test_it_can_be_interrupted_while_it_measures():
    def interrupt(stage, done, total):
        if stage == "measuring" and done == 3:
            raise KeyboardInterrupt

    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        measured(on_progress=interrupt)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.cuda
def test_on_a_gpu_it_measures_the_same():
    config = replace(CONFIG, precision="float32")
    on_cpu = measure_probe(config, DIGITS, CPU)
    on_gpu = measure_probe(config, DIGITS, torch.device("cuda"))
    assert on_gpu.about["device"] == "cuda"
    for name, rows in on_cpu.effects.items():
        np.testing.assert_allclose(np.array(on_gpu.effects[name])[:, DISTANCE], np.array(rows)[:, DISTANCE], atol=2e-3)
        np.testing.assert_allclose(np.array(on_gpu.effects[name])[:, ACCURACY], np.array(rows)[:, ACCURACY], atol=0.2)
