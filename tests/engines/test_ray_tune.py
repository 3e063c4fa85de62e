"""TuunSearcher, called as Tune calls it: its suggestions are the optimizer's, and what it saves is data."""

from __future__ import annotations

import copy
import doctest
import json
import pickle

import numpy as np
import pytest

tune = pytest.importorskip("ray.tune", reason="Ray Tune is not installed: pip install tuun_da[ray]")

from tuun_da.augment.policy import Policy  # noqa: E402
from tuun_da.engines import ray_space, ray_tune  # noqa: E402
from tuun_da.engines.ray_space import RaySpace  # noqa: E402
from tuun_da.engines.ray_tune import TuunSearcher  # noqa: E402
from tuun_da.errors import ConfigError, JournalError, SearchSpaceError  # noqa: E402
from tuun_da.search.history import TrialState, read_journal  # noqa: E402
from tuun_da.search.optimizer import Optimizer  # noqa: E402
from tuun_da.search.space import SearchSpace  # noqa: E402
from tuun_da.space_file import policy_space  # noqa: E402

SQUARE = {name: {"_type": "uniform", "_value": [0, 1]} for name in ("x", "y")}


def searcher(**settings):
    return TuunSearcher(**{"space": SQUARE, "metric": "score", "mode": "max", "n_initial": 3, "seed": 4} | settings)


def trials_of(one):
    return one._study.journal.content.trials


@pytest.mark.parametrize("module", [ray_space, ray_tune])
def test_the_examples_in_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def run(one, trial_id, value, *, epochs=3, error=False):
    """What Tune calls for a function that reports ``epochs`` times and returns."""
    params = one.suggest(trial_id)
    for epoch in range(1, epochs + 1):
        one.on_trial_result(trial_id, {"score": value * epoch / epochs, "training_iteration": epoch})
    if error:
        one.on_trial_complete(trial_id, error=True)
    else:  # the last result comes once more
        one.on_trial_complete(trial_id, {"score": value, "training_iteration": epochs, "done": True})
    return params


def stop(one, trial_id, value, *, at):
    """What Tune calls for a trial that a scheduler stops: the last result comes with its end only."""
    params = one.suggest(trial_id)
    for epoch in range(1, at):
        one.on_trial_result(trial_id, {"score": value * epoch / at, "training_iteration": epoch})
    one.on_trial_complete(trial_id, {"score": value, "training_iteration": at, "done": True})
    return params


@pytest.mark.parametrize(("mode", "sign"), [("max", 1.0), ("min", -1.0)])
def test_suggestions_are_the_optimizers(mode, sign):
    one, optimizer = searcher(mode=mode, max_t=3), Optimizer(SearchSpace.from_nni(SQUARE), n_initial=3, seed=4)
    for number in range(1, 9):
        params = optimizer.ask(number)
        value = params["x"] - params["y"] ** 2
        if number == 6:
            assert run(one, "t6", value, error=True) == params
            optimizer.tell_failed(number)
        elif number == 7:
            assert stop(one, "t7", value, at=2) == params
            optimizer.tell_stopped(number, sign * value)
        else:
            assert run(one, f"t{number}", value) == params
            optimizer.tell(number, sign * value)
    in_flight = [one.suggest(f"f{number}") for number in range(3)]
    assert in_flight == [optimizer.ask(number) for number in (9, 10, 11)]
    assert one.suggest("f1") == in_flight[1]


def test_a_trial_is_whole_if_it_got_as_far_as_it_was_to_or_ended_by_itself():
    one = searcher(max_t=9)
    run(one, "returned", 1.0, epochs=3)
    stop(one, "stopped", 0.5, at=4)
    stop(one, "all of it", 2.0, at=9)
    one.suggest("paused")
    one.on_trial_result("paused", {"score": 0.25, "training_iteration": 1})
    one.on_trial_complete("paused")
    one.suggest("never begun")
    one.on_trial_complete("never begun")
    states = [(trial.details["ray_trial"], trial.state.value, trial.value) for trial in trials_of(one)]
    assert states == [
        ("returned", "succeeded", 1.0),
        ("stopped", "stopped", 0.5),
        ("all of it", "succeeded", 2.0),
        ("paused", "stopped", None),
        ("never begun", "stopped", None),
    ]
    assert trials_of(one)[1].curve == (0.125, 0.25, 0.375, 0.5)
    assert trials_of(one)[3].curve == (0.25,)


def test_without_max_t_every_end_is_whole_and_different_lengths_are_warned_of_once(caplog):
    one = searcher()
    for number, at in enumerate((4, 4, 2, 1)):
        stop(one, f"t{number}", 0.5, at=at)
        assert len(caplog.records) == (number >= 2)
    assert {trial.state for trial in trials_of(one)} == {TrialState.SUCCEEDED}
    assert "give TuunSearcher its max_t" in caplog.text


@pytest.mark.parametrize(
    ("result", "error", "said"),
    [
        ({"score": float("nan"), "training_iteration": 1}, False, "reported score = nan"),
        ({"score": "good", "training_iteration": 1}, False, "reported score = 'good'"),
        ({"loss": 1.0, "training_iteration": 1}, False, "reported no score"),
        (None, True, "without a final result"),
    ],
)
def test_a_trial_without_a_value_failed(result, error, said):
    one = searcher()
    one.suggest("t")
    one.on_trial_complete("t", result, error)
    [trial] = trials_of(one)
    assert (trial.state, trial.value) == (TrialState.FAILED, None)
    assert said in trial.error


def test_a_number_of_numpys_is_a_number():
    one = searcher()
    one.suggest("t")
    one.on_trial_complete("t", {"score": np.float32(0.5), "training_iteration": np.int64(1)})
    assert trials_of(one)[0].value == 0.5


def test_the_end_of_a_trial_of_another_is_passed_over(caplog):
    one = searcher()
    one.suggest("mine")
    one.on_trial_complete("other", {"score": 1.0})
    one.on_trial_result("other", {"score": 1.0})
    assert trials_of(one) == ()
    assert "trial other was not suggested here" in caplog.text


DOMAINS = {
    "uniform": tune.uniform(-2, 3),
    "quniform": tune.quniform(-2, 3, 0.5),
    "loguniform": tune.loguniform(1e-4, 1e-1),
    "qloguniform": tune.qloguniform(0.5, 64, 0.5),
    "randn": tune.randn(10, 2),
    "qrandn": tune.qrandn(10, 2, 0.5),
    "randint": tune.randint(-9, 15),
    "qrandint": tune.qrandint(1, 13, 3),
    "qrandint 1": tune.qrandint(4, 13, 1),
    "lograndint": tune.lograndint(1, 30),
    "qlograndint": tune.qlograndint(2, 30, 4),
    "choice": tune.choice(["a", 1, 2.5, None]),
}
GRIDS = ("quniform", "randint", "qrandint", "qrandint 1", "lograndint", "qlograndint", "choice")


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_has_rays_values(name):
    """Ray's own draws are valid in our space, and ours are Ray's: for a grid, the same set."""
    domain = DOMAINS[name]
    space = RaySpace.of({"p": domain})
    theirs = [domain.sample(random_state=seed) for seed in range(400)]
    nni = SearchSpace.from_nni(space.nni)
    for value in theirs:
        nni.validate({"p": value})
    ours = [space.to_config(params)["p"] for params in nni.sample(2000, np.random.default_rng(0))]
    assert {type(value) for value in ours} == {type(value) for value in theirs}
    if name in GRIDS:
        assert set(ours) == set(theirs)
    elif "randn" not in name:
        assert min(ours) == pytest.approx(min(theirs), abs=0.1)
        assert max(ours) == pytest.approx(max(theirs), rel=0.1)


def test_nested_parameters_come_back_as_they_were_named():
    one = TuunSearcher(seed=1)
    config = {"net": {"width": tune.randint(8, 65), "act": {"name": tune.choice(["relu", "gelu"])}}, "epochs": 3}
    assert one.set_search_properties("loss", "min", config)
    suggested = one.suggest("t")
    assert set(suggested) == {"net"}  # Tune adds what is constant
    assert set(suggested["net"]) == {"width", "act"}
    assert type(suggested["net"]["width"]) is int
    assert suggested["net"]["act"]["name"] in ("relu", "gelu")
    one.add_evaluated_point({**suggested, "epochs": 3}, 0.5)
    [trial] = trials_of(one)
    assert trial.imported
    assert trial.parameters == {"net/width": suggested["net"]["width"], "net/act/name": suggested["net"]["act"]["name"]}


def test_of_points_from_elsewhere_those_that_are_whole_are_learned():
    one = searcher()
    point = {"x": 0.5, "y": 0.5}
    one.add_evaluated_point(point, 1.0, error=True)
    one.add_evaluated_point(point, 1.0, pruned=True)
    one.add_evaluated_point(point, float("nan"))
    assert trials_of(one) == ()
    with pytest.raises(SearchSpaceError, match="x must be a number"):
        one.add_evaluated_point({"x": 2, "y": 0}, 1.0)
    with pytest.raises(SearchSpaceError, match="parameter y is missing"):
        one.add_evaluated_point({"x": 0.5}, 1.0)
    one.add_evaluated_point(point, 1.0)
    assert [trial.value for trial in trials_of(one)] == [1.0]


def test_a_policy_space_is_one_and_gets_its_policies():
    small = policy_space(["rotate", "invert"], sub_policies=2, operations=1)
    one, optimizer = searcher(space=small), Optimizer(SearchSpace.from_nni(small), n_initial=3, seed=4)
    for number in range(1, 7):
        params = optimizer.ask(number)
        assert run(one, f"t{number}", params["prob1_1"]) == params
        Policy(params)
        optimizer.tell(number, params["prob1_1"])


@pytest.fixture
def half_done(tmp_path):
    """A searcher with three trials in flight, whose state is saved."""
    one = TuunSearcher(metric="score", mode="max", n_initial=3, max_t=3, seed=4)
    one.set_search_properties(None, None, {"x": tune.uniform(0, 1), "deep": {"n": tune.lograndint(1, 50)}})
    for number in range(5):
        run(one, f"t{number}", number / 5)
    stop(one, "stopped", 0.4, at=2)
    run(one, "failed", 0.4, error=True)
    for name in ("a", "b", "c"):
        one.suggest(name)
    one.on_trial_result("b", {"score": 0.1, "training_iteration": 1})
    path = tmp_path / "state.jsonl"
    one.save(path)
    return one, path


@pytest.mark.parametrize("how", ["saved", "pickled", "copied"])
def test_what_is_restored_goes_on_as_the_old_one_would_have(half_done, how):
    """Tune saves a searcher as it says itself; it pickles a Tuner with it, too."""
    one, path = half_done
    if how == "saved":
        other = TuunSearcher()
        other.restore(path)
    else:
        other = pickle.loads(pickle.dumps(one)) if how == "pickled" else copy.deepcopy(one)
    for both in (one, other):
        both.on_trial_complete("b", {"score": 0.3, "training_iteration": 2})
        both.on_trial_complete("a", {"score": 0.9, "training_iteration": 3})
    assert [other.suggest(name) for name in "cde"] == [one.suggest(name) for name in "cde"]
    assert [trial.curve for trial in trials_of(other)] == [trial.curve for trial in trials_of(one)]
    assert trials_of(other)[-2].curve == (0.1, 0.3)
    assert (other.metric, other.mode) == ("score", "max")


def test_a_trial_that_failed_and_is_run_again_after_a_restore_counts(half_done):
    _, path = half_done
    one = TuunSearcher()
    one.restore(path)
    one.on_trial_complete("failed", {"score": 0.7, "training_iteration": 3})
    assert [t.value for t in trials_of(one) if t.details["ray_trial"] == "failed"] == [0.7]


def test_a_trial_that_failed_and_is_begun_anew_by_another_name_counts(half_done):
    """Tune's restart_errored; its results are flat, and say what the trial runs."""
    _, path = half_done
    one = TuunSearcher()
    one.restore(path)
    [failed] = [trial for trial in trials_of(one) if trial.state is TrialState.FAILED]
    runs = {f"config/{name}": value for name, value in failed.parameters.items()}
    for epoch in (1, 2):
        one.on_trial_result("another", {"score": epoch / 4, "training_iteration": epoch, **runs})
    one.on_trial_complete("another", {"score": 0.7, "training_iteration": 3, **runs})
    [trial] = [trial for trial in trials_of(one) if trial.parameters == failed.parameters]
    assert (trial.id, trial.state, trial.value) == (failed.id, TrialState.SUCCEEDED, 0.7)
    assert trial.curve == (0.25, 0.5, 0.7)
    n_trials = len(trials_of(one))
    one.on_trial_complete("a third", {"score": 0.8, "training_iteration": 3, **runs})
    assert len(trials_of(one)) == n_trials


def test_what_is_saved_is_a_journal(half_done):
    one, path = half_done
    content = read_journal(path)
    assert content.trials == trials_of(one)
    assert len(content.running) == 3
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
    assert list(path.parent.iterdir()) == [path]


def test_tune_finds_the_state_in_a_folder(half_done, tmp_path):
    one, _ = half_done
    folder = tmp_path / "experiment"
    folder.mkdir()
    one.save_to_dir(str(folder), "2026")
    other = TuunSearcher()
    other.restore_from_dir(str(folder))
    assert other.suggest("next") == one.suggest("next")


@pytest.mark.parametrize(
    "change",
    [
        lambda own: own.pop("trials"),
        lambda own: own.update(trials={"t0": 999}),
        lambda own: own.update(trials=[1, 2]),
        lambda own: own.update(reported={"b": [[1, 2, 3]]}),
        lambda own: own.update(integers=None),
        lambda own: own.update(max_t="long"),
        lambda own: own.update(metric=["a", "b"]),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(half_done, change):
    one, path = half_done
    lines = path.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    change(header["settings"]["ray"])
    path.write_text(json.dumps(header) + "\n" + "".join(lines[1:]))
    before = trials_of(one)
    with pytest.raises(JournalError, match=r"state\.jsonl is not what TuunSearcher saves"):
        one.restore(path)
    assert trials_of(one) == before


def test_a_journal_of_another_engine_and_a_pickle_are_refused(tmp_path):
    path = tmp_path / "state.pkl"
    path.write_bytes(pickle.dumps({"searcher": 1}))
    with pytest.raises(JournalError):
        TuunSearcher().restore(path)
    with pytest.raises(JournalError, match="cannot be read"):
        TuunSearcher().restore(tmp_path / "absent")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"x": tune.grid_search([1, 2])}, "x is a grid_search"),
        ({"x": tune.sample_from(lambda: 1)}, "x must be uniform"),
        ({"a": {"x": [tune.uniform(0, 1)]}}, "a/x: a domain inside of a list"),
        ({"a/b": tune.uniform(0, 1)}, "a name must not contain '/'"),
        ({"x": tune.choice([{1, 2}])}, "must have JSON values as options"),
        ({"x": {"_type": "uniform", "_value": [1, 0]}}, "low < high"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_by_name(space, said):
    with pytest.raises(SearchSpaceError, match=said):
        TuunSearcher(space, metric="score", mode="max")


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match="metric must be one name"):
        searcher(metric=["a", "b"], mode="max")
    with pytest.raises(ConfigError, match="mode must be one of max, min; got 'best'"):
        searcher(mode="best")
    with pytest.raises(ConfigError, match="max_t must be a positive number"):
        searcher(max_t=0)
    with pytest.raises(ConfigError, match="surrogate must be one of"):
        searcher(surrogate="magic")
    with pytest.raises(ConfigError, match="nothing to search"):
        searcher(space=None).suggest("t")
    with pytest.raises(ConfigError, match="metric and mode must be given"):
        searcher(metric=None, mode=None).suggest("t")
    with pytest.raises(ConfigError, match="metric is 'score' in TuunSearcher and 'loss' in the TuneConfig"):
        searcher().set_search_properties("loss", "max", {})
    assert not searcher().set_search_properties("score", None, {"x": tune.uniform(0, 1)})  # it has a space
    assert not TuunSearcher().set_search_properties("score", "max", {"epochs": 3})
