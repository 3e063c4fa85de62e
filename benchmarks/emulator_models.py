"""The model classes of the emulators. All take triples (n, sub-policies, operations, types + 2), see emulators.py."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tuun_da.operations import OPERATION_TYPES, PUBLISHED_TYPES

Floats = NDArray[np.float64]

ENSEMBLE = 5
WIDTH = 32
STEPS, PATIENCE, CHECK_EVERY = 1500, 300, 10
LEARNING_RATE, WEIGHT_DECAY = 5e-3, 3e-2
HELD_OUT = 0.15


class DeepSets:
    """An ensemble of networks: operation net, sum, sub-policy net, mean, head. All members are trained at once.

    Each member stops where its own held-out policies are predicted best.
    """

    def fit(self, triples: Floats, values: Floats, weights: Floats, rng: np.random.Generator) -> DeepSets:
        import torch

        self.mean, self.scale = float(values.mean()), float(values.std()) or 1.0
        inputs = torch.tensor(_with_product(triples), dtype=torch.float32)
        targets = torch.tensor((values - self.mean) / self.scale, dtype=torch.float32)
        held = torch.zeros(ENSEMBLE, len(values), dtype=torch.bool)
        for member in held:
            member[torch.from_numpy(rng.permutation(len(values))[: max(1, round(HELD_OUT * len(values)))])] = True
        weight = torch.tensor(weights / weights.mean(), dtype=torch.float32)
        for_training, for_stopping = weight * ~held, weight * held

        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        parameters = [
            (torch.randn(shape, generator=generator) * scale).requires_grad_()
            for shape, scale in _shapes(inputs.shape[-1])
        ]
        matrices = [p for p in parameters if p.shape[1] > 1 or p.shape[2] == 1]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": [p for p in parameters if not any(p is m for m in matrices)], "weight_decay": 0.0},
            ],
            lr=LEARNING_RATE,
        )
        best = torch.full((ENSEMBLE,), float("inf"))
        kept = [p.detach().clone() for p in parameters]
        best_step = 0
        for step in range(STEPS):
            errors = (_forward(parameters, inputs) - targets) ** 2  # (members, n)
            if step % CHECK_EVERY == 0:
                with torch.no_grad():
                    stopping = (errors * for_stopping).sum(1) / for_stopping.sum(1)
                    better = stopping < best
                    best = torch.where(better, stopping, best)
                    for keep, parameter in zip(kept, parameters, strict=True):
                        keep[better] = parameter[better]
                    best_step = step if bool(better.any()) else best_step
                if step - best_step > PATIENCE:
                    break
            optimizer.zero_grad()
            ((errors * for_training).sum(1) / for_training.sum(1)).sum().backward()
            optimizer.step()
        self.weights = [keep.numpy().astype(np.float64) for keep in kept]
        return self

    def predict(self, triples: Floats) -> Floats:
        """By numpy, which for one policy is faster than torch."""
        x = _with_product(triples)[None]  # (1, n, sub-policies, operations, features)
        w = [weight[:, None, None] for weight in self.weights]
        x = (_relu(x @ w[0] + w[1]) @ w[2] + w[3]).sum(3)
        w = [weight[:, None] for weight in self.weights]
        x = _relu(_relu(x) @ w[4] + w[5]).mean(2)
        w = self.weights
        x = (_relu(x @ w[6] + w[7]) @ w[8] + w[9])[..., 0]  # (members, n)
        return np.asarray(self.mean + self.scale * x.mean(0))


def _shapes(features: int) -> list[tuple[tuple[int, int, int], float]]:
    """Of the weight matrices and biases (members, in, out), and the scale of their first values."""
    sizes = [(features, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 1)]
    made: list[tuple[tuple[int, int, int], float]] = []
    for into, out in sizes:
        made += [((ENSEMBLE, into, out), (1.5 / into) ** 0.5), ((ENSEMBLE, 1, out), 0.0)]
    return made


def _forward(w, inputs):  # type: ignore[no-untyped-def]
    """The standardised predictions (members, n), by torch."""
    from torch.nn.functional import relu

    n, subs, operations, features = inputs.shape
    x = inputs.reshape(1, -1, features)
    x = relu(x @ w[0] + w[1]) @ w[2] + w[3]
    x = x.reshape(ENSEMBLE, n * subs, operations, WIDTH).sum(2)
    x = relu(relu(x) @ w[4] + w[5]).reshape(ENSEMBLE, n, subs, WIDTH).mean(2)
    return (relu(x @ w[6] + w[7]) @ w[8] + w[9])[..., 0]


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0.0)


def _with_product(triples: Floats) -> Floats:
    """The triples with probability times magnitude at the end."""
    return np.concatenate([triples, triples[..., -2:-1] * triples[..., -1:]], axis=-1)


class Trees:
    """The mean of extremely randomised trees and gradient-boosted ones, on ``summaries``."""

    def fit(self, triples: Floats, values: Floats, weights: Floats, rng: np.random.Generator) -> Trees:
        from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor

        features = summaries(triples)
        seed = int(rng.integers(2**31))
        self.models = [
            ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.5, random_state=seed),
            GradientBoostingRegressor(
                n_estimators=200, learning_rate=0.05, max_depth=3, subsample=0.5, max_features=0.3, random_state=seed
            ),
        ]
        for model in self.models:
            model.fit(features, values, sample_weight=weights)
        return self

    def predict(self, triples: Floats) -> Floats:
        features = summaries(triples)
        return np.asarray(np.mean([model.predict(features) for model in self.models], axis=0))


def summaries(triples: Floats) -> Floats:
    """What a policy does on the whole, whatever the order of its parts (n, features).

    For each type the sums over the operations of p, p m and the largest p m; totals of the categories; the chance that
    an image stays as it is, and the spread of the sub-policies' strengths.
    """
    types = triples[..., :-2]  # (n, s, o, t)
    p, m = triples[..., -2:-1], triples[..., -1:]
    by_type = [(types * p).sum((1, 2)), (types * p * m).sum((1, 2)), (types * p * m).max((1, 2))]
    geometric = np.array([OPERATION_TYPES[kind].category == "geometric" for kind in PUBLISHED_TYPES], dtype=np.float64)
    totals = [(by_type[i] @ np.stack([geometric, 1 - geometric], 1)) for i in (0, 1)]
    unchanged = np.prod(1 - p[..., 0], axis=2)  # (n, s)
    strength = (p * m)[..., 0].sum(2)
    rest = [unchanged.mean(1), strength.mean(1), strength.std(1), strength.min(1), strength.max(1)]
    return np.concatenate([*by_type, *totals, np.stack(rest, 1)], axis=1)


MODELS: Mapping[str, type[DeepSets] | type[Trees]] = {"deepsets": DeepSets, "trees": Trees}
