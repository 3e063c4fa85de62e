"""A search knows the types that its space offers, and no others: new types change nothing about older spaces.

The numbers of the first half were printed by a state that had the 16 published types only.
"""

from __future__ import annotations

import numpy as np
import pytest
from made_probes import made_probe
from nni_spaces import policy_json
from policy_spaces import FEW_TYPES, layout_of, space_of

from tuun_da.errors import ProbeError
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES, Operation, SubPolicy
from tuun_da.policy_format import parameters_from_sub_policies
from tuun_da.probe_format import ProbeRecord
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.knowledge import Knowledge, make_kernel, policy_inputs
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.policy_arrays import PolicyColumns
from tuun_da.search.policy_features import GROUPS, policy_features
from tuun_da.search.probe_features import ProbeFeatures
from tuun_da.search.region import Region
from tuun_da.search.space import SearchSpace

PUBLISHED = SearchSpace.from_nni(policy_json(2, 2))
POLICY = (
    SubPolicy((Operation("rotate", 0.5, 0.3), Operation("invert", 0.25, 0.9))),
    SubPolicy((Operation("randomCrop", 0.8, 0.6), Operation("color", 0.0, 0.1))),
)
POINT = np.array([PUBLISHED.encode(parameters_from_sub_policies(POLICY))])


def ordered_probe() -> ProbeRecord:
    """Effects that are simple numbers; the types without a magnitude have those of 0.5."""
    effects = {}
    for k, name in enumerate(PUBLISHED_TYPES):
        magnitudes = (0.0, 1.0) if OPERATION_TYPES[name].has_magnitude else (0.5,)
        effects[name] = tuple(((k + 1) / 100, m / 10, k * m / 50, m / 4) for m in magnitudes)
    return ProbeRecord((0.0, 1.0), (0.5, 0.3, 0.2, 0.0), effects)


# ---- a space of the published types is searched as before there were others ----


def test_the_features_of_a_policy_are_what_they_were_to_the_last_bit() -> None:
    found = {name: block[0].tolist() for name, block in policy_inputs(PUBLISHED, ordered_probe())(POINT).items()}
    coverage, strength = [0.0] * 16, [0.0] * 13
    coverage[4], coverage[13], coverage[14] = 0.5, 0.3535533905932738, 0.6324555320336759
    strength[4], strength[11] = 0.19364916731037085, 0.34641016151377546
    assert found == {
        "coverage": coverage,
        "strength": strength,
        "groups": [0.5, 0.6324555320336759, 0.0, 0.3535533905932738],
        "unchanged": [0.2875],
        "probe": [
            *(0.09, 0.03775, 0.08945, 0.094375),
            *(0.060000000000000005, 0.0275, 0.0445, 0.06875),
            *(0.12, 0.048, 0.13440000000000002, 0.12),
        ],
    }


def test_kernel_prediction_and_region_are_what_they_were() -> None:
    kernel = make_kernel(PUBLISHED, Knowledge(ordered_probe()))
    np.testing.assert_array_equal(kernel.prior_mean, [1.9143206982445475] * 5 + [-1.0])
    process = GaussianProcess(kernel)
    points = PUBLISHED.sample_points(8, np.random.default_rng(0))
    prediction = process.posterior(points, np.arange(8.0), [process.prior_mean]).predict(POINT)
    # sums of products may differ in their last digits from one processor to the next
    np.testing.assert_allclose(prediction.mean[0], 3.3286749294411266, rtol=1e-9)
    np.testing.assert_allclose(prediction.std[0], 2.0409295446910813, rtol=1e-9)
    region = Region(policy_inputs(PUBLISHED), np.empty((0, 12)))
    np.testing.assert_allclose(region.distances(POINT), 0.9404065182807049, rtol=1e-9)
    np.testing.assert_allclose(region.bounds(np.empty((0, 12))).limit, 1.2863439945505704, rtol=1e-9)


@pytest.mark.parametrize(
    ("surrogate", "types", "numbers"),
    [
        (
            "gp",
            ("shearY", "randomHorizontalFlip", "rotate", "shearY"),
            (0.9868289335744653, 0.8919277243121396, 0.9616894954632205, 0.978425816312481, 1.0, 1.0, 1.0, 1.0),
        ),
        (
            "forest",
            ("posterize", "randomHorizontalFlip", "brightness", "invert"),
            (
                *(0.19397603221158422, 0.6571383845215395, 0.7972963347190658, 0.6340548206256668),
                *(0.3005609961041741, 0.9853949682726586, 0.3695569225668339, 0.6944437649636958),
            ),
        ),
    ],
)
def test_a_suggestion_is_what_it_was(surrogate: str, types: tuple[str, ...], numbers: tuple[float, ...]) -> None:
    optimizer = Optimizer(PUBLISHED, surrogate=surrogate, seed=0, n_initial=4)
    for trial in range(8):
        params = optimizer.ask(trial)
        optimizer.tell(trial, params["prob1_1"] * params["magnitude1_1"] + (params["operation2_1"] == "rotate"))
    params = optimizer.ask("last")
    assert tuple(value for name, value in params.items() if name.startswith("operation")) == types
    found = [value for name, value in params.items() if not name.startswith("operation")]
    np.testing.assert_allclose(found, numbers, atol=1e-3)


# ---- what a space does not offer has no part in its search ----


def blocks_of(name: str) -> dict[str, np.ndarray]:
    space = space_of(name)
    return policy_features(
        PolicyColumns(space, layout_of(space)).read(space.sample_points(500, np.random.default_rng(0)))
    )


@pytest.mark.parametrize(
    ("name", "types", "with_magnitude"), [("30", 16, 13), ("all types", 33, 29), ("few types", 4, 2)]
)
def test_there_is_a_feature_for_each_type_that_is_offered(name: str, types: int, with_magnitude: int) -> None:
    blocks = blocks_of(name)
    offered = layout_of(space_of(name)).types
    groups = [group for group in GROUPS.values() if set(group) & set(offered)]
    assert len(offered) == types
    assert [block.shape[1] for block in blocks.values()] == [types, with_magnitude, len(groups), 1]
    for block in blocks.values():  # none is there for nothing
        assert (block.std(axis=0) > 0).all()


def test_a_search_of_new_types_finds_the_good_one() -> None:
    """The features tell new types apart: where cutout is what scores, it is what is suggested."""
    space = SearchSpace.from_nni(policy_json(2, 2, types=FEW_TYPES))
    optimizer = Optimizer(space, seed=0, n_initial=8)

    def share(params: dict[str, object]) -> float:
        places = [f"{i}_{j}" for i in (1, 2) for j in (1, 2)]
        return sum(float(params[f"prob{p}"]) * (params[f"operation{p}"] == "cutout") for p in places) / 4

    for trial in range(20):
        params = optimizer.ask(trial)
        optimizer.tell(trial, share(params))
    assert share(optimizer.recommend()) > 0.6


# ---- probes ----


def test_a_probe_of_more_types_than_the_space_offers_gives_the_features_of_those_that_it_does() -> None:
    every, published = made_probe(types=tuple(OPERATION_TYPES)), made_probe()
    assert dict(published.effects).items() <= dict(every.effects).items()
    wanted = policy_inputs(PUBLISHED, published)(POINT)["probe"]
    assert policy_inputs(PUBLISHED, every)(POINT)["probe"].tobytes() == wanted.tobytes()


def test_a_probe_that_lacks_a_type_of_the_space_is_refused_by_name() -> None:
    space = space_of("few types")
    with pytest.raises(ProbeError, match="has not measured cutout, channelPermutation, which the search space offers"):
        Optimizer(space, probe=made_probe())
    with pytest.raises(ProbeError, match="tuun-da probe --space"):
        make_kernel(space, Knowledge(made_probe(types=("cutout",))))
    with pytest.raises(ProbeError, match="has not measured rotate,"):
        ProbeFeatures(made_probe(types=("cutout",)), ("cutout", "rotate"))
    assert "probe" in policy_inputs(space, made_probe(types=FEW_TYPES))(
        space.sample_points(2, np.random.default_rng(0))
    )


def test_a_probe_is_passed_over_where_the_space_has_no_policy() -> None:
    space = SearchSpace.from_nni({"lr": {"_type": "uniform", "_value": [0, 1]}})
    assert Optimizer(space, probe=made_probe(types=("cutout",)), seed=0).ask(1)
