"""The tuner's arguments: checked by name, and the same after a trip through the journal."""

from __future__ import annotations

import json

import pytest

from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.errors import ConfigError

ALL = {
    "optimize_mode": "minimize",
    "surrogate": "forest",
    "acquisition": "ucb",
    "beta": 1.5,
    "n_initial": 4,
    "probe": "probe.json",
    "initial": ["etp", "mine.json"],
    "warm_start": ["old/journal.jsonl"],
    "seed": 7,
}


def test_they_survive_json():
    settings = TunerSettings.from_arguments(ALL)
    assert settings.to_dict() == ALL
    assert TunerSettings.from_arguments(json.loads(json.dumps(settings.to_dict()))) == settings
    assert TunerSettings.from_arguments(json.loads(json.dumps(TunerSettings().to_dict()))) == TunerSettings()


def test_a_tuple_is_a_list_as_json_has_it_and_the_callers_list_stays_its_own():
    names = ["etp"]
    settings = TunerSettings(initial=names, warm_start=("a", "b"))
    names.append("none")
    assert settings.to_dict()["initial"] == ["etp"]
    assert settings == TunerSettings(initial=["etp"], warm_start=["a", "b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probe": 3}, "probe must be a file, got 3"),
        ({"probe": ["p.json"]}, r"probe must be a file, got \['p.json'\]"),
        ({"initial": "etp"}, "initial must be a list of names or files, got 'etp'"),
        ({"initial": None}, "initial must be a list of names or files, got None"),
        ({"initial": ["etp", 3]}, r"initial must be a list of names or files, got \['etp', 3\]"),
        ({"warm_start": "journal.jsonl"}, "warm_start must be a list of names or files, got 'journal.jsonl'"),
        ({"warm_start": {"a": 1}}, "warm_start must be a list"),
        ({"beta": 2.0}, "beta belongs to acquisition ucb, which is logei here; got 2.0"),
        ({"acquisition": "ucb", "beta": -1}, "beta must be a number of at least 0, got -1"),
        ({"acquisition": "ucb", "beta": "x"}, "beta must be a number of at least 0, got 'x'"),
        ({"warmstart": []}, "the tuner has no argument 'warmstart'; did you mean 'warm_start'?"),
        ({"inital": []}, "the tuner has no argument 'inital'; did you mean 'initial'?"),
        ({"seed": 2**53}, r"seed must be below 2\*\*53"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TunerSettings.from_arguments(arguments)
