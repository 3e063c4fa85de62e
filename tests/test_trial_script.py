"""trials/train.py, run as users and NNI run it: a process, with a stand-in for NNI that writes down what it hears."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tuun_da.engines.echo import read_metric
from tuun_da.operations import Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord, parameters_from_sub_policies
from tuun_da.search.history import TrialState

SCRIPT = Path(__file__).parents[1] / "trials" / "train.py"
SMALL = ("--data", "digits", "--train-per-class", "5", "--validation-size", "100", "--model", "child_cnn",
         "--batch-size", "25", "--threads", "1", "--device", "cpu", "--epochs", "2")  # fmt: skip
SUB_POLICIES = (SubPolicy((Operation("rotate", 1.0, 1.0), Operation("invert", 0.5, 0.5))),)
POINT = {"tuun_id": 7, **parameters_from_sub_policies(SUB_POLICIES)}

FAKE_NNI = """
import json, os, signal, sys

def _told(kind, content):
    with open(os.environ["FAKE_NNI_LOG"], "a") as file:
        file.write(json.dumps([kind, content]) + "\\n")

def get_next_parameter():
    _told("asked", [name for name in ("torch", "torchvision", "sklearn", "numpy", "scipy") if name in sys.modules])
    return json.loads(os.environ["FAKE_NNI_PARAMETERS"])

_epochs = 0

def report_intermediate_result(metric):
    global _epochs
    _epochs += 1
    _told("intermediate", metric)
    if str(_epochs) == os.environ.get("FAKE_NNI_INTERRUPT_AFTER"):
        os.kill(os.getpid(), signal.SIGINT)

def get_sequence_id():
    return int(os.environ.get("FAKE_NNI_SEQUENCE", "0"))

def report_final_result(metric):
    _told("final", metric)
    os.kill(os.getpid(), signal.SIGINT) if os.environ.get("FAKE_NNI_IMPATIENT") else None
"""

# Runs the script for each of several cases in one process, since importing torch takes longer than these trainings.
SEVERAL = """
import contextlib, io, json, os, runpy, signal, sys, traceback
script, cases, answers = sys.argv[1], json.loads(sys.argv[2]), []
for case in cases:
    sys.argv[:] = [script, *case["arguments"]]
    os.environ["FAKE_NNI_LOG"] = case["log"]
    os.environ["FAKE_NNI_PARAMETERS"] = json.dumps(case["parameters"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
    answers.append([code, output.getvalue()])
print(json.dumps(answers))
"""


@dataclass
class Done:
    """How a trial ended, and what NNI heard."""

    code: int
    output: str
    asked: list[list[str]]
    curve: list[float]
    finals: list[dict[str, Any]]

    @property
    def final(self):
        """The echo of the one final result."""
        [metric] = self.finals
        return read_metric(metric)


@dataclass
class Case:
    """Arguments after the usual ones, and the parameters that NNI hands over."""

    arguments: tuple[str, ...]
    parameters: dict[str, Any]


SCORED = ("--repeats", "2", "--resplit", "--validation-sample", "40", "--metric", "macro_f1", "--reward", "best",
          "--sampling", "balanced")  # fmt: skip
JOINT = {"learning_rate": 0.003, "weight_decay": 0.07, "batch_size": 10.0, "label_smoothing": 0.1}
CHOICES = ("none", "etp", "trivialaugment", "search", "etp+search", "policy.json")


def case(*arguments, parameters=POINT):
    return Case(arguments, parameters)


CASES = {
    **{choice: case("--policy", choice) for choice in CHOICES},
    "none again": case("--policy", "none"),
    "not json": case("--policy", "text.json"),
    "no such policy": case("--policy", "nothing"),
    "no parameters": case(parameters={}),
    "no folder": case("--data", "folder:nowhere"),
    "unknown parameter": case(parameters=POINT | {"learning_rat": 0.1}),
    "nan": case("--learning-rate", "1e30"),
    "bug": case("--model", "broken:make"),
    "joint": case("--learning-rate", "0.5", parameters=POINT | JOINT),
    "scored otherwise": case(*SCORED),
    "resplit alone": case("--resplit"),
    "unknown option": case("--epoch-count", "3"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the trials run, with the stand-in for NNI and some files."""
    made = tmp_path_factory.mktemp("trials")
    (made / "fake").mkdir()
    (made / "fake" / "nni.py").write_text(FAKE_NNI)
    (made / "fake" / "broken.py").write_text("def make(**_):\n    return 1 / 0\n")
    (made / "text.json").write_text("rotate a bit")
    PolicyRecord(SUB_POLICIES).save(made / "policy.json")
    return made


def start(folder, *arguments, **environment):
    """Runs Python with the stand-in for NNI, to its end."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(folder / "fake"), "OMP_NUM_THREADS": "1", **environment},
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def heard(log, code, output):
    """What NNI heard of a trial."""
    told = {kind: [] for kind in ("asked", "intermediate", "final")}
    for line in log.read_text().splitlines() if log.exists() else ():
        kind, content = json.loads(line)
        told[kind].append(content)
    return Done(code, output, told["asked"], told["intermediate"], told["final"])


@pytest.fixture(scope="module")
def done(folder):
    """How each of the cases ended, by name."""
    logs = [folder / f"heard {number}" for number in range(len(CASES))]
    cases = [
        {"arguments": [*SMALL, *one.arguments], "parameters": one.parameters, "log": str(log)}
        for one, log in zip(CASES.values(), logs, strict=True)
    ]
    process = start(folder, "-c", SEVERAL, SCRIPT, json.dumps(cases))
    assert process.returncode == 0, process.stderr
    answers = json.loads(process.stdout.splitlines()[-1])
    return {name: heard(log, code, output) for name, log, (code, output) in zip(CASES, logs, answers, strict=True)}


@pytest.fixture
def run(folder, tmp_path):
    """Runs one trial as a process of its own."""

    def run_with(*arguments, parameters=POINT, **environment):
        log = tmp_path / "heard"
        environment |= {"FAKE_NNI_LOG": str(log), "FAKE_NNI_PARAMETERS": json.dumps(parameters)}
        process = start(folder, SCRIPT, *arguments, **environment)
        return heard(log, process.returncode, process.stdout + process.stderr)

    return run_with


def test_it_is_a_template_that_fits_on_two_screens():
    assert len(SCRIPT.read_text().splitlines()) < 100


def test_a_trial_asks_before_the_slow_imports_reports_each_epoch_and_echoes_what_it_ran(run):
    done = run(*SMALL, "--seed", "3", FAKE_NNI_IMPATIENT="1")  # NNI stops it while it reports: the score counts
    assert done.code == 0, done.output
    assert done.asked == [[]]
    echo = done.final
    assert echo.details["settings"]["trial"] == {"repeats": 1, "resplit": False, "validation_sample": None}
    assert (echo.id, echo.parameters) == (7, {name: value for name, value in POINT.items() if name != "tuun_id"})
    assert (echo.state, echo.seed) == (TrialState.SUCCEEDED, 3)
    assert list(echo.curve) == done.curve
    assert len(done.curve) == 2
    assert echo.value == done.curve[-1] == done.finals[0]["default"]
    assert echo.ended >= echo.started > 1.7e9
    settings = echo.details["settings"]
    assert (settings["policy"], settings["image_size"], settings["num_classes"]) == ("search", 8, 10)
    assert settings["train"]["epochs"] == echo.details["planned_epochs"] == 2
    assert settings["data"]["train_per_class"] == 5
    assert set(echo.details["hardware"]) == {"device", "cpu", "cores", "threads", "system"}


def test_without_nni_it_runs_and_prints_its_reports(tmp_path):
    process = subprocess.run(
        [sys.executable, SCRIPT, *SMALL, "--policy", "trivialaugment"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    output = process.stdout + process.stderr
    assert process.returncode == 0, output
    assert output.count("Intermediate result: ") == 2
    assert output.count("Final result: ") == 1
    assert "'state': 'succeeded'" in output


def test_a_stopped_trial_reports_what_it_has_and_exits_0(run):
    """NNI stops by SIGINT; a second one, while the trial reports, must not cost the report."""
    done = run(*SMALL[:-1], "50", FAKE_NNI_INTERRUPT_AFTER="2", FAKE_NNI_IMPATIENT="1")
    assert done.code == 0, done.output
    echo = done.final
    assert echo.state is TrialState.STOPPED
    assert echo.value == done.curve[-1]
    assert len(done.curve) == echo.details["stopped_at_epoch"] == 2
    assert echo.details["planned_epochs"] == 50
    assert echo.id == 7


def test_every_choice_of_a_policy_trains_and_they_differ(done):
    for choice in CHOICES:
        assert done[choice].code == 0, done[choice].output
        assert done[choice].final.state is TrialState.SUCCEEDED
        assert done[choice].final.details["settings"]["policy"] == choice
    curves = {choice: done[choice].curve for choice in CHOICES}
    assert curves["search"] == curves["policy.json"]  # the same policy, handed over by NNI or in a file
    assert curves["none"] == done["none again"].curve
    assert len({tuple(curve) for curve in curves.values()}) >= 4  # accuracies of 100 images may agree by chance


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("not json", "text.json is not JSON"),
        ("no such policy", "there is no file 'nothing'"),
        ("no parameters", "outside of an experiment choose none"),
        ("no folder", "nowhere"),
        ("unknown parameter", "learning_rat"),
        ("nan", "became nan in epoch 1"),
        ("resplit alone", "needs repeats of at least 2"),
    ],
)
def test_a_failure_is_told_in_words_and_ends_with_1(done, name, words):
    assert done[name].code == 1
    assert "Traceback" not in done[name].output
    echo = done[name].final
    assert (echo.state, echo.value) == (TrialState.FAILED, None)
    assert echo.id == CASES[name].parameters.get("tuun_id")
    assert words in echo.error
    assert words in done[name].output


def test_a_bug_is_reported_and_leaves_its_traceback(done):
    assert done["bug"].code == 1
    assert done["bug"].final.state is TrialState.FAILED
    assert "division by zero" in done["bug"].final.error
    assert "division by zero" in done["bug"].output


def test_parameters_of_a_joint_space_reach_the_training_and_win_over_the_options(done):
    assert done["joint"].code == 0, done["joint"].output
    used = done["joint"].final.details["settings"]["train"]
    assert {name: used[name] for name in JOINT} == JOINT
    assert all(math.isfinite(value) for value in done["joint"].curve)


def test_repeats_metric_and_reward_make_the_score(done):
    echo = done["scored otherwise"].final
    assert echo.state is TrialState.SUCCEEDED
    first, second = echo.curve[:2], echo.curve[2:]
    assert echo.value == pytest.approx((max(first) + max(second)) / 2)
    assert list(echo.curve) == done["scored otherwise"].curve
    assert echo.details["planned_epochs"] == len(echo.curve) == 4
    assert echo.details["settings"]["trial"] == {"repeats": 2, "resplit": True, "validation_sample": 40}
    train = echo.details["settings"]["train"]
    assert (train["metric"], train["reward"], train["sampling"]) == ("macro_f1", "best", "balanced")


def test_trials_with_a_fresh_sample_are_judged_on_images_of_their_own(run, tmp_path):
    sampled = [*SMALL[:-1], "1", "--validation-sample", "20"]
    curves = {}
    for number in ("0", "1", "2"):
        (tmp_path / "heard").unlink(missing_ok=True)
        curves[number] = run(*sampled, FAKE_NNI_SEQUENCE=number).curve[0]
    assert len(set(curves.values())) > 1


def test_an_option_that_does_not_exist_is_named(done):
    assert done["unknown option"].code == 2
    assert "unrecognized arguments: --epoch-count" in done["unknown option"].output
    assert done["unknown option"].asked == []
