"""stan_gp: the same model as gp, its posterior against integration on a grid, and a worker that disturbs nobody."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from made_probes import made_probe
from nni_spaces import EVERY_TYPE_JSON, MIXED_JSON, UNIT, policy_json

from tuun_da.errors import ConfigError, TuunDaError
from tuun_da.search import stan_gp, stan_process
from tuun_da.search.gaussian_process import GaussianProcess
from tuun_da.search.knowledge import Knowledge, make_kernel
from tuun_da.search.space import SearchSpace
from tuun_da.search.stan_gp import StanGaussianProcess, program_data, run_chains
from tuun_da.search.stan_process import Chains, check_stan, compile_program, compiled_path

REALS = {"x": UNIT, "y": UNIT}
TRENDS = (lambda points: points[:, 0] - 0.5, lambda points: np.sin(5 * points[:, -1]))
CASES = {
    "one real": ({"x": UNIT}, Knowledge()),
    "reals": (REALS, Knowledge()),
    "choices": ({"a": MIXED_JSON["kind"], "b": MIXED_JSON["kind"]}, Knowledge()),
    "mixed": (MIXED_JSON, Knowledge()),
    "every type": (EVERY_TYPE_JSON, Knowledge()),
    "policy": (policy_json(), Knowledge()),
    "policy without prob": (policy_json(3, 1, prob=False), Knowledge()),
    "policy and a real": ({**policy_json(), "x": UNIT}, Knowledge()),
    "policy and a choice": ({**policy_json(), "a": MIXED_JSON["kind"]}, Knowledge()),
    "policy and mixed": ({**policy_json(), **MIXED_JSON}, Knowledge()),
    "policy and probe": (policy_json(), Knowledge(probe=made_probe())),
    "trends": (REALS, Knowledge(trends=TRENDS)),
    "policy, mixed, probe and trends": ({**policy_json(), **MIXED_JSON}, Knowledge(made_probe(), TRENDS)),
}


@pytest.fixture(scope="module")
def compiled():
    """The compiled program, made now if it is not in the user's cache."""
    compile_program()
    return compiled_path()


@pytest.fixture(scope="module")
def program(compiled):
    """The compiled program as the module that pystan would load."""
    spec = importlib.util.spec_from_file_location("stan_services", compiled)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def short(monkeypatch):
    """Chains for tests in which draws matter and not what they say."""
    monkeypatch.setattr(stan_gp, "WARMUP", 60)
    monkeypatch.setattr(stan_gp, "SAMPLES", 40)
    monkeypatch.setattr(stan_gp, "LARGEST_R_HAT", np.inf)


def data(space, n, seed=0):
    points = space.sample_points(n, np.random.default_rng(seed))
    return points, np.sin(4 * points[:, 0]) + points[:, -1] ** 2


def process_of(space, knowledge=None):
    return GaussianProcess(make_kernel(space, knowledge or Knowledge()))


# ---- the model ----


@pytest.mark.parametrize("n", [1, 2, 25])
@pytest.mark.parametrize("case", sorted(CASES))
def test_its_density_and_gradient_are_those_of_gp(program, case, n):
    space, knowledge = SearchSpace.from_nni(CASES[case][0]), CASES[case][1]
    process = process_of(space, knowledge)
    rng = np.random.default_rng(n)
    points = space.sample_points(n, rng)
    points[n // 2] = points[0]  # where the Matern kernel's root has no derivative
    y = rng.standard_normal(n)
    x = process.kernel.features(points)
    given = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in program_data(process, points, y).items()
    }
    constants = []
    for z in rng.standard_normal((5, len(process.prior_mean))):
        value, gradient = process.negative_log_posterior(process.prior_mean + process.prior_std * z, x, y)
        constants.append(program.log_prob(given, list(z), False) + value)
        found = program.log_prob_grad(given, list(z), False)
        np.testing.assert_allclose(found, -process.prior_std * gradient, rtol=1e-5, atol=1e-6 * np.abs(gradient).max())
    np.testing.assert_allclose(constants, constants[0], atol=1e-7 * (1 + np.abs(value)))


def test_a_kernel_that_the_program_does_not_know_is_refused():
    class Other:
        of_trainings = False
        prior_mean = prior_std = np.ones(1)

        def features(self, points):
            return points

    with pytest.raises(TypeError, match="knows no Other"):
        program_data(GaussianProcess(Other()), np.zeros((2, 1)), np.zeros(2))


def test_its_draws_agree_with_integration_on_a_grid(compiled):
    space = SearchSpace.from_nni({"x": UNIT})
    points, values = data(space, 10)
    process = process_of(space)
    y = (values - values.mean()) / values.std()
    x = process.kernel.features(points)
    grid = np.linspace(-4.5, 4.5, 31)
    z = np.array(list(itertools.product(grid, repeat=3)))
    at = process.prior_mean + process.prior_std * z
    logs = np.array([-process.negative_log_posterior(each, x, y)[0] for each in at])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    mean = weights @ z
    std = np.sqrt(weights @ (z - mean) ** 2)
    found = run_chains(program_data(process, points, y), np.random.default_rng(0), warmup=500, samples=1500)
    draws = ((found.draws - process.prior_mean) / process.prior_std).reshape(-1, 3)
    assert stan_gp.worst(found) < 1.02
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.15 * std.max())
    np.testing.assert_allclose(draws.std(axis=0), std, rtol=0.15)
    # and each density comes with its own draw
    for chain, i in ((0, 0), (1, 7), (1, 1499)):
        value, _ = process.negative_log_posterior(found.draws[chain, i], x, y)
        first, _ = process.negative_log_posterior(found.draws[0, 0], x, y)
        assert found.log_density[chain, i] - found.log_density[0, 0] == pytest.approx(first - value, abs=1e-3)


def test_each_kept_draw_gives_a_row_of_predictions(compiled, short):
    space = SearchSpace.from_nni(REALS)
    points, values = data(space, 12)
    posterior = StanGaussianProcess(make_kernel(space, Knowledge())).fit(points, values, np.random.default_rng(0))
    new = space.sample_points(5, np.random.default_rng(1))
    assert posterior.predict(new).mean.shape == (stan_gp.CHAINS * stan_gp.KEPT, 5)
    assert len(np.unique(posterior.draws, axis=0)) > stan_gp.KEPT
    assert posterior.sample(new, np.random.default_rng(2)).shape == (5,)


def test_the_same_generator_gives_the_same_draws_and_another_one_others(compiled, short):
    space = SearchSpace.from_nni(REALS)
    points, values = data(space, 12)
    surrogate = StanGaussianProcess(make_kernel(space, Knowledge()))
    first, second, other = (surrogate.fit(points, values, np.random.default_rng(seed)).draws for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, other)


# ---- what is done about chains that have not mixed, and about many observations ----


class FakeSampler:
    """In place of the worker: chains a given distance apart, one distance for each call."""

    def __init__(self, *distances):
        self.distances, self.calls = list(distances), []

    def __call__(self, data, init, seed, settings, seconds):
        self.calls.append((data, seed, settings))
        shape = (len(init), settings["num_samples"], data["p"])
        draws = np.random.default_rng(0).standard_normal(shape)
        draws[1] += self.distances.pop(0)
        return Chains(draws, np.zeros(shape[:2]), 0)


def fit_with(sampler, monkeypatch, n=12):
    monkeypatch.setattr(stan_gp, "sample", sampler)
    monkeypatch.setattr(stan_gp, "check_stan", lambda: None)
    space = SearchSpace.from_nni(REALS)
    points, values = data(space, n)
    surrogate = StanGaussianProcess(make_kernel(space, Knowledge()))
    return surrogate.fit(points, values, np.random.default_rng(0)), points


def test_chains_that_have_mixed_run_once(monkeypatch, caplog):
    sampler = FakeSampler(0.0)
    fit_with(sampler, monkeypatch)
    assert len(sampler.calls) == 1
    assert not caplog.records


def test_chains_that_have_not_mixed_run_once_more_and_longer(monkeypatch, caplog):
    sampler = FakeSampler(2.0, 0.0)
    posterior, _ = fit_with(sampler, monkeypatch)
    (_, first_seed, first), (_, second_seed, second) = sampler.calls
    assert second["num_samples"] == stan_gp.LONGER * first["num_samples"]
    assert second["num_warmup"] == stan_gp.LONGER * first["num_warmup"]
    assert first_seed != second_seed
    assert not caplog.records
    assert len(posterior.draws) == stan_gp.CHAINS * stan_gp.KEPT


def test_if_that_does_not_help_the_number_is_logged_and_the_draws_are_used(monkeypatch, caplog):
    sampler = FakeSampler(2.0, 2.0)
    posterior, points = fit_with(sampler, monkeypatch)
    assert len(sampler.calls) == 2
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "R-hat is 1." in record.getMessage()
    assert np.all(np.isfinite(posterior.predict(points).mean))


def test_with_many_observations_hyperparameters_come_from_some_but_predictions_from_all(monkeypatch):
    monkeypatch.setattr(stan_gp, "LARGEST_FIT", 20)
    sampler = FakeSampler(0.0)
    posterior, points = fit_with(sampler, monkeypatch, n=50)
    assert sampler.calls[0][0]["n"] == 20
    exact = posterior.condition(points[:0], np.empty(0)).predict(points)
    np.testing.assert_allclose(posterior.predict(points).mean, exact.mean)


# ---- what is missing ----


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """No compiled program, and none of the compiler's commands; returns the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def test_without_a_compiler_the_error_names_the_surrogate_that_needs_none(empty_cache):
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler .* none was found; the surrogate `gp` is the same"):
        check_stan()


def test_the_error_comes_when_the_surrogate_is_made(empty_cache):
    with pytest.raises(ConfigError, match="compiler"):
        StanGaussianProcess(make_kernel(SearchSpace.from_nni(REALS), Knowledge()))


def test_no_compiler_is_needed_once_the_program_is_compiled(empty_cache):
    compiled_path().parent.mkdir(parents=True)
    compiled_path().touch()
    check_stan()


def test_without_pystan_the_error_names_the_surrogate_that_needs_none(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match="needs the package pystan, which is not installed; the surrogate `gp`"):
        check_stan()


def test_a_cache_folder_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))  # root may write
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="cannot be written; set XDG_CACHE_HOME"):
        check_stan()


def test_a_compiler_that_fails_is_told_and_leaves_nothing(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(TuunDaError, match=r"(?s)exit code 1 while compiling gp\.stan; its last words:.*false") as told:
        compile_program()
    assert str(told.value).endswith("the surrogate `gp` is the same model and needs neither pystan nor a compiler")
    assert not compiled_path().exists()
    assert "compiling gp.stan, which takes a minute" in caplog.text


# ---- the worker ----


FAKE_MODELS = """
import asyncio, os, pathlib, signal
import httpstan.cache
log = pathlib.Path(os.environ["BUILDS"])

def calculate_model_name(program):
    return "models/fake"

async def build_services_extension_module(program):
    with log.open("a") as file:
        file.write("build\\n")
    built = httpstan.cache.model_directory("models/fake") / "fake.so"
    built.parent.mkdir(parents=True)
    built.write_text("half")
    if os.environ.get("DIES"):
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(1)
    built.write_text("half and half")
"""


@pytest.fixture
def fake_httpstan(monkeypatch, tmp_path):
    """A package whose compiler takes a second; returns the file in which it counts its compilations."""
    package = tmp_path / "packages" / "httpstan"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "cache.py").write_text(
        "import os, pathlib\ndef model_directory(name):\n    return pathlib.Path(os.environ['XDG_CACHE_HOME']) / name\n"
    )
    (package / "compile.py").touch()
    (package / "models.py").write_text(FAKE_MODELS)
    monkeypatch.setenv("BUILDS", str(tmp_path / "builds"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(package.parent))
    return tmp_path / "builds"


def test_two_first_compilations_at_once_compile_once_and_leave_a_whole_program(fake_httpstan):
    target = compiled_path()
    script = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from tuun_da.search.stan_process import compile_program\ncompile_program()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert fake_httpstan.read_text() == "build\n"
    assert target.read_text() == "half and half"
    assert sorted(path.suffix for path in target.parent.iterdir()) == [".lock", ".so"]
    assert all(process.stdout.read() == b"" for process in processes)


def test_a_compilation_that_is_killed_leaves_no_broken_program(fake_httpstan, monkeypatch):
    monkeypatch.setenv("DIES", "1")
    with pytest.raises(TuunDaError, match="exit code -9 while compiling"):
        compile_program()
    assert not compiled_path().exists()
    monkeypatch.delenv("DIES")
    compile_program()
    assert compiled_path().read_text() == "half and half"


def request_of(space, n, samples):
    process = process_of(space)
    points, values = data(space, n)
    given = program_data(process, points, values)
    return given, [np.zeros(given["p"])] * 2, 1, {"num_warmup": 20, "num_samples": samples}


def test_what_stan_says_of_bad_data_is_in_the_error(compiled):
    given, *rest = request_of(SearchSpace.from_nni(REALS), 5, 20)
    with pytest.raises(TuunDaError, match=r"(?s)exit code 1 while sampling by NUTS; its last words:.*mismatch"):
        stan_process.sample({**given, "y": np.zeros(3)}, *rest, 120)


def test_a_worker_that_hangs_is_ended_with_its_children(compiled, monkeypatch, tmp_path):
    (tmp_path / "hanging_worker.py").write_text(
        "import pathlib, subprocess, time\n"
        f"child = subprocess.Popen(['sleep', '1000'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "print('waiting for nothing', flush=True)\n"
        "time.sleep(1000)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(stan_process, "WORKER", "hanging_worker")
    with pytest.raises(TuunDaError, match=r"(?s)did not end within 15 s while sampling.*waiting for nothing"):
        stan_process.sample(*request_of(SearchSpace.from_nni(REALS), 5, 20), 15)
    assert ended_soon([int((tmp_path / "pid").read_text())])
    assert not [child for child in psutil.Process().children(recursive=True) if "hanging_worker" in child.cmdline()]


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ended_soon(pids):
    """Whether all have ended within a minute: a killed process may have to wait for a busy core to end on."""
    deadline = time.monotonic() + 60
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(is_running, pids))


SCRIPT = """
import asyncio, sys
sys.path[:] = {path!r}
import numpy as np
from tuun_da.search import stan_gp
from tuun_da.search.knowledge import Knowledge, make_kernel
from tuun_da.search.space import SearchSpace
stan_gp.WARMUP, stan_gp.SAMPLES, stan_gp.LARGEST_R_HAT = {warmup}, 20, float("inf")
space = SearchSpace.from_nni({space!r})
points = space.sample_points(30, np.random.default_rng(0))
surrogate = stan_gp.StanGaussianProcess(make_kernel(space, Knowledge()))

async def main():
    print(len(surrogate.fit(points, points[:, 0], np.random.default_rng(0)).draws))

asyncio.run(main())
"""


def test_it_works_in_a_running_event_loop_without_a_guard_and_prints_nothing(compiled, tmp_path):
    script = SCRIPT.format(path=sys.path, space=REALS, warmup=20)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{stan_gp.CHAINS * stan_gp.KEPT}\n"
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


@pytest.fixture
def near():
    """An empty folder with a short path: the sockets of Stan in it may not have more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        yield Path(name)


def test_it_prints_nothing_and_leaves_no_process_and_no_file(compiled, short, capfd, near, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(near))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    space = SearchSpace.from_nni(REALS)
    points, values = data(space, 8)
    StanGaussianProcess(make_kernel(space, Knowledge())).fit(points, values, np.random.default_rng(0))
    assert capfd.readouterr() == ("", "")
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
    assert not list(near.iterdir())


def test_the_worker_ends_when_its_parent_is_killed(compiled, near):
    script = SCRIPT.format(path=sys.path, space=MIXED_JSON, warmup=10**6)
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(near)})
    children = []
    try:
        deadline = time.monotonic() + 120
        while len(children) < 2 and time.monotonic() < deadline:  # the worker, and a chain that it has forked
            time.sleep(0.2)
            children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        parent.kill()
        parent.wait()
    assert ended_soon([child.pid for child in children])
    assert not list(near.iterdir())


def test_the_program_is_part_of_the_package():
    assert stan_process.PROGRAM.name == "gp.stan"
    assert "gp.stan" in (Path(__file__).parents[2] / "setup.cfg").read_text()
