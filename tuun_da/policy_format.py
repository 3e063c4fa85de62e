"""A policy as data: NNI's flat parameters, and the policy file. Needs no torch, so that any engine can write one.

Flat parameters are ``operation{i}_{j}``, ``prob{i}_{j}`` and ``magnitude{i}_{j}``: sub-policy i, operation j, both
from 1. Without any ``prob`` every probability is 1 (the 20-dimensional space of DeepAugment).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tuun_da.data_files import object_text, parse_object, read_text, shown, write_text
from tuun_da.errors import PolicyError
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy, is_real

POLICY_VERSION = 1
MAX_SUB_POLICIES = 1_000  # published policies have 25; the names of flat parameters end at 9,999
MAX_OPERATIONS = 100  # of one sub-policy
TRIAL_ID_KEY = "tuun_id"
"""The one name besides the search space's in a trial's parameters: the id that the tuner adds to them."""
WAYS_OF_APPLYING = ("batch", "image")
PARAMETER_NAME = re.compile(r"(operation|prob|magnitude)([1-9][0-9]{0,3})_([1-9][0-9]{0,3})")


def is_policy_parameter(name: str) -> bool:
    """Whether ``name`` is one of ``operation{i}_{j}``, ``prob{i}_{j}``, ``magnitude{i}_{j}``."""
    return PARAMETER_NAME.fullmatch(name) is not None


def split_parameters(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters that describe the policy, and all others (learning rate, ...)."""
    policy = {name: value for name, value in parameters.items() if is_policy_parameter(name)}
    others = {name: value for name, value in parameters.items() if name not in policy}
    return policy, others


def sub_policies_from_parameters(parameters: Mapping[str, Any]) -> tuple[SubPolicy, ...]:
    """The sub-policies that flat parameters describe. Raises PolicyError for a missing, extra or invalid one.

    The trial's id, which the tuner adds (``TRIAL_ID_KEY``), is passed over.
    """
    parameters = {name: value for name, value in parameters.items() if name != TRIAL_ID_KEY}
    extra = sorted(str(name) for name in parameters if not is_policy_parameter(str(name)))
    if extra:
        raise PolicyError(
            "policy parameters must be named operation{i}_{j}, prob{i}_{j} or magnitude{i}_{j}; "
            f"got {', '.join(map(shown, extra))}. split_parameters of tuun_da.policy_format separates them from "
            "others, such as a learning rate"
        )
    places = policy_places(parameters)
    has_prob = any(name.startswith("prob") for name in parameters)
    sub_policies = []
    for operations in places:
        made = []
        for i, j in operations:
            kinds = ("operation", "prob", "magnitude") if has_prob else ("operation", "magnitude")
            for kind in kinds:
                if f"{kind}{i}_{j}" not in parameters:
                    raise PolicyError(f"policy parameter {kind}{i}_{j} is missing")
            try:
                made.append(
                    Operation(
                        parameters[f"operation{i}_{j}"],
                        parameters[f"prob{i}_{j}"] if has_prob else 1.0,
                        parameters[f"magnitude{i}_{j}"],
                    )
                )
            except PolicyError as error:
                raise PolicyError(f"operation {j} of sub-policy {i}: {error}") from None
        sub_policies.append(SubPolicy(tuple(made)))
    return tuple(sub_policies)


def policy_places(names: Mapping[str, Any]) -> list[list[tuple[int, int]]]:
    """The (i, j) of every operation, a list for each sub-policy; numbers must run from 1 without a gap."""
    found: dict[int, set[int]] = {}
    for name in names:
        match = PARAMETER_NAME.fullmatch(name)
        if match:
            found.setdefault(int(match[2]), set()).add(int(match[3]))
    if not found:
        raise PolicyError("a policy needs parameters operation1_1, prob1_1, magnitude1_1, ...; got none of them")
    for i in range(1, max(found) + 1):
        if i not in found:
            raise PolicyError(f"policy parameter operation{i}_1 is missing: sub-policies are numbered from 1 on")
        for j in range(1, max(found[i]) + 1):
            if j not in found[i]:
                raise PolicyError(f"policy parameter operation{i}_{j} is missing: operations are numbered from 1 on")
    return [[(i, j) for j in sorted(found[i])] for i in sorted(found)]


def parameters_from_sub_policies(sub_policies: tuple[SubPolicy, ...]) -> dict[str, Any]:
    """The 3 * (number of operations) flat parameters of a policy."""
    parameters: dict[str, Any] = {}
    for i, sub_policy in enumerate(sub_policies, 1):
        for j, operation in enumerate(sub_policy.operations, 1):
            parameters[f"operation{i}_{j}"] = operation.type
            parameters[f"prob{i}_{j}"] = operation.probability
            parameters[f"magnitude{i}_{j}"] = operation.magnitude
    return parameters


@dataclass(frozen=True)
class PolicyRecord:
    """What a policy file holds. Raises PolicyError.

    ``per`` is "batch" (one sub-policy drawn for the mini-batch) or "image"; ``unchanged_share`` in [0, 1] is the share
    of images left as they are; ``searched`` says where the policy came from (data set, image size, score, ...).
    """

    sub_policies: tuple[SubPolicy, ...]
    per: str = "batch"
    unchanged_share: float = 0.0
    searched: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.sub_policies, tuple):
            object.__setattr__(self, "sub_policies", tuple(self.sub_policies))
        if not self.sub_policies:
            raise PolicyError("a policy must have at least one sub-policy, got none")
        for sub_policy in self.sub_policies:
            if not isinstance(sub_policy, SubPolicy):
                raise PolicyError(f"a policy must hold SubPolicies, got {sub_policy!r}")
        if len(self.sub_policies) > MAX_SUB_POLICIES:
            raise PolicyError(
                f"a policy must have at most {MAX_SUB_POLICIES} sub-policies, got {len(self.sub_policies)}"
            )
        for i, sub_policy in enumerate(self.sub_policies, 1):
            length = len(sub_policy.operations)
            if length > MAX_OPERATIONS:
                raise PolicyError(f"sub-policy {i}: it must have at most {MAX_OPERATIONS} operations, got {length}")
        if self.per not in WAYS_OF_APPLYING:
            raise PolicyError(f"per must be 'batch' or 'image', got {shown(self.per)}")
        share = self.unchanged_share
        if not is_real(share) or not 0.0 <= share <= 1.0:
            raise PolicyError(f"unchanged_share must lie in [0, 1], got {shown(share)}")
        object.__setattr__(self, "unchanged_share", float(share))
        if not isinstance(self.searched, Mapping):
            raise PolicyError(f"searched must be a mapping, got {shown(self.searched)}")

    @property
    def on_top_of_etp(self) -> bool:
        """Whether the trials that found it did crop + flip first, as far as ``searched`` tells."""
        settings = self.searched.get("settings")
        return isinstance(settings, Mapping) and settings.get("policy") == "etp+search"

    def to_json(self) -> str:
        """The content of a policy file."""
        content = {
            "version": POLICY_VERSION,
            "sub_policies": [
                [[operation.type, operation.probability, operation.magnitude] for operation in sub_policy.operations]
                for sub_policy in self.sub_policies
            ],
            "per": self.per,
            "unchanged_share": self.unchanged_share,
            "searched": dict(self.searched),
        }
        return object_text(content, "searched", "policy", PolicyError)

    @classmethod
    def from_json(cls, text: str, source: str = "policy") -> PolicyRecord:
        """The policy that ``text`` describes; ``source`` names it in errors."""
        content = parse_object(
            text,
            source,
            version=POLICY_VERSION,
            keys=("sub_policies", "per", "unchanged_share", "searched"),
            error_type=PolicyError,
        )
        if "sub_policies" not in content:
            raise PolicyError(f"{source}: key sub_policies is missing")
        try:
            return cls(
                _sub_policies_from_lists(content["sub_policies"]),
                content.get("per", "batch"),
                content.get("unchanged_share", 0.0),
                content.get("searched", {}),
            )
        except PolicyError as error:
            raise PolicyError(f"{source}: {error}") from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PolicyRecord:
        """The policy in the file at ``path``. Raises PolicyError, also when there is no such file."""
        text = read_text(path, "policy file", PolicyError)
        return cls.from_json(text, source=f"policy file {path}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy file; a crash leaves the old file or the new one, never half of one. Raises PolicyError."""
        try:
            text = self.to_json()
        except PolicyError as error:
            raise PolicyError(f"policy file {path} cannot be written: {error}") from None
        write_text(path, text, "policy file", PolicyError)


def _sub_policies_from_lists(lists: Any) -> tuple[SubPolicy, ...]:
    if not isinstance(lists, list):
        raise PolicyError(f"sub_policies must be a list, got {type(lists).__name__}")
    if len(lists) > MAX_SUB_POLICIES:  # before any is made
        raise PolicyError(f"a policy must have at most {MAX_SUB_POLICIES} sub-policies, got {len(lists)}")
    sub_policies = []
    for i, operations in enumerate(lists, 1):
        if not isinstance(operations, list):
            raise PolicyError(f"sub-policy {i} must be a list of operations, got {shown(operations)}")
        if len(operations) > MAX_OPERATIONS:
            raise PolicyError(
                f"sub-policy {i}: it must have at most {MAX_OPERATIONS} operations, got {len(operations)}"
            )
        made = []
        for j, triple in enumerate(operations, 1):
            if not isinstance(triple, list) or len(triple) != 3:
                raise PolicyError(
                    f"operation {j} of sub-policy {i} must be [type, probability, magnitude], got {shown(triple)}"
                )
            try:
                made.append(Operation(*triple))
            except PolicyError as error:
                raise PolicyError(f"operation {j} of sub-policy {i}: {error}") from None
        try:
            sub_policies.append(SubPolicy(tuple(made)))
        except PolicyError as error:
            raise PolicyError(f"sub-policy {i}: {error}") from None
    return tuple(sub_policies)


def describe(sub_policies: tuple[SubPolicy, ...]) -> str:
    """The policy as a table for people: one line an operation, the setting in its own unit."""
    lines = [f"{'sub-policy':>10}  {'operation':<21}{'probability':>11}  {'magnitude':>9}  setting"]
    for i, sub_policy in enumerate(sub_policies, 1):
        for j, operation in enumerate(sub_policy.operations):
            row = OPERATION_TYPES[operation.type]
            sign = "+-" if row.signed else ""
            setting = f"{sign}{operation.value:.3g} {row.unit}" if row.has_magnitude else "-"
            number = str(i) if j == 0 else ""
            magnitude = f"{operation.magnitude:.2f}" if row.has_magnitude else "-"
            lines.append(f"{number:>10}  {operation.type:<21}{operation.probability:>11.2f}  {magnitude:>9}  {setting}")
    return "\n".join(lines)
