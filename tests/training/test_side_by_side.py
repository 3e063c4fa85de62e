"""Trainings side by side are the trainings that ``train`` runs one after the other, and do not harm each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_images import striped_splits
from torch import nn

from tuun_da.augment.batch_transform import Chain
from tuun_da.augment.crop_and_flip import CropAndFlip, Cutout
from tuun_da.augment.policy import Policy
from tuun_da.errors import ConfigError, DataError, TrainingError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.training import epoch_blocks
from tuun_da.training.augmented import transformed
from tuun_da.training.batches import placed
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.side_by_side import train_side_by_side
from tuun_da.training.stacked_networks import FORMULATIONS, MatmulConv2d
from tuun_da.training.stored_images import StoredImages

CPU = torch.device("cpu")
POLICY = Policy.from_sub_policies(
    [
        SubPolicy((Operation("rotate", 0.6, 0.7), Operation("invert", 0.3, 0.0))),
        SubPolicy((Operation("shearX", 0.9, 0.5), Operation("randomCrop", 0.5, 0.2))),
        SubPolicy((Operation("gaussianNoise", 0.7, 0.9), Operation("translateY", 0.5, 0.8))),
    ]
)
OTHER = Policy.from_sub_policies([SubPolicy((Operation("solarize", 0.6, 0.7),))], per="image")


def config(**settings):
    return TrainConfig(**{"model": "child_cnn", "epochs": 3, "batch_size": 10, "learning_rate": 0.02} | settings)


def seeds(*numbers, **settings):
    return [config(seed=number, **settings) for number in numbers]


def flipped(images, *, generator):
    """A transform that is not one of ours."""
    flip = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None].to(images.device), images.flip(3), images)


def same(result, alone, *, rel=2e-4):
    """Whether two results are one but for rounding: no accuracy differs by more than an image of 20."""
    assert result.train_losses == pytest.approx(alone.train_losses, rel=rel)
    assert result.train_accuracies == pytest.approx(alone.train_accuracies, abs=0.051)
    assert result.curve == pytest.approx(alone.curve, abs=0.051)
    assert result.score == result.curve[-1]


@pytest.fixture
def without_dropout(monkeypatch):
    """``child_cnn`` whose dropout does nothing, so that its training has no chance that the formulation decides."""
    from tuun_da.training.models.child_cnn import ChildCNN
    from tuun_da.training.models.names import MODELS

    def maker(**sizes):
        model = ChildCNN(**sizes)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return model

    monkeypatch.setattr("tuun_da.training.models.names.MODELS", {**MODELS, "child_cnn": maker})


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_each_training_is_that_of_train_to_rounding(without_dropout, formulation):
    splits = striped_splits(noise=90, channels=3, train=47)
    transforms = [None, POLICY, Chain([CropAndFlip(), OTHER]), flipped]
    configs = seeds(0, 1, 5, 5, label_smoothing=0.1, weight_decay=0.01)
    results = train_side_by_side(configs, splits, transforms, CPU, evaluate_test=True, formulation=formulation)
    for result, one, transform in zip(results, configs, transforms, strict=True):
        alone = train(one, splits, transform, CPU, evaluate_test=True)
        same(result, alone)
        assert result.test_score == pytest.approx(alone.test_score, abs=0.051)
    assert len({result.train_losses for result in results}) == 4


def test_metric_reward_and_sampling_are_those_of_train(without_dropout):
    splits = striped_splits(noise=150, train=60, validation=40)
    rare = torch.cat([torch.arange(0, 60, 2), torch.tensor([1, 3, 5])])
    splits = replace(splits, train_images=splits.train_images[rare], train_labels=splits.train_labels[rare])
    splits.validation_labels[:25] = 0
    configs = seeds(0, 1, metric="macro_f1", reward="best", sampling="balanced", epochs=5)
    for result, one in zip(train_side_by_side(configs, splits, [None, None], CPU), configs, strict=True):
        alone = train(one, splits, None, CPU)
        assert result.train_losses == pytest.approx(alone.train_losses, rel=2e-4)
        assert result.curve == pytest.approx(alone.curve, abs=0.06)
        assert result.score == max(result.curve)
        assert 0 < result.startup_seconds < result.seconds


def test_images_that_stay_in_their_file_are_refused():
    splits = striped_splits()
    stored = replace(splits, train_images=StoredImages(splits.train_images.numpy()))
    with pytest.raises(DataError, match="need their images in memory"):
        train_side_by_side(seeds(0, 1), stored, [None, None], CPU)


def test_compilation_is_refused():
    with pytest.raises(ConfigError, match="compile must be false"):
        train_side_by_side(seeds(0, 1, compile=True), striped_splits(), [None, None], CPU)


def test_in_turn_dropout_too_is_that_of_train():
    splits = striped_splits(noise=90)
    configs = seeds(3, 4)
    for result, one in zip(train_side_by_side(configs, splits, [POLICY, None], CPU), configs, strict=True):
        same(result, train(one, splits, POLICY if one.seed == 3 else None, CPU))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_with_dropout_it_learns_and_no_two_trainings_drop_the_same(formulation):
    splits = striped_splits()
    results = train_side_by_side(seeds(0, 1, epochs=12), splits, [None, None], CPU, formulation=formulation)
    assert min(result.score for result in results) >= 0.9
    with pytest.raises(AssertionError):
        same(results[0], results[1])


def test_equal_weights_and_images_differ_by_their_dropout(monkeypatch):
    """With vmap all networks draw from one generator, and each must get numbers of its own."""
    splits = striped_splits()
    first, second = train_side_by_side(seeds(0, 0), splits, [None, None], CPU, formulation="grouped")
    assert first.train_losses != second.train_losses
    first, second = train_side_by_side(seeds(0, 0), splits, [None, None], CPU, formulation="loop")
    assert first.train_losses == second.train_losses  # here as if alone


@pytest.mark.parametrize("formulation", ["loop", "grouped"])
def test_batch_normalization_keeps_statistics_of_its_own_for_each_network(formulation):
    splits = striped_splits(train=24, noise=90, size=16)
    other = replace(striped_splits(train=24, noise=20, seed=1, size=16), mean=(0.4,), std=(0.3,))
    configs = seeds(0, 1, model="basenet_resnet18", epochs=2, batch_size=8, learning_rate=0.0005)
    results = train_side_by_side(configs, [splits, other], [None, flipped], CPU, formulation=formulation)
    same(results[0], train(configs[0], splits, None, CPU), rel=2e-3)
    same(results[1], train(configs[1], other, flipped, CPU), rel=2e-3)


def test_each_training_may_have_its_own_images():
    data = [striped_splits(seed=seed, noise=90) for seed in range(3)]
    configs = seeds(7, 7, 7)
    results = train_side_by_side(configs, data, [None] * 3, CPU)
    for result, one, splits in zip(results, configs, data, strict=True):
        same(result, train(one, splits, None, CPU))
    assert len({result.train_losses for result in results}) == 3


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_a_ruined_training_is_an_error_in_its_place_and_harms_no_other(without_dropout, monkeypatch, formulation):
    from tuun_da.training import side_by_side

    build = side_by_side.build_model
    built = []

    def one_is_ruined(name, **sizes):
        built.append(build(name, **sizes))
        if len(built) == 2:
            nn.init.constant_(built[-1].classifier[-1].weight, 1e38)
        return built[-1]

    monkeypatch.setattr(side_by_side, "build_model", one_is_ruined)
    splits, reports = striped_splits(noise=90), []
    results = train_side_by_side(
        seeds(0, 1, 2), splits, [None] * 3, CPU, lambda *heard: reports.append(heard), formulation=formulation
    )
    assert isinstance(results[1], TrainingError)
    assert "loss became" in str(results[1])
    assert "in epoch 1 (learning rate" in str(results[1])
    for seed in (0, 2):
        same(results[seed], train(config(seed=seed), splits, None, CPU))
    assert [(number, report.epoch) for number, report in reports] == [(n, e) for e in (1, 2, 3) for n in (0, 2)]


def test_the_error_of_a_ruined_training_is_that_of_train():
    ruinous = config(learning_rate=1e30)
    with pytest.raises(TrainingError) as alone:
        train(ruinous, striped_splits(), None, CPU)
    (error,) = train_side_by_side([ruinous], striped_splits(), [None], CPU)
    assert str(error) == str(alone.value)


def test_reports_and_results_agree():
    reports = []
    results = train_side_by_side(
        seeds(0, 1), striped_splits(), [None, POLICY], CPU, lambda *heard: reports.append(heard)
    )
    for number, result in enumerate(results):
        mine = [report for heard, report in reports if heard == number]
        assert result.curve == tuple(report.validation_score for report in mine)
        assert [report.epoch for report in mine] == [1, 2, 3]
        assert (result.epochs_done, result.planned_epochs, result.test_score) == (3, 3, None)
        assert 0 < sum(report.seconds for report in mine) <= result.seconds


def test_the_global_generator_neither_matters_nor_changes():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train_side_by_side(seeds(0, 1), striped_splits(), [POLICY, None], CPU, formulation="grouped")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = train_side_by_side(seeds(0, 1), striped_splits(), [POLICY, None], CPU, formulation="grouped")
    assert [result.train_losses for result in first] == [result.train_losses for result in again]


def test_bfloat16_is_another_arithmetic():
    half = train_side_by_side(seeds(0, precision="bfloat16"), striped_splits(), [None], CPU, formulation="grouped")
    single = train_side_by_side(seeds(0), striped_splits(), [None], CPU, formulation="grouped")
    assert half[0].train_losses != single[0].train_losses
    assert half[0].train_losses == pytest.approx(single[0].train_losses, rel=0.1)


@pytest.mark.parametrize(
    ("configs", "data", "transforms", "error", "message"),
    [
        ([], 0, [], ConfigError, "need at least one configuration"),
        ([config(), config(momentum=0.5)], 2, [None] * 2, ConfigError, "one momentum, here 0.9; number 1 has 0.5"),
        (seeds(0, 1), 3, [None] * 2, ConfigError, "need splits for each of 2 of them, got 3"),
        (seeds(0, 1), 2, [None], ConfigError, "need transforms for each of 2 of them, got 1"),
    ],
)
def test_what_does_not_go_together_is_refused(configs, data, transforms, error, message):
    with pytest.raises(error, match=message):
        train_side_by_side(configs, [striped_splits()] * data, transforms, CPU)


def test_data_that_does_not_stack_is_refused():
    data = [striped_splits(), striped_splits(validation=19)]
    wanted = r"validation_images of one shape, here \(20, 1, 8, 8\); number 1 has \(19, 1, 8, 8\)"
    with pytest.raises(DataError, match=wanted):
        train_side_by_side(seeds(0, 1), data, [None] * 2, CPU)
    other = replace(striped_splits(), class_names=("a", "b", "c"))
    with pytest.raises(DataError, match="must have 2 classes, as the first has; number 1 has 3"):
        train_side_by_side(seeds(0, 1), [striped_splits(), other], [None] * 2, CPU)


def test_an_unknown_formulation_is_refused():
    with pytest.raises(ConfigError, match="formulation must be one of loop, grouped, matmul; got 'einsum'"):
        train_side_by_side(seeds(0), striped_splits(), [None], CPU, formulation="einsum")


@pytest.mark.parametrize("formulation", ["loop", "grouped"])
def test_a_network_with_too_many_logits_is_refused(monkeypatch, formulation):
    def build(name, *, num_classes, channels, image_size, weights):
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, num_classes + 1))

    monkeypatch.setattr("tuun_da.training.side_by_side.build_model", build)
    with pytest.raises(ConfigError, match=r"logits \(n, num_classes\), here of the shape \(10, 2\), got .*\(10, 3\)"):
        train_side_by_side(seeds(0, 1), striped_splits(), [None] * 2, CPU, formulation=formulation)


def test_data_smaller_than_a_batch_is_one_batch():
    splits = striped_splits(train=14)
    (result,) = train_side_by_side(seeds(0, batch_size=64), splits, [None], CPU)
    same(result, train(config(batch_size=64), splits, None, CPU))


@pytest.mark.parametrize(
    "transform", [POLICY, OTHER, CropAndFlip(), Chain([CropAndFlip(), Cutout(), POLICY]), flipped, None]
)
@pytest.mark.parametrize("images_per_call", [4096, 25, 1])
def test_many_mini_batches_in_one_call_are_those_of_many_calls(monkeypatch, transform, images_per_call):
    monkeypatch.setattr(epoch_blocks, "IMAGES_PER_CALL", images_per_call)
    splits = striped_splits(train=74, channels=3, noise=90)
    batches = placed(splits.train_images, splits.train_labels, CPU, 10)
    order, chance = (torch.Generator().manual_seed(seed) for seed in (1, 2))
    blocks = list(epoch_blocks.augmented_blocks(batches, transform, order, chance))
    assert len(blocks) == {4096: 1, 25: 4, 1: 7}[images_per_call]
    order, chance = (torch.Generator().manual_seed(seed) for seed in (1, 2))
    for number, (images, labels) in enumerate(batches.shuffled(order)):
        wanted = images if transform is None else transformed(transform, images, chance)
        assert torch.equal(torch.cat([images for images, _ in blocks])[number], wanted)
        assert torch.equal(torch.cat([labels for _, labels in blocks])[number], labels)


@pytest.mark.parametrize("settings", [{"stride": 2, "padding": 1}, {"dilation": 2, "padding": (0, 3)}, {"bias": False}])
def test_a_convolution_as_a_product_of_matrices_is_the_convolution(settings):
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 5, (3, 2), **settings)
    product = MatmulConv2d(3, 5, (3, 2), **settings)
    product.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 9, 8)
    torch.testing.assert_close(product(images), plain(images))


@pytest.mark.cuda
class TestOnAGpu:
    """What the CPU cannot show: the step as a CUDA graph."""

    DEVICE = torch.device("cuda")

    @pytest.mark.parametrize("formulation", FORMULATIONS)
    def test_a_graph_trains_as_the_steps_do_without_one(self, without_dropout, caplog, formulation):
        splits, configs = striped_splits(noise=90, channels=3), seeds(0, 1, 2, precision="float32")
        graph, eager = (
            train_side_by_side(
                configs,
                splits,
                [None, POLICY, flipped],
                self.DEVICE,
                evaluate_test=True,
                formulation=formulation,
                use_cuda_graph=use,
            )
            for use in (True, False)
        )
        assert not caplog.records  # that it could not be recorded
        for recorded, stepped in zip(graph, eager, strict=True):
            same(recorded, stepped, rel=2e-3)

    @pytest.mark.parametrize("formulation", FORMULATIONS)
    def test_each_training_is_that_of_train(self, without_dropout, formulation):
        splits, configs = striped_splits(noise=90, channels=3), seeds(0, 1, precision="float32")
        results = train_side_by_side(configs, splits, [None, POLICY], self.DEVICE, formulation=formulation)
        for result, one, transform in zip(results, configs, [None, POLICY], strict=True):
            same(result, train(one, splits, transform, self.DEVICE), rel=2e-3)

    def test_batch_normalization_in_a_graph(self, caplog):
        splits = striped_splits(train=24, noise=90)
        one = config(model="basenet_resnet18", epochs=2, batch_size=8, learning_rate=0.005, precision="float32")
        graph, eager = (
            train_side_by_side([one], splits, [None], self.DEVICE, use_cuda_graph=use)[0] for use in (True, False)
        )
        assert not caplog.records
        same(graph, eager, rel=1e-2)

    def test_dropout_in_a_graph_learns_repeatably_in_bfloat16(self):
        splits = striped_splits()
        first, again = (train_side_by_side(seeds(0, 0, epochs=12), splits, [None] * 2, self.DEVICE) for _ in range(2))
        assert min(result.score for result in first) >= 0.9
        assert [result.train_losses for result in first] == [result.train_losses for result in again]
        assert first[0].train_losses != first[1].train_losses

    def test_a_step_that_cannot_be_recorded_runs_without_a_graph(self, without_dropout, monkeypatch, caplog):
        from tuun_da.training.side_by_side import _Group

        step = _Group.step

        def waiting(self, images, labels):
            images.sum().item()  # waits for the device, which a graph cannot
            step(self, images, labels)

        splits = striped_splits(noise=90)
        (wanted,) = train_side_by_side(seeds(0), splits, [None], self.DEVICE, use_cuda_graph=False)
        monkeypatch.setattr(_Group, "step", waiting)
        (result,) = train_side_by_side(seeds(0), splits, [None], self.DEVICE)
        assert "cannot be recorded as a CUDA graph" in caplog.text
        same(result, wanted, rel=2e-2)
