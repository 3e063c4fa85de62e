"""The rows of the protocol's tables: what costs no search, and the searches, which ask, learn and recommend alike.

A policy is written as a JSON object: ``{"choice": "etp"}``, ``{"choice": "randaugment", "num_ops": 2, "magnitude": 9}``
or ``{"choice": "search", "values": [...]}``, a searched policy's parameters in the order of the space; "etp+search" is
the same on top of crop + flip.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from tuun_da.augment.batch_transform import BatchTransform, Chain
from tuun_da.augment.crop_and_flip import CropAndFlip
from tuun_da.augment.named import build_transform
from tuun_da.augment.rand_augment import RandAugment
from tuun_da.engines.known import optimizer_arguments, read_known
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

ROOT = Path(__file__).parents[1]
SPACE_FILE = ROOT / "search_spaces" / "tuun.json"
SHIPPED_TUNER: Mapping[str, Any] = MappingProxyType(
    {
        "optimize_mode": "maximize",
        "surrogate": "gp",
        "acquisition": "logei",
        "n_initial": 10,
        "initial": ["none", "etp"],
        "seed": 0,
    }
)
"""The tuner's arguments in the shipped configurations (a test compares), for machines that cannot read YAML."""

PolicyJson = Mapping[str, Any]

NUM_OPS = (1, 2, 3)
MAGNITUDES = tuple(range(3, 31, 3))  # of 0 to 30
STRIDE = 7  # has no divisor in common with the 30 settings, so that fewer trials are spread over them, too


@dataclass(frozen=True)
class Row:
    """A row of a table. Rows of one ``search`` are found by the same one; None costs no search."""

    name: str
    label: str
    search: str | None
    choice: str


ROWS = (
    Row("none", "no augmentation", None, "none"),
    Row("etp", "ETP (crop + flip)", None, "etp"),
    Row("autoaugment", "AutoAugment", None, "autoaugment"),
    Row("randaugment", "RandAugment, n and m searched", "randaugment", "randaugment"),
    Row("trivialaugment", "TrivialAugment", None, "trivialaugment"),
    Row("etp+autoaugment", "ETP, then AutoAugment", None, "etp+autoaugment"),
    Row("etp+trivialaugment", "ETP, then TrivialAugment", None, "etp+trivialaugment"),
    Row("random", "random search", "random", "search"),
    Row("tuun", "Tuun (ours)", "tuun", "search"),
    Row("etp+tuun", "ETP + Tuun, searched on top of ETP", "etp+tuun", "etp+search"),
    Row("etp, tuun", "ETP with Tuun appended", "tuun", "etp+search"),
)
SEARCHES = ("randaugment", "random", "tuun", "etp+tuun")


def rows_of(search: str | None) -> list[Row]:
    """The rows that are found by ``search``."""
    return [row for row in ROWS if row.search == search]


class Search(Protocol):
    """One search of a fixed length. What it asks is a function of its seed and of what it was told."""

    def ask(self) -> PolicyJson:
        """The policy of the next trial."""

    def tell(self, policy: PolicyJson, score: float) -> None:
        """The next trial, asked for or read from a file, ran with ``policy``; larger is better."""

    def recommend(self) -> PolicyJson:
        """What to train with, of the policies that were tried."""


class RandAugmentSearch:
    """All settings of RandAugment's n and m, again and again with other seeds; recommends by the mean score.

    Of settings with the same mean the weakest is taken: the smallest n, then m.
    """

    def __init__(self) -> None:
        pairs = [(n, m) for n in NUM_OPS for m in MAGNITUDES]
        self._order = [pairs[(STRIDE * i) % len(pairs)] for i in range(len(pairs))]
        self._scores: dict[tuple[int, int], list[float]] = defaultdict(list)
        self._told = 0

    def ask(self) -> PolicyJson:
        num_ops, magnitude = self._order[self._told % len(self._order)]
        return {"choice": "randaugment", "num_ops": num_ops, "magnitude": magnitude}

    def tell(self, policy: PolicyJson, score: float) -> None:
        self._scores[policy["num_ops"], policy["magnitude"]].append(score)
        self._told += 1

    def recommend(self) -> PolicyJson:
        best = min(self._scores, key=lambda pair: (-np.mean(self._scores[pair]), *pair))
        return {"choice": "randaugment", "num_ops": best[0], "magnitude": best[1]}


class PolicySearch:
    """An Optimizer over the published space, whose policies are applied as ``choice`` says."""

    def __init__(self, choice: str, optimizer: Optimizer) -> None:
        self._choice = choice
        self._names = list(load_space_file())
        self._optimizer = optimizer
        self._asked = 0

    def ask(self) -> PolicyJson:
        return self._written(self._optimizer.ask(self._asked))

    def tell(self, policy: PolicyJson, score: float) -> None:
        self._optimizer.tell(self._asked, score, params_of(policy))
        self._asked += 1
        self._optimizer.restore(asked=self._asked)  # which changes nothing after an ask

    def recommend(self) -> PolicyJson:
        return self._written(self._optimizer.recommend())

    def _written(self, params: Mapping[str, Any]) -> PolicyJson:
        return {"choice": self._choice, "values": [params[name] for name in self._names]}


def make_search(name: str, number: int) -> Search:
    """The search ``name`` of ``SEARCHES``; ``number`` is its seed. Raises ConfigError for a tuner that is not right."""
    if name == "randaugment":
        return RandAugmentSearch()
    space = load_space()
    if name == "random":
        return PolicySearch("search", Optimizer(space, surrogate="random", seed=number))
    tuner = TunerSettings.from_arguments({**SHIPPED_TUNER, "seed": number})
    known = optimizer_arguments(read_known(tuner.probe, tuner.initial, tuner.warm_start), space)
    optimizer = Optimizer(
        space,
        surrogate=tuner.surrogate,
        acquisition=tuner.acquisition,
        beta=tuner.beta,
        n_initial=tuner.n_initial,
        seed=tuner.seed,
        **known,
    )
    return PolicySearch({"tuun": "search", "etp+tuun": "etp+search"}[name], optimizer)


def load_space_file() -> dict[str, Any]:
    """The published search space, as NNI has it."""
    space: dict[str, Any] = json.loads(SPACE_FILE.read_text(encoding="utf-8"))
    return space


def load_space() -> SearchSpace:
    """The published search space."""
    return SearchSpace.from_nni(load_space_file())


def params_of(policy: PolicyJson) -> dict[str, Any]:
    """The flat parameters of a searched policy."""
    return dict(zip(load_space_file(), policy["values"], strict=True))


def policy_of_row(row: Row, recommended: PolicyJson | None) -> PolicyJson:
    """What is trained for a row; ``recommended`` comes from its search, and is None where there is none."""
    return {"choice": row.choice} if recommended is None else {**recommended, "choice": row.choice}


def transform_of(policy: PolicyJson, autoaugment: str) -> BatchTransform[Any] | None:
    """The transform of a policy. ``autoaugment`` names the published policy of AutoAugment. Raises PolicyError."""
    choice = policy["choice"]
    if choice == "randaugment":
        return RandAugment(policy["num_ops"], policy["magnitude"])
    if choice in ("search", "etp+search"):
        return build_transform(choice, params_of(policy))
    name = FIXED[choice] or autoaugment
    transform = build_transform(name, None)
    return Chain([CropAndFlip(), transform]) if choice.startswith("etp+") and transform is not None else transform


FIXED = MappingProxyType(
    {
        "none": "none",
        "etp": "etp",
        "autoaugment": None,  # which of the published ones, the setting says
        "trivialaugment": "trivialaugment",
        "etp+autoaugment": None,
        "etp+trivialaugment": "trivialaugment",
    }
)
"""What is trained without a search, by its name in ``tuun_da.augment.named``; on top of crop + flip if it says so."""
