"""Emulators of real trainings: an accuracy for any policy, in no time.

Fitted to ``results/trainings_SETTING.jsonl``, in two model classes that are far from tuun_da's own surrogates:

- ``deepsets``: an ensemble of small networks on the raw triples (type, probability, magnitude) of the operations,
  summed over the operations of a sub-policy, averaged over the sub-policies (Zaheer et al. 2017).
- ``trees``: extremely randomised and gradient-boosted trees on summaries of the whole policy.

The true value of a policy is an emulator's mean; what a race observes is that plus normal noise with the standard
deviation of a repeated training, as measured. Fitted emulators are kept in ``.cache``, by a hash of the data.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import ROOT, read_lines
from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES
from tuun_da.policy_format import policy_places
from tuun_da.search.maximize import maximize
from tuun_da.search.space import SearchSpace

Floats = NDArray[np.float64]

HERE = Path(__file__).parent
CACHE = HERE / ".cache"
FOLDS, SHUFFLES = 5, 2
VERSION = 1  # of the model classes below: part of the key in the cache


class Regressor(Protocol):
    def fit(self, triples: Floats, values: Floats, weights: Floats, rng: np.random.Generator) -> Regressor: ...

    def predict(self, triples: Floats) -> Floats: ...


@dataclass(frozen=True)
class Trainings:
    """One row for each policy, its repeats averaged.

    ``triples`` (n, sub-policies, operations, types + 2); ``accuracies`` and ``repeats`` (n,); ``noise`` is the standard
    deviation of one training, pooled over the policies that were trained more than once.
    """

    policies: tuple[Mapping[str, Any], ...]
    kinds: tuple[str, ...]
    triples: Floats
    accuracies: Floats
    repeats: Floats
    noise: float
    key: str


def load_trainings(path: Path) -> Trainings:
    """Of the policies with the layout that most have. Raises ValueError if none was trained twice."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in read_lines(path):
        if record.get("policy"):  # no header, and no baseline that is not a policy
            found.setdefault(json.dumps(record["policy"], sort_keys=True), []).append(record)
    layouts = Counter(places_of(records[0]["policy"]) for records in found.values())
    if not layouts:
        raise ValueError(f"{path} must hold trainings of policies, got none")
    [(common, _)] = layouts.most_common(1)
    rows = sorted((key, records) for key, records in found.items() if places_of(records[0]["policy"]) == common)
    accuracies = [[float(record["accuracy"]) for record in records] for _, records in rows]
    spare = sum(len(values) - 1 for values in accuracies)
    if spare == 0:
        raise ValueError(f"{path} must hold some policy more than once, to tell the noise of a training; got none")
    noise = float(np.sqrt(sum(np.var(values) * len(values) for values in accuracies) / spare))
    policies = tuple(records[0]["policy"] for _, records in rows)
    content = [VERSION, [(key, sorted(values)) for (key, _), values in zip(rows, accuracies, strict=True)]]
    digest = hashlib.sha256(json.dumps(content).encode())
    return Trainings(
        policies,
        tuple(str(records[0].get("kind", "")) for _, records in rows),
        triples_of(policies),
        np.array([np.mean(values) for values in accuracies]),
        np.array([float(len(values)) for values in accuracies]),
        noise,
        digest.hexdigest()[:12],
    )


def places_of(policy: Mapping[str, Any]) -> tuple[int, ...]:
    """The number of operations of every sub-policy."""
    return tuple(len(operations) for operations in policy_places(policy))


def triples_of(policies: Sequence[Mapping[str, Any]]) -> Floats:
    """(n, sub-policies, operations, types + 2): type one-hot, probability, magnitude.

    An operation that never happens is all zeros, and the magnitude of a type that has none is zero.
    """
    names = PUBLISHED_TYPES
    places = policy_places(policies[0])
    made = np.zeros((len(policies), len(places), len(places[0]), len(names) + 2))
    for row, policy in zip(made, policies, strict=True):
        for i, operations in enumerate(places):
            for j, (a, b) in enumerate(operations):
                kind = policy[f"operation{a}_{b}"]
                probability = float(policy.get(f"prob{a}_{b}", 1.0))
                if probability > 0.0:
                    magnitude = policy[f"magnitude{a}_{b}"] if OPERATION_TYPES[kind].has_magnitude else 0.0
                    row[i, j, names.index(kind)] = 1.0
                    row[i, j, -2:] = probability, magnitude
    return made


@dataclass(frozen=True)
class Emulator:
    """A fitted emulator; ``cross_validated_r2`` says how far to believe it."""

    name: str
    regressor: Regressor
    noise: float
    key: str
    cross_validated_r2: float
    cross_validated_r2_of_random: float
    trainings: int

    def true_values(self, policies: Sequence[Mapping[str, Any]]) -> Floats:
        return self.regressor.predict(triples_of(policies))


def load_emulator(setting: str, kind: str, results: Path = HERE / "results", cache: Path = CACHE) -> Emulator:
    """The emulator of class ``kind`` for the trainings of ``setting``, fitted now unless the cache has it."""
    return fit_emulator(load_trainings(results / f"trainings_{setting}.jsonl"), f"{setting}/{kind}", kind, cache)


def fit_emulator(data: Trainings, name: str, kind: str, cache: Path) -> Emulator:
    from benchmarks.emulator_models import MODELS

    path = cache / f"emulator_{name.replace('/', '_')}_{data.key}.pickle"
    if path.exists():
        made = pickle.loads(path.read_bytes())
        assert isinstance(made, Emulator)
        return made
    rng = np.random.default_rng(0)
    predicted = np.mean([_out_of_fold(data, MODELS[kind], rng) for _ in range(SHUFFLES)], axis=0)
    is_random = np.array([kind_ == "random" for kind_ in data.kinds])
    regressor = MODELS[kind]().fit(data.triples, data.accuracies, data.repeats, np.random.default_rng(1))
    made = Emulator(
        name,
        regressor,
        data.noise,
        data.key,
        _r2(data.accuracies, predicted),
        _r2(data.accuracies[is_random], predicted[is_random]) if is_random.sum() > 2 else float("nan"),
        len(data.policies),
    )
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{rng.integers(2**32)}.partial")
    partial.write_bytes(pickle.dumps(made))
    partial.rename(path)
    return made


def _out_of_fold(data: Trainings, model: type[Regressor], rng: np.random.Generator) -> Floats:
    """Of every policy, the prediction by a model that was not fitted to it."""
    predicted = np.empty(len(data.policies))
    for held in np.array_split(rng.permutation(len(data.policies)), FOLDS):
        rest = np.setdiff1d(np.arange(len(data.policies)), held)
        fitted = model().fit(data.triples[rest], data.accuracies[rest], data.repeats[rest], rng)
        predicted[held] = fitted.predict(data.triples[held])
    return predicted


def _r2(values: Floats, predicted: Floats) -> float:
    return float(1 - np.sum((values - predicted) ** 2) / np.sum((values - values.mean()) ** 2))


def peak(emulator: Emulator, space: SearchSpace, seeds: int = 3) -> tuple[float, float]:
    """The largest true value that hill climbing finds, and that of 2,000 random policies.

    A peak far above every training is one that the emulator made up where nothing was trained.
    """

    def score(points: Floats) -> Floats:
        return emulator.true_values([space.decode(point) for point in points])

    random = space.sample_points(2000, np.random.default_rng(0))
    scores = score(random)
    parents = random[np.argsort(-scores)[:20]]
    climbed = [
        maximize(score, space, np.random.default_rng(seed), parents=parents, excluded=set()) for seed in range(seeds)
    ]
    return float(np.max(score(np.array(climbed)))), float(np.max(scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=["cifar10", "steel", "digits"])
    parser.add_argument("--kinds", nargs="+", default=["deepsets", "trees"])
    options = parser.parse_args()
    space = SearchSpace.from_nni(json.loads((ROOT / "search_spaces" / "tuun.json").read_text()))
    for setting in options.settings:
        for kind in options.kinds:
            emulator = load_emulator(setting, kind)
            top, random = peak(emulator, space)
            seen = float(np.max(load_trainings(HERE / "results" / f"trainings_{setting}.jsonl").accuracies))
            print(
                f"{emulator.name}: {emulator.trainings} policies, noise {emulator.noise:.3g}, cross-validated R2 "
                f"{emulator.cross_validated_r2:.2f}, on random policies {emulator.cross_validated_r2_of_random:.2f}; "
                f"best trained policy {seen:.4g}, best of 2,000 random ones {random:.4g}, peak {top:.4g}"
            )


if __name__ == "__main__":
    main()
