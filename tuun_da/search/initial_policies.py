"""Policies that are known to be good, as settings of a search space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tuun_da.errors import SearchSpaceError
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import parameters_from_sub_policies
from tuun_da.search.policy_space import PolicyLayout, find_policy
from tuun_da.search.space import SearchSpace

IDLE = Operation("randomHorizontalFlip", 1.0, 0.0)
"""What does nothing although it is always taken: at magnitude 0 no image is flipped."""


def settings_of_policy(space: SearchSpace, name: str, sub_policies: Sequence[SubPolicy]) -> list[dict[str, Any]]:
    """The policy of that name as settings of ``space``: one, or several where it has several times the sub-policies.

    AutoAugment's policies, five published policies joined, become those five again. Where the space has shorter
    policies, what is left over at the end is left out; where it has longer ones, sub-policies come again in turn.
    Parameters that are no part of the policy stand at the middle of their prior. Raises SearchSpaceError if ``space``
    has no policy, or if the policy cannot be written in it.
    """
    layout = find_policy(space)
    if layout is None:
        raise SearchSpaceError(f"initial policy {name} needs a search space with a policy in it")
    middle = space.middle()
    found = []
    for chosen in _portions(sub_policies, layout.sub_policies):
        fitted = [_fitted(sub_policy, layout, name) for sub_policy in chosen]
        params = parameters_from_sub_policies(tuple(fitted))
        if not layout.has_prob:
            params = {key: value for key, value in params.items() if not key.startswith("prob")}
        params |= {other: middle[other] for other in layout.others}
        try:
            space.validate(params)
        except SearchSpaceError as error:
            raise SearchSpaceError(f"initial policy {name} is none of this search space: {error}") from None
        found.append(params)
    return found


def _portions(sub_policies: Sequence[SubPolicy], size: int) -> Iterator[list[SubPolicy]]:
    """Portions of ``size`` sub-policies; the only one is filled up from its beginning."""
    if len(sub_policies) < size:
        yield [sub_policies[i % len(sub_policies)] for i in range(size)]
        return
    for start in range(0, len(sub_policies) - size + 1, size):
        yield list(sub_policies[start : start + size])


def _fitted(sub_policy: SubPolicy, layout: PolicyLayout, name: str) -> SubPolicy:
    """The sub-policy with as many operations as the space has, filled up with ones that do nothing."""
    wanted, operations = layout.operations_per_sub_policy, sub_policy.operations
    if len(operations) > wanted or (len(operations) < wanted and not layout.has_prob):
        raise SearchSpaceError(
            f"initial policy {name} has sub-policies of {len(operations)} operations, and those of the search space "
            f"have {wanted}"
        )
    if not layout.has_prob:
        operations = tuple(operation if operation.probability > 0 else IDLE for operation in operations)
    if not layout.has_prob and any(operation.probability < 1 for operation in operations):
        raise SearchSpaceError(
            f"initial policy {name} has probabilities below 1, which the search space, without prob, cannot express"
        )
    idle = Operation(operations[0].type, 0.0, 0.0)
    return SubPolicy((*operations, *[idle] * (wanted - len(operations))))
