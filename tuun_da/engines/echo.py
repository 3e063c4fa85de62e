"""What a trial says at its end, so that the tuner knows for certain which trial it was and what it ran.

NNI hands a trial the first parameters in a queue, not those bound to it, and shows and replays the wrong pairs
(microsoft/nni#5726). So the tuner puts an id of its own into the parameters, and the trial sends it back, together with
the parameters that it ran, in its final metric:

    parameters = nni.get_next_parameter()
    ...
    nni.report_final_result(final_metric(parameters, score, curve=curve))
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import TrialState, is_finite_number

ECHO_KEY = "tuun_da"
MAX_DEPTH = 50  # of what a trial says; the journal could not hold it without end


@dataclass(frozen=True)
class Echo:
    """A trial's final metric, read. ``id`` is None where the trial was told none, ``value`` where it has none."""

    id: int | None
    parameters: Mapping[str, Any]
    value: float | None
    state: TrialState
    curve: tuple[float | None, ...] = ()
    seed: int | None = None
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def without_id(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without the id that the tuner put among them."""
    return {name: value for name, value in parameters.items() if name != TRIAL_ID_KEY}


def final_metric(
    parameters: Mapping[str, Any],
    value: float | None,
    *,
    curve: Sequence[float] = (),
    state: str = "succeeded",
    seed: int | None = None,
    started: float | None = None,
    ended: float | None = None,
    error: str | None = None,
    **details: Any,
) -> dict[str, Any]:
    """What to hand to ``nni.report_final_result``.

    ``parameters`` as ``nni.get_next_parameter`` gave them, the id included; ``value`` is what the experiment optimizes;
    ``state`` is "succeeded", "stopped" (before its planned end) or "failed" (``error`` says why); times in seconds
    since 1970; ``details`` is kept in the journal as it is (``stopped_at_epoch``, ``planned_epochs``, ...).
    """
    echo: dict[str, Any] = {
        "id": parameters.get(TRIAL_ID_KEY),
        "parameters": without_id(parameters),
        "state": TrialState(state).value,
        "curve": [float(v) if is_finite_number(v) else None for v in curve],
        "seed": seed,
        "started": started,
        "ended": ended,
        "error": error,
        "details": details,
    }
    # The web page plots "default"; a trial without a score shows as a gap there.
    return {"default": math.nan if value is None else float(value), ECHO_KEY: echo}


def read_metric(metric: Any) -> Echo | None:
    """The echo in a final metric; None where the trial sent none, or one that makes no sense."""
    echo = metric.get(ECHO_KEY) if isinstance(metric, Mapping) else None
    if not isinstance(echo, Mapping) or not isinstance(echo.get("parameters"), Mapping):
        return None
    try:
        state = TrialState(echo.get("state"))
    except ValueError:
        return None
    trial_id = echo.get("id")
    value = metric.get("default")
    curve = echo.get("curve")
    details = echo.get("details")
    return Echo(
        id=trial_id if isinstance(trial_id, int) and not isinstance(trial_id, bool) else None,
        parameters=plain(without_id(echo["parameters"])),
        value=float(value) if value is not None and is_finite_number(value) else None,
        state=state,
        curve=tuple(curve) if isinstance(curve, Sequence) and not isinstance(curve, str) else (),
        seed=echo.get("seed") if isinstance(echo.get("seed"), int) else None,
        started=echo.get("started") if is_finite_number(echo.get("started")) else None,
        ended=echo.get("ended") if is_finite_number(echo.get("ended")) else None,
        error=None if echo.get("error") is None else str(echo["error"]),
        details=plain(details) if isinstance(details, Mapping) else {},
    )


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON can hold it: null for NaN and infinity, text for what is none of its types or is too deep."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float):
        return value if is_finite_number(value) else None
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): plain(entry, depth + 1) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [plain(entry, depth + 1) for entry in value]
    return repr(value)
