"""A study: the optimizer and the journal of one experiment, kept in step.

It knows nothing of NNI; what an engine hears from its trials, in whatever order and however often, comes here as an
echo (``echo.py``). Not thread-safe: the engine locks.
"""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuun_da import __version__
from tuun_da.engines.echo import Echo
from tuun_da.engines.known import KNOWN, check_known, read_known
from tuun_da.engines.replay import optimizer_from_journal, tell_trial
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import JournalError, SearchSpaceError
from tuun_da.search.history import Event, Journal, Trial, TrialState, has_begun
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace
from tuun_da.search.surrogate import prepare_surrogate

_logger = logging.getLogger(__name__)

BASELINE_KEY = "baseline"
"""In the details of a trial: the name of what costs no search, where the trial was one of that."""
NO_RESULT = "the trial ended without a final result; its stderr may say why"


class Study:
    """Made by ``open``. A finished trial is on disk when ``finish`` returns."""

    def __init__(self, space: SearchSpace, journal: Journal) -> None:
        self._space = space
        self._journal = journal
        self._optimizer = optimizer_from_journal(journal.content, space)
        self._restored = set(journal.content.running)  # running when the experiment was interrupted
        self._again: list[int] = []  # stopped by a shutdown: to be handed out once more
        self._unwritten_asked: list[Event] = []  # handed out, but the disk refused the record
        self._unwritten: list[Trial] = []  # ended, but the disk refused the record
        # Counted as failed, since no result came.
        self._written_off = {trial.id for trial in journal.content.trials if trial.error == NO_RESULT}
        self._last_id = 0
        self._handed_out: dict[int, int] = {}  # place in the order of handing out, since this process began
        self._n_asked = 0  # since this process began, as is the next
        self._n_ended = 0

    @classmethod
    def open(
        cls,
        path: Path | None,
        search_space: Mapping[str, Any],
        settings: TunerSettings,
        *,
        folders: Sequence[Path] = (Path(),),
    ) -> Study:
        """Begin a study whose journal is at ``path`` (None: in memory), or go on with the one that is there.

        Raises SearchSpaceError for a space that cannot be used (also where sub-policies do not line up), JournalError
        for a journal that is not this experiment's, ConfigError for a file of the settings that cannot be used or would
        have no effect, TuunDaError where the surrogate cannot be compiled.
        Relative names of those files are looked for in ``folders``; when the study goes on, the journal has what was in
        them. Of a seed that is None the journal keeps what was drawn.
        """
        space = SearchSpace.from_nni(search_space)
        find_policy(space)
        wanted = settings.to_dict()
        drawn = {**wanted, "seed": secrets.randbits(32)} if settings.seed is None else wanted
        if path is None or not has_begun(path):
            known = read_known(settings.probe, settings.initial, settings.warm_start, folders=folders)
            check_known(known, space)  # before anything is written
            drawn = {**drawn, KNOWN: known} if known else drawn
        prepare_surrogate(settings.surrogate)  # now, since later a failure would make every point a random one
        journal = Journal.open(path, space=search_space, settings=drawn, versions=_versions())
        begun = {**TunerSettings().to_dict(), **journal.content.settings}  # an older version may have had fewer
        for name, value in wanted.items():
            if value != begun[name] and not (name == "seed" and value is None):
                journal.close()
                raise JournalError(
                    f"journal {path} was begun with {name} = {begun[name]!r}, and {name} is {value!r} now; "
                    "an experiment keeps its settings"
                )
        try:
            study = cls(space, journal)
        except Exception:
            journal.close()
            raise
        if journal.content.events:
            _logger.info("%d trials are in the journal, %d running", len(journal.content.trials), len(study._restored))
        return study

    @property
    def journal(self) -> Journal:
        """The study's journal."""
        return self._journal

    def change_space(self, search_space: Mapping[str, Any]) -> None:
        """Go on in another space; trials that do not fit it are kept but no longer learned from."""
        space = SearchSpace.from_nni(search_space)
        find_policy(space)
        if space == self._space:
            return
        optimizer = optimizer_from_journal(self._journal.content, space)
        self._journal.record_space(search_space)
        for trial in self._unwritten:
            tell_trial(optimizer, trial, maximize=self._journal.content.maximize)
        self._optimizer, self._space = optimizer, space

    def ask(self) -> tuple[int, dict[str, Any]]:
        """The id and the parameters of the next trial."""
        self._n_asked += 1
        running = self._optimizer.running
        while self._again:
            trial_id = self._again.pop(0)
            if trial_id in running:  # else its result came after all
                self._restored.discard(trial_id)  # from now on NNI tells of its end
                self._handed_out[trial_id] = self._n_asked
                return trial_id, dict(running[trial_id])
        trial_id = self._new_id()
        self._handed_out[trial_id] = self._n_asked
        fallback = None
        try:
            parameters = dict(self._optimizer.ask(trial_id))
        except Exception as error:
            _logger.exception("no suggestion for trial %d, which gets a random point", trial_id)
            fallback = f"{type(error).__name__}: {error}"
            generator = np.random.default_rng([self._journal.content.settings["seed"], trial_id])
            [parameters] = self._space.sample(1, generator)
            self._optimizer.restore_running(trial_id, parameters)
            self._optimizer.restore(asked=self._optimizer.asked + 1)  # it counts, as it does in the journal
        self._unwritten_asked.append(Event(trial_id, parameters, None, time.time(), fallback))
        try:
            self.write_rest()
        except JournalError as error:
            _logger.error("trial %d is handed out all the same: %s", trial_id, error)
        return trial_id, parameters

    @property
    def unwritten(self) -> tuple[Trial, ...]:
        """Trials that ended and whose record the disk has refused so far."""
        return tuple(self._unwritten)

    def write_rest(self) -> None:
        """Write what the disk refused before, in order. Raises JournalError where it still does."""
        while self._unwritten_asked:
            event = self._unwritten_asked[0]
            self._journal.record_asked(event.id, event.parameters, asked_at=event.time, fallback=event.fallback)
            self._unwritten_asked.pop(0)
        while self._unwritten:
            self._journal.record_finished(self._unwritten[0])
            self._unwritten.pop(0)

    def finish(self, echo: Echo) -> None:
        """A trial said how it ended; without an id it is a result from elsewhere."""
        if echo.id is None:
            self._add(echo)
            return
        if self.has_ended(echo.id):
            _logger.warning("trial %d reported more than one final result; the first counts", echo.id)
            return
        state, error = echo.state, echo.error
        if state is TrialState.SUCCEEDED and echo.value is None:
            state, error = TrialState.FAILED, "the trial reported a score that is not a finite number"
        self._written_off.discard(echo.id)
        self._keep(
            Trial(
                id=echo.id,
                parameters=echo.parameters,
                state=state,
                value=echo.value,
                curve=echo.curve,
                seed=echo.seed,
                started=echo.started,
                ended=echo.ended or time.time(),
                error=error,
                details=echo.details,
            )
        )
        self._write_off_lost()

    def add_baseline(self, name: str, echo: Echo) -> None:
        """A trial of the baseline ``name`` that ended before the study began, as a finished trial of the study.

        The journal tells it by that name, so that the same call again, after a crash between two of them, adds nothing.
        Parameters that the space cannot express (TrivialAugment has none) are kept, but nothing is learned from them.
        """
        known = [*self._journal.content.trials, *self._unwritten]
        if any(trial.details.get(BASELINE_KEY) == name for trial in known):
            return
        self._keep(
            Trial(
                id=self._new_id(),
                parameters=echo.parameters,
                state=echo.state,
                value=echo.value,
                curve=echo.curve,
                seed=echo.seed,
                started=echo.started,
                ended=echo.ended or time.time(),
                error=echo.error,
                details={**echo.details, BASELINE_KEY: name},
            )
        )

    def hand_out_again(self, trial_id: int) -> None:
        """The trial was stopped by a shutdown: the next ``ask`` gives it out once more."""
        if trial_id in self._restored and trial_id not in self._again:
            self._again.append(trial_id)

    def note_end(self) -> None:
        """Some trial's process ended, and it is not certain whose."""
        self._n_ended += 1
        self._write_off_lost()

    def is_own(self, echo: Echo) -> bool:
        """Whether the echo is that of a trial of this study: another experiment counts its trials from 1, too."""
        content = self._journal.content
        known = [e.parameters for e in (*content.events, *self._unwritten_asked) if e.id == echo.id]
        known += [trial.parameters for trial in self._unwritten if trial.id == echo.id]
        return any(dict(parameters) == dict(echo.parameters) for parameters in known)

    def has_ended(self, trial_id: int) -> bool:
        """Whether a result of the trial came (being written off is none)."""
        return trial_id in self._ended_ids()

    def _ended_ids(self) -> set[int]:
        recorded = {trial.id for trial in self._journal.content.trials} - self._written_off
        return recorded | {trial.id for trial in self._unwritten}

    def _running_ids(self) -> set[int]:
        return {trial_id for trial_id in self._optimizer.running if isinstance(trial_id, int)}

    def _new_id(self) -> int:
        """An id that nothing has used, not even a record that the disk refused."""
        self._last_id = max(self._journal.content.next_id, self._last_id + 1)
        return self._last_id

    def _add(self, echo: Echo) -> None:
        """A result from elsewhere; NNI replays those on a resume, so one that is known is passed over."""
        known = {(_key(t.parameters), t.value) for t in self._journal.content.trials if t.imported}
        if echo.value is None or echo.state is not TrialState.SUCCEEDED or (_key(echo.parameters), echo.value) in known:
            return
        try:
            self._space.validate(echo.parameters)
        except SearchSpaceError as error:
            _logger.warning("an imported result does not fit the search space and is passed over: %s", error)
            return
        self._keep(
            Trial(
                id=self._new_id(),
                parameters=echo.parameters,
                state=TrialState.SUCCEEDED,
                value=echo.value,
                ended=time.time(),
                imported=True,
            )
        )

    def _keep(self, trial: Trial) -> None:
        """On disk first; what the disk refuses is kept, and tried again before every later record."""
        self._unwritten.append(trial)
        try:
            self.write_rest()
        except JournalError as error:
            _logger.error("%d finished trials are not on disk yet: %s", len(self._unwritten), error)
        if not tell_trial(self._optimizer, trial, maximize=self._journal.content.maximize):
            _logger.info("trial %d has no score to learn from: %s %s", trial.id, trial.state.value, trial.error or "")

    def _write_off_lost(self) -> None:
        """Count trials as failed that died without a word (killed, out of memory).

        Of these ``trial_end`` is all that comes, and it may name another one's id. But NNI hands points out first in,
        first out, so that a point asked before one that came back has been taken; and when no trial is alive any more,
        who took it is dead. A point behind all that came back may still wait for the next trial: it stays running.
        Should a result of the trial come after all, that counts.
        """
        n_alive = max(self._n_asked - self._n_ended, 0)
        came_back = [self._handed_out[other] for other in self._ended_ids() if other in self._handed_out]
        for trial_id in sorted(self._running_ids() - set(self._again)):
            if trial_id in self._restored:  # rerun by NNI, which does not tell of the end; it came before all others
                lost = len(came_back) >= 3 * n_alive + 8
            else:
                lost = n_alive == 0 and any(place > self._handed_out.get(trial_id, 0) for place in came_back)
            if lost:
                self._written_off.add(trial_id)
                self._keep(
                    Trial(
                        id=trial_id,
                        parameters=self._optimizer.running[trial_id],
                        state=TrialState.FAILED,
                        ended=time.time(),
                        error=NO_RESULT,
                    )
                )


def _key(parameters: Mapping[str, Any]) -> str:
    return repr(sorted(parameters.items()))


def _versions() -> dict[str, str]:
    versions = {"tuun_da": __version__, "python": platform.python_version()}
    for package in ("nni", "numpy", "scipy", "scikit-learn", "torch", "torchvision"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
