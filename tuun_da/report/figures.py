"""The three charts of a report: the search against random search, learning curves, the confirmation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from tuun_da.report.confirmation import ConfirmationReport
from tuun_da.report.html_parts import escaped
from tuun_da.report.report_data import Report
from tuun_da.report.svg_chart import Frame, both_widths, dots, line, steps, text
from tuun_da.report.trial_points import Point
from tuun_da.search.history import Trial, TrialState

N_CURVES = 5  # learning curves that are told apart
FAINT_CURVES = 60  # of the others, so many are shown behind them
ROW_HEIGHT = 58  # of the confirmation


def search_range(report: Report) -> tuple[float, float]:
    """The part of the scores that is drawn: outliers on the bad side must not flatten the rest."""
    values = [point.trial.value for point in report.points if point.succeeded and point.trial.value is not None]
    good = max(values) if report.maximize else min(values)
    bad = min(values) if report.maximize else max(values)
    middle = statistics.median(values)
    limit = good - 4.0 * (good - middle) if good != middle else bad
    bad = max(bad, limit) if report.maximize else min(bad, limit)
    return _padded(min(good, bad), max(good, bad), percent=report.percent)


def search_chart(report: Report) -> str:
    """Every trial's score, the best so far, and what random search is expected to have as its best."""
    y_range = search_range(report)
    n = len(report.points)

    def draw(width: int, height: int, is_wide: bool) -> str:
        frame = Frame(width, height, (0.0 if n > 1 else 0.5, n + 0.5), y_range)
        inside = [frame.axes(x_label="trials that have ended", y_text=_axis_text(report, y_range), x_text=_whole)]
        inside += _random_lines(report, frame)
        inside.append(_best_line(report, frame))
        radius = 4.0 if is_wide else 3.2
        for kind in ("random", "proposed", "elsewhere"):
            inside.append(dots(frame, _places(report, kind), kind, radius))
        for point in report.points:
            if point.trial.state is not TrialState.SUCCEEDED:
                x, y = frame.x(point.place), frame.height - frame.bottom
                name = f"trial {point.trial.id}: {point.trial.state.value}"
                inside.append(
                    f'<path class="ended" d="M{x - 3:.1f} {y - 9:.1f}l6 6m0 -6l-6 6"><title>{name}</title></path>'
                )
        for point in report.baselines:
            inside.append(_diamond(frame, point, report))
        x, y = frame.x(_place_of(report, report.recommended)), frame.y(report.recommended.value or 0.0)
        inside.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{radius + 4:g}"/>')
        return "".join(inside)

    described = (
        f"Scores of {len(report.succeeded)} trials in the order in which they ended. The best is "
        f"{report.score(report.best.value)} of trial {report.best.id}."
    )
    if report.expectation is not None:
        described += f" Random search expects {report.score(report.expectation.best[-1])} after as many."
    return both_widths(draw, described)


def curves_chart(report: Report) -> str:
    """Learning curves of the best trials, and behind them those of others; empty where no trial reported one."""
    shown = trials_with_curves(report)
    others = [trial for trial in report.ranked[::-1] if len(trial.curve) > 1 and trial not in shown][-FAINT_CURVES:]
    if not shown:
        return ""
    longest = max(len(trial.curve) for trial in (*shown, *others))
    numbers = [value for trial in (*shown, *others) for value in trial.curve if value is not None]
    low, high = min(numbers), max(numbers)
    if not report.percent:  # a loss may begin anywhere
        late = [v for trial in shown for v in trial.curve[len(trial.curve) // 5 :] if v is not None] or numbers
        reach = 2.0 * (max(late) - min(late))
        low, high = max(low, min(late) - reach), min(high, max(late) + reach)
    y_range = _padded(low, high, percent=report.percent)

    def draw(width: int, height: int, is_wide: bool) -> str:
        frame = Frame(width, height, (1.0, max(longest, 2)), y_range)
        inside = [frame.axes(x_label="epochs", y_text=_axis_text(report, y_range), x_text=_whole)]
        for start in _training_starts(report, longest):
            x = frame.x(start)
            inside.append(
                f'<line class="part" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{height - frame.bottom}"/>'
            )
        inside += [line(frame, _curve(trial), "curve faint") for trial in others]
        inside += [line(frame, _curve(trial), f"curve c{i}") for i, trial in reversed(list(enumerate(shown, 1)))]
        return "".join(inside)

    described = f"Score after each epoch of the {len(shown)} best trials, " + ", ".join(
        f"trial {trial.id} ending at {report.score(trial.value)}" for trial in shown
    )
    return both_widths(draw, described)


def trials_with_curves(report: Report) -> list[Trial]:
    """The best trials that reported a learning curve."""
    return [trial for trial in report.ranked if sum(v is not None for v in trial.curve) > 1][:N_CURVES]


def confirmation_chart(confirmation: ConfirmationReport) -> str:
    """A strip for each candidate: a dot for each seed, a bar at the mean."""
    numbers = [score for row in confirmation.rows for score in (*row.scores, row.mean)]
    x_range = _padded(min(numbers), max(numbers), percent=True)
    height = ROW_HEIGHT * len(confirmation.rows) + 44

    def draw(width: int, height: int, is_wide: bool) -> str:
        frame = Frame(width, height, x_range, (0.0, 1.0), left=12, top=0)
        digits = _digits(x_range)
        inside = [
            frame.axes(
                x_label=f"{confirmation.metric.replace('_', ' ')} on the test images",
                y_text=lambda value: "",
                x_text=lambda value: f"{100 * value:.{digits}f} %",
                whole_x=False,
            ).replace('class="grid"', 'class="none"')
        ]
        for number, row in enumerate(confirmation.rows):
            y = ROW_HEIGHT * number + 40
            kind = "found" if number == len(confirmation.rows) - 1 else "other"
            inside.append(text(12, y - 18, row.label, "start", "label"))
            inside.append(f'<line class="grid" x1="12" x2="{width - 12}" y1="{y}" y2="{y}"/>')
            inside += [
                f'<circle class="{kind}" cx="{frame.x(v):.1f}" cy="{y}" r="5"><title>{100 * v:.2f} %</title></circle>'
                for v in row.scores
            ]
            x = frame.x(row.mean)
            inside.append(f'<line class="mean" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 11}" y2="{y + 11}"/>')
        return "".join(inside)

    described = "Test scores: " + "; ".join(
        f"{row.label} {100 * row.mean:.2f} % on average" for row in confirmation.rows
    )
    return both_widths(draw, described, wide=(840, height), narrow=(360, height))


def _random_lines(report: Report, frame: Frame) -> list[str]:
    """The expectation at each trial, for as many complete trials as there were then; dashed beyond what was seen."""
    expectation = report.expectation
    if expectation is None:
        return []
    places: list[tuple[float, float]] = []
    complete, switch = 0, 0
    for point in report.points:
        complete += point.succeeded
        if complete:
            places.append((point.place, expectation.best[complete - 1]))
            if complete <= expectation.seen:
                switch = len(places)
    return [line(frame, places[:switch], "expected"), line(frame, places[switch - 1 :], "expected guess")]


def _best_line(report: Report, frame: Frame) -> str:
    found = [(float(point.place), point.best) for point in report.points if point.best is not None]
    return steps(frame, found, "best") if found else ""


def _places(report: Report, kind: str) -> list[tuple[float, float, str]]:
    return [
        (point.place, point.trial.value, f"trial {point.trial.id}: {report.score(point.trial.value)}")
        for point in report.points
        if point.kind == kind and point.succeeded and point.trial.value is not None
    ]


def _diamond(frame: Frame, point: Point, report: Report) -> str:
    x, y = frame.x(point.place), frame.y(point.trial.value or 0.0)
    title = f"{point.label}, trial {point.trial.id}: {report.score(point.trial.value)}"
    mark = f'<path class="baseline" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z"><title>{escaped(title)}</title></path>'
    return mark


def _place_of(report: Report, trial: Trial) -> int:
    return next(point.place for point in report.points if point.trial.id == trial.id)


def _training_starts(report: Report, longest: int) -> list[int]:
    """Where a further training of the same trial begins, in trials of several."""
    train = report.trial_settings.get("train")
    trial = report.trial_settings.get("trial")
    epochs = train.get("epochs") if isinstance(train, dict) else None
    repeats = trial.get("repeats") if isinstance(trial, dict) else None
    if not isinstance(epochs, int) or not isinstance(repeats, int) or repeats < 2 or epochs < 1:
        return []
    return list(range(epochs + 1, longest + 1, epochs))[:100]


def _curve(trial: Trial) -> list[tuple[float, float]]:
    return [(epoch, value) for epoch, value in enumerate(trial.curve, 1) if value is not None]


def _padded(low: float, high: float, *, percent: bool) -> tuple[float, float]:
    """A little room on both sides, within 0 to 1 for shares; never of no width."""
    room = 0.06 * (high - low) or (0.01 if percent else max(abs(high), 1.0) * 0.05)
    low, high = low - room, high + room
    return (max(low, -0.005), min(high, 1.005)) if percent else (low, high)


def _axis_text(report: Report, y_range: Sequence[float]) -> Callable[[float], str]:
    digits = _digits(y_range)
    return (lambda value: f"{100 * value:.{digits}f} %") if report.percent else (lambda value: f"{value:.4g}")


def _digits(y_range: Sequence[float]) -> int:
    """Digits of a percentage that tell ticks apart."""
    return 0 if y_range[1] - y_range[0] > 0.04 else 1 if y_range[1] - y_range[0] > 0.004 else 2


def _whole(value: float) -> str:
    return f"{value:.0f}"
