"""The plan of a guided search is kept, and a call that contradicts it is refused."""

from __future__ import annotations

import json

import pytest

from tuun_da.api.guided_call import GuidedCall
from tuun_da.api.guided_plan import ExperimentFolder, GuidedPlan, GuidedRequest
from tuun_da.api.guided_planning import make_guided_plan
from tuun_da.api.guided_text import clock_text, console, plan_text
from tuun_da.engines.measuring import Machine
from tuun_da.engines.time_plan import DataSize, Speed, Wishes, best_plan, plans
from tuun_da.errors import ConfigError, DataError
from tuun_da.search.history import Journal
from tuun_da.space_file import policy_space, space_text
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

DIGITS = DataSize(
    train=700, validation=180, test=900, classes=10, channels=1, image_size=8, smallest_class=70, largest_class=72
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plan():
    found = plans(DIGITS, {("child_cnn", 8): Speed(0.001, 1e-5)}, Wishes(), 2, start_seconds=5.0, spent_seconds=10.0)
    search = best_plan(list(found), 10)
    return GuidedPlan(
        minutes=10.0,
        search=search,
        train=TrainConfig(model="child_cnn", epochs=search.epochs, batch_size=search.batch_size),
        data=DataConfig(data="digits", image_size=8, train_size=search.train_size),
        space=policy_space(),
        choice="auto",
        seed=0,
        device="cpu",
        threads=1,
        trials_per_gpu=1,
        says=("a line",),
    )


def test_a_plan_is_the_same_after_its_file(plan, here):
    plan.save(here / "plan.json")
    assert GuidedPlan.load(here / "plan.json") == plan
    assert [path.name for path in here.iterdir()] == ["plan.json"]  # nothing half written beside it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has version 2; this release reads up to 1"),
        ({"seed": None}, "key seed is missing"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"train": {"epochs": 0}}, "epochs must be a whole number"),
        ({"search": {"what": 0}}, "unknown SearchPlan setting 'what'"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(plan, here, change, message):
    plan.save(here / "plan.json")
    content = {**json.loads((here / "plan.json").read_text()), **change}
    (here / "plan.json").write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    with pytest.raises(ConfigError, match=message):
        GuidedPlan.load(here / "plan.json")


def test_the_same_call_and_one_that_says_what_was_chosen_go_on(plan, here):
    plan.check_same(GuidedRequest(data="digits"), here)
    (here / "space.json").write_text(space_text(policy_space()))
    said = GuidedRequest(data="digits", epochs=plan.train.epochs, minutes=10, device="cpu", space="space.json")
    plan.check_same(said, here)
    plan.check_same(GuidedRequest(data="digits", device="auto"), here)  # left to the plan, which found the CPU


def test_the_number_of_training_images_that_was_asked_for_is_kept_even_if_it_is_all_of_them(here):
    """The same call goes on with the plan: None in place of the number would contradict it."""
    for train_size in (DIGITS.train, DIGITS.train - 1):
        wishes = GuidedRequest(data="digits", train_size=train_size).wishes()
        found = plans(DIGITS, {("child_cnn", 8): Speed(0.001, 1e-5)}, wishes, 2, start_seconds=5.0, spent_seconds=1.0)
        assert {plan.train_size for plan in found} == {train_size}


def test_more_training_images_than_there_are_is_a_mistake_before_anything_is_measured(here):
    class Pool:
        n_workers = 1

        def begin_everywhere(self, task):
            pass

    said = []
    request = GuidedRequest(data="digits", train_size=720)
    call = GuidedCall(request, ExperimentFolder(here), lambda text, passing: said.append(text), 0.0, lambda: 1.0)
    with pytest.raises(DataError, match="train_size must be at most 719 for digits"):
        make_guided_plan(call, Machine("cpu", 0, 1, 1, 1), Pool())
    assert "A search would fail" in "".join(said)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"epochs": 999}, "epochs"),
        ({"minutes": 11}, "minutes"),
        ({"model": "basenet_resnet18"}, "model"),
        ({"trials": 3}, "trials"),
        ({"image_size": 16}, "image size"),
        ({"on_top_of": "etp"}, "on top of"),
        ({"seed": 5}, "seed"),
        ({"confirm": False}, "confirm"),
        ({"skip_broken": True}, "skip broken"),
        ({"data": "cifar10"}, "data"),
        ({"space": "other.json"}, "space"),
    ],
)
def test_a_call_that_contradicts_the_plan_needs_a_folder_of_its_own(plan, here, asked, name):
    (here / "other.json").write_text(space_text(policy_space(["rotate"])))
    with pytest.raises(ConfigError, match=f"was planned with {name} = .* --folder of its own"):
        plan.check_same(GuidedRequest(**{"data": "digits"} | asked), here)


def test_a_request_knows_its_folder(here):
    (here / "photos").mkdir()
    assert GuidedRequest(data="photos").experiment_folder == here / "tuun_da_search" / "photos"
    assert GuidedRequest(data="photos").data_config().data == f"folder:{here / 'photos'}"
    assert GuidedRequest(data="digits", folder="there").experiment_folder == here / "there"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"minutes": -1}, "minutes must be"),
        ({"trials": 0}, "trials must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"workers": 0}, "workers must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"metric": "luck"}, "metric must be"),
        ({"on_top_of": "cutout"}, "on_top_of must be"),
        ({"validation_size": 1.5}, "validation_size must be"),
    ],
)
def test_a_mistake_is_said_before_anything_is_measured(asked, message):
    with pytest.raises(ConfigError, match=message):
        GuidedRequest(data="digits", **asked)


def test_a_folder_belongs_to_one_search_at_a_time(here):
    files = ExperimentFolder(here / "one")
    with files.held(), pytest.raises(ConfigError, match=r"a search in .* is running"), files.held():
        pass
    with files.held():  # given up again
        pass


def test_the_folder_of_another_search_is_left_alone(here):
    files = ExperimentFolder(here)
    Journal.open(files.journal, space=policy_space(), settings={}, versions={}).close()
    with pytest.raises(ConfigError, match="has the journal of another search and no plan"), files.held():
        pass


def test_a_folder_that_cannot_be_made_is_named(here):
    (here / "file").touch()
    files = ExperimentFolder(here / "file" / "one")
    with pytest.raises(ConfigError, match="file/one for the search cannot be used"), files.held():
        pass


def test_the_plan_is_shown_with_the_estimate_of_each_step(plan):
    text = plan_text(plan, 700, 180, "2 processes")
    shown = [sum(60**i * int(part) for i, part in enumerate(reversed(line.split()[0].split(":"))))
             for line in text.splitlines()[5:]]  # fmt: skip
    assert sum(shown) == pytest.approx(plan.search.total_seconds, abs=3.0)
    assert f"about {clock_text(plan.search.total_seconds)} of 10:00" in text.splitlines()[0]
    assert f"{plan.search.n_trials} policies" in text


def test_passing_lines_are_rewritten_on_a_terminal_only(capsys):
    class Terminal:
        def __init__(self):
            self.text = ""

        def isatty(self):
            return True

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    terminal = Terminal()
    for say in (console(terminal), console()):
        say("one", True)
        say("two", True)
        say("end", False)
    assert capsys.readouterr().out == "one\ntwo\nend\n"
    assert [line.rstrip() for line in terminal.text.split("\r")] == ["", "one", "two" + " " * 97 + "\nend"]
