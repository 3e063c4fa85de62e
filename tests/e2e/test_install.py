"""What a newcomer gets: the wheel alone is enough, and ``nnictl algo register`` knows our tuner."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import yaml
from nni_harness import BIN, REPOSITORY, Workplace, free_port, rest, wait_for, write_config

pytestmark = pytest.mark.e2e


def uv(*arguments: object) -> None:
    """Run uv, the installer that ``make`` uses."""
    program = shutil.which("uv", path=f"{BIN}:{BIN}/..") or shutil.which("uv")
    assert program is not None, "uv is not there; make installs it into .venv"
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def distributions(tmp_path_factory):
    """sdist and wheel, built from a copy so that the checkout stays as it is."""
    source = tmp_path_factory.mktemp("source") / "tuun_da"
    ignored = shutil.ignore_patterns(".venv", ".git", "*.egg-info", "__pycache__", "build", "dist", ".*_cache")
    shutil.copytree(REPOSITORY, source, symlinks=True, ignore=ignored)
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--python", sys.executable, "--out-dir", folder, source)
    [wheel] = folder.glob("*.whl")
    [sdist] = folder.glob("*.tar.gz")
    return wheel, sdist


@pytest.fixture(scope="session")
def fresh_environment(tmp_path_factory, distributions):
    """An environment with nothing but the wheel and what it asks for, in the locked versions."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    wheel, _ = distributions
    uv("venv", "--python", sys.executable, folder)
    uv("pip", "install", "--python", folder / "bin" / "python", wheel, "--constraint", REPOSITORY / "requirements.lock")
    return folder / "bin"


def test_sdist_and_wheel_carry_what_init_writes(distributions):
    import tarfile
    import zipfile

    wheel, sdist = distributions
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    expected = [
        f"tuun_da/starter/{path.relative_to(REPOSITORY)}"
        for pattern in ("nni_configs/**/*.yml", "search_spaces/*.json", "trials/*.py")
        for path in REPOSITORY.glob(pattern)
    ]
    assert len(expected) >= 10
    assert set(expected) <= in_wheel
    assert set(expected) <= in_sdist
    assert {"tuun_da/engines/loopback.cjs", "tuun_da/search/gp.stan", "tuun_da/py.typed"} <= in_wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in in_wheel)
    tops = {name.partition("/")[0] for name in in_wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tuun_da"}
    assert {"README.md", "LICENSE", "setup.cfg", "pyproject.toml"} <= in_sdist


def test_wheel_init_and_nnictl_in_an_empty_folder(place: Workplace, fresh_environment):
    """``pip install WHEEL``, ``tuun-da init``, ``nnictl create --config nni_configs/digits.yml``, as they stand."""
    path = f"{fresh_environment}:/usr/bin:/bin"
    code, output = place.run(fresh_environment / "tuun-da", "init", PATH=path)
    assert code == 0, output
    port = free_port()
    code, output = place.run(
        fresh_environment / "nnictl", "create", "--config", "nni_configs/digits.yml", "--port", str(port), PATH=path
    )
    assert code == 0, output
    try:
        jobs = wait_for(
            lambda: [job for job in rest(port, "trial-jobs") or [] if job["status"] in ("SUCCEEDED", "FAILED")],
            seconds=180,
            what="a trial",
        )
        assert {job["status"] for job in jobs} == {"SUCCEEDED"}
    finally:
        place.run(fresh_environment / "nnictl", "stop", "--port", str(port), PATH=path)
    [experiment] = [
        folder
        for folder in (place.folder / "nni-experiments").iterdir()
        if (folder / "checkpoint").is_dir() and not folder.is_symlink()
    ]
    code, output = place.run(fresh_environment / "tuun-da", "best", experiment.name, PATH=path)
    assert code == 0, output
    assert (place.folder / "best_policy.json").exists()


def test_registered_tuner_by_name(place: Workplace, fresh_environment):
    """``nnictl algo register``, then ``tuner: {name: Tuun}``. NNI keeps registrations inside the environment."""
    path = f"{fresh_environment}:/usr/bin:/bin"
    meta = REPOSITORY / "nni_configs" / "register" / "tuun.yml"
    code, output = place.run(fresh_environment / "nnictl", "algo", "register", "--meta", meta, PATH=path)
    assert code == 0, output
    assert "registered sucessfully" in output
    config = write_config(
        place.folder, tuner={"name": "Tuun", "classArgs": {"seed": 1}}, trialConcurrency=1, maxTrialNumber=2
    )
    code, output = place.run(
        fresh_environment / "tuun-da", "search", "--config", config, "--port", str(free_port()), PATH=path
    )
    assert code == 0, output
    assert len(place.finished()) == 2
    assert yaml.safe_load(meta.read_text())["builtinName"] == "Tuun"
