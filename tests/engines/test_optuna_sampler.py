"""Optuna's own sampler tests, and: a suggestion is what the optimizer proposes after the storage's trials."""

from __future__ import annotations

import copy
import doctest
import logging
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna", reason="Optuna is not installed: pip install tuun_da[optuna]")

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution  # noqa: E402
from optuna.testing.pytest_samplers import (  # noqa: E402
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState, create_trial  # noqa: E402

from tuun_da.augment.policy import Policy  # noqa: E402
from tuun_da.engines import optuna_sampler, optuna_space  # noqa: E402
from tuun_da.engines.optuna_sampler import SEED_KEY, TuunSampler, suggest_policy  # noqa: E402
from tuun_da.engines.optuna_space import OptunaSpace  # noqa: E402
from tuun_da.errors import ConfigError, SearchSpaceError  # noqa: E402
from tuun_da.search.optimizer import Optimizer  # noqa: E402
from tuun_da.search.space import SearchSpace  # noqa: E402
from tuun_da.space_file import policy_space  # noqa: E402

UNIT = FloatDistribution(0, 1)
SQUARE = {"x": UNIT, "y": UNIT}


@pytest.fixture(autouse=True)
def _no_fallback(caplog):
    """The sampler falls back on random parameters where its model fails; in these tests it does not."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    failures = [record for record in caplog.records if "no suggestion" in record.getMessage()]
    assert not failures


class TestOptunasSuite(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: TuunSampler(n_initial=2, seed=0)


@pytest.mark.parametrize("module", [optuna_sampler, optuna_space])
def test_the_examples_in_the_docstrings_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def oracle(**settings):
    """An optimizer over the unit square, told by hand."""
    unit = {"_type": "uniform", "_value": [0.0, 1.0]}
    return Optimizer(SearchSpace.from_nni({"x": unit, "y": unit}), **{"n_initial": 3, "seed": 4} | settings)


def study_of(trials=(), direction="maximize", **settings):
    study = optuna.create_study(direction=direction, sampler=TuunSampler(**{"n_initial": 3, "seed": 4} | settings))
    for trial in trials:
        study.add_trial(trial)
    return study


def asked(study):
    """The parameters of a new trial over the unit square."""
    trial = study.ask()
    return {name: trial.suggest_float(name, 0, 1) for name in SQUARE}


def completed(x, y, value):
    return create_trial(params={"x": x, "y": y}, distributions=SQUARE, value=value)


FIVE = [(0.1, 0.2, 1.0), (0.8, 0.3, 4.0), (0.5, 0.9, 2.5), (0.9, 0.1, 4.5), (0.3, 0.6, 1.5)]


@pytest.mark.parametrize(("direction", "sign"), [("maximize", 1.0), ("minimize", -1.0)])
@pytest.mark.parametrize("surrogate", ["gp", "forest", "random"])
def test_a_suggestion_is_the_optimizers(direction, sign, surrogate):
    study = study_of([completed(*row) for row in FIVE], direction, surrogate=surrogate)
    optimizer = oracle(surrogate=surrogate)
    for number, (x, y, value) in enumerate(FIVE):
        optimizer.tell(number, sign * value, {"x": x, "y": y})
    optimizer.restore(asked=5)
    assert asked(study) == pytest.approx(optimizer.ask(5), abs=1e-12)


def ended(state, **how):
    return create_trial(params={"x": 0.95, "y": 0.15}, distributions=SQUARE, state=state, **how)


HERE = {"x": 0.95, "y": 0.15}
INFEASIBLE = {"constraints": [-1.0, 0.5]}  # as Optuna 4 keeps them


@pytest.mark.parametrize(
    ("trial", "tell"),
    [
        (lambda: ended(TrialState.FAIL), lambda optimizer: optimizer.tell_failed(5, HERE)),
        (lambda: ended(TrialState.COMPLETE, value=math.inf), lambda optimizer: optimizer.tell_failed(5, HERE)),
        (
            lambda: ended(TrialState.PRUNED, intermediate_values={1: 2.0, 3: 3.0}),
            lambda optimizer: optimizer.tell_stopped(5, 3.0, HERE),
        ),
        (lambda: ended(TrialState.PRUNED), lambda optimizer: None),
        (lambda: ended(TrialState.WAITING), lambda optimizer: None),
        (lambda: ended(TrialState.RUNNING), lambda optimizer: optimizer.restore_running(5, HERE)),
        (
            lambda: ended(TrialState.COMPLETE, value=9.0, system_attrs=INFEASIBLE),
            lambda optimizer: optimizer.tell_failed(5, HERE),
        ),
        (
            lambda: ended(TrialState.COMPLETE, value=9.0, system_attrs={"constraints": [0.0]}),
            lambda optimizer: optimizer.tell(5, 9.0, HERE),
        ),
    ],
    ids=["failed", "infinite", "pruned", "pruned at once", "waiting", "running", "infeasible", "feasible"],
)
def test_the_optimizer_is_told_how_a_trial_ended(trial, tell):
    study = study_of([*(completed(*row) for row in FIVE), trial()])
    optimizer = oracle()
    for number, (x, y, value) in enumerate(FIVE):
        optimizer.tell(number, value, {"x": x, "y": y})
    tell(optimizer)
    optimizer.restore(asked=6)
    params = study.sampler.sample_relative(study, created(study), SQUARE)
    assert params == pytest.approx(optimizer.ask(6), abs=1e-12)


def created(study):
    """A new trial, as Optuna makes one before it asks the sampler."""
    return study._storage.get_trial(study._storage.create_new_trial(study._study_id))


@pytest.mark.skipif(int(optuna.__version__.partition(".")[0]) < 5, reason="set_constraint came with Optuna 5")
def test_a_constraint_that_a_trial_sets_counts():
    study = study_of([completed(*row) for row in FIVE])
    trial = study.ask(SQUARE)
    trial.set_constraint("memory", 1.0)
    study.tell(trial, 9.0)
    optimizer = oracle()
    for number, (x, y, value) in enumerate(FIVE):
        optimizer.tell(number, value, {"x": x, "y": y})
    optimizer.tell_failed(5, trial.params)
    optimizer.restore(asked=6)
    assert asked(study) == pytest.approx(optimizer.ask(6), abs=1e-12)


def test_what_runs_is_known_before_it_has_asked_for_its_parameters():
    """Optuna's trials ask for one parameter after the other; others must know at once what will run."""
    study = study_of([completed(*row) for row in FIVE])
    first = study.ask()
    first.suggest_float("x", 0, 1)  # which makes the sampler suggest both
    noted = optuna_sampler._asked(study.trials[5], OptunaSpace.of(SQUARE))
    second = asked(study)
    assert noted == {"x": first.params["x"], "y": first.suggest_float("y", 0, 1)}
    optimizer = oracle()
    for number, (x, y, value) in enumerate(FIVE):
        optimizer.tell(number, value, {"x": x, "y": y})
    optimizer.restore_running(5, first.params)
    optimizer.restore(asked=6)
    assert second == pytest.approx(optimizer.ask(6), abs=1e-12)


def hill(trial):
    x, kind = trial.suggest_float("x", 0, 1), trial.suggest_categorical("kind", ["a", "b"])
    size = trial.suggest_int("size", 2, 64, log=True)
    return -((x - 0.3) ** 2) + (kind == "b") - abs(size - 16) / 64


def test_a_study_that_is_resumed_goes_on_as_it_would_have(tmp_path):
    whole = optuna.create_study(direction="maximize", sampler=TuunSampler(n_initial=3, seed=7))
    whole.optimize(hill, n_trials=9)
    storage = f"sqlite:///{tmp_path}/study.db"
    for number in (4, 5):
        study = optuna.create_study(
            direction="maximize",
            study_name="hill",
            storage=storage,
            load_if_exists=True,
            sampler=TuunSampler(n_initial=3, seed=7),
        )
        study.optimize(hill, n_trials=number)
    assert [trial.params for trial in study.trials] == [trial.params for trial in whole.trials]


def test_a_seed_of_none_is_drawn_once_for_a_study(tmp_path):
    storage = f"sqlite:///{tmp_path}/study.db"
    seeds = []
    for name in ("one", "one", "two"):
        sampler = TuunSampler(n_initial=3)
        study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True, sampler=sampler)
        study.optimize(hill, n_trials=1)
        seeds.append(sampler._seed(study))
    assert seeds[0] == seeds[1] != seeds[2]


def test_a_study_of_the_same_name_in_another_storage_has_a_seed_of_its_own(tmp_path):
    sampler, seeds = TuunSampler(n_initial=3), []
    for name in ("one", "two"):
        study = optuna.create_study(study_name="same", storage=f"sqlite:///{tmp_path}/{name}.db", sampler=sampler)
        study.optimize(hill, n_trials=1)
        seeds.append(study._storage.get_study_system_attrs(study._study_id)[SEED_KEY])
        assert sampler._seed(study) == TuunSampler()._seed(study) == seeds[-1]  # as where it is resumed
    assert seeds[0] != seeds[1]


@pytest.mark.e2e
def test_processes_that_share_a_study_never_run_the_same(tmp_path):
    """Two of them with the same seed, whose trials take no time, so that they suggest at the same time."""
    storage = f"sqlite:///{tmp_path}/study.db"
    script = f"""
import optuna
from tuun_da.engines.optuna_sampler import TuunSampler
sampler = TuunSampler(n_initial=4, seed=1)
study = optuna.load_study(study_name="s", storage={storage!r}, sampler=sampler)
study.optimize(lambda trial: trial.suggest_int("x", 0, 999), n_trials=6)
"""
    optuna.create_study(study_name="s", storage=storage)
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    trials = optuna.load_study(study_name="s", storage=storage).trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    assert len({trial.params["x"] for trial in trials}) == 12


def test_copies_of_a_sampler_share_no_chance():
    """What reseed_rng is for in samplers that keep a generator."""
    study = study_of([completed(*row) for row in FIVE[:1]])
    samplers = [study.sampler, copy.deepcopy(study.sampler)]
    for sampler in samplers:
        sampler.reseed_rng()
    drawn = [sampler.sample_relative(study, created(study), SQUARE) for sampler in samplers for _ in range(2)]
    drawn += [{"x": sampler.sample_independent(study, created(study), "x", UNIT)} for sampler in samplers]
    assert len({params["x"] for params in drawn}) == 6


def test_threads_that_share_a_study_never_run_the_same():
    study = optuna.create_study(sampler=TuunSampler(n_initial=4, seed=2))
    study.optimize(lambda trial: trial.suggest_int("x", 1, 1000), n_trials=16, n_jobs=4)
    assert len({trial.params["x"] for trial in study.trials}) == 16


DISTRIBUTIONS = [
    FloatDistribution(-1, 2.5),
    FloatDistribution(1e-5, 1e-1, log=True),
    FloatDistribution(-10.2, 10.2, step=0.1),
    FloatDistribution(1, 8, step=2),
    IntDistribution(-3, 12),
    IntDistribution(10, 33, step=7),
    IntDistribution(1, 50, log=True),
    CategoricalDistribution(["a", "b", "c"]),
    CategoricalDistribution([3, 1.5, -2]),
    CategoricalDistribution([None, True, 1, "1", 2.5]),
    CategoricalDistribution([1, 1.0]),
    CategoricalDistribution([math.nan, 0.0]),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=repr)
def test_values_come_back_as_optuna_has_them(distribution):
    import numpy as np

    space = OptunaSpace.of({"p": distribution})
    for params in space.space.sample(200, np.random.default_rng(0)):
        value = space.from_nni(params)["p"]
        assert distribution._contains(distribution.to_internal_repr(value))
        again = space.from_nni(space.to_nni({"p": value}))["p"]
        assert again is value or again == value or again == pytest.approx(value, rel=1e-12)
        if isinstance(distribution, IntDistribution):
            assert type(value) is int
        if isinstance(distribution, FloatDistribution):
            assert type(value) is float


@pytest.mark.parametrize(
    "distribution", [d for d in DISTRIBUTIONS if not isinstance(d, CategoricalDistribution) and d.step], ids=repr
)
def test_all_steps_of_a_number_are_in_the_space(distribution):
    import numpy as np

    space = OptunaSpace.of({"p": distribution})
    points = list(space.space.grid())
    values = {round(space.from_nni(space.space.decode(point))["p"], 9) for point in points}
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    assert values == {round(distribution.low + k * distribution.step, 9) for k in range(count)}
    if not distribution.log:  # each with the same share
        drawn = space.space.sample_points(20_000, np.random.default_rng(1))[:, 0]
        _, counts = np.unique(drawn, return_counts=True)
        assert np.all(np.abs(counts / 20_000 - 1 / count) < 6 * np.sqrt(1 / count / 20_000))


def test_values_out_of_range_and_missing_ones_are_no_point():
    space = OptunaSpace.of({"x": UNIT, "n": IntDistribution(1, 9, step=4)})
    assert space.to_nni({"x": 0.5, "n": 5, "other": 1}) == {"x": 0.5, "n": 1}
    for wrong in ({"x": 0.5}, {"x": 1.5, "n": 5}, {"x": 0.5, "n": 40}, {"x": "a", "n": 1}, {"x": math.inf, "n": 1}):
        assert space.to_nni(wrong) is None


def test_what_no_space_can_hold_is_left_to_chance():
    huge = {
        "many": IntDistribution(0, 2**60),
        "wide": FloatDistribution(-1.7e308, 1.7e308),
        "one": IntDistribution(3, 3),
        "x": UNIT,
    }
    assert set(OptunaSpace.of(huge).nni) == {"x"}

    def objective(trial):
        return trial.suggest_int("many", 0, 2**60) * 1e-18 + trial.suggest_float("x", 0, 1)

    study = optuna.create_study(sampler=TuunSampler(n_initial=2, seed=0))
    study.optimize(objective, n_trials=4)
    assert len({trial.params["many"] for trial in study.trials}) == 4


SMALL = policy_space(["rotate", "invert", "posterize"], sub_policies=2, operations=1)


def share_of_invert(params):
    return sum(params[f"prob{i}_1"] for i in (1, 2) if params[f"operation{i}_1"] == "invert")


def test_a_policy_is_searched_by_the_model_for_policies():
    study = optuna.create_study(direction="maximize", sampler=TuunSampler(n_initial=4, seed=3))
    study.optimize(lambda trial: share_of_invert(suggest_policy(trial, SMALL)), n_trials=8)
    optimizer = Optimizer(SearchSpace.from_nni(dict(sorted(SMALL.items()))), n_initial=4, seed=3)
    for trial in study.trials:
        Policy(trial.params)
        optimizer.tell(trial.number, share_of_invert(trial.params), trial.params)
    optimizer.restore(asked=8)
    wanted = optimizer.ask(8)
    found = suggest_policy(study.ask(), SMALL)
    assert list(found) == list(SMALL)
    for name, value in wanted.items():
        assert found[name] == (value if isinstance(value, str) else pytest.approx(value, abs=1e-12))


def test_known_policies_are_tried_first():
    study = optuna.create_study(sampler=TuunSampler(initial=["none"], seed=3))
    space = policy_space(["rotate", "randomHorizontalFlip"], sub_policies=2)
    study.optimize(lambda trial: len(suggest_policy(trial, space)), n_trials=2)
    assert {study.trials[1].params[f"prob{i}_{j}"] for i in (1, 2) for j in (1, 2)} == {0.0}


def test_a_policy_with_steps_stays_one():
    space = {
        "operation1_1": {"_type": "choice", "_value": ["rotate", "invert"]},
        "prob1_1": {"_type": "quniform", "_value": [0, 1, 0.25]},
        "magnitude1_1": {"_type": "choice", "_value": [0.0, 0.5, 1.0]},
        "learning_rate": {"_type": "loguniform", "_value": [0.01, 1]},
    }
    study = optuna.create_study(sampler=TuunSampler(n_initial=2, seed=3))
    for _ in range(5):
        trial = study.ask()
        params = suggest_policy(trial, space)
        Policy(params)
        assert "learning_rate" not in params
        assert (params["prob1_1"] * 4) % 1 == 0.0
        study.tell(trial, params["prob1_1"])
    common = study.sampler.infer_relative_search_space(study, created(study))
    assert set(common) == {"operation1_1", "prob1_1", "magnitude1_1"}


def test_sub_policies_that_do_not_line_up_are_left_to_chance():
    def objective(trial):
        params = suggest_policy(trial, policy_space(sub_policies=1))
        trial.suggest_categorical("operation2_1", ["rotate"] * 1 + ["invert"])
        return params["prob1_1"] + trial.suggest_float("x", 0, 1)

    study = optuna.create_study(sampler=TuunSampler(n_initial=2, seed=0))
    study.optimize(objective, n_trials=4)
    assert set(study.sampler.infer_relative_search_space(study, created(study))) == {"x"}


def test_a_branch_that_not_all_trials_take_is_drawn_at_random():
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        return x + (
            trial.suggest_float("deep", 0, 1) if trial.suggest_categorical("kind", ["flat", "deep"]) == "deep" else 1
        )

    study = optuna.create_study(sampler=TuunSampler(n_initial=3, seed=1))
    study.optimize(objective, n_trials=12)
    assert {len(trial.params) for trial in study.trials} == {2, 3}
    assert set(study.sampler.infer_relative_search_space(study, created(study))) == {"x", "kind"}


@pytest.mark.parametrize(
    "pruner",
    [optuna.pruners.MedianPruner(n_startup_trials=2), optuna.pruners.HyperbandPruner(max_resource=8)],
    ids=["median", "hyperband"],
)
def test_pruners_stop_trials(pruner):
    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 9):
            trial.report(x * step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x * 8

    study = optuna.create_study(direction="maximize", sampler=TuunSampler(n_initial=4, seed=5), pruner=pruner)
    study.optimize(objective, n_trials=16)
    states = [trial.state for trial in study.trials]
    assert TrialState.PRUNED in states
    assert TrialState.COMPLETE in states
    assert study.best_params["x"] > 0.9


def test_an_enqueued_trial_runs_what_was_enqueued():
    study = study_of([completed(*row) for row in FIVE])
    study.enqueue_trial({"x": 0.75})
    assert asked(study)["x"] == 0.75


def test_a_model_that_fails_costs_the_suggestion_not_the_study(monkeypatch, caplog):
    def broken(self, id):
        raise FloatingPointError("singular")

    study = study_of([completed(*row) for row in FIVE])
    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "ask", broken)
        params = asked(study)
    assert 0 <= params["x"] <= 1
    assert "no suggestion for trial 5" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR
    caplog.clear()


def test_what_cannot_be_used_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="surrogate must be one of"):
        TuunSampler(surrogate="magic")
    with pytest.raises(ConfigError, match=r"probe: .*none\.json"):
        TuunSampler(probe=str(tmp_path / "none.json"))
    with pytest.raises(TypeError, match="n_inital"):
        TuunSampler(n_inital=3)
    study = study_of([completed(*row) for row in FIVE], initial=["none"])
    with pytest.raises(SearchSpaceError, match="polic"):
        asked(study)
    trial = optuna.create_study(sampler=TuunSampler()).ask()
    with pytest.raises(ConfigError, match="needs a space with a policy, got one of x"):
        suggest_policy(trial, {"x": {"_type": "uniform", "_value": [0, 1]}})
    normal = {"_type": "qnormal", "_value": [0, 1, 1]}
    with pytest.raises(SearchSpaceError):
        suggest_policy(trial, {**SMALL, "prob1_1": normal})
    with pytest.raises(ConfigError, match=r"quniform prob1_1 must have multiples of q"):
        suggest_policy(trial, {**SMALL, "prob1_1": {"_type": "quniform", "_value": [0.1, 1, 0.25]}})
    with pytest.raises(ConfigError, match=r"prob1_1 must be choice, .*; got 'qloguniform'"):
        suggest_policy(trial, {**SMALL, "prob1_1": {"_type": "qloguniform", "_value": [0.1, 1, 0.1]}})


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [example] = [block for block in examples() if "optuna" in block]

    def score(policy, learning_rate):
        assert isinstance(policy, Policy)
        return -abs(math.log10(learning_rate) + 2)

    place = {"score": score}
    exec(compile(example.replace("n_trials=20", "n_trials=3"), "engines.md", "exec"), place)
    assert len(place["study"].trials) == 3
    assert len(place["study"].trials[0].params) == 2 * 2 * 3 + 1


def examples():
    page = Path(__file__).parents[2] / "docs" / "engines.md"
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
