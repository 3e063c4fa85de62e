"""The training loop learns, is repeatable, leaves no trace, and reports a ruined training in words."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from made_images import striped_splits
from torch import nn

from tuun_da.errors import ConfigError, TrainingError
from tuun_da.training.batches import Batches, placed
from tuun_da.training.evaluation import Autocast, Normalize, evaluated
from tuun_da.training.loop import train
from tuun_da.training.models import build_model
from tuun_da.training.schedule import TrainConfig, one_cycle

CPU = torch.device("cpu")


def config(**settings):
    return TrainConfig(**{"model": "child_cnn", "epochs": 3, "batch_size": 10, "learning_rate": 0.02} | settings)


@pytest.mark.parametrize(("model", "epochs"), [("child_cnn", 12), ("basenet_resnet18", 4)])
def test_it_learns_what_can_be_learnt(model, epochs):
    result = train(config(model=model, epochs=epochs), striped_splits(), None, CPU, evaluate_test=True)
    assert result.score >= 0.9
    assert result.test_score >= 0.9
    assert result.train_losses[-1] < result.train_losses[0] / 2


def test_labels_without_a_pattern_cannot_be_learnt():
    splits = striped_splits(validation=200)
    generator = torch.Generator().manual_seed(0)
    splits.validation_labels[:] = splits.validation_labels[torch.randperm(200, generator=generator)]
    assert abs(train(config(epochs=8), splits, None, CPU).score - 0.5) < 0.15


def test_the_result_says_what_happened():
    reports = []
    result = train(config(epochs=4), striped_splits(), None, CPU, reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert result.curve == tuple(report.validation_accuracy for report in reports)
    assert result.train_losses == tuple(report.train_loss for report in reports)
    assert result.train_accuracies == tuple(report.train_accuracy for report in reports)
    assert result.score == result.curve[-1]
    assert (result.epochs_done, result.planned_epochs, result.test_score) == (4, 4, None)
    assert 0 < sum(report.seconds for report in reports) <= result.seconds
    rates = [one_cycle(4 * n - 0.5, total_steps=16, peak=0.02, warmup_share=0.2) for n in (1, 2, 3, 4)]
    assert [report.learning_rate for report in reports] == pytest.approx(rates)


def noisy(images, *, generator):
    flip = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(flip[:, None, None, None], images.flip(3), images)


@pytest.mark.parametrize("transform", [None, noisy])
def test_the_same_seed_gives_the_same_curve_and_another_seed_another(transform):
    splits = striped_splits(noise=90, validation=100)
    first, again, other = (train(config(seed=seed), splits, transform, CPU) for seed in (0, 0, 1))
    assert (first.curve, first.train_losses) == (again.curve, again.train_losses)
    assert first.train_losses != other.train_losses


def test_the_state_of_the_global_generator_neither_matters_nor_changes():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = train(config(), striped_splits(), noisy, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert train(config(), striped_splits(), noisy, CPU).train_losses == first.train_losses


def test_the_generator_is_restored_when_the_training_fails():
    before = torch.get_rng_state()
    with pytest.raises(TrainingError):
        train(config(learning_rate=1e30), striped_splits(), None, CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_transform_that_changes_nothing_changes_nothing_whatever_it_draws():
    def idle(images, *, generator):
        torch.rand(1000, generator=generator)
        return images

    splits = striped_splits()
    idled, plain = (train(config(), splits, transform, CPU) for transform in (idle, None))
    assert idled.train_losses == plain.train_losses
    assert idled.curve == plain.curve


def test_the_transform_gets_batches_of_training_images_anew_in_each_epoch():
    splits = striped_splits(train=34)
    seen, draws = [], []

    def watching(images, *, generator):
        assert images.dtype == torch.uint8
        seen.append(images.clone())
        draws.append(torch.rand(1, generator=generator).item())
        return images

    train(config(epochs=2), splits, watching, CPU)
    assert [tuple(images.shape) for images in seen] == [(10, 1, 8, 8)] * 6  # 4 images of 34 are left out
    training = {image.numpy().tobytes() for image in splits.train_images}
    epochs = [[image.numpy().tobytes() for images in half for image in images] for half in (seen[:3], seen[3:])]
    assert all(len(set(epoch)) == 30 and set(epoch) <= training for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len(set(draws)) == 6


def test_the_training_images_are_not_changed_by_a_transform_that_works_in_place():
    splits = striped_splits()
    before = splits.train_images.clone()
    train(config(epochs=1), splits, lambda images, *, generator: images.zero_(), CPU)
    assert torch.equal(splits.train_images, before)


def test_neither_validation_nor_test_images_reach_the_transform_and_test_is_not_read():
    splits = striped_splits()
    splits.test_labels[:] = 1 - splits.test_labels  # reading them would show
    ruined = train(config(), splits, lambda images, *, generator: torch.zeros_like(images), CPU)
    assert ruined.test_score is None
    assert train(config(), splits, None, CPU, evaluate_test=True).test_score == 0


@pytest.mark.parametrize(
    "transform",
    [
        lambda images, *, generator: images.float(),
        lambda images, *, generator: images[:-1],
        lambda images, *, generator: None,
    ],
)
def test_a_transform_that_breaks_its_promise(transform):
    with pytest.raises(TrainingError, match=r"must return a uint8 tensor of the shape \(10, 1, 8, 8\), got"):
        train(config(), striped_splits(), transform, CPU)


def test_a_loss_that_is_no_number_is_reported_in_words():
    with pytest.raises(TrainingError, match=r"loss became (nan|inf) in epoch \d \(learning rate \S+\); a sm"):
        train(config(learning_rate=1e8), striped_splits(), None, CPU)


def test_a_network_that_is_ruined_by_its_last_step_gets_no_score():
    # one step: its loss is finite, for it was computed before the weights became infinite
    with pytest.raises(TrainingError, match="validation accuracy became nan in epoch 1"):
        train(config(epochs=1, batch_size=64, learning_rate=1e38), striped_splits(), None, CPU)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_what_the_callback_raises_ends_the_training_after_the_epochs_it_heard_of(error):
    reports = []

    def stop(report):
        reports.append(report)
        if report.epoch == 2:
            raise error

    with pytest.raises(error):
        train(config(epochs=9), striped_splits(), None, CPU, stop)
    assert len(reports) == 2


def test_data_smaller_than_a_batch_is_one_batch():
    sizes = []

    def watching(images, *, generator):
        sizes.append(len(images))
        return images

    train(config(batch_size=64, epochs=3), striped_splits(train=14), watching, CPU)
    assert sizes == [14, 14, 14]


def test_one_image_over_a_full_batch_does_not_break_batch_normalization():
    result = train(config(model="basenet_resnet18", epochs=1), striped_splits(train=21), None, CPU)
    assert math.isfinite(result.train_losses[0])


@pytest.mark.parametrize("name", ["momentum", "weight_decay", "label_smoothing", "warmup_share", "batch_size"])
def test_every_setting_has_an_effect(name):
    value = {"momentum": 0.0, "weight_decay": 0.1, "label_smoothing": 0.3, "warmup_share": 0.7, "batch_size": 20}[name]
    splits = striped_splits()
    usual, changed = (train(made, splits, None, CPU) for made in (config(), config(**{name: value})))
    assert changed.train_losses != usual.train_losses


def test_bfloat16_trains_too_and_is_another_arithmetic():
    splits = striped_splits()
    single, half = (train(config(epochs=10, precision=p), splits, None, CPU) for p in ("float32", "bfloat16"))
    assert half.score >= 0.9
    assert half.train_losses != single.train_losses


@pytest.mark.parametrize(
    ("precision", "device", "enabled"),
    [("auto", "cpu", False), ("auto", "cuda", True), ("float32", "cuda", False), ("bfloat16", "cpu", True)],
)
def test_automatic_precision_is_bfloat16_on_a_gpu_only(precision, device, enabled):
    assert Autocast(precision, torch.device(device)).enabled is enabled


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_normalized_training_images_have_mean_0_and_std_1_by_channel(memory_format, rng):
    splits = striped_splits(channels=3)
    images = splits.train_images.double() / 255
    mean = tuple(images.mean(dim=(0, 2, 3)).tolist())
    std = tuple(images.std(dim=(0, 2, 3), correction=0).tolist())
    splits = replace(splits, mean=mean, std=std)
    result = Normalize(splits, CPU, memory_format)(splits.train_images)
    assert result.is_contiguous(memory_format=memory_format)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


class Counting(nn.Module):
    """Says for each image the class that its first pixel stands for; notes the mode and the batch sizes."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append((len(x), self.training, torch.is_inference_mode_enabled()))
        return nn.functional.one_hot(x[:, 0, 0, 0].round().long(), 3).float()


def test_the_network_trains_in_training_mode_in_every_epoch(monkeypatch):
    modes = []

    def build(name, **sizes):
        model = build_model(name, **sizes)
        model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
        return model

    monkeypatch.setattr("tuun_da.training.loop.build_model", build)
    train(config(epochs=2), striped_splits(), None, CPU)
    assert modes == ([True] * 4 + [False]) * 2  # 40 images in batches of 10, then 20 in one of 20


def test_accuracy_counts_every_image_once_in_evaluation_mode():
    splits = striped_splits(channels=1)
    splits = replace(splits, mean=(0.0,), std=(1 / 255,))
    images = torch.tensor([0, 1, 2, 1, 0, 2, 2], dtype=torch.uint8).view(7, 1, 1, 1)
    labels = torch.tensor([0, 1, 2, 0, 0, 1, 2])
    model = Counting().train()
    batches = Batches(images, labels, CPU, 3)
    normalize = Normalize(splits, CPU, torch.contiguous_format)
    judged = evaluated(model, batches, normalize, Autocast("float32", CPU), 3)
    assert judged.accuracy == 5 / 7
    assert judged.confusion.tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 2]]
    assert model.calls == [(3, False, True), (3, False, True), (1, False, True)]


def test_batches_of_one_epoch_hold_different_images_in_an_order_of_the_generator():
    images = torch.arange(23, dtype=torch.uint8).view(23, 1, 1, 1)
    batches = placed(images, torch.arange(23), CPU, 5)
    generator = torch.Generator().manual_seed(0)
    epochs = [list(batches.shuffled(generator)) for _ in range(2)]
    for epoch in epochs:
        assert [len(labels) for _, labels in epoch] == [5, 5, 5, 5] == [batches.batch_size] * batches.full
        assert all(torch.equal(images.flatten().long(), labels) for images, labels in epoch)
        assert len({label for _, labels in epoch for label in labels.tolist()}) == 20
    orders = [[label for _, labels in epoch for label in labels.tolist()] for epoch in epochs]
    assert orders[0] != orders[1]
    assert sorted(label for _, labels in batches.in_order() for label in labels.tolist()) == list(range(23))


def linear(num_classes):
    """Stands for ``build_model``: one layer, whose logits are of ``num_classes``; the built models are in the list."""
    built = []

    def build(name, *, num_classes=num_classes, channels, image_size, weights=None):
        built.append(nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, num_classes)))
        return built[-1]

    return (lambda name, **sizes: build(name, **(sizes | {"num_classes": num_classes}))), built


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9])
def test_the_steps_are_those_of_nesterov_written_out(monkeypatch, momentum):
    """Sutskever et al. 2013, as in PyTorch: v = m v + g, w = w - rate (g + m v), g with weight decay."""
    splits = striped_splits(train=32, noise=120)
    settings = config(epochs=6, batch_size=32, learning_rate=0.1, momentum=momentum, weight_decay=0.03,
                      label_smoothing=0.2, warmup_share=0.3, precision="float32")  # fmt: skip
    build, built = linear(2)
    monkeypatch.setattr("tuun_da.training.loop.build_model", build)
    result = train(settings, splits, None, CPU)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        layer = build("", channels=1, image_size=8)[1]
    weights = [layer.weight.detach().double(), layer.bias.detach().double()]
    velocities = [torch.zeros_like(weight) for weight in weights]
    x = ((splits.train_images.double() / 255 - 0.5) / 0.25).flatten(1)
    one_hot = nn.functional.one_hot(splits.train_labels, 2).double()
    targets = 0.8 * one_hot + 0.1
    losses, accuracies = [], []
    for step in range(6):
        logits = x @ weights[0].T + weights[1]
        logarithms = logits.log_softmax(dim=1)
        losses.append(-(targets * logarithms).sum(dim=1).mean().item())
        accuracies.append((logits.argmax(dim=1) == splits.train_labels).double().mean().item())
        error = (logarithms.exp() - targets) / len(x)
        rate = one_cycle(step + 0.5, total_steps=6, peak=0.1, warmup_share=0.3)
        for k, gradient in enumerate([error.T @ x, error.sum(dim=0)]):
            gradient = gradient + 0.03 * weights[k]
            velocities[k] = momentum * velocities[k] + gradient
            weights[k] = weights[k] - rate * (gradient + momentum * velocities[k])
    assert result.train_losses == pytest.approx(losses, rel=1e-5)
    assert result.train_accuracies == pytest.approx(accuracies)
    assert len(set(accuracies)) > 1
    trained = built[0][1]
    torch.testing.assert_close(trained.weight.detach().double(), weights[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(trained.bias.detach().double(), weights[1], rtol=1e-4, atol=1e-6)


def test_weights_order_and_transform_draw_from_different_seeds(monkeypatch):
    orders, transforms = [], []
    shuffled = Batches.shuffled

    def spy(self, generator, sampling):
        orders.append(generator.initial_seed())
        return shuffled(self, generator, sampling)

    def watching(images, *, generator):
        transforms.append(generator.initial_seed())
        return images

    monkeypatch.setattr(Batches, "shuffled", spy)
    for seed in range(3):
        train(config(seed=seed, epochs=1, batch_size=64), striped_splits(), watching, CPU)
    assert len(orders) == len(transforms) == 3
    assert len({*orders, *transforms, *range(3)}) == 9


def test_score_and_curve_are_of_the_metric_of_the_settings():
    splits = striped_splits(noise=150, validation=60)
    splits = replace(
        splits, validation_images=splits.validation_images[:41], validation_labels=splits.validation_labels[:41]
    )
    splits.validation_labels[:31] = 0  # the rare class is now hard to find
    by_metric = {
        metric: train(config(metric=metric), splits, None, CPU, evaluate_test=True)
        for metric in ("accuracy", "balanced_accuracy", "macro_f1")
    }
    assert len({result.train_losses for result in by_metric.values()}) == 1
    assert len({result.score for result in by_metric.values()}) == 3
    assert all(result.score == result.curve[-1] for result in by_metric.values())
    assert by_metric["balanced_accuracy"].test_score == pytest.approx(
        by_metric["accuracy"].test_score
    )  # as many of both there


def test_the_reward_of_the_settings_is_the_score():
    splits = striped_splits(noise=120, validation=50)
    last, best = (
        train(config(epochs=8, reward=kind, learning_rate=0.05), splits, None, CPU) for kind in ("last", "best")
    )
    assert last.curve == best.curve
    assert (last.score, best.score) == (last.curve[-1], max(best.curve))


def test_balanced_sampling_shows_both_classes_equally_often():
    splits = striped_splits(train=80)
    rare = torch.cat([torch.arange(0, 80, 2), torch.tensor([1, 3, 5])])
    splits = replace(splits, train_images=splits.train_images[rare], train_labels=splits.train_labels[rare])
    known = {image.numpy().tobytes(): int(label) for image, label in
             zip(splits.train_images, splits.train_labels, strict=True)}  # fmt: skip
    seen = []

    def watching(images, *, generator):
        seen.extend(known[image.numpy().tobytes()] for image in images)
        return images

    train(config(epochs=2, sampling="balanced"), splits, watching, CPU)
    assert (len(seen), sum(seen)) == (80, 40)
    seen.clear()
    train(config(epochs=2), splits, watching, CPU)
    assert sum(seen) <= 6


def test_a_compiled_network_is_the_same_network_and_a_short_batch_goes_past_the_graph(monkeypatch):
    """Without inductor, which takes minutes on the CPU: its graphs are run as they were recorded."""
    graphs = []

    def recorded(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile_module(self, backend=recorded, **how))
    splits = striped_splits(noise=90, validation=530)  # in batches of 256: the last one has 18
    plain, compiled = (train(config(compile=choice), splits, None, CPU) for choice in (False, True))
    assert len(graphs) == 2  # for training and for evaluation
    assert compiled.train_losses == pytest.approx(plain.train_losses, rel=1e-4)
    assert compiled.curve == plain.curve
    assert all(0 < result.startup_seconds < result.seconds for result in (plain, compiled))


@pytest.mark.parametrize("classes", [1, 3])
def test_a_model_of_another_number_of_classes_is_named_with_both_shapes(monkeypatch, classes):
    monkeypatch.setattr("tuun_da.training.loop.build_model", linear(classes)[0])
    message = rf"model own:make must give logits .* of the shape \(10, 2\), got the shape \(10, {classes}\)"
    with pytest.raises(ConfigError, match=message):
        train(config(model="own:make"), striped_splits(), None, CPU)


def test_a_model_that_gives_no_tensor_is_named(monkeypatch):
    class Pair(nn.Linear):
        def forward(self, x):
            return (super().forward(x.flatten(1)),)

    monkeypatch.setattr("tuun_da.training.loop.build_model", lambda name, **sizes: Pair(64, 2))
    with pytest.raises(ConfigError, match=r"model own:make must give logits .*, got tuple"):
        train(config(model="own:make"), striped_splits(), None, CPU)


@pytest.mark.parametrize(
    "kind", ["gives a pair when it is judged", "has nothing to train", "is larger than the memory"]
)
def test_networks_that_cannot_be_trained_are_named(monkeypatch, kind):
    class Odd(nn.Linear):
        def forward(self, x):
            if kind == "is larger than the memory":
                torch.empty(2**60)
            logits = super().forward(x.flatten(1))
            return logits if self.training else (logits, logits)

    def build(name, **sizes):
        return Odd(64, 2).requires_grad_(kind != "has nothing to train")

    message = {
        "gives a pair when it is judged": r"model own:make must give logits .*, got tuple",
        "has nothing to train": r"model own:make must have a parameter to train",
        "is larger than the memory": r"memory ran out with model own:make and batch_size 10",
    }[kind]
    monkeypatch.setattr("tuun_da.training.loop.build_model", build)
    with pytest.raises((ConfigError, TrainingError), match=message):
        train(config(model="own:make"), striped_splits(), None, CPU)


def test_a_network_that_cannot_be_compiled_is_said_in_words(monkeypatch):
    def broken(graph, inputs):
        raise ValueError("no compiler here")

    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile_module(self, backend=broken, **how))
    with pytest.raises(TrainingError, match=r"model child_cnn cannot be compiled \(.*\); train it without compile"):
        train(config(compile=True), striped_splits(), None, CPU)


def test_an_unknown_model_is_a_setting_that_is_wrong():
    with pytest.raises(ConfigError, match="model must be one of"):
        train(config(model="resnet"), striped_splits(), None, CPU)


def test_running_out_of_gpu_memory_is_said_in_words():
    def hungry(images, *, generator):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(TrainingError, match="GPU memory ran out with model child_cnn and batch_size 10"):
        train(config(), striped_splits(), hungry, CPU)


@pytest.mark.cuda
class TestOnAGpu:
    """What the CPU cannot show. Data on the host stands for data that does not fit."""

    DEVICE = torch.device("cuda")

    @pytest.mark.parametrize("model", ["child_cnn", "basenet_resnet18"])
    def test_it_learns_repeatably(self, model):
        splits = striped_splits()
        first, again = (train(config(model=model, epochs=8), splits, noisy_anywhere, self.DEVICE) for _ in range(2))
        assert first.score >= 0.9
        assert (first.curve, first.train_losses) == (again.curve, again.train_losses)

    def test_global_generators_and_cudnn_switches_are_left_alone(self):
        before = torch.get_rng_state(), torch.cuda.get_rng_state(), torch.backends.cudnn.benchmark
        train(config(), striped_splits(), None, self.DEVICE)
        after = torch.get_rng_state(), torch.cuda.get_rng_state(), torch.backends.cudnn.benchmark
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[1], after[1])
        assert before[2] == after[2]

    def test_where_the_data_lies_changes_no_result(self, monkeypatch):
        splits = striped_splits()
        inside = train(config(), splits, None, self.DEVICE)
        monkeypatch.setattr("tuun_da.training.batches.MAX_SHARE_OF_FREE_MEMORY", 0.0)
        outside = train(config(), splits, None, self.DEVICE)
        assert inside.train_losses == outside.train_losses

    def test_a_network_gets_channels_last_and_bfloat16(self):
        splits = striped_splits(channels=3).to("cuda")
        images = Normalize(splits, torch.device("cuda", 0), torch.channels_last)(splits.train_images)
        assert images.is_contiguous(memory_format=torch.channels_last)
        with Autocast("auto", self.DEVICE)():
            assert nn.Conv2d(3, 4, 3).cuda()(images).dtype == torch.bfloat16


def noisy_anywhere(images, *, generator):
    flip = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)


def test_the_trained_network_can_be_asked_at_the_end():
    splits = striped_splits(noise=90, validation=100)
    asked = []

    def ask(classify):
        first, again = classify(splits.validation_images), classify(splits.validation_images)
        assert torch.equal(first, again)  # dropout is off
        assert first.dtype == torch.float32
        assert not first.requires_grad
        asked.append((first.argmax(dim=1) == splits.validation_labels).float().mean().item())

    result = train(config(), splits, None, CPU, on_trained=ask)
    assert asked == pytest.approx([result.score])
    assert train(config(), splits, None, CPU).curve == result.curve
