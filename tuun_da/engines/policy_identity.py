"""When two policies are the same one, however they are written."""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

from tuun_da.operations import OPERATION_TYPES, SubPolicy
from tuun_da.policy_format import PolicyRecord

DECIMALS = 9

PolicyKey: TypeAlias = tuple[tuple[tuple[str, float, float], ...], ...]


def policy_key(sub_policies: tuple[SubPolicy, ...]) -> PolicyKey:
    """Equal for policies that do the same to the images.

    The order of the sub-policies means nothing, nor does an operation that never happens or changes nothing, nor the
    magnitude of a type that has none. The order within a sub-policy does.
    """
    return tuple(
        sorted(
            tuple(
                (
                    operation.type,
                    round(operation.probability, DECIMALS),
                    round(operation.magnitude, DECIMALS) if OPERATION_TYPES[operation.type].has_magnitude else 0.0,
                )
                for operation in sub_policy.operations
                if operation.probability > 0.0
                and not OPERATION_TYPES[operation.type].does_nothing_at(round(operation.magnitude, DECIMALS))
            )
            for sub_policy in sub_policies
        )
    )


def policy_digest(record: PolicyRecord) -> str:
    """32 hexadecimal digits, equal for the same policy applied in the same way."""
    content = [policy_key(record.sub_policies), record.per, record.unchanged_share]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()
