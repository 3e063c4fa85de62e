"""Trials without NNI: the journal is that of NNI's trials, and nothing that ends a search loses one."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch

from tuun_da.augment.policy import Policy
from tuun_da.engines.echo import read_metric
from tuun_da.engines.export import recommend
from tuun_da.engines.local import FIRST_FAILURES, run_search
from tuun_da.engines.local_trial import TrialPlan, run_planned
from tuun_da.engines.local_worker import cause_of_death
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, DataError, ExperimentError, JournalError
from tuun_da.search import history
from tuun_da.search.history import TrialState, read_journal
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import policy_space
from tuun_da.training.arrays import kept_as_npz
from tuun_da.training.datasets import load_splits
from tuun_da.training.hardware import described_hardware
from tuun_da.training.loop import train
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig, TrialConfig

SPACE = policy_space()
SETTINGS = TunerSettings(n_initial=2, initial=["none"], seed=5)
DIGITS = DataConfig(data="digits", train_per_class=4, validation_size=60)


def plan(**training):
    config = {"model": "child_cnn", "epochs": 1, "batch_size": 16, "learning_rate": 0.02, "seed": 3}
    return TrialPlan(train=TrainConfig(**config | training), data=DIGITS, device="cpu", threads=1)


def ran(content):
    """What a search did, without its times."""
    return [(trial.id, dict(trial.parameters), trial.value, trial.curve) for trial in content.trials]


def stop_after(number):
    def on_trial(trial, content):
        if len(content.trials) == number:
            raise KeyboardInterrupt

    return on_trial


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Four trials in one go, and their journal's path."""
    path = tmp_path_factory.mktemp("whole") / "journal.jsonl"
    content, interrupted = run_search(plan(), SPACE, SETTINGS, 4, journal=path)
    assert not interrupted
    return content, path


@pytest.fixture
def once(tmp_path, monkeypatch):
    monkeypatch.setenv("TUUN_DA_TEST_ONCE", str(tmp_path))


def test_a_trial_is_the_training_of_its_policy_and_says_what_nni_would_be_told(whole):
    content, path = whole
    splits = load_splits(DIGITS)
    assert read_journal(path) == content
    for trial in content.trials:
        result = train(plan().train, splits, Policy(trial.parameters), torch.device("cpu"))
        assert (trial.value, trial.curve) == (result.score, result.curve)
        assert (trial.state, trial.seed) == (TrialState.SUCCEEDED, 3)
        assert time.time() - 600 < trial.started < trial.ended < time.time()
        assert trial.details["planned_epochs"] == 1
        assert trial.details["left_out"] == splits.left_out
        assert trial.details["hardware"] == described_hardware(torch.device("cpu"))
        settings = trial.details["settings"]
        assert (settings["image_size"], settings["num_classes"], settings["policy"]) == (8, 10, "search")
        assert TrainConfig.from_mapping(settings["train"]) == plan().train
        assert DataConfig.from_mapping(settings["data"]) == DIGITS
        assert TrialConfig.from_mapping(settings["trial"]) == TrialConfig()
    assert {content.trials[0].parameters[f"prob{i}_1"] for i in range(1, 6)} == {0.0}
    assert recommend(content).record.searched["settings"]["train"]["epochs"] == 1


def test_the_same_seeds_give_the_same_search_in_memory_too(whole):
    content, _ = run_search(plan(), SPACE, SETTINGS, 4)
    assert ran(content) == ran(whole[0])


def test_a_search_that_goes_on_is_the_one_that_was_never_interrupted(whole, tmp_path):
    path = tmp_path / "journal.jsonl"
    first, interrupted = run_search(plan(), SPACE, SETTINGS, 4, journal=path, on_trial=stop_after(2))
    assert interrupted
    assert ran(first) == ran(whole[0])[:2]
    begun = []
    rest, interrupted = run_search(
        plan(), SPACE, SETTINGS, 4, journal=path, on_begin=lambda content: begun.append(len(content.trials))
    )
    assert (begun, interrupted) == ([2], False)
    assert ran(rest) == ran(whole[0])
    again, _ = run_search(plan(), SPACE, SETTINGS, 4, journal=path, on_trial=stop_after(4))
    assert ran(again) == ran(rest)


def test_a_training_that_ctrl_c_ended_runs_again(once, tmp_path):
    path = tmp_path / "journal.jsonl"
    odd = plan(model="local_models:interrupted")
    first, interrupted = run_search(odd, SPACE, SETTINGS, 3, journal=path)
    assert interrupted
    assert len(first.trials) == 1
    [(cut_short, parameters)] = first.running.items()
    rest, interrupted = run_search(odd, SPACE, SETTINGS, 3, journal=path)
    assert not interrupted
    assert [trial.id for trial in rest.trials] == [1, cut_short, 3]
    assert rest.trials[1].parameters == parameters
    assert rest.running == {}


@pytest.fixture(scope="module")
def with_workers(tmp_path_factory):
    """Two workers: one is killed and replaced; the end comes by Ctrl-C, when one trial has succeeded and one sleeps."""
    folder = tmp_path_factory.mktemp("workers")
    path = folder / "journal.jsonl"

    def on_trial(trial, content):
        if trial.state is TrialState.SUCCEEDED:
            raise KeyboardInterrupt

    digits = load_splits(DIGITS)
    kept = kept_as_npz(digits.test_images[:, 0].numpy(), digits.test_labels.numpy(), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUUN_DA_TEST_ONCE", str(folder))
        data = DataConfig(data=f"npz:{kept}", train_per_class=4, validation_size=60)  # read faster than scikit-learn's
        odd = replace(plan(model="local_models:killed_then_asleep"), data=data)
        content, interrupted = run_search(odd, SPACE, SETTINGS, 5, journal=path, n_workers=2, on_trial=on_trial)
        yield odd, path, content, interrupted


def test_a_worker_that_is_killed_is_a_failed_trial_and_is_replaced(with_workers):
    odd, _, content, _ = with_workers
    killed, done = content.trials
    assert (killed.state, done.state) == (TrialState.FAILED, TrialState.SUCCEEDED)
    assert "the worker process was killed by SIGKILL" in killed.error
    result = train(odd.train, load_splits(odd.data), Policy(done.parameters), torch.device("cpu"))
    assert (done.value, done.curve) == (pytest.approx(result.score), pytest.approx(result.curve))


def test_ctrl_c_ends_all_workers_and_leaves_no_process_behind(with_workers):
    _, _, content, interrupted = with_workers
    assert interrupted
    assert len(content.running) == 1  # the one that sleeps
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert [command for command in commands if "local_worker" in command] == []


def test_what_ran_in_a_worker_runs_again_in_this_process(with_workers):
    odd, path, content, _ = with_workers
    [(asleep, parameters)] = content.running.items()
    rest, interrupted = run_search(odd, SPACE, SETTINGS, 3, journal=path)
    assert not interrupted
    assert rest.trials[:2] == content.trials
    assert (rest.trials[2].id, rest.trials[2].parameters) == (asleep, parameters)
    assert rest.trials[2].state is TrialState.SUCCEEDED


@pytest.mark.parametrize(("code", "words"), [(-11, "killed by SIGSEGV$"), (-9, "SIGKILL; it may"), (3, "exit code 3")])
def test_the_cause_of_death_is_said_in_words(code, words):
    assert re.search(words, cause_of_death(code))


def test_where_the_first_trials_all_fail_the_search_ends_and_says_why(tmp_path):
    path = tmp_path / "journal.jsonl"
    with pytest.raises(ExperimentError, match="first 3 trials all failed; the last one: ValueError: no such layer"):
        run_search(plan(model="local_models:broken"), SPACE, SETTINGS, 10, journal=path)
    failed = read_journal(path).trials
    assert len(failed) == FIRST_FAILURES
    assert {trial.state for trial in failed} == {TrialState.FAILED}


def test_a_space_may_hold_settings_of_the_training(tmp_path):
    joint = policy_space() | {"learning_rate": {"_type": "uniform", "_value": [0.01, 0.02]}}
    path = tmp_path / "journal.jsonl"
    for n_trials in (1, 2):
        content, _ = run_search(plan(), joint, SETTINGS, n_trials, journal=path)
    rates = [trial.details["settings"]["train"]["learning_rate"] for trial in content.trials]
    assert rates == [trial.parameters["learning_rate"] for trial in content.trials]
    assert len(set(rates)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"epochs": 2}, "ran with epochs = 1, and epochs is 2 now"), ({"seed": 4}, "seed = 3, and seed is 4 now")],
)
def test_a_search_with_other_settings_needs_a_journal_of_its_own(whole, change, message):
    _, path = whole
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        run_search(plan(**change), SPACE, SETTINGS, 5, journal=path)
    assert path.read_bytes() == before


def test_a_search_in_another_space_needs_a_journal_of_its_own(whole):
    with pytest.raises(JournalError, match="another search space"):
        run_search(plan(), policy_space(["rotate"]), TunerSettings(seed=5), 5, journal=whole[1])


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (TrialPlan(data=DataConfig(data="digits", train_per_class=500)), DataError, "train_per_class must be at most"),
        (TrialPlan(train=TrainConfig(model="local_models:no"), data=DIGITS), ConfigError, "local_models:no has no no"),
        (TrialPlan(data=DataConfig(data="npz:/nowhere/x.npz")), DataError, "does not exist"),
    ],
)
def test_what_would_make_every_trial_fail_is_said_before_there_is_a_journal(changed, error, message, tmp_path):
    path = tmp_path / "journal.jsonl"
    with pytest.raises(error, match=message):
        run_search(changed, SPACE, SETTINGS, 5, journal=path)
    assert not path.exists()


def test_a_clock_that_is_set_during_a_trial_does_not_change_how_long_it_took(monkeypatch):
    real, offsets = time.time, iter([0.0])
    monkeypatch.setattr(time, "time", lambda: real() + next(offsets, -86400.0))
    begun = time.monotonic()
    echo = read_metric(run_planned(plan(), 1, SearchSpace.from_nni(SPACE).sample(1, np.random.default_rng(0))[0]))
    assert 0 < echo.ended - echo.started < time.monotonic() - begun


def test_a_disk_that_refuses_records_ends_the_search_which_names_the_trials(tmp_path, monkeypatch):
    path = tmp_path / "journal.jsonl"
    written = []

    def full(descriptor, line, path, length, write=history._write):
        written.append(line)
        if len(written) > 3:  # the header, and the first trial's two
            raise JournalError(f"journal {path} cannot be written: No space left on device")
        return write(descriptor, line, path, length)

    monkeypatch.setattr(history, "_write", full)
    with pytest.raises(
        JournalError, match=r"No space left .* are not in it: 2 \(succ.*, 3 \(succ.*, 4 \(succ"
    ) as caught:
        run_search(plan(), SPACE, SETTINGS, 10, journal=path)
    assert ", 5 (" not in str(caught.value)
    assert [trial.id for trial in read_journal(path).trials] == [1]


@pytest.mark.parametrize(
    ("n_workers", "trial_seconds", "message"),
    [(0, 60.0, "needs n_workers of at least 1"), (1, 0.0, "trial_seconds must be"), (1, True, "trial_seconds must be")],
)
def test_a_time_limit_that_cannot_be_kept_is_refused(n_workers, trial_seconds, message):
    with pytest.raises(ConfigError, match=message):
        run_search(plan(), SPACE, SETTINGS, 3, n_workers=n_workers, trial_seconds=trial_seconds)


@pytest.mark.parametrize(("n_trials", "n_workers"), [(0, 0), (3, -1), (2.5, 0), (True, 0)])
def test_numbers_that_are_none_are_refused(n_trials, n_workers):
    with pytest.raises(ConfigError, match=r"n_(trials|workers) must be a whole number of at least"):
        run_search(plan(), SPACE, SETTINGS, n_trials, n_workers=n_workers)


@pytest.mark.parametrize(
    ("name", "value"),
    [("policy", "nothing"), ("per", "pixel"), ("unchanged_share", 1.5), ("device", "gpu"), ("trials_per_gpu", 0),
     ("threads", 0)],
)  # fmt: skip
def test_a_plan_checks_itself(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be"):
        TrialPlan(**{name: value})


def test_a_plan_says_how_the_policy_meets_the_images():
    every = TrialPlan(train=plan().train, data=DIGITS, per="image", unchanged_share=1.0, device="cpu", threads=1)
    never, _ = run_search(every, SPACE, TunerSettings(surrogate="random", seed=1), 2)
    result = train(plan().train, load_splits(DIGITS), None, torch.device("cpu"))
    assert {trial.curve for trial in never.trials} == {result.curve}  # no image is changed, so no policy matters
    record = recommend(never).record
    assert (record.per, record.unchanged_share) == ("image", 1.0)
    assert np.isfinite(record.searched["score"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused_before_there_is_a_journal(tmp_path):
    path = tmp_path / "journal.jsonl"
    with pytest.raises(ConfigError, match="torch sees no GPU, got 'cuda'"):
        run_search(replace(plan(), device="cuda"), SPACE, SETTINGS, 1, journal=path)
    assert not path.exists()


def test_a_search_that_may_begin_no_further_trial_has_ended_for_good():
    asked = []

    def may_begin(n_begun, content):
        asked.append((n_begun, len(content.trials)))
        return n_begun != 2

    content, interrupted = run_search(plan(), SPACE, SETTINGS, 5, may_begin=may_begin)
    assert not interrupted
    assert len(content.trials) == 2
    assert asked == [(0, 0), (1, 1), (2, 2)]
