"""NNI as a tuner sees it, without its processes: what it hands over, to whom, and what it says of it.

As in NNI 3.0, the points wait in one queue, first in, first out, and a trial takes the first of them when it asks,
which need not be the one that NNI has bound to it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from tuun_da.engines.echo import final_metric
from tuun_da.engines.nni_tuner import JOURNAL_NAME, TuunTuner
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import JournalContent, read_journal

UNIT = {"_type": "uniform", "_value": [0, 1]}
SPACE: dict[str, Any] = {
    "operation1_1": {"_type": "choice", "_value": ["rotate", "invert", "shearX"]},
    "prob1_1": UNIT,
    "magnitude1_1": UNIT,
}


def score_of(parameters: dict[str, Any]) -> float:
    """Different for different parameters."""
    return round(
        ["rotate", "invert", "shearX"].index(parameters["operation1_1"])
        + parameters["prob1_1"]
        + parameters["magnitude1_1"] / 7,
        12,
    )


@dataclass
class Job:
    """A trial's process: what NNI has bound to it, and what it took from the queue (None until it has asked)."""

    number: int
    bound: dict[str, Any]
    taken: dict[str, Any] | None = None


class SimulatedNni:
    """The manager and the dispatcher of one experiment, until it is interrupted. ``tuner`` is the real one."""

    def __init__(self, folder, space=SPACE, **arguments: Any) -> None:
        self.folder = folder
        self.tuner = TuunTuner(**({"seed": 0, "surrogate": "random"} | arguments))
        self.tuner.update_search_space(space)
        self.queue: deque[dict[str, Any]] = deque()
        self.n_started = 0

    def start(self) -> Job:
        """Ask the tuner for a point and start a process, which has not asked yet."""
        number = self.n_started
        self.n_started += 1
        point = self.tuner.generate_parameters(number)
        self.queue.append(point)
        return Job(number, point)

    def take(self, job: Job) -> dict[str, Any]:
        """The process asks for its parameters."""
        job.taken = self.queue.popleft()
        return job.taken

    def report(self, job: Job, metric: Any) -> None:
        """The process reports a final result; NNI tells it with the parameters that it has bound."""
        self.tuner.receive_trial_result(job.number, job.bound, metric, trial_job_id="abc")

    def end(self, job: Job, success: bool = True) -> None:
        """The process has ended."""
        self.tuner.trial_end(job.number, success)

    def run(self) -> Job:
        """One trial from start to end."""
        job = self.start()
        self.take(job)
        self.report(job, echo_of(job.taken))
        self.end(job)
        return job

    def interrupt(self) -> None:
        """The manager is killed, and the tuner with it."""
        if self.tuner._study is not None:
            self.tuner._study.journal.close()

    @property
    def journal(self) -> JournalContent:
        """The journal as another process reads it."""
        return read_journal(self.folder / JOURNAL_NAME)

    @property
    def pairs(self) -> dict[int, tuple[dict[str, Any], float | None]]:
        """Parameters and value of each trial that ended, by id."""
        return {trial.id: (dict(trial.parameters), trial.value) for trial in self.journal.trials}


def echo_of(point: dict[str, Any], value: float | None = None, **more: Any) -> dict[str, Any]:
    """The final metric of a trial that ran ``point``; its value is the point's score unless another is given."""
    parameters = {name: entry for name, entry in point.items() if name != TRIAL_ID_KEY}
    return final_metric(point, score_of(parameters) if value is None else value, **more)


def without_id(point: dict[str, Any]) -> dict[str, Any]:
    """The point as the journal has it."""
    return {name: value for name, value in point.items() if name != TRIAL_ID_KEY}
