"""One NNI experiment from start to end, watched: what ``tuun-da search`` adds to ``nnictl create``.

NNI's own exit code is 0 even if the tuner died or all trials failed, and a dead tuner leaves the status RUNNING. So
the manager, the tuner's process and the trials are looked at here, and an end that is none raises ExperimentError with
what the logs say.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tuun_da.engines.loopback import loopback_node_options
from tuun_da.engines.manager_log import last_errors
from tuun_da.engines.nni_config import NniConfig
from tuun_da.engines.nni_tuner import ERROR_NAME, JOURNAL_NAME
from tuun_da.engines.process_storm import StormWatch
from tuun_da.engines.remote_machines import RemoteMachines
from tuun_da.engines.study import NO_RESULT
from tuun_da.errors import ConfigError, ExperimentError, JournalError
from tuun_da.search.history import JournalContent, TrialState, read_journal

FINISHED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")
STALLED_SECONDS = 180.0
WAITING_SECONDS = 900.0  # for a trial that NNI has but does not start: a remote machine is being prepared, or no GPU
GIVE_UP_AFTER_FAILURES = 5
STOP_SECONDS = 60.0
START_ATTEMPTS = 3


@dataclass(frozen=True)
class Progress:
    """How far an experiment is. ``journal`` is None until the tuner has begun it."""

    n_finished: int
    n_failed: int
    n_running: int
    seconds: float
    journal: JournalContent | None


class NniExperiment:
    """An experiment that this process has started. Use ``running`` to make one and to be sure that it is stopped."""

    def __init__(self, config: NniConfig, experiment: Any, port: int) -> None:
        self._config = config
        self._experiment = experiment
        self.id: str = experiment.id
        self.port = port
        self._began = time.monotonic()
        self._manager = psutil.Process(experiment._proc.pid)
        self._tuner: psutil.Process | None = None
        self._storm = StormWatch(self._manager, config.concurrency)
        self._descendants: set[psutil.Process] = set()  # tuner and trials, which outlive a killed manager
        self._machines = RemoteMachines.of_config(config.content, self.folder)
        self._n_replaced = 0  # trials that broke off with a machine, and are not of those asked for

    @property
    def folder(self) -> Path:
        """NNI's folder of this experiment."""
        return self._config.working_directory / self.id

    @property
    def journal_path(self) -> Path:
        """The journal, once the tuner has begun it."""
        return journal_path(self.folder)

    def journal(self) -> JournalContent | None:
        """The journal's content, None before it has begun."""
        try:
            return read_journal(self.journal_path)
        except JournalError:
            return None

    def wait(self, on_progress: Callable[[Progress], None], *, poll_seconds: float = 1.0) -> Progress:
        """Wait for the end. Raises ExperimentError for any other end than all trials done, with the reason."""
        try:
            return self._wait(on_progress, poll_seconds)
        except ExperimentError:
            if self._storm.diagnosis is not None:  # the manager's death is then only what followed
                raise ExperimentError(self._storm.diagnosis) from None
            raise

    def _wait(self, on_progress: Callable[[Progress], None], poll_seconds: float) -> Progress:
        seen: list[str] = []
        changed = time.monotonic()
        while True:
            status, jobs = self._ask_manager()
            self._look_at_processes()
            if self._replace_lost_trials(jobs):
                continue
            states = [job.status for job in jobs]
            journal = self.journal()
            ended = [trial.state for trial in journal.trials] if journal is not None else []
            progress = Progress(
                n_finished=sum(state in FINISHED for state in states) - self._n_replaced,
                # a trial that NNI takes for a success may have reported no number, or nothing
                n_failed=max(sum(state == "FAILED" for state in states), ended.count(TrialState.FAILED)),
                n_running=sum(state == "RUNNING" for state in states),
                seconds=time.monotonic() - self._began,
                journal=journal,
            )
            on_progress(progress)
            if states != seen:
                seen, changed = states, time.monotonic()
            idle_seconds = time.monotonic() - changed
            n_unfinished = sum(state not in FINISHED for state in states)
            if status == "DONE" or (status in ("NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL") and n_unfinished == 0):
                self._check_outcome(progress, jobs)
                return progress
            if status in ("ERROR", "STOPPED", "STOPPING"):
                raise ExperimentError(f"NNI ended the experiment with the status {status}.\n{self._tuner_log()}")
            if status == "RUNNING" and self._tuner_is_dead():
                raise ExperimentError(f"the tuner's process died.\n{self._tuner_log()}")
            if n_unfinished == 0 and idle_seconds > STALLED_SECONDS:
                raise ExperimentError(f"NNI has started no trial for {idle_seconds:.0f} s.\n{self._tuner_log()}")
            if states.count("WAITING") == n_unfinished > 0 and idle_seconds > WAITING_SECONDS:
                waited = f"{n_unfinished} trials have waited {idle_seconds:.0f} s for NNI to start them"
                raise ExperimentError(f"{waited}.\n{self._manager_log()}")
            if progress.n_finished >= GIVE_UP_AFTER_FAILURES and all(state is TrialState.FAILED for state in ended):
                reason = self._trial_errors(jobs)
                raise ExperimentError(f"none of the {progress.n_finished} trials so far came to a score.\n{reason}")
            time.sleep(poll_seconds)

    def stop(self) -> None:
        """Stop trials and manager, by force where they do not end by themselves."""
        self._look_at_processes()
        self._storm.stop()
        # NNI waits for its manager without a limit, so it is asked on a thread that need not come back.
        if _is_alive(self._manager):
            asking = threading.Thread(target=self._experiment.stop, daemon=True)
            asking.start()
            asking.join(STOP_SECONDS)
        for process in (self._manager, *self._descendants):
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil knows a process of the same number that began later

    def _replace_lost_trials(self, jobs: list[Any]) -> bool:
        """Have trials that broke off with a remote machine run anew; whether there were any. Raises ExperimentError."""
        if self._machines is None:
            return False
        loss = self._machines.look({job.trialJobId: job.status for job in jobs})
        for host in loss.hosts:
            left = f"{self._machines.n_left} of {self._machines.n_machines} machines are left"
            print(f"\nMachine {host} does not answer any more; {left}.", file=sys.stderr, flush=True)
        if self._machines.n_left == 0:
            raise ExperimentError(f"no machine answers any more.\n{self._manager_log()}")
        if loss.hosts:
            share = self._machines.n_left / self._machines.n_machines
            self._experiment.update_trial_concurrency(max(1, math.floor(self._config.concurrency * share)))
        if not loss.n_trials or self._config.max_trials is None:
            return False
        self._n_replaced += loss.n_trials
        self._experiment.update_max_trial_number(self._config.max_trials + self._n_replaced)  # NNI counts them as run
        print(f"\n{loss.n_trials} trials broke off with a machine; as many more are run.", file=sys.stderr, flush=True)
        return True

    def _ask_manager(self) -> tuple[str, list[Any]]:
        """Status and trial jobs; patient, since a loaded machine makes the manager slow to answer."""
        for attempt in range(30):
            try:
                return self._experiment.get_status(), self._experiment.list_trial_jobs()
            except Exception as error:
                if not _is_alive(self._manager):
                    raise ExperimentError(f"NNI's manager died.\n{self._manager_log()}") from None
                if attempt == 29:
                    reason = type(error).__name__
                    raise ExperimentError(f"NNI's manager does not answer ({reason}).\n{self._manager_log()}") from None
                time.sleep(1.0)
        raise AssertionError("unreachable")

    def _look_at_processes(self) -> None:
        with contextlib.suppress(psutil.Error):
            self._descendants.update(self._manager.children(recursive=True))
        for process in self._descendants if self._tuner is None else ():
            with contextlib.suppress(psutil.Error):
                # not the shell around it, which has all of its command in one word
                if "--exp_params" in process.cmdline():
                    self._tuner = process

    def _tuner_is_dead(self) -> bool:
        return self._tuner is not None and not _is_alive(self._tuner)

    def _check_outcome(self, progress: Progress, jobs: list[Any]) -> None:
        fatal = self.folder / "checkpoint" / ERROR_NAME
        if fatal.exists():
            raise ExperimentError(f"the tuner could not begin: {fatal.read_text(encoding='utf-8').strip()}")
        journal = progress.journal
        if journal is None or not any(trial.state is TrialState.SUCCEEDED for trial in journal.trials):
            raise ExperimentError(
                f"none of the {progress.n_finished} trials came to a score.\n{self._trial_errors(jobs)}"
            )
        n_noted = len(journal.trials) + len(journal.running)
        n_succeeded = sum(job.status == "SUCCEEDED" for job in jobs)
        if n_succeeded > n_noted:
            raise ExperimentError(
                f"{n_succeeded} trials ended well, and the journal has {n_noted} trials; the disk may have refused the "
                f"others.\n{self._tuner_log()}"
            )

    def _trial_errors(self, jobs: list[Any]) -> str:
        journal = self.journal()
        if journal is not None:
            for trial in journal.trials:
                if trial.error and trial.error != NO_RESULT:
                    return f"Trial {trial.id}: {trial.error}"
        for job in jobs:
            log = self.folder / "environments" / "local-env" / "trials" / job.trialJobId / "trial.stderr"
            text = _tail(log)
            if text:
                return f"The end of {log}:\n{text}"
        return f"The trials' outputs are under {self.folder}"

    def _tuner_log(self) -> str:
        fatal = self.folder / "checkpoint" / ERROR_NAME
        if fatal.exists():
            return fatal.read_text(encoding="utf-8").strip()
        for name in ("dispatcher.log", "nnictl_stderr.log", "nnictl_stdout.log", "nnimanager.log"):
            text = _tail(self.folder / "log" / name)
            if text:
                return f"The end of {self.folder / 'log' / name}:\n{text}"
        return f"The logs in {self.folder / 'log'} are empty"

    def _manager_log(self) -> str:
        errors = last_errors(self.folder / "log" / "nnimanager.log")
        if errors:
            return f"What went wrong last, of its log in {self.folder / 'log'}:\n{errors}"
        text = _tail(self.folder / "log" / "nnictl_stderr.log") or _tail(self.folder / "log" / "nnimanager.log")
        return f"The end of its log in {self.folder / 'log'}:\n{text}"


def journal_path(experiment_folder: Path) -> Path:
    """Where the tuner of an NNI experiment keeps its journal."""
    return experiment_folder / "checkpoint" / JOURNAL_NAME


@contextlib.contextmanager
def shared_cores(trials: int) -> Iterator[None]:
    """Let each of ``trials`` that run side by side compute on its share of the cores, by the environment they inherit.

    On all cores each, they would wait for each other. A value that the user has set wins, as ``--threads`` does.
    """
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // trials))
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


@contextlib.contextmanager
def running(config: NniConfig, *, port: int, listen_all: bool) -> Iterator[NniExperiment]:
    """Start the experiment of ``config`` and stop it on the way out, however that is. Raises ExperimentError."""
    from nni.experiment import Experiment, ExperimentConfig, RunMode

    if " " in sys.executable:
        raise ConfigError(
            f"NNI cannot start a Python whose path has a blank in it: {sys.executable}; make the environment elsewhere"
        )
    address = config.manager_address
    if address is not None and not listen_all and not (address == "localhost" or address.startswith("127.")):
        raise ConfigError(
            f"{config.path}: nniManagerIp: is {address}, but NNI's server is kept on this machine, so that no other "
            "machine reaches it; give each machine an SSH tunnel and say 127.0.0.1 (docs/remote.md), or --listen-all"
        )
    logging.getLogger("nni").setLevel(logging.ERROR)
    try:
        ExperimentConfig.load(str(config.path)).validate()
    except Exception as error:
        raise ConfigError(f"{config.path}: NNI refuses it: {error or type(error).__name__}") from None
    # Trials are started by the name in trialCommand: it must be this Python, activated or not.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if not listen_all:
        os.environ["NODE_OPTIONS"] = loopback_node_options(os.environ.get("NODE_OPTIONS", ""))
    for attempt in range(START_ATTEMPTS):
        experiment = None
        try:
            experiment = Experiment(ExperimentConfig.load(str(config.path)))
            with shared_cores(config.concurrency):
                experiment.start(port, run_mode=RunMode.Detach)
            _wait_for_tuner(experiment)
            break
        except BaseException as error:
            if experiment is not None:
                _kill_manager(experiment.id)  # NNI itself may forget it
            # no connection: NNI gives its manager 3 s to answer, and its tuner 10 s
            if isinstance(error, OSError) and attempt < START_ATTEMPTS - 1:
                continue
            if isinstance(error, Exception):
                raise ExperimentError(f"NNI could not start: {error}") from error
            raise
    started = NniExperiment(config, experiment, port)
    try:
        yield started
    finally:
        with _uninterrupted():
            started.stop()


def _wait_for_tuner(experiment: Any) -> None:
    """Wait until the tuner answers. Raises TimeoutError where NNI gave it up after 10 s: a cold disk, a busy core."""
    for _ in range(60):
        status = experiment.get_status()
        log = Path(experiment.config.canonical_copy().experiment_working_directory, experiment.id, "log")
        if status == "ERROR" and "did not connect" in _tail(log / "nnictl_stderr.log", 100):
            raise TimeoutError(f"the tuner's process was not ready within 10 s; {log / 'nnictl_stderr.log'} has more")
        if status != "INITIALIZED":
            return
        time.sleep(0.5)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C does not leave an experiment running that the first one is just stopping."""
    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _kill_manager(experiment_id: str) -> None:
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if experiment_id in process.cmdline():
                descendants = process.children(recursive=True)
                process.kill()
                for descendant in descendants:
                    with contextlib.suppress(psutil.Error):
                        descendant.kill()
                psutil.wait_procs([process, *descendants], timeout=10)  # their port is free then


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _tail(path: Path, n_lines: int = 15) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 20_000))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-n_lines:])
