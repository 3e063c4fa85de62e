"""Numbers, times and policies in the words of a report."""

from __future__ import annotations

from tuun_da.operations import OPERATION_TYPES, SubPolicy

SELDOM = 0.01


def signed(value: float, digits: int) -> str:
    """With a sign of its own width, and without a sign where nothing is left of it."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0.0:
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def signed_significant(value: float) -> str:
    """With three digits that say something."""
    return "0" if value == 0 else f"{'+' if value > 0 else '−'}{abs(value):.3g}"


def duration(seconds: float | None) -> str:
    """A time for people."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def setting_text(type_name: str, magnitude: float) -> str:
    """The setting of an operation in its own unit; a dash where the type has none."""
    row = OPERATION_TYPES[type_name]
    if not row.has_magnitude:
        return "–"
    return f"{'±' if row.signed else ''}{row.value(magnitude):.3g} {row.unit}"


def short_policy(sub_policies: tuple[SubPolicy, ...]) -> str:
    """The policy in one line: types with probability and magnitude."""
    return "; ".join(
        " + ".join(f"{o.type} {o.probability:.2f}/{o.magnitude:.2f}" for o in sub_policy.operations)
        for sub_policy in sub_policies
    )


def does_nothing(sub_policies: tuple[SubPolicy, ...]) -> bool:
    """Whether no operation happens in a hundredth of the cases, by its probability and a chance of its own."""
    for sub_policy in sub_policies:
        for operation in sub_policy.operations:
            row = OPERATION_TYPES[operation.type]
            own = row.value(operation.magnitude) if row.unit == "chance" else 1.0
            if operation.probability * own >= SELDOM:
                return False
    return True
