"""What is known before the first trial: read from names and files once, and from the journal after that."""

from __future__ import annotations

import json

import pytest
from made_probes import made_probe
from nni_simulation import SPACE

from tuun_da.engines.known import check_known, optimizer_arguments, read_known
from tuun_da.errors import ConfigError, SearchSpaceError
from tuun_da.known_policies import KNOWN_POLICIES
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.search.history import Journal, Trial, TrialState
from tuun_da.search.optimizer import Optimizer
from tuun_da.search.space import SearchSpace

UNIT = {"_type": "uniform", "_value": [0, 1]}
PAIRS = SearchSpace.from_nni(
    {
        f"{kind}{i}_{j}": UNIT if kind != "operation" else {"_type": "choice", "_value": list(OPERATION_TYPES)}
        for i in (1, 2)
        for j in (1, 2)
        for kind in ("operation", "prob", "magnitude")
    }
)
POINT = {"operation1_1": "rotate", "prob1_1": 0.5, "magnitude1_1": 0.25}


def write_journal(path, values=(0.1, 0.2, 0.3), mode="maximize"):
    """A journal with a trial of each value, a failed one, a stopped one and one that runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"optimize_mode": mode, "surrogate": "random", "acquisition": "logei", "n_initial": 2, "seed": 0}
    journal = Journal.open(path, space=SPACE, settings=settings, versions={})
    for number, value in enumerate(values):
        parameters = POINT | {"magnitude1_1": number / 10}
        journal.record_finished(Trial(id=number, parameters=parameters, state=TrialState.SUCCEEDED, value=value))
    journal.record_finished(Trial(id=90, parameters=POINT, state=TrialState.FAILED))
    journal.record_finished(Trial(id=91, parameters=POINT, state=TrialState.STOPPED, curve=(9.0,), value=9.0))
    journal.record_asked(92, POINT)
    journal.close()


@pytest.fixture
def files(tmp_path):
    """A probe, a policy and a journal."""
    made_probe(data="digits").save(tmp_path / "probe.json")
    operations = (Operation("rotate", 0.5, 0.25), Operation("invert", 1.0, 0.0))
    PolicyRecord((SubPolicy(operations),)).save(tmp_path / "mine.json")
    write_journal(tmp_path / "journal.jsonl")
    return tmp_path


def test_nothing_is_known_of_nothing():
    assert read_known(None, (), ()) == {}
    assert optimizer_arguments({}, PAIRS) == {"initial": [], "earlier": []}


def test_what_is_read_survives_json_and_makes_an_optimizer(files):
    known = read_known("probe.json", ["mine.json", "etp"], ["journal.jsonl"], folders=[files])
    assert json.loads(json.dumps(known)) == known
    arguments = optimizer_arguments(json.loads(json.dumps(known)), PAIRS)
    assert arguments["probe"] == made_probe(data="digits")
    first, second, again = arguments["initial"]  # five times crop and flip: two settings that are alike, and a rest
    assert again == second
    assert (first["operation1_1"], first["prob1_1"], first["magnitude1_1"]) == ("rotate", 0.5, 0.25)
    assert (second["operation1_1"], second["operation2_2"]) == ("randomCrop", "randomHorizontalFlip")
    [earlier] = arguments["earlier"]
    assert (earlier.name, list(earlier.values)) == ("journal.jsonl", [0.1, 0.2, 0.3])
    optimizer = Optimizer(PAIRS, seed=0, **arguments)
    assert [optimizer.ask(0), optimizer.ask(1)] == [first, second]


@pytest.mark.parametrize("name", KNOWN_POLICIES)
def test_known_policies_need_no_file_and_no_folder(name, tmp_path, monkeypatch):
    """Nor does a file, or a folder, of that name come before them."""
    monkeypatch.chdir(tmp_path)
    expected = read_known(None, [name], [], folders=())
    (tmp_path / name).mkdir()
    assert read_known(None, [name], [], folders=[tmp_path]) == expected
    [[known_as, lists]] = expected["initial"]
    assert known_as == name
    assert (
        tuple(SubPolicy(tuple(Operation(*each) for each in operations)) for operations in lists) == KNOWN_POLICIES[name]
    )


@pytest.mark.parametrize(("mode", "sign"), [("maximize", 1), ("minimize", -1)])
def test_of_a_journal_the_finished_trials_count_with_the_right_sign(tmp_path, mode, sign):
    write_journal(tmp_path / "j", (0.5, -2.0), mode)
    [[_, trials]] = read_known(None, [], ["j"], folders=[tmp_path])["warm_start"]
    assert [value for _, value in trials] == [sign * 0.5, sign * -2.0]
    assert [parameters["magnitude1_1"] for parameters, _ in trials] == [0.0, 0.1]


@pytest.mark.parametrize("place", ["journal.jsonl", "checkpoint/journal.jsonl"])
def test_of_a_folder_the_journal_in_it_counts(tmp_path, place):
    write_journal(tmp_path / "experiment" / place)
    [[name, trials]] = read_known(None, [], ["experiment"], folders=[tmp_path])["warm_start"]
    assert (name, len(trials)) == ("experiment", 3)


def test_relative_names_are_looked_for_in_the_folders_in_their_order(files, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    made_probe(seed=5).save(other / "probe.json")
    monkeypatch.chdir(tmp_path)
    own, others = made_probe(data="digits").to_json(), made_probe(seed=5).to_json()
    assert read_known("probe.json", [], [], folders=[other, files])["probe"] == others
    assert read_known("probe.json", [], [], folders=[files, other])["probe"] == own
    assert read_known("probe.json", [], [])["probe"] == own  # by default in the working directory
    assert read_known(str(other / "probe.json"), [], [], folders=[files])["probe"] == others


def test_where_no_folder_is_known_the_whole_path_is_needed(files, monkeypatch):
    monkeypatch.chdir(files)
    with pytest.raises(ConfigError, match=r"probe: 'probe.json' cannot be used: .* the whole path is needed"):
        read_known("probe.json", [], [], folders=())
    assert read_known(str(files / "probe.json"), [], [], folders=())


def test_the_working_directory_is_none_of_the_folders(files, tmp_path, monkeypatch):
    """A tuner of NNI runs in its log folder: what a user has around must not count when a configuration is checked."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(files)
    for arguments in (("probe.json", [], []), (None, ["mine.json"], []), (None, [], ["journal.jsonl"])):
        with pytest.raises(ConfigError, match="cannot be used"):
            read_known(*arguments, folders=[elsewhere])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.json", [], []), "probe: 'missing.json' cannot be used: .*probe file .*missing.json"),
        (("mine.json", [], []), "probe: 'mine.json' cannot be used: .*mine.json"),
        ((None, ["ept"], []), "initial: 'ept' cannot be used: it is none of none, etp, .*, and there is no such file"),
        ((None, ["etp", "probe.json"], []), "initial: 'probe.json' cannot be used: .*probe.json"),
        ((None, [], ["missing"]), "warm_start: 'missing' cannot be used: .*missing"),
        ((None, [], ["journal.jsonl", "mine.json"]), "warm_start: 'mine.json' cannot be used: .*mine.json"),
    ],
)
def test_what_cannot_be_read_is_named(files, arguments, message):
    with pytest.raises(ConfigError, match=message):
        read_known(*arguments, folders=[files])


def test_a_policy_that_is_none_of_the_space_is_an_error_of_the_space():
    with pytest.raises(SearchSpaceError, match="initial policy etp has sub-policies of 2 operations"):
        optimizer_arguments(read_known(None, ["etp"], []), SearchSpace.from_nni(SPACE))


def test_what_would_have_no_effect_is_refused(files):
    beside = SearchSpace.from_nni(SPACE | {"lr": UNIT})
    general = SearchSpace.from_nni({"x": UNIT})
    probe = read_known("probe.json", [], [], folders=[files])
    check_known(probe, PAIRS)
    with pytest.raises(ConfigError, match="probe: the search space has no policy"):
        check_known(probe, general)
    write_journal(files / "enough", [0.1, 0.2, 0.3, 0.4, 0.5])
    enough, few = (read_known(None, [], [name], folders=[files]) for name in ("enough", "journal.jsonl"))
    check_known(enough, SearchSpace.from_nni(SPACE))
    check_known(enough, beside)  # what the earlier experiment did not have stands at the middle
    for known, space, message in [
        (few, beside, "warm_start: 'journal.jsonl' has 3 finished trials, of which 3 fit .*; at least 5 are wanted"),
        (enough, general, "warm_start: 'enough' has 5 finished trials, of which 0 fit this search space"),
        (read_known(None, [], ["enough", "journal.jsonl"], folders=[files]), beside, "'journal.jsonl' has 3"),
    ]:
        with pytest.raises(ConfigError, match=message):
            check_known(known, space)


def test_a_folder_without_a_journal_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"warm_start: 'empty' cannot be used: .*journal.jsonl"):
        read_known(None, [], ["empty"], folders=[tmp_path])
