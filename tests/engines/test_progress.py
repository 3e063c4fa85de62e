"""The line that shows how far an experiment is."""

from __future__ import annotations

import io

import pytest

from tuun_da.engines.nni_experiment import Progress
from tuun_da.engines.progress import ProgressLine
from tuun_da.search.history import Journal, Trial, TrialState


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress(n_finished=0, n_failed=0, n_running=0, seconds=0.0, journal=None):
    return Progress(n_finished, n_failed, n_running, seconds, journal)


def journal_of(*trials, mode="maximize"):
    journal = Journal.open(None, space={}, settings={"optimize_mode": mode}, versions={})
    for number, (state, value) in enumerate(trials, 1):
        journal.record_finished(Trial(id=number, parameters={}, state=TrialState(state), value=value))
    return journal.content


def test_it_shows_finished_of_all_the_best_score_and_the_time_left():
    journal = journal_of(("succeeded", 0.25), ("succeeded", 0.75), ("stopped", 9.0), ("failed", None))
    text = ProgressLine(24, 2, io.StringIO()).text(progress(4, 1, 0, 120.0, journal))
    assert text == "  4/24 trials, 1 failed, best score 0.7500 (trial 2), 2:00 passed, about 10:00 left"


def test_random_points_in_place_of_the_surrogates_are_counted():
    journal = Journal.open(None, space={}, settings={}, versions={})
    journal.record_asked(1, {})
    assert "surrogate" not in ProgressLine(24, 2, io.StringIO()).text(progress(journal=journal.content))
    journal.record_asked(2, {}, fallback="LinAlgError: singular")
    text = ProgressLine(24, 2, io.StringIO()).text(progress(journal=journal.content))
    assert "1 at random because the surrogate failed" in text


def test_the_best_is_the_least_where_less_is_better():
    journal = journal_of(("succeeded", 0.25), ("succeeded", 0.75), mode="minimize")
    assert "best score 0.2500 (trial 1)" in ProgressLine(24, 2, io.StringIO()).text(progress(2, journal=journal))


@pytest.mark.parametrize("journal", [None, journal_of(), journal_of(("stopped", 1.0))])
def test_before_the_first_score_it_says_so(journal):
    text = ProgressLine(24, 2, io.StringIO()).text(progress(journal=journal))
    assert text == "  0/24 trials, no score yet, 0:00 passed"


@pytest.mark.parametrize(
    ("max_trials", "concurrency", "n_finished", "n_running", "seconds", "left"),
    [
        (24, 2, 0, 2, 60.0, None),  # nothing to go by yet
        (None, 2, 5, 2, 60.0, None),  # no end in sight
        (10, 1, 5, 0, 50.0, 50.0),
        (10, 1, 5, 1, 55.0, 45.0),  # a running trial is half done
        (10, 2, 4, 9, 50.0, 50.0),  # no more of them than run at a time
        (10, 1, 10, 0, 50.0, 0.0),
        (10, 1, 12, 0, 50.0, 0.0),
    ],
)
def test_time_left(max_trials, concurrency, n_finished, n_running, seconds, left):
    line = ProgressLine(max_trials, concurrency, io.StringIO())
    assert line.seconds_left(progress(n_finished, 0, n_running, seconds)) == left


def test_long_times_have_hours_and_no_end_has_a_question_mark():
    text = ProgressLine(None, 1, io.StringIO()).text(progress(1, seconds=3 * 3600 + 125.4))
    assert text.startswith("  1/? trials")
    assert text.endswith("3:02:05 passed")


def test_on_a_terminal_the_line_is_rewritten_and_covers_the_longer_one_before():
    stream = Terminal()
    line = ProgressLine(24, 2, stream)
    line.show(progress(1, 1, 0, 4000.0, journal_of(("succeeded", 0.5))))
    line.show(progress(2, seconds=1.0))
    line.show(progress(2, seconds=1.0))
    line.close()
    shown = stream.getvalue()
    assert shown.count("\r") == 2  # the third is no news
    assert shown.endswith("\n")
    assert shown.count("\n") == 1
    first, second = shown.strip("\n").split("\r")[1:]
    assert len(second) >= len(first.rstrip())


def test_elsewhere_a_line_comes_with_each_finished_trial():
    stream = io.StringIO()
    line = ProgressLine(24, 2, stream)
    for n_finished, seconds in [(0, 0.0), (0, 1.0), (1, 2.0), (1, 3.0), (3, 4.0)]:
        line.show(progress(n_finished, seconds=seconds))
    line.close()
    assert [text.split("/")[0].strip() for text in stream.getvalue().splitlines()] == ["0", "1", "3"]


def test_a_line_that_showed_nothing_ends_with_nothing():
    stream = Terminal()
    ProgressLine(24, 2, stream).close()
    assert stream.getvalue() == ""
