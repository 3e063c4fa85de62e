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
from tuun_da.search.policy_arrays import PolicyArrays, have_magnitude

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "geometric": (
            *("shearX", "shearY", "translateX", "translateY", "rotate"),
            *("perspective", "elastic"),
        ),
        "crop and flip": ("randomCrop", "randomHorizontalFlip", "verticalFlip"),
        "color": (
            *("color", "contrast", "sharpness", "brightness", "autocontrast", "equalize"),
            *("gamma", "addPerChannel", "hueSaturation", "grayscale", "channelPermutation"),
        ),
        "inverting": ("posterize", "solarize", "invert"),
        "blur": ("gaussianBlur", "sharpen", "emboss"),
        "noise": ("gaussianNoise", "dropout", "coarseSaltAndPepper"),
        "occlusion": ("coarseDropout", "cutout", "randomErasing"),
    }
)
"""Types that do much the same to an image: what is learned of one says something of the others."""


def policy_features(policies: PolicyArrays) -> dict[str, Floats]:
    """The blocks of features (n, k) of n policies, by name: of the types of their space, and the groups of these."""
    _, sub_policies, operations = policies.types.shape
    names = policies.type_names
    groups = [members for members in GROUPS.values() if not set(members).isdisjoint(names)]
    members = np.array([[name in group for name in names] for group in groups], dtype=np.float64)
    is_type = np.eye(len(names))[policies.types]  # (n, s, o, types)
    p, m = policies.probabilities[..., None], policies.magnitudes[..., None]
    applied = p * is_type
    coverage = np.mean(1 - np.prod(1 - applied, axis=2), axis=1)
    strength = np.sum(applied * m, axis=(1, 2)) / (sub_policies * operations)
    of_groups = np.mean(1 - np.prod(1 - applied @ members.T, axis=2), axis=1)
    unchanged = np.mean(np.prod(1 - policies.probabilities, axis=2), axis=1)
    return {
        "coverage": np.sqrt(coverage),
        "strength": np.sqrt(strength[:, have_magnitude(names)]),
        "groups": np.sqrt(of_groups),
        "unchanged": unchanged[:, None],
    }
