"""A configuration's mistakes are told before anything starts; the shipped ones have none."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from made_probes import made_probe
from PIL import Image

from tuun_da.engines.nni_config import TUNER_CLASS, read_config
from tuun_da.errors import ConfigError
from tuun_da.operations import DEEPAUGMENT_TYPES, PUBLISHED_TYPES
from tuun_da.policy_format import split_parameters
from tuun_da.search.policy_space import find_policy
from tuun_da.search.space import SearchSpace
from tuun_da.training.datasets import load_splits
from tuun_da.training.options import SEARCHABLE, add_training_options, add_trial_options, configs_from_options

REPOSITORY = Path(__file__).parents[2]
SHIPPED = sorted((REPOSITORY / "nni_configs").glob("*.yml"))
UNIT = {"_type": "uniform", "_value": [0, 1]}
GOOD = {
    "searchSpace": {"x": UNIT},
    "trialCommand": "python3 train.py --data digits",
    "trialCodeDirectory": "trials",
    "trialConcurrency": 2,
    "maxTrialNumber": 4,
    "tuner": {"codeDirectory": ".", "className": TUNER_CLASS, "classArgs": {"seed": 1}},
    "trainingService": {"platform": "local"},
}


@pytest.fixture
def write(tmp_path):
    """Writes a good configuration with changes (None leaves a key out) and returns its path."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "train.py").touch()
    (tmp_path / "space.json").write_text(json.dumps({"x": UNIT}))

    def write_changed(text=None, **changes):
        content = {key: value for key, value in (GOOD | changes).items() if value is not None}
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(content) if text is None else text)
        return path

    return write_changed


def with_a_folder_of_images(path, tmp_path):
    """The configuration beside its neighbours, with the path that a user has to fill in filled in."""
    for name in ("nni_configs", "search_spaces", "trials"):
        shutil.copytree(REPOSITORY / name, tmp_path / "project" / name)
    copy = tmp_path / "project" / "nni_configs" / path.name
    (tmp_path / "key").touch()
    filled = {"folder:/path/to/images": f"folder:{tmp_path}", "~/.ssh/id_ed25519": str(tmp_path / "key")}
    text = copy.read_text()
    for template, value in filled.items():
        text = text.replace(template, value)
    copy.write_text(text)
    return copy


REMOTE = {"platform": "remote", "machineList": [{"host": "a", "user": "me", "sshKeyFile": "key"}]}


def tuner(**changes):
    return {"tuner": {key: value for key, value in (GOOD["tuner"] | changes).items() if value is not None}}


@pytest.mark.parametrize(
    ("changes", "key", "problem"),
    [
        ({"trialConcurrency": 0}, "trialConcurrency", "must be a whole number from 1 on; got 0"),
        (
            {"trainingService": REMOTE},
            "nniManagerIp",
            "is missing: the address under which the machines reach this one",
        ),
        ({"trainingService": {"platform": "remote"}}, "trainingService.machineList", "must list at least one machine"),
        (
            {"trainingService": REMOTE, "nniManagerIp": "10.0.0.1"},
            "trainingService.machineList",
            "there is no file key for sshKeyFile",
        ),
        (
            {"trainingService": {"platform": "remote", "machineList": [{"host": "a"}]}, "nniManagerIp": "10.0.0.1"},
            "trainingService.machineList",
            "each machine needs host and user, got {'host': 'a'}",
        ),
        (
            {"trainingService": REMOTE, "nniManagerIp": "10.0.0.1", "trialCommand": "python3 train.py --data digits"},
            "trialCommand",
            "must begin with the whole path of a Python on the machines, such as /home/me/venv/bin/python; got",
        ),
        ({"trialConcurrency": "2"}, "trialConcurrency", "got '2'"),
        ({"trialConcurrency": True}, "trialConcurrency", "got True"),
        ({"trialConcurrency": None}, "trialConcurrency", "is missing"),
        ({"maxTrialNumber": 1.5}, "maxTrialNumber", "got 1.5"),
        ({"maxTrialNumber": None}, "maxTrialNumber", "would never end"),
        ({"maxTrialNumer": 3}, "maxTrialNumer", "did you mean maxTrialNumber?"),
        ({"max_trial_number": 3}, "max_trial_number", "write it as maxTrialNumber"),
        ({"zzz": 3}, "zzz", "NNI knows no such key"),
        ({"trialCommand": None}, "trialCommand", "is missing"),
        ({"trialCommand": " "}, "trialCommand", "must be the command"),
        ({"trialCommand": ["python3"]}, "trialCommand", "must be the command"),
        ({"trialCommand": "cd x && python3 train.py"}, "trialCommand", "one simple command"),
        ({"trialCommand": "python3 train.py; date"}, "trialCommand", "one simple command"),
        ({"trialCommand": "python3 trian.py"}, "trialCommand", "there is no trian.py"),
        ({"trialCodeDirectory": "nowhere"}, "trialCodeDirectory", "must be a folder"),
        ({"trialGpuNumber": 0}, "trialGpuNumber", "leave it out"),
        ({"trainingService": {"platform": "local", "trialGpuNumber": 1}}, "trialGpuNumber", "leave it out"),
        ({"trainingService": {"platform": "locl"}}, "trainingService.platform", "got 'locl'"),
        ({"trainingService": {"platform": "local", "trial_gpu_number": 1}}, "trialGpuNumber", "leave it out"),
        ({"maxTrialDuration": "10 minuts"}, "maxTrialDuration", "must be a time"),
        ({"assessor": "Medianstop"}, "assessor", "must be keys"),
        ({"assessor": {"name": "Medianstopp"}}, "assessor.name", "must be one of Medianstop"),
        ({"searchSpace": {"tuun_id": UNIT}}, "searchSpace", "tuun_id: is the name"),
        ({"trialCommand": "python3 train.py --data folder:/no/such"}, "trialCommand", "there is no /no/such"),
        ({"trainingService": {}}, "trainingService.platform", "must be one of local"),
        ({"trainingService": "local"}, "trainingService", "keys such as platform: local"),
        ({"trainingService": []}, "trainingService", "keys such as platform: local"),
        ({"trainingService": ["local"]}, "trainingService", "keys such as platform: local"),
        ({"trainingService": None}, "trainingService", "is missing"),
        ({"logLevel": "loud"}, "logLevel", "one of fatal, error"),
        ({"tuner": None}, "tuner", "is missing"),
        ({"tuner": "TPE"}, "tuner", "className"),
        ({"tuner": {"name": "TPE"}}, "tuner", "got 'TPE'"),
        (tuner(className="a.B"), "tuner", "got 'a.B'"),
        (tuner(codeDirectory=None), "tuner.codeDirectory", "is missing"),
        (tuner(codeDirectory="nowhere"), "tuner.codeDirectory", "must be a folder"),
        (tuner(classArg={}), "tuner.classArg", "NNI knows no such key"),
        (tuner(classArgs=[1]), "tuner.classArgs", "must be keys and values"),
        (tuner(classArgs={"sed": 1}), "tuner.classArgs", "did you mean 'seed'?"),
        (tuner(classArgs={"seed": -1}), "tuner.classArgs", "seed must be"),
        ({"searchSpace": None}, "searchSpaceFile", "neither is there"),
        ({"searchSpaceFile": "space.json"}, "searchSpaceFile", "both are given"),
        ({"searchSpace": None, "searchSpaceFile": "nowhere.json"}, "searchSpaceFile", "cannot be read"),
        ({"searchSpace": {"x": {"_type": "unifrom", "_value": [0, 1]}}}, "searchSpace", "got 'unifrom'"),
        ({"searchSpace": {}}, "searchSpace", "at least one parameter"),
        ({"searchSpace": [1]}, "searchSpace", "must be a dict"),
        ({"searchSpace": {"operation1_1": UNIT, "magnitude1_1": UNIT}}, "searchSpace", "choice of operation types"),
        ({"searchSpace": {"magnitude1_1": UNIT}}, "searchSpace", "operation1_1 is missing"),
    ],
)
def test_a_mistake_is_named_by_file_and_key(write, changes, key, problem):
    path = write(**changes)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    [line] = [line for line in str(caught.value).splitlines() if f"{path}: {key}: " in line]
    assert problem in line


def test_without_a_mistake_it_is_read(write):
    config = read_config(write())
    assert (config.max_trials, config.concurrency, config.settings.seed) == (4, 2, 1)
    assert config.space == {"x": UNIT}


def test_all_mistakes_are_told_at_once(write):
    path = write(
        trialConcurrency=0, maxTrialNumer=3, trialGpuNumber=1, logLevel="loud", trialCommand=None,
        searchSpace={"x": {"_type": "unifrom", "_value": [0, 1]}}, **tuner(classArgs={"sed": 1, "surogate": "gp"}),
    )  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    for expected in ("trialConcurrency", "maxTrialNumer", "trialGpuNumber", "logLevel", "trialCommand", "'unifrom'"):
        assert sum(expected in line for line in lines) == 1
    assert [line for line in lines if "'seed'" in line and "'surrogate'" in line]


@pytest.mark.parametrize(
    "text",
    ["a: [", "", "- a", "3", "a: 2001-99-99", "a: !!python/object:os.system {}", "[" * 3000, "a\0b"],
    ids=["open list", "empty", "list", "number", "no date", "object", "deep", "nul"],
)
def test_a_file_that_is_no_configuration(write, text):
    path = write(text)
    with pytest.raises(ConfigError, match=r"is not YAML|must hold keys and values") as caught:
        read_config(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("path", ["missing.yml", "."])
def test_a_file_that_cannot_be_read(tmp_path, path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / path)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("s.json", b"{", "is not json"),
        ("s.json", b"\xff\xfe", "is not json"),
        ("s.json", b"[" * 100_000, "is not json"),
        ("s.yml", b"a: [", "is not YAML"),
        ("s.json", b"[]", "must be a dict"),
        ("s.json", b'{"x": {"_type": "uniform", "_value": [1, 0]}}', "low < high"),
    ],
)
def test_a_search_space_file_that_cannot_be_used_is_named(write, tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(write(searchSpace=None, searchSpaceFile=name))
    assert str(tmp_path / name) in str(caught.value)
    assert problem in str(caught.value)


def test_relative_paths_are_relative_to_the_file(write, tmp_path, monkeypatch):
    path = write(searchSpace=None, searchSpaceFile="space.json", experimentWorkingDirectory="experiments")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name in (path, Path("..", path.name)):
        config = read_config(name)
        assert config.space == {"x": UNIT}
        assert config.working_directory == tmp_path / "experiments"


def test_the_registered_name_is_our_tuner_too(write):
    config = read_config(write(tuner={"name": "Tuun", "classArgs": {"surrogate": "forest"}}))
    assert config.settings.surrogate == "forest"


# ---- files that the tuner reads ----


def test_files_of_the_tuner_are_looked_for_in_its_code_directory_only(write, tmp_path, monkeypatch):
    """The tuner runs in NNI's log folder: what lies where the user happens to stand is not there."""
    code, elsewhere = tmp_path / "code", tmp_path / "elsewhere"
    for folder in (code, elsewhere):
        folder.mkdir()
    made_probe().save(code / "probe.json")
    made_probe().save(elsewhere / "stray.json")
    monkeypatch.chdir(elsewhere)
    policies = {"searchSpace": json.loads((REPOSITORY / "search_spaces" / "tuun.json").read_text())}
    arguments = {"probe": "probe.json", "initial": ["etp"]}
    config = read_config(write(**policies, **tuner(codeDirectory="code", classArgs=arguments)))
    assert (config.settings.probe, config.settings.initial) == ("probe.json", ["etp"])
    with pytest.raises(ConfigError, match=r"tuner.classArgs: probe: 'stray.json' cannot be used"):
        read_config(write(**tuner(codeDirectory="code", classArgs={"probe": "stray.json"})))
    whole = tuner(classArgs={"probe": str(elsewhere / "stray.json")})
    assert read_config(write(**policies, **whole)).settings.probe
    with pytest.raises(ConfigError, match=r"tuner.classArgs: probe: the search space has no policy"):
        read_config(write(**whole))


def test_a_probe_that_lacks_a_type_of_the_space_is_refused_before_the_start(write, tmp_path):
    made_probe().save(tmp_path / "probe.json")
    space = json.loads((REPOSITORY / "search_spaces" / "deepaugment.json").read_text())
    arguments = {"probe": str(tmp_path / "probe.json")}
    with pytest.raises(ConfigError, match=r"tuner.classArgs: the probe has not measured gaussianBlur, .*elastic"):
        read_config(write(searchSpace=space, **tuner(classArgs=arguments)))
    made_probe(types=DEEPAUGMENT_TYPES).save(tmp_path / "probe.json")
    assert read_config(write(searchSpace=space, **tuner(classArgs=arguments))).settings.probe


def test_a_registered_tuner_has_no_code_directory_so_the_whole_path_is_needed(write, tmp_path, monkeypatch):
    made_probe().save(tmp_path / "probe.json")
    monkeypatch.chdir(tmp_path)
    space = json.loads((REPOSITORY / "search_spaces" / "tuun.json").read_text())
    for probe in ("probe.json", str(tmp_path / "probe.json")):
        path = write(searchSpace=space, tuner={"name": "Tuun", "classArgs": {"probe": probe}})
        if probe == "probe.json":
            with pytest.raises(ConfigError, match=r"tuner.classArgs: probe: 'probe.json' .* whole path is needed"):
                read_config(path)
        else:
            assert read_config(path).settings.probe == probe


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"initial": ["ept"]}, "initial: 'ept' cannot be used: it is none of none, etp,"),
        ({"initial": "etp"}, "initial must be a list of names or files, got 'etp'"),
        ({"warm_start": ["nowhere"]}, "warm_start: 'nowhere' cannot be used"),
        ({"beta": 2}, "beta belongs to acquisition ucb, which is logei here; got 2"),
        ({"initial": ["etp"]}, "initial policy etp needs a search space with a policy in it"),
    ],
)
def test_what_the_tuner_knows_before_is_checked_before(write, arguments, problem):
    path = write(**tuner(classArgs=arguments))
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: tuner.classArgs: {problem}")


# ---- what is shipped ----


def trial_options(command):
    """The options in a trial command, parsed as trials/train.py does. Ends the test for one that is not known."""
    python, script, *arguments = shlex.split(command)
    assert (python.rpartition("/")[2], script) in (("python3", "train.py"), ("python", "train.py"))
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    add_trial_options(parser)
    parser.add_argument("--policy", default="search")
    return parser.parse_args(arguments)


def test_there_is_a_configuration_for_every_data_set():
    assert [path.stem for path in SHIPPED] == ["cifar10", "cifar100", "digits", "folder", "joint", "remote", "svhn"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
class TestShipped:
    def test_it_has_no_mistake_and_no_gpu_number(self, path, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        config = read_config(with_a_folder_of_images(path, tmp_path))
        assert config.max_trials == (24 if path.stem == "digits" else 60)
        keys = {key for level in (config.content, config.content["trainingService"]) for key in level}
        assert "trialGpuNumber" not in keys

    def test_nni_accepts_it(self, path, tmp_path, monkeypatch):
        from nni.experiment import ExperimentConfig

        monkeypatch.chdir(tmp_path)
        config = ExperimentConfig.load(str(with_a_folder_of_images(path, tmp_path)))
        config.validate()
        assert config.trial_concurrency >= 1

    def test_its_trial_command_is_one_that_the_trial_script_takes(self, path, tmp_path):
        config = read_config(with_a_folder_of_images(path, tmp_path))
        options = trial_options(config.content["trialCommand"])
        policy, others = split_parameters(config.space)
        assert policy
        assert options.policy == "search"
        middle = dict.fromkeys(others, 0.01)
        train, data = configs_from_options(options, middle)
        assert data.kind == {"joint": "cifar10", "remote": "folder"}.get(path.stem, path.stem)
        if data.kind in ("cifar10", "cifar100", "svhn"):  # the published protocol
            assert (train.model, train.epochs) == ("basenet_resnet18", 50)
        assert train.to_dict() | middle == train.to_dict()

    def test_it_is_read_in_a_minute(self, path):
        lines = path.read_text().splitlines()
        assert len(lines) < 50
        assert lines[0].startswith("# Searches")
        assert any("tuun-da search --config nni_configs/" + path.name in line for line in lines)


def test_digits_trains_on_few_images_and_validates_on_many():
    options = trial_options(read_config(REPOSITORY / "nni_configs" / "digits.yml").content["trialCommand"])
    assert 10 <= options.train_per_class <= 20
    assert options.validation_size >= 600


@pytest.mark.parametrize(
    ("name", "n_parameters", "has_prob", "types", "others"),
    [
        ("tuun", 30, True, PUBLISHED_TYPES, ()),
        ("deepaugment", 20, False, DEEPAUGMENT_TYPES, ()),
        ("joint", 32, True, PUBLISHED_TYPES, ("learning_rate", "weight_decay")),
    ],
)
def test_shipped_search_spaces_are_what_the_operations_say(name, n_parameters, has_prob, types, others):
    content = json.loads((REPOSITORY / "search_spaces" / f"{name}.json").read_text())
    assert len(content) == n_parameters
    kinds = ("operation", "prob", "magnitude") if has_prob else ("operation", "magnitude")
    expected = {
        f"{kind}{i}_{j}": {"_type": "choice", "_value": list(types)} if kind == "operation" else UNIT
        for i in range(1, 6)
        for j in (1, 2)
        for kind in kinds
    }
    assert {key: value for key, value in content.items() if key not in others} == expected
    layout = find_policy(SearchSpace.from_nni(content))
    assert (layout.sub_policies, layout.operations_per_sub_policy) == (5, 2)
    assert (layout.has_prob, layout.types, layout.others) == (has_prob, types, others)
    assert set(others) <= set(SEARCHABLE)


def test_the_published_comparison_has_all_16_operations():
    assert len(PUBLISHED_TYPES) == 16


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "val", "test"), ("",)])
def test_folder_configuration_reads_every_layout_that_it_names(tmp_path, parts):
    rng = np.random.default_rng(0)
    for part in parts:
        for name in ("dent", "scratch"):
            folder = tmp_path / "images" / part / name
            folder.mkdir(parents=True)
            for number in range(20):
                pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    command = yaml.safe_load((REPOSITORY / "nni_configs" / "folder.yml").read_text())["trialCommand"]
    assert "folder:/path/to/images" in command
    options = trial_options(command.replace("/path/to/images", str(tmp_path / "images")))
    splits = load_splits(configs_from_options(options)[1])
    assert splits.num_classes == 2
    assert splits.train_images.shape[2:] == (64, 64)
    sizes = [len(splits.train_labels), len(splits.validation_labels), len(splits.test_labels)]
    assert sizes == {1: [26, 6, 8], 2: [32, 8, 40], 3: [40, 40, 40]}[len(parts)]
