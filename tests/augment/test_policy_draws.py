"""What chance decides, and how often. Shares are held to 4.5 standard deviations: one fair run in 100 000 fails, and
the seeds are fixed."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tuun_da import Operation, Policy, SubPolicy
from tuun_da.errors import PolicyError

N = 20_000


def make_policy(per: str = "image", unchanged_share: float = 0.0) -> Policy:
    return Policy.from_sub_policies(
        [
            SubPolicy((Operation("rotate", 0.2, 0.5), Operation("invert", 0.7, 0.5))),
            SubPolicy((Operation("shearX", 0.0, 0.5), Operation("color", 1.0, 0.5))),
            SubPolicy((Operation("equalize", 0.5, 0.5),)),
            SubPolicy((Operation("randomCrop", 0.9, 0.5), Operation("solarize", 0.1, 0.5))),
        ],
        per=per,
        unchanged_share=unchanged_share,
    )


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_share(events: Tensor, share: float) -> None:
    bound = 4.5 * math.sqrt(share * (1 - share) / len(events))
    assert abs(events.double().mean().item() - share) <= bound


def test_each_image_draws_its_sub_policy_uniformly() -> None:
    draw = make_policy().draw(N, seeded(0))
    for i in range(4):
        assert_share(draw.sub_policy == i, 1 / 4)
    assert draw.common is None


def test_each_batch_draws_one_sub_policy_uniformly() -> None:
    policy, generator = make_policy("batch"), seeded(1)
    drawn = []
    for _ in range(2000):
        draw = policy.draw(3, generator)
        assert draw.sub_policy.unique().numel() == 1
        assert draw.common == draw.sub_policy[0]
        drawn.append(draw.common)
    for i in range(4):
        assert_share(torch.tensor(drawn) == i, 1 / 4)


def test_operations_are_taken_with_their_probability_and_independently() -> None:
    policy = make_policy()
    draw = policy.draw(4 * N, seeded(2))
    for i, sub_policy in enumerate(policy.record.sub_policies):
        taken = draw.taken[draw.sub_policy == i]
        for j, operation in enumerate(sub_policy.operations):
            assert_share(taken[:, j], operation.probability)
        if len(sub_policy.operations) == 2:
            first, second = (operation.probability for operation in sub_policy.operations)
            assert_share(taken.all(1), first * second)
        else:
            assert not taken[:, 1].any()


def test_probability_0_is_never_and_1_is_always() -> None:
    draw = make_policy().draw(N, seeded(3))
    of_second = draw.taken[draw.sub_policy == 1]
    assert not of_second[:, 0].any()
    assert of_second[:, 1].all()


@pytest.mark.parametrize("per", ["batch", "image"])
def test_images_of_a_batch_take_operations_independently(per: str) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("invert", 0.5, 0.0),))], per=per)
    taken = policy.draw(N, seeded(4)).taken[:, 0]
    assert_share(taken, 0.5)
    assert_share(taken[1:] == taken[:-1], 0.5)


@pytest.mark.parametrize("per", ["batch", "image"])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_unchanged_share_is_the_share_of_images_left_alone(per: str, share: float) -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("invert", 1.0, 0.0),))], per=per, unchanged_share=share)
    images = torch.full((N, 1, 1, 1), 9, dtype=torch.uint8)
    same = policy(images, generator=seeded(5)).flatten() == 9
    assert_share(same, share)


def test_signs_are_balanced_and_independent_of_being_taken() -> None:
    draw = make_policy().draw(N, seeded(6))
    assert set(draw.sign.unique().tolist()) == {-1.0, 1.0}
    for j in range(2):
        assert_share(draw.sign[:, j] > 0, 0.5)
        taken = draw.taken[:, j]
        assert_share(draw.sign[taken, j] > 0, 0.5)
    assert_share(draw.sign[:, 0] == draw.sign[:, 1], 0.5)


def test_chances_of_crops_and_flips_are_uniform() -> None:
    chance = make_policy().draw(N, seeded(7)).chance
    assert chance.shape == (N, 2, 2)
    assert chance.min() >= 0
    assert chance.max() < 1
    for j in range(2):
        for k in range(2):
            for tenth in range(10):
                assert_share((chance[:, j, k] * 10).floor() == tenth, 0.1)
    assert_share((chance[:, 0, 0] < 0.5) == (chance[:, 0, 1] < 0.5), 0.5)


def test_flip_happens_with_probability_times_magnitude() -> None:
    policy = Policy.from_sub_policies([SubPolicy((Operation("randomHorizontalFlip", 0.6, 0.5),))])
    images = torch.tensor([0, 1], dtype=torch.uint8).view(1, 1, 1, 2).expand(N, 1, 1, 2)
    assert_share(policy(images, generator=seeded(8))[:, 0, 0, 0] == 1, 0.3)


@pytest.mark.parametrize("per", ["batch", "image"])
def test_a_generator_decides_everything(per: str) -> None:
    policy = make_policy(per, 0.1)
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8, generator=seeded(0))
    for seed in (0, 1):  # 0 is a seed
        first, second = (policy(images, generator=seeded(seed)) for _ in range(2))
        assert torch.equal(first, second)
    state = torch.get_rng_state()
    policy(images, generator=seeded(0))
    assert torch.equal(state, torch.get_rng_state())


def test_seeds_give_different_draws() -> None:
    policy = make_policy()
    draws = [policy.draw(64, seeded(seed)).sub_policy for seed in range(5)]
    assert all(not torch.equal(draws[a], draws[b]) for a in range(5) for b in range(a))


def test_without_a_generator_torchs_own_decides() -> None:
    policy = make_policy()
    images = torch.randint(0, 256, (16, 3, 8, 8), dtype=torch.uint8, generator=seeded(0))
    results = []
    with torch.random.fork_rng():
        for seed in (5, 5, 6):
            torch.manual_seed(seed)
            results.append(policy(images))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_transform_holds_no_chance() -> None:
    policy = make_policy(unchanged_share=0.2)
    images = torch.randint(0, 256, (32, 3, 8, 8), dtype=torch.uint8, generator=seeded(0))
    draw = policy.draw(32, seeded(1))
    state = torch.get_rng_state()
    first, second = policy.transform(images, draw), policy.transform(images, draw)
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, policy(images, generator=seeded(1)))


@pytest.mark.parametrize("n", [-1, 1.0, True, "4", None])
def test_draw_refuses_what_is_no_size(n: object) -> None:
    with pytest.raises(PolicyError, match="size of a batch must be a whole number"):
        make_policy().draw(n)  # type: ignore[arg-type]


def test_generator_must_be_torchs() -> None:
    with pytest.raises(PolicyError, match=r"generator must be a torch\.Generator or None, got int"):
        make_policy()(torch.zeros(1, 3, 8, 8), generator=0)
