"""TuunTuner: NNI's callbacks turned into what a study understands. There is no algorithm in it.

What NNI 3.0 does to a tuner, and what is done about it here:

- An exception out of a callback ends the dispatcher while the experiment keeps the status RUNNING for ever. So no
  callback lets one out; a search space that cannot be used ends the experiment by NoMoreTrialError instead.
- Callbacks come on two threads: every one takes the lock.
- Trials get the parameters in order of arrival, not those bound to them. So every point carries an id, which the trial
  echoes with what it ran, and ``trial_end``, whose id may be another trial's, is only counted.
- A tuner whose manager was killed tries to reach it for some more seconds. A manager that resumes meanwhile on the same
  port takes it for its own, and what it tells it (space, results) is lost. So the tuner ends with its manager.
- On resume NNI replays pairs that may be wrong, and the results of interrupted trials come by ``import_data`` only. So
  the state is rebuilt from our own journal, and ``import_data`` is read by the echo.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec

import psutil
from nni import NoMoreTrialError
from nni.tuner import Tuner

from tuun_da.engines.echo import Echo, plain, read_metric, without_id
from tuun_da.engines.study import Study
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.policy_format import TRIAL_ID_KEY
from tuun_da.search.history import TrialState, is_finite_number

_logger = logging.getLogger(__name__)

JOURNAL_NAME = "journal.jsonl"
ERROR_NAME = "tuner_error.txt"

P = ParamSpec("P")


def _never_raises(callback: Callable[P, None]) -> Callable[P, None]:
    """A callback that logs what goes wrong in it: an exception would end NNI's dispatcher without a word."""

    @functools.wraps(callback)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            callback(*args, **kwargs)
        except Exception:
            _logger.exception("%s failed; the experiment goes on", callback.__name__)

    return guarded


class TuunTuner(Tuner):  # type: ignore[misc]  # nni has no types
    """Bayesian optimization as a custom tuner of NNI. Raises ConfigError for an argument that it cannot take.

    optimize_mode: "maximize" or "minimize"
    surrogate: "gp" (Gaussian process), "stan_gp" (the same, by NUTS), "forest" (random forest) or "random" (none)
    acquisition: "logei" (log expected improvement), "ucb", "pi" (probability of improvement) or "thompson" (sampling)
    beta: of ucb, how many standard deviations above the mean; 2 if not given
    n_initial: trials spread over the space before the surrogate proposes
    probe: a file that `tuun-da probe` wrote: what each operation does to a network trained without augmentation
    initial: policies to try first: "none", "etp", "autoaugment-cifar10", "autoaugment-svhn" or policy files
    warm_start: journals, or folders, of earlier experiments on the same or other data
    seed: a whole number makes the suggestions repeatable; None draws one, which the journal keeps
    """

    def __init__(
        self,
        optimize_mode: str = "maximize",
        surrogate: str = "gp",
        acquisition: str = "logei",
        beta: float | None = None,
        n_initial: int = 10,
        probe: str | None = None,
        initial: Sequence[str] = (),
        warm_start: Sequence[str] = (),
        seed: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        TunerSettings.refuse_unknown(unknown)
        self._settings = TunerSettings(
            optimize_mode=optimize_mode,
            surrogate=surrogate,
            acquisition=acquisition,
            beta=beta,
            n_initial=n_initial,
            probe=probe,
            initial=initial,
            warm_start=warm_start,
            seed=seed,
        )
        # NNI runs the tuner in its log folder, and has just put the configuration's codeDirectory behind sys.path; an
        # assessor's comes after it.
        self._folders = [Path(sys.path[-1]), Path()]
        self._lock = threading.RLock()
        self._study: Study | None = None  # NNI hands over the search space after the tuner is made
        self._alive: set[int] = set()  # NNI's numbers of the trials that have not ended
        self._warned_no_echo = False
        self._end_with_manager()

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Begin, go on after a resume, or change the space of a running experiment."""
        folder = os.environ.get("NNI_CHECKPOINT_DIRECTORY")
        with self._lock:
            try:
                if self._study is None:
                    journal = Path(folder, JOURNAL_NAME) if folder else None
                    self._study = Study.open(journal, search_space, self._settings, folders=self._folders)
                    if folder:
                        Path(folder, ERROR_NAME).unlink(missing_ok=True)
                else:
                    self._study.change_space(search_space)
            except Exception as error:
                if self._study is not None:
                    _logger.exception("the new search space is refused; the old one stays")
                    return
                # Raised here, it would leave the experiment RUNNING for ever; now it ends at the first request.
                _logger.exception("the experiment cannot begin")
                if folder:
                    with contextlib.suppress(OSError):
                        Path(folder, ERROR_NAME).write_text(f"{error}\n", encoding="utf-8")

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """The next point, with the id that its trial will echo. Raises NoMoreTrialError where there is no study."""
        with self._lock:
            if self._study is None:
                raise NoMoreTrialError("there is no search space that can be used; the log says why")
            try:
                trial_id, parameters = self._study.ask()
            except Exception as error:
                _logger.exception("no point can be handed out")
                raise NoMoreTrialError(str(error)) from None
            self._alive.add(parameter_id)
            return {**parameters, TRIAL_ID_KEY: trial_id}

    @_never_raises
    def receive_trial_result(self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any) -> None:
        """A trial's final metric; it is in the journal when this returns."""
        with self._lock:
            if self._study is not None:
                self._study.finish(self._read(parameters, value))

    @_never_raises
    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Some trial ended; ``parameter_id`` may be another one's."""
        with self._lock:
            # Once each, and not of those that a person added by hand: their points were never asked for here.
            if self._study is not None and parameter_id in self._alive:
                self._alive.remove(parameter_id)
                self._study.note_end()

    @_never_raises
    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Results replayed by a resume, results of the trials that the resume reran, and those of a user's import."""
        with self._lock:
            for entry in data:
                self._import(entry)

    @_never_raises
    def _import(self, entry: Mapping[str, Any]) -> None:
        if self._study is None:
            return
        echo = self._read(entry["parameter"], entry["value"])
        if echo.id is not None and not self._study.is_own(echo):
            echo = replace(echo, id=None)
        if echo.id is not None and self._study.has_ended(echo.id):
            return
        if echo.id is not None and echo.state is TrialState.STOPPED:
            # Stopped when the experiment was shut down, or the journal would have it: it runs again.
            self._study.hand_out_again(echo.id)
        else:
            self._study.finish(echo)

    def _end_with_manager(self) -> None:
        """End this process, between two callbacks, as soon as the manager that started it is gone."""
        managers = [process for process in psutil.Process().parents() if _is_manager(process)]

        def watch() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):
                managers[0].wait()
            with self._lock:
                os._exit(1)

        if managers:
            threading.Thread(target=watch, name="end with NNI's manager", daemon=True).start()

    def _read(self, parameters: Mapping[str, Any], metric: Any) -> Echo:
        """What a trial means by its final metric; of a bare number NNI's pairing has to do."""
        echo = read_metric(metric)
        if echo is not None:
            return echo
        if not self._warned_no_echo:
            self._warned_no_echo = True
            _logger.warning(
                "trials report no echo, so NNI's pairing of parameters and results is trusted, and NNI may swap them; "
                "report final_metric(parameters, value) of tuun_da.engines.echo"
            )
        value = metric.get("default") if isinstance(metric, Mapping) else metric
        finite = is_finite_number(value)
        trial_id = parameters.get(TRIAL_ID_KEY)
        return Echo(
            id=trial_id if isinstance(trial_id, int) and not isinstance(trial_id, bool) else None,
            parameters=plain(without_id(parameters)),
            value=float(value) if finite else None,  # type: ignore[arg-type]
            state=TrialState.SUCCEEDED if finite else TrialState.FAILED,
            error=None if finite else f"the trial reported {value!r}, which is not a finite number",
        )


def _is_manager(process: psutil.Process) -> bool:
    try:
        return any(part.endswith("nni_node/main.js") for part in process.cmdline())
    except psutil.Error:
        return False
