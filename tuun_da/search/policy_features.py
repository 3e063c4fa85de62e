"""What a policy does to a data set, in numbers that know its symmetries.

A policy is a uniform mixture of sub-policies, and a sub-policy applies each operation to a share of the images. So the
features are shares of images, averaged over the sub-policies: the order of these cannot change them, an operation that
never happens adds nothing, and they are bounded however often a type is repeated (architecture of the kernel: Buathong
et al. 2020, a kernel of the distance between mean embeddings).

Notation: n policies; of a sub-policy with operations of types t_j, probabilities p_j and magnitudes m_j

    coverage_t = 1 - prod_j (1 - p_j [t_j = t])      share of images that a type (or any type of a group) reaches
    strength_t = 1/o sum_j p_j m_j [t_j = t]         how strongly, averaged over the o operations
    unchanged  = prod_j (1 - p_j)                    share of images that stay as they are

and of a policy their means over the sub-policies. Of shares and strength the square root is taken, because more of the
same does less and less: the first fifth of the images that are rotated matters more than the last. So what is linear
in the features (policy_kernel.py) expects most of several good types together, as is found, and not of one type
everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from tuun_da.search.domains import Floats
from tuun_da.search.policy_arrays import HAS_MAGNITUDE, TYPE_NAMES, PolicyArrays

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "geometric": ("shearX", "shearY", "translateX", "translateY", "rotate"),
        "crop and flip": ("randomCrop", "randomHorizontalFlip"),
        "color": ("color", "contrast", "sharpness", "brightness", "autocontrast", "equalize"),
        "inverting": ("posterize", "solarize", "invert"),
    }
)
"""Types that do much the same to an image: what is learned of one says something of the others."""

_TYPES = len(TYPE_NAMES)
_MEMBERS = np.array([[name in members for name in TYPE_NAMES] for members in GROUPS.values()], dtype=np.float64)


def policy_features(policies: PolicyArrays) -> dict[str, Floats]:
    """The blocks of features (n, k) of n policies, by name."""
    _, sub_policies, operations = policies.types.shape
    is_type = np.eye(_TYPES)[policies.types]  # (n, s, o, types)
    p, m = policies.probabilities[..., None], policies.magnitudes[..., None]
    applied = p * is_type
    coverage = np.mean(1 - np.prod(1 - applied, axis=2), axis=1)
    strength = np.sum(applied * m, axis=(1, 2)) / (sub_policies * operations)
    groups = np.mean(1 - np.prod(1 - applied @ _MEMBERS.T, axis=2), axis=1)
    unchanged = np.mean(np.prod(1 - policies.probabilities, axis=2), axis=1)
    return {
        "coverage": np.sqrt(coverage),
        "strength": np.sqrt(strength[:, HAS_MAGNITUDE]),
        "groups": np.sqrt(groups),
        "unchanged": unchanged[:, None],
    }
