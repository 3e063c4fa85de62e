"""The policies to be trained: random, structured and the baselines. The same list every time, whatever the setting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.real_trainings import BASELINES
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES, Operation, SubPolicy
from tuun_da.policy_format import parameters_from_sub_policies

PLAN_SEED = 20250101
RANDOM_POLICIES = 200
REPEATED_POLICIES = 25  # the first of the random ones
REPEATS = 3
BASELINE_SEEDS = 5
SUB_POLICIES = 5
OPERATIONS = 2  # of a sub-policy; both as in search_spaces/tuun.json
DECIMALS = 3  # of probabilities and magnitudes, so that the files of results stay small and exact

KNOWN = ("none", "etp", "autoaugment-cifar10", "autoaugment-svhn")  # by name, because the plan must never change

Parameters = dict[str, Any]


@dataclass(frozen=True)
class PlannedTraining:
    """``policy`` holds flat parameters; None for a baseline, whose ``name`` says it all."""

    kind: str
    name: str
    policy: Parameters | None
    seed: int


def planned_trainings() -> list[PlannedTraining]:
    """All trainings, in an order of which every prefix holds each kind in proportion."""
    random = [(f"random-{i:03}", policy) for i, policy in enumerate(random_policies())]
    streams: list[list[PlannedTraining]] = [
        [PlannedTraining(name, name, None, seed) for seed in range(BASELINE_SEEDS) for name in BASELINES],
        # every training has a seed of its own: with a common one, the luck of an initialization would be common too
        [PlannedTraining("random", name, policy, i) for i, (name, policy) in enumerate(random)],
        [
            PlannedTraining("random", name, policy, 1000 * repeat + i)
            for i, (name, policy) in enumerate(random[:REPEATED_POLICIES])
            for repeat in range(1, REPEATS + 1)
        ],
        [
            PlannedTraining("structured", name, policy, 10_000 + i)
            for i, (name, policy) in enumerate(shuffled_structured_policies())
        ],
    ]
    placed = [((i + 0.5) / len(stream), task) for stream in streams for i, task in enumerate(stream)]
    return [task for _, task in sorted(placed, key=lambda pair: pair[0])]


def random_policies() -> Iterator[Parameters]:
    """Uniform draws from search_spaces/tuun.json."""
    rng = np.random.default_rng([PLAN_SEED, 0])
    for _ in range(RANDOM_POLICIES):
        yield drawn_policy(rng, PUBLISHED_TYPES)


def drawn_policy(
    rng: np.random.Generator,
    types: Sequence[str],
    probability: float | None = None,
    magnitude: float | None = None,
) -> Parameters:
    """A policy of ``types``, its probabilities and magnitudes uniform where none is given."""
    return policy_of(
        [
            (
                types[int(rng.integers(len(types)))],
                float(rng.random()) if probability is None else probability,
                float(rng.random()) if magnitude is None else magnitude,
            )
            for _ in range(SUB_POLICIES * OPERATIONS)
        ]
    )


def policy_of(triples: Sequence[tuple[str, float, float]]) -> Parameters:
    """The flat parameters of five sub-policies of two operations each, (type, probability, magnitude) in order."""
    operations = [
        Operation(kind, round(probability, DECIMALS), round(magnitude, DECIMALS))
        for kind, probability, magnitude in triples
    ]
    pairs = zip(operations[::OPERATIONS], operations[1::OPERATIONS], strict=True)
    return parameters_from_sub_policies(tuple(SubPolicy(pair) for pair in pairs))


def shuffled_structured_policies() -> list[tuple[str, Parameters]]:
    """``structured_policies`` in an order whose prefixes hold all families."""
    policies = list(structured_policies())
    order = np.random.default_rng([PLAN_SEED, 1]).permutation(len(policies))
    return [policies[i] for i in order]


def structured_policies() -> Iterator[tuple[str, Parameters]]:
    """Policies that no random draw comes near to: one type everywhere, extremes, almost nothing, known good ones."""
    rng = np.random.default_rng([PLAN_SEED, 2])
    all_types = PUBLISHED_TYPES
    places = SUB_POLICIES * OPERATIONS
    for kind in all_types:
        yield f"structured-one-type-{kind}-strong", policy_of([(kind, 0.9, 0.9)] * places)
        yield f"structured-one-type-{kind}-mild", policy_of([(kind, 0.4, 0.4)] * places)

    yield "structured-nothing", drawn_policy(rng, all_types, probability=0.0)
    for name, probability, magnitude in (
        ("everything", 1.0, 1.0),
        ("almost-nothing", 0.05, 0.5),
        ("often-weak", 1.0, 0.1),
        ("seldom-strong", 0.1, 1.0),
    ):
        for i in (1, 2):
            yield f"structured-{name}-{i}", drawn_policy(rng, all_types, probability, magnitude)

    for category in ("geometric", "color"):
        types = [kind for kind in all_types if OPERATION_TYPES[kind].category == category]
        for strength in (0.2, 0.5, 0.8):
            triples = [(types[i % len(types)], strength, strength) for i in range(places)]
            yield f"structured-only-{category}-{strength}", policy_of(triples)

    # at magnitude 1 the crop is as large as the image: with probability 1, this pair is ETP
    crop, flip = ("randomCrop", 1.0, 1.0), ("randomHorizontalFlip", 1.0, 0.5)
    yield "structured-crop-flip", policy_of([crop, flip] * SUB_POLICIES)
    yield "structured-crop-flip-half", policy_of([("randomCrop", 0.5, 1.0), ("randomHorizontalFlip", 0.5, 0.5)] * 5)
    for kind in ("color", "brightness", "rotate", "translateX"):
        pairs = [crop, flip] * 3 + [crop, (kind, 0.5, 0.5)] * 2
        yield f"structured-crop-flip-{kind}", policy_of(pairs)

    for name in KNOWN:
        sub_policies = KNOWN_POLICIES[name]
        for i in range(0, len(sub_policies), SUB_POLICIES):
            triples = [
                (operation.type, operation.probability, operation.magnitude)
                for sub_policy in sub_policies[i : i + SUB_POLICIES]
                for operation in sub_policy.operations
            ]
            yield f"structured-{name}-{i // SUB_POLICIES + 1}", policy_of(triples)
