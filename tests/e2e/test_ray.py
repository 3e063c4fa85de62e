"""On real Ray clusters: machines and drivers that die lose no trial, and nothing is left running."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray_models

pytest.importorskip("ray.tune", reason="Ray is not installed: pip install tuun_da[ray]")

import ray
from ray._raylet import Config
from ray.cluster_utils import Cluster

from tuun_da.engines import local, ray_pool, ray_search
from tuun_da.engines.echo import read_metric
from tuun_da.engines.local_trial import TrialPlan, run_planned
from tuun_da.engines.nni_config import read_config
from tuun_da.engines.ray_pool import RayPool
from tuun_da.engines.ray_tune import TuunSearcher
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError, ExperimentError
from tuun_da.search.history import TrialState, read_journal
from tuun_da.space_file import policy_space
from tuun_da.training.schedule import TrainConfig
from tuun_da.training.settings import DataConfig

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
SPACE = policy_space()
SETTINGS = TunerSettings(n_initial=4, seed=5)
PLAN = TrialPlan(
    train=TrainConfig(model="ray_models:slow", epochs=1, batch_size=16, learning_rate=0.02, seed=3),
    data=DataConfig(data="digits", train_per_class=4, validation_size=60),
    device="cpu",
    threads=1,
)
STORE = 80 * 2**20


@pytest.fixture(autouse=True, scope="module")
def _own_token():
    """Ray would write one to the user's home. It may have read its settings already, when it was imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        Config.initialize("")
        yield


@pytest.fixture(scope="module")
def starts(tmp_path_factory):
    """The file of trainings that began on a worker."""
    return tmp_path_factory.mktemp("ray") / "starts"


@pytest.fixture(scope="module")
def cluster(starts):
    """Two machines of one core each; the second may be killed."""
    before = set(psutil.Process().children(recursive=True))
    folder = _short()
    common = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUUN_DA_TEST_STARTS", str(starts))
        patch.setenv("RAY_TMPDIR", str(folder))
        (folder / "ray").mkdir()
        made = Cluster(initialize_head=True, head_node_args=common)
        made.second = made.add_node(**common)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    gone(set(psutil.Process().children(recursive=True)) - before)


def gone(processes, seconds=20):
    """Wait until these have ended."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    alive = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert not alive, [process.cmdline() for process in alive]


def test_the_example_of_the_page_searches_with_asha_and_keeps_the_searchers_state(cluster, tmp_path, monkeypatch):
    page = ROOT / "docs" / "engines.md"
    [example] = [block for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if "tune" in block]
    monkeypatch.setenv("HOME", str(tmp_path))  # where Tune keeps its results
    ray.init(cluster.address, log_to_driver=False)
    try:
        place = {"__name__": "__main__"}  # so that Ray sends the function, not its name
        exec(compile(example, "engines.md", "exec"), place)
    finally:
        ray.shutdown()
    results = place["results"]
    assert not results.errors
    kept = TuunSearcher()
    kept.restore_from_dir(results.experiment_path)
    trials = {trial.details["ray_trial"]: trial for trial in kept._study.journal.content.trials}
    assert len(trials) == len(results) == 5
    for result in results:
        trial = trials[result.metrics["trial_id"]]
        assert trial.parameters == {"learning_rate": result.config["learning_rate"]}
        reached = 1 - (trial.parameters["learning_rate"] - 0.1) ** 2
        assert trial.curve == pytest.approx([reached - 1 / epoch for epoch in range(1, len(trial.curve) + 1)])
        assert trial.value == trial.curve[-1] == result.metrics["accuracy"]
        assert trial.state is (TrialState.SUCCEEDED if len(trial.curve) == 9 else TrialState.STOPPED)
    assert {trial.state for trial in trials.values()} == {TrialState.SUCCEEDED, TrialState.STOPPED}


def kill_in_a_training(cluster, starts):
    """Wait until a third training, or a later one, has just begun on the second machine, and kill that."""
    raylet = psutil.Process(cluster.second.all_processes["raylet"][0].process.pid)
    while True:
        begun = starts.read_text().split() if starts.exists() else []
        if len(begun) >= 3 and int(begun[-1]) in {process.pid for process in raylet.children(recursive=True)}:
            cluster.remove_node(cluster.second, allow_graceful=False)
            return
        time.sleep(0.02)


def test_a_machine_that_dies_costs_no_trial_and_the_search_goes_on_from_its_journal(cluster, starts, tmp_path):
    journal = tmp_path / "journal.jsonl"
    killer = threading.Thread(target=kill_in_a_training, args=(cluster, starts), daemon=True)
    with RayPool(cluster.address, n_workers=2) as pool:
        pool.begin_everywhere(ray_models.warm)
        pool.ends()
        killer.start()
        content, interrupted = local.run_search(PLAN, SPACE, SETTINGS, 8, journal=journal, pool=pool)
    assert not interrupted
    assert not killer.is_alive()
    assert not ray.is_initialized()
    assert read_journal(journal) == content
    assert sorted(trial.id for trial in content.trials) == list(range(1, 9))
    assert {trial.state for trial in content.trials} == {TrialState.SUCCEEDED}
    assert len(starts.read_text().split()) == 8 + 1  # the one that died began twice
    asked = {event.id: event.parameters for event in content.events if event.trial is None}
    for trial in content.trials:
        assert trial.parameters == asked[trial.id]
        assert trial.value == read_metric(run_planned(PLAN, trial.id, trial.parameters)).value

    rest, _ = ray_search.run_search(PLAN, SPACE, SETTINGS, 10, journal=journal, address=cluster.address)
    assert rest.trials[:8] == content.trials
    assert sorted(trial.id for trial in rest.trials) == list(range(1, 11))


def test_a_task_that_kills_its_worker_is_done_twice_and_then_said_to_have_died(cluster, caplog):
    ended = []
    with RayPool(cluster.address) as pool:
        pool.run_all({"dies": ray_models.dies, "fails": ray_models.fails}, lambda one: not ended.append(one))
    by_key = {one.key: one for one in ended}
    assert by_key["dies"].error.startswith("the worker on the Ray cluster died 2 times: ")
    assert by_key["fails"].error == "the task raised ValueError: no such layer"
    assert caplog.text.count("its task is done again") == 1


def test_a_configuration_of_nnis_runs_on_the_cluster(cluster, tmp_path):
    config = read_config(ROOT / "nni_configs" / "digits.yml")
    short = {"maxTrialNumber": 2, "trialCommand": config.content["trialCommand"].replace("120", "1")}
    content, interrupted = ray_search.run_config(
        replace(config, content={**config.content, **short}), tmp_path / "journal.jsonl", address=cluster.address
    )
    assert not interrupted
    assert [trial.state for trial in content.trials] == [TrialState.SUCCEEDED] * 2
    assert {trial.details["settings"]["train"]["epochs"] for trial in content.trials} == {1}
    with pytest.raises(ConfigError, match="maxTrialNumber: is missing"):
        ray_search.run_config(replace(config, content={}), tmp_path / "journal.jsonl")


def test_a_cluster_without_room_is_given_up_after_a_while(cluster, monkeypatch):
    monkeypatch.setattr(ray_pool, "NO_MACHINE_SECONDS", 0.5)
    with RayPool(cluster.address, cores=3) as pool, pytest.raises(ExperimentError, match="has 3 CPU cores for a trial"):
        pool.run_all({1: os.getpid})
    with RayPool(cluster.address, on_gpu=True) as pool, pytest.raises(ExperimentError, match="1 CPU cores and a GPU"):
        pool.run_all({1: os.getpid})


def test_what_ray_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="device must be auto, cpu or cuda with Ray"):
        ray_search.pool_for(TrialPlan(device="cuda:1"))
    with pytest.raises(ConfigError, match="the Ray cluster at nowhere cannot be reached"):
        RayPool("nowhere")
    assert not ray.is_initialized()


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import test_ray
from tuun_da.engines.ray_search import run_search
from pathlib import Path
run_search(
    test_ray.PLAN, test_ray.SPACE, test_ray.SETTINGS, 20, journal=Path({journal!r}),
    on_trial=lambda trial, content: print("ended", trial.id, flush=True),
)
"""


def test_a_driver_that_is_killed_leaves_nothing_running_and_another_engine_goes_on(tmp_path):
    journal = tmp_path / "journal.jsonl"
    script = SCRIPT.format(here=str(Path(__file__).parent), journal=str(journal))
    environment = {**os.environ, "TUUN_DA_TEST_STARTS": str(tmp_path / "starts"), "TMPDIR": str(short := _short())}
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert driver.stdout.readline().startswith("ended")
        time.sleep(0.3)
        processes = psutil.Process(driver.pid).children(recursive=True)
        assert any("raylet" in process.name() for process in processes)
        driver.kill()
        driver.communicate(timeout=60)
        # Ray's agents look for their dead head for up to two minutes when they are not told of the end.
        agents = [process for process in processes if "Agent" in process.name()]
        gone(set(processes) - set(agents), 30)
        for agent in agents:
            with contextlib.suppress(psutil.NoSuchProcess):
                agent.kill()
    finally:
        driver.kill()
        driver.wait()
        shutil.rmtree(short, ignore_errors=True)
    content = read_journal(journal)
    n_trials = len(content.trials) + len(content.running)
    rest, _ = local.run_search(PLAN, SPACE, SETTINGS, n_trials, journal=journal)
    assert rest.trials[: len(content.trials)] == content.trials
    assert sorted(trial.id for trial in rest.trials) == list(range(1, n_trials + 1))
    assert {trial.state for trial in rest.trials} == {TrialState.SUCCEEDED}


def _short():
    """A folder whose path leaves room for Ray's sockets."""
    return Path(tempfile.mkdtemp(prefix="tt", dir="/tmp"))
