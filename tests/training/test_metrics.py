"""Each metric is scikit-learn's of the same name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle

from tuun_da.training.metrics import METRICS, confusion_matrix
from tuun_da.training.schedule import METRIC_NAMES

ORACLES = {
    "accuracy": oracle.accuracy_score,
    "balanced_accuracy": oracle.balanced_accuracy_score,
    "macro_f1": lambda labels, predicted: oracle.f1_score(labels, predicted, average="macro", zero_division=0),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("case", ["balanced", "rare", "absent from the labels", "never predicted", "all wrong"])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_it_is_scikit_learns(name, case, rng):
    shares = [0.05, 0.15, 0.8] if case == "rare" else [1 / 3] * 3
    labels = rng.choice(3, 200, p=shares)
    predicted = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 3, 200))
    if case == "absent from the labels":
        labels[labels == 1] = 0
    if case == "never predicted":
        predicted[predicted == 1] = 2
    if case == "all wrong":
        predicted = (labels + 1) % 3
    confusion = confusion_matrix(labels, predicted, 3)
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(labels, predicted, labels=[0, 1, 2]))
    assert METRICS[name](confusion) == pytest.approx(ORACLES[name](labels, predicted))


def test_the_settings_know_the_same_names():
    assert tuple(METRICS) == METRIC_NAMES
