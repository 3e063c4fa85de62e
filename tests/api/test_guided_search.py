"""The end of a guided search, cut anywhere: policy, confirmation and report in its folder always belong together."""

from __future__ import annotations

import contextlib
import json
import os
import shlex

import pytest

from tuun_da.api import guided_search as module
from tuun_da.api.experiment_report import experiment_report
from tuun_da.api.guided_plan import ExperimentFolder, GuidedPlan, GuidedRequest
from tuun_da.api.guided_search import guided_search
from tuun_da.cli import main
from tuun_da.engines.confirm import confirm_experiment
from tuun_da.engines.echo import final_metric
from tuun_da.engines.export import recommend
from tuun_da.engines.local_trial import BASELINES
from tuun_da.engines.measuring import Machine
from tuun_da.engines.task_pool import Ended
from tuun_da.engines.time_plan import DataSize, Speed, Wishes, best_plan, plans
from tuun_da.engines.worker_pool import WorkerPool
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import read_journal
from tuun_da.space_file import policy_space
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

DIGITS = DataSize(
    train=700, validation=180, test=898, classes=10, channels=1, image_size=8, smallest_class=70, largest_class=72
)
N_TRIALS = 4


class Killed(BaseException):
    """As a process ends that is killed: nothing of it runs any more."""


class InProcess:
    """In place of the workers of a confirmation; ``counts`` is how many of them were wanted."""

    threads, counts = 1, []

    def __init__(self, count):
        self.counts.append(count)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def run(self, function, jobs, on_done):
        for number, job in enumerate(jobs):
            on_done(number, function(*job))


class Folder:
    """The folder of a search whose trials have all ended, none of which was ever trained.

    On fresh images the last trial is best, whatever the search recommends; ``reports`` counts those that were written.
    """

    def __init__(self, path, monkeypatch, *, confirm=True, n_workers=2):
        self.files = ExperimentFolder(path / "out")
        self.files.path.mkdir()
        self.output = path / "mine.json"
        self.reports, self.said = 0, []
        wishes = Wishes(trials=N_TRIALS, confirm=confirm, seeds=2, probe=False)
        found = plans(DIGITS, {("child_cnn", 8): Speed(0.001, 1e-5)}, wishes, n_workers, start_seconds=5.0,
                      spent_seconds=10.0)  # fmt: skip
        search = best_plan(list(found), 10)
        train = TrainConfig(model="child_cnn", epochs=search.epochs, batch_size=search.batch_size)
        self.plan = GuidedPlan(
            minutes=10.0, search=search, train=train, data=DataConfig(data="digits"), space=policy_space(),
            choice="none", seed=0, device="cpu", threads=1, trials_per_gpu=1,
        )  # fmt: skip
        self.plan.save(self.files.plan)
        baselines = {name: final_metric({}, 0.5, settings=self.plan.trial_plan(name).settings()) for name in BASELINES}
        self.files.baselines.write_text(json.dumps({"version": 1, "baselines": baselines}))
        self._train_nothing(monkeypatch)

    def _train_nothing(self, monkeypatch):
        def run_all(pool, tasks, on_end=None):
            assert not tasks

        def trials(pool, next_task, on_end):
            while (given := next_task()) is not None:
                (number, parameters), _ = given
                plan = self.plan.trial_plan("search")
                metric = final_metric({**parameters, "tuun_id": number}, 0.9 - number / 100, settings=plan.settings())
                on_end(Ended((number, parameters), metric))

        def score(training, *_):
            number = training.record.searched["trial"] if training.record else 0
            return number / 100

        def train(training, device, threads, keep):
            if keep is not None:
                with open(keep, "w") as file:
                    file.write("a network")
            return score(training)

        def report(call):
            self.reports += 1
            call.files.report.write_text("<html>")
            return True

        monkeypatch.setattr("tuun_da.engines.worker_pool.WorkerPool.run_all", run_all)
        monkeypatch.setattr("tuun_da.engines.worker_pool.WorkerPool.run", trials)
        monkeypatch.setattr("tuun_da.engines.confirm.Workers", InProcess)
        monkeypatch.setattr("tuun_da.engines.finished_trainings.train_one", train)
        monkeypatch.setattr("tuun_da.engines.finished_trainings.predict_one", lambda *_: ([3] * 898, [3] * 898))
        monkeypatch.setattr(module, "write_report", report)

    def search(self, *, says=lambda text: None, **asked):
        def say(text, passing):
            self.said.append(text)
            says(text)

        request = GuidedRequest(data="digits", folder=str(self.files.path), output=str(self.output), **asked)
        return guided_search(request, say=say)

    @property
    def policy(self):
        return PolicyRecord.load(self.files.policy)

    @property
    def confirmed_trial(self):
        choice = json.loads(self.files.confirmation.read_text())["choice"]
        [label] = [tried["label"] for tried in choice["tried"] if tried["chosen"]]
        return int(label.removeprefix("trial "))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    InProcess.counts = []
    return lambda **options: Folder(tmp_path, monkeypatch, **options)


def test_a_search_that_is_killed_after_its_confirmation_has_the_policy_that_was_confirmed(folder):
    made = folder()

    def kill(text):
        if made.files.confirmation.exists():
            raise Killed

    with pytest.raises(Killed):
        made.search(says=kill)
    recommended = recommend(read_journal(made.files.journal)).trial.id
    assert made.confirmed_trial != recommended  # or this would tell nothing
    assert made.policy.searched["trial"] == made.confirmed_trial
    result = made.search()
    assert any("It is done" in text for text in made.said)
    assert result.record.searched["trial"] == made.confirmed_trial
    assert PolicyRecord.load(made.output) == made.policy == result.record
    assert made.reports == 1


def test_a_ctrl_c_while_the_report_is_written_leaves_the_policy_that_was_confirmed(folder, monkeypatch):
    made = folder()
    write = module.write_report

    def interrupted(call):
        monkeypatch.setattr(module, "write_report", write)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "write_report", interrupted)
    assert made.search().interrupted
    assert made.policy.searched["trial"] == made.confirmed_trial
    assert not made.search().interrupted
    assert made.policy.searched["trial"] == made.confirmed_trial


def test_a_report_that_is_older_than_the_confirmation_is_written_anew(folder):
    """As that of a search which was interrupted, and later killed before its report."""
    made = folder()
    made.search()
    before = made.files.confirmation.stat().st_mtime_ns - 10**9
    os.utime(made.files.report, ns=(before, before))
    for _ in range(3):
        made.search()
    assert made.reports == 2  # and one that is newer is not


def test_what_tuun_da_confirm_has_confirmed_is_not_overwritten(folder):
    made = folder(confirm=False)
    first = made.search()
    assert "Not confirmed" in "".join(made.said)
    content = read_journal(made.files.journal)
    result = confirm_experiment(content, made.files.path, n_seeds=2, workers=1, device="cpu")  # as the command does
    result.record.save(made.files.policy)
    made.files.confirmation.write_text(json.dumps(result.to_dict()))
    assert first.record.searched["trial"] != made.confirmed_trial
    made.said.clear()
    again = made.search()
    assert again.confirmation == result.to_dict()
    assert made.policy == again.record == result.record
    assert not any("Not confirmed" in text for text in made.said)


def test_a_confirmation_in_the_middle_of_a_search_ends_it_and_says_so(folder):
    made = folder(confirm=False)
    made.search()
    lines = made.files.journal.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if f'"id": {N_TRIALS + len(BASELINES)}' in line)
    made.files.journal.write_text("".join(lines[:last]))
    made.files.confirmation.write_text(json.dumps({"sentence": "Undecided."}))
    made.said.clear()
    made.search()
    assert f"after {N_TRIALS - 1} of the {N_TRIALS} trials that were planned" in "".join(made.said)


def test_a_confirmation_after_trials_on_a_cluster_has_no_more_workers_than_this_machine(folder, monkeypatch):
    made = folder(n_workers=64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1, 2}, raising=False)

    class Pool:
        n_workers = 64

        def run_all(self, tasks, on_end=None):
            assert not tasks

        def run(self, next_task, on_end):
            WorkerPool.run(self, next_task, on_end)

    def cluster(device, n_workers, *, address=None, goes_on=False):
        return Machine("cpu", 0, 64, 1, 1), contextlib.nullcontext(Pool())

    monkeypatch.setattr("tuun_da.engines.ray_search.machine_and_pool", cluster)
    made.search(engine="ray")
    assert InProcess.counts
    assert max(InProcess.counts) <= 3


@pytest.mark.parametrize("best", [0.9, 0.1])
def test_the_user_is_told_where_no_policy_was_better_than_what_costs_no_search(folder, best):
    made = folder(confirm=False)
    metrics = json.loads(made.files.baselines.read_text())
    metrics["baselines"]["trivialaugment"]["default"] = 0.2 if best > 0.5 else 0.95
    made.files.baselines.write_text(json.dumps(metrics))
    made.search()
    told = "No policy of the search scored more than TrivialAugment (0.9500)." in "".join(made.said)
    assert told == (best < 0.5)


def test_a_baseline_in_the_journal_is_no_policy_yet_where_a_search_was_interrupted(folder):
    """Ctrl-C before the first trial has ended."""
    made = folder()

    def interrupt(text):
        if "0 of 4 trials" in text:
            raise KeyboardInterrupt

    result = made.search(says=interrupt)
    assert (result.interrupted, result.record) == (True, None)
    assert any("No policy yet" in text for text in made.said)
    assert not made.files.policy.exists()


def test_best_and_the_report_have_the_policy_that_was_confirmed(folder, capsys):
    """The report says how to use its policy: tuun-da best writes the file."""
    made = folder()
    made.search()
    assert made.confirmed_trial != recommend(read_journal(made.files.journal)).trial.id  # or this would tell nothing
    assert main(["best", str(made.files.path), "-o", "again.json"]) == 0
    assert f": trial {made.confirmed_trial}, which scored" in capsys.readouterr().out
    assert PolicyRecord.load("again.json").sub_policies == made.policy.sub_policies
    assert main(["best", str(made.files.path), "-o", str(made.files.policy)]) == 0
    report = experiment_report(made.files.journal, with_pictures=False)
    assert report.recommended.id == report.confirmed_trial == made.confirmed_trial


def test_a_confirmation_is_not_taken_for_that_of_another_policy_of_the_same_search(folder):
    made = folder()
    made.search()
    recommend(read_journal(made.files.journal)).record.save(made.files.policy)
    report = experiment_report(made.files.journal, with_pictures=False)
    assert (report.confirmation, report.confirmed_trial) == (None, None)


def test_the_commands_that_are_told_at_the_end_run(folder):
    made = folder(confirm=False)
    made.search()
    commands = [line for text in made.said for line in text.splitlines() if line.startswith("  tuun-da ")]
    assert len(commands) == 3
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
