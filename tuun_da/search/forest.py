"""A random forest with variance. The only file that imports scikit-learn.

Mean and variance of a forest are those of the mixture of its leaves (Hutter et al. 2014, section 4.3.2): the variance
is the mean of the variances within the leaves plus the variance of the means between the trees.

The thresholds of the splits are random (Geurts et al. 2006) on bootstrap samples, as in SMAC, whose forest draws them
between neighbouring values: with the best thresholds nearly all trees split at the same places, and a smooth function
becomes a few flat steps on which the trees agree and nothing is left to explore.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from tuun_da.search.domains import Floats
from tuun_da.search.knowledge import NOTHING, Knowledge, policy_inputs
from tuun_da.search.prediction import Prediction
from tuun_da.search.space import SearchSpace

TREES = 64
SHARE_OF_COLUMNS = 5 / 6  # tried at each split, as in SMAC, rounded up: of two columns both
LEAST_VARIANCE = 0.03  # of a leaf, as a share of that of the values: a leaf of one trial would otherwise be certain


class RandomForest:
    """Regression trees on bootstrap samples, categorical columns as one indicator for each option.

    Of a policy the trees see the features of policy_features.py, and of a probe its own, instead of the columns.
    """

    def __init__(self, space: SearchSpace, knowledge: Knowledge = NOTHING) -> None:
        self._policy = policy_inputs(space, knowledge.probe)
        chosen = range(len(space.columns)) if self._policy is None else self._policy.columns.others
        self._columns = [(i, space.columns[i]) for i in chosen]
        self._trends = knowledge.trends

    def fit(self, points: Floats, values: Floats, rng: np.random.Generator) -> ForestPosterior:
        return ForestPosterior(self, points, values, int(rng.integers(2**31)))

    def features(self, points: Floats) -> Floats:
        """Points (n, d) as the trees see them; an inactive categorical column has no indicator set."""
        parts = [] if self._policy is None else list(self._policy(points).values())
        parts += [trend(points)[:, None] for trend in self._trends]
        for i, column in self._columns:
            codes = points[:, i, None]
            parts.append((codes == np.arange(column.categories)).astype(np.float64) if column.is_categorical else codes)
        return np.hstack(parts)


class ForestPosterior:
    """A fitted forest, which remembers what it was fitted to and with which seed."""

    def __init__(
        self, forest: RandomForest, points: Floats, values: Floats, seed: int, least_std: float | None = None
    ) -> None:
        self._forest, self._points, self._values, self._seed = forest, points, values, seed
        self._scale = float(np.max(np.abs(values))) or 1.0  # squares of the largest floats would overflow
        features, shares = forest.features(points), values / self._scale
        if least_std is None:
            least_std = self._scale * math.sqrt(LEAST_VARIANCE) * float(np.std(shares))
        self._least_std = least_std
        self.trees = ExtraTreesRegressor(
            n_estimators=TREES,
            max_features=math.ceil(SHARE_OF_COLUMNS * features.shape[1]),
            bootstrap=True,
            random_state=seed,
            n_jobs=1,
        ).fit(features, shares)

    def predict(self, points: Floats) -> Prediction:
        features = self._forest.features(points).astype(np.float32)  # what trees use inside; once for all of them
        least_variance = (self._least_std / self._scale) ** 2
        means, variances = [], []
        for tree in self.trees.estimators_:
            leaves = tree.tree_.apply(features)
            means.append(tree.tree_.value[leaves, 0, 0])
            within = tree.tree_.impurity[leaves]  # with squared error: the variance within the leaf
            variances.append(np.maximum(within, least_variance))
        mean = np.mean(means, axis=0)
        variance = np.mean(variances, axis=0) + np.var(means, axis=0)
        return Prediction(self._scale * mean[None, :], self._scale * np.sqrt(np.maximum(variance, 0.0))[None, :])

    def sample(self, points: Floats, rng: np.random.Generator) -> Floats:
        """What one of the trees says, which is a draw of what the forest holds possible."""
        features = self._forest.features(points).astype(np.float32)
        tree = self.trees.estimators_[rng.integers(len(self.trees.estimators_))].tree_
        return np.asarray(self._scale * tree.value[tree.apply(features), 0, 0])

    def condition(self, points: Floats, values: Floats) -> ForestPosterior:
        """The forest, grown again from the same seed, that has seen the values as if they were observed.

        Trees have no exact conditioning. With values that the forest predicted itself (the kriging believer of
        Ginsbourger et al. 2010), growing again draws the trees together at the points, which lowers the variance there.
        """
        return ForestPosterior(
            self._forest,
            np.concatenate([self._points, points]),
            np.concatenate([self._values, values]),
            self._seed,
            self._least_std,
        )
