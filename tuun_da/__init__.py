"""tuun_da finds a data-augmentation policy for an image-classification data set by Bayesian optimization.

The public names load on first use, so that importing the package loads neither torch nor nni nor stan.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuun_da.api.deep_augment import DeepAugment as DeepAugment
    from tuun_da.api.find_policy import find_policy as find_policy
    from tuun_da.api.search_result import SearchResult as SearchResult
    from tuun_da.augment.policy import Policy as Policy
    from tuun_da.errors import TuunDaError as TuunDaError
    from tuun_da.operations import Operation as Operation
    from tuun_da.operations import SubPolicy as SubPolicy
    from tuun_da.search.minimize import maximize as maximize
    from tuun_da.search.minimize import minimize as minimize
    from tuun_da.search.optimizer import Optimizer as Optimizer
    from tuun_da.search.space import SearchSpace as SearchSpace

__version__ = "0.1.0"

_HOMES = {
    "DeepAugment": "tuun_da.api.deep_augment",
    "Operation": "tuun_da.operations",
    "Optimizer": "tuun_da.search.optimizer",
    "Policy": "tuun_da.augment.policy",
    "SearchResult": "tuun_da.api.search_result",
    "SearchSpace": "tuun_da.search.space",
    "SubPolicy": "tuun_da.operations",
    "TuunDaError": "tuun_da.errors",
    "find_policy": "tuun_da.api.find_policy",
    "maximize": "tuun_da.search.minimize",
    "minimize": "tuun_da.search.minimize",
}
__all__ = [
    "DeepAugment",
    "Operation",
    "Optimizer",
    "Policy",
    "SearchResult",
    "SearchSpace",
    "SubPolicy",
    "TuunDaError",
    "__version__",
    "find_policy",
    "maximize",
    "minimize",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tuun_da' has no attribute {name!r}")
