"""The kernel of a search space with a policy in it.

Notation: n, m points; z features of a policy (policy_features.py), standardised by their spread over random policies;
g a block of features, with one length scale l_g; rest: the columns that are no part of the policy.

    r^2      = sum over blocks of |z_g - z_g'|^2 / l_g^2
    c        = sum over blocks of (z_g . z_g') / l_g^2
    k_policy = exp(-r^2 / 2) + v c
    k        = (1 - t) (k_policy + k_rest) / 2 + t k_policy k_rest           as in kernels.py; without rest, k_policy

A length scale for each feature would be about fifty for sixty trials; one for each block is what they can teach. The
linear part is what they teach first: that a type does good or harm, wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from tuun_da.search.domains import Floats
from tuun_da.search.kernels import Features, MixedKernel

SCALE_STD = 0.7  # of the prior of a log length scale
LINEAR_MEAN, LINEAR_STD = -1.0, 1.0  # of the prior of log v


@dataclass(frozen=True)
class PolicyPoints:
    """Points as this kernel sees them: standardised features of the policy (n, k), and the rest."""

    policy: Floats
    rest: Features | None


class PolicyKernel:
    """The kernel above. Its parameters theta (p,) are log l_g, then those of the rest and logit t, then log v.

    ``policy_features`` gives the blocks (n, k_g) of points (n, d) by name; ``reference`` (r, d) are random points. The
    prior puts the length scales where two random policies are about a standard deviation of the kernel apart: r^2, the
    sum of k differences of variance 2 / l^2, is 2 on average.
    """

    of_trainings = True

    def __init__(
        self, policy_features: Callable[[Floats], Mapping[str, Floats]], reference: Floats, rest: MixedKernel | None
    ) -> None:
        self._policy_features, self.rest = policy_features, rest
        blocks = policy_features(reference)
        self.blocks = tuple(blocks)
        self.owner = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks.values()])
        values = np.hstack(list(blocks.values()))
        self._location, spread = values.mean(axis=0), values.std(axis=0)
        self._spread = np.where(spread > 1e-9, spread, 1.0)  # of a feature that does not vary in this space
        varying = int(np.sum(spread > 1e-9))
        self.prior_mean = np.full(len(blocks), math.log(max(varying, 1)) / 2)
        self.prior_std = np.full(len(blocks), SCALE_STD)
        if rest is not None:
            self.prior_mean = np.concatenate([self.prior_mean, rest.prior_mean, [0.0]])
            self.prior_std = np.concatenate([self.prior_std, rest.prior_std, [1.0]])
        self.prior_mean = np.append(self.prior_mean, LINEAR_MEAN)
        self.prior_std = np.append(self.prior_std, LINEAR_STD)

    def features(self, points: Floats) -> PolicyPoints:
        """The features of points (n, d)."""
        values = np.hstack(list(self._policy_features(points).values()))
        rest = None if self.rest is None else self.rest.features(points)
        return PolicyPoints((values - self._location) / self._spread, rest)

    def diagonal(self, theta: Floats, x: PolicyPoints) -> Floats:
        """k (n,) of each of the points of x with itself."""
        policy = 1 + np.exp(theta[-1]) * np.sum((x.policy / self._scales(theta)) ** 2, axis=1)
        if self.rest is None or x.rest is None:
            return np.asarray(policy)
        rest = self.rest.diagonal(self._theta_of_rest(theta), x.rest)
        return np.asarray(_blended(float(expit(theta[-2])), policy, rest))

    def matrix(self, theta: Floats, a: PolicyPoints, b: PolicyPoints) -> Floats:
        """k (n, m) between the points of a and of b."""
        scales = self._scales(theta)
        left, right = a.policy / scales, b.policy / scales
        exponential, products = _parts(left, right)
        policy = exponential + np.exp(theta[-1]) * products
        if self.rest is None or a.rest is None or b.rest is None:
            return np.asarray(policy)
        rest = self.rest.matrix(self._theta_of_rest(theta), a.rest, b.rest)
        return np.asarray(_blended(float(expit(theta[-2])), policy, rest))

    def matrix_and_pullback(self, theta: Floats, x: PolicyPoints) -> tuple[Floats, Callable[[Floats], Floats]]:
        """k (n, n) between the points of x, and the map from a symmetric w (n, n) to sum_ij w_ij dk_ij/dtheta (p,)."""
        scaled = x.policy / self._scales(theta)
        exponential, products = _parts(scaled, scaled)
        v = float(np.exp(theta[-1]))
        policy = exponential + v * products

        def policy_pullback(w: Floats) -> tuple[Floats, float]:
            """The sums for the length scales and for v."""
            # d exp(-r^2 / 2) / d log l_g = exp(-r^2 / 2) |z_g - z_g'|^2 / l_g^2; the sums as in kernels.py
            a = w * exponential
            by_feature = 2 * (a.sum(axis=1) @ scaled**2 - np.sum(scaled * (a @ scaled), axis=0))
            by_feature -= 2 * v * np.sum(scaled * (w @ scaled), axis=0)  # d c / d log l_g = -2 c_g
            by_block = np.bincount(self.owner, by_feature, minlength=len(self.blocks))
            return np.asarray(by_block, dtype=np.float64), v * float(np.sum(w * products))

        if self.rest is None or x.rest is None:
            return policy, lambda w: np.append(*policy_pullback(w))
        rest, rest_pullback = self.rest.matrix_and_pullback(self._theta_of_rest(theta), x.rest)
        t = float(expit(theta[-2]))

        def pullback(w: Floats) -> Floats:
            of_blocks, of_v = policy_pullback(w * ((1 - t) / 2 + t * rest))
            of_rest = rest_pullback(w * ((1 - t) / 2 + t * policy))
            of_t = t * (1 - t) * np.sum(w * (policy * rest - (policy + rest) / 2))
            return np.concatenate([of_blocks, of_rest, [of_t, of_v]])

        return _blended(t, policy, rest), pullback

    def _scales(self, theta: Floats) -> Floats:
        return np.asarray(np.exp(theta[: len(self.blocks)])[self.owner])

    def _theta_of_rest(self, theta: Floats) -> Floats:
        return theta[len(self.blocks) : -2]


def _parts(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """exp(-r^2 / 2) and c (n, m) between features (n, k) and (m, k) that are divided by their length scales."""
    products = left @ right.T
    squares = np.sum(left**2, axis=1)[:, None] + np.sum(right**2, axis=1) - 2 * products
    return np.exp(-np.maximum(squares, 0.0) / 2), products


def _blended(t: float, policy: Floats, rest: Floats) -> Floats:
    return (1 - t) / 2 * (policy + rest) + t * policy * rest
