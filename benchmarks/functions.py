"""Test functions as NNI search spaces, for the general use of the optimizer. All are to be maximized: 0 is the best.

``branin`` and ``hartmann6`` (Dixon and Szegő 1978; ``true - optimum``, so that 0 is the best), ``mixed`` (reals,
integers and categories, with an interaction) and ``nested`` (a choice of architecture, each with its own parameters).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.race import Problem

Floats = NDArray[np.float64]

HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)
HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_OPTIMUM = 3.32237
BRANIN_OPTIMUM = 0.397887


def branin(params: Mapping[str, Any]) -> float:
    x, y = params["x"], params["y"]
    bowl = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return BRANIN_OPTIMUM - (bowl + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10)


def hartmann6(params: Mapping[str, Any]) -> float:
    x = np.array([params[f"x{i}"] for i in range(1, 7)])
    return float(HARTMANN_ALPHA @ np.exp(-(HARTMANN_A * (x - HARTMANN_P) ** 2).sum(1)) - HARTMANN_OPTIMUM)


def mixed(params: Mapping[str, Any]) -> float:
    """The best learning rate depends on the optimizer, the best number of layers on the activation."""
    best_rate = {"sgd": -1.0, "adam": -3.0, "rmsprop": -3.0}[params["optimizer"]]
    best_layers = {"relu": 6, "tanh": 3, "gelu": 8}[params["activation"]]
    bonus = {"sgd": 0.0, "adam": -0.1, "rmsprop": -0.4}[params["optimizer"]]
    bonus += {"relu": -0.1, "tanh": -0.3, "gelu": 0.0}[params["activation"]]
    rate = (math.log10(params["rate"]) - best_rate) ** 2
    layers = ((params["layers"] - best_layers) / 4) ** 2
    width = (params["width"] / 64 - 4) ** 2 / 8
    return bonus - 0.5 * rate - layers - width - 4 * (params["dropout"] - 0.15) ** 2 - (params["momentum"] - 0.9) ** 2


def nested(params: Mapping[str, Any]) -> float:
    """A convolutional net, a transformer or a linear model; the transformer is best, in a narrow region."""
    net, decay = params["net"], (math.log10(params["decay"]) + 3.5) ** 2 / 20
    if net["_name"] == "linear":
        return -0.6 - decay
    if net["_name"] == "cnn":
        kernel = {3: 0.0, 5: 0.05, 7: 0.15}[net["kernel"]]
        return -0.2 - decay - kernel - ((net["depth"] - 9) / 8) ** 2 - (net["dropout"] - 0.2) ** 2
    heads = 0.1 * (math.log2(net["heads"]) - 3) ** 2
    rate = 0.4 * (math.log10(net["rate"]) + 3) ** 2
    return -decay - heads - rate - ((net["blocks"] - 6) / 5) ** 2


def _uniform(low: float, high: float) -> dict[str, Any]:
    return {"_type": "uniform", "_value": [low, high]}


SPACES: Mapping[str, Mapping[str, Any]] = {
    "branin": {"x": _uniform(-5, 10), "y": _uniform(0, 15)},
    "hartmann6": {f"x{i}": _uniform(0, 1) for i in range(1, 7)},
    "mixed": {
        "rate": {"_type": "loguniform", "_value": [1e-5, 1.0]},
        "momentum": _uniform(0, 1),
        "dropout": _uniform(0, 0.9),
        "layers": {"_type": "randint", "_value": [1, 13]},
        "width": {"_type": "quniform", "_value": [32, 512, 32]},
        "optimizer": {"_type": "choice", "_value": ["sgd", "adam", "rmsprop"]},
        "activation": {"_type": "choice", "_value": ["relu", "tanh", "gelu"]},
    },
    "nested": {
        "decay": {"_type": "loguniform", "_value": [1e-6, 1e-1]},
        "net": {
            "_type": "choice",
            "_value": [
                {"_name": "linear"},
                {
                    "_name": "cnn",
                    "depth": {"_type": "randint", "_value": [1, 25]},
                    "kernel": {"_type": "choice", "_value": [3, 5, 7]},
                    "dropout": _uniform(0, 0.9),
                },
                {
                    "_name": "transformer",
                    "blocks": {"_type": "randint", "_value": [1, 25]},
                    "heads": {"_type": "choice", "_value": [1, 2, 4, 8, 16]},
                    "rate": {"_type": "loguniform", "_value": [1e-5, 1e-1]},
                },
            ],
        },
    },
}


class _All:
    """The values of many settings; a class, so that worker processes can be sent one."""

    def __init__(self, function: Callable[[Mapping[str, Any]], float]) -> None:
        self.function = function

    def __call__(self, settings: Sequence[Mapping[str, Any]]) -> Floats:
        return np.array([self.function(params) for params in settings])


FUNCTIONS: Mapping[str, Problem] = {
    function.__name__: Problem(function.__name__, SPACES[function.__name__], _All(function), 0.0, "1")
    for function in (branin, hartmann6, mixed, nested)
}
