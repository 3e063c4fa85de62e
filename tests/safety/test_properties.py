"""Policies, spaces, journals, configurations: what is written comes back, and no damage raises anything but our errors.

``TUUN_DA_DEEP=20`` runs twenty times as many examples.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from damage import damaged, damaged_lines, flipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import READERS, is_refused
from seeds import seeds

from tuun_da.data_files import parse_json
from tuun_da.engines.tuner_settings import TunerSettings
from tuun_da.engines.yaml_file import parse_yaml
from tuun_da.errors import ConfigError, JournalError, SearchSpaceError
from tuun_da.operations import OPERATION_TYPES, Operation, SubPolicy
from tuun_da.policy_format import PolicyRecord
from tuun_da.probe_format import MEASURES, ProbeRecord
from tuun_da.search.history import Journal, Trial, TrialState, read_journal
from tuun_da.search.space import SearchSpace
from tuun_da.space_file import read_space, space_text

DEEP = int(os.environ.get("TUUN_DA_DEEP", "1"))


def examples(number: int):
    """So many examples, or ``DEEP`` times as many; the machine may be slow."""
    return settings(
        max_examples=number * DEEP,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
    )


SLOW = {"report": 15, "config": 25, "journal": 40}
numbers = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)
shares = st.floats(0, 1)
operations = st.builds(Operation, st.sampled_from(sorted(OPERATION_TYPES)), shares, shares)
policies = st.builds(
    PolicyRecord,
    st.lists(st.lists(operations, min_size=1, max_size=4).map(tuple).map(SubPolicy), min_size=1, max_size=6).map(tuple),
    st.sampled_from(["batch", "image"]),
    shares,
    st.dictionaries(texts, json_values, max_size=3),
)


# Values


@examples(150)
@given(json_values)
def test_json_that_is_allowed_reads_as_json_does(value):
    text = json.dumps(value)
    assert parse_json(text) == json.loads(text)
    assert parse_json(text.encode()) == json.loads(text)


@examples(100)
@given(json_values)
def test_yaml_that_is_allowed_comes_back(value):
    assert parse_yaml(yaml.safe_dump(value), "f") == value


@examples(150)
@given(st.text(st.characters(), max_size=60) | st.text("-[]{}:,&*!|>%@`'\"? #\n\tab01.~<", max_size=30))
def test_any_text_is_yaml_or_an_error_in_words(text):
    with contextlib.suppress(ConfigError):
        parse_yaml(text, "f")


# Policies and probes


@examples(80)
@given(policies)
def test_a_policy_comes_back_from_its_file(tmp_path, record):
    record.save(tmp_path / "p.json")
    assert PolicyRecord.load(tmp_path / "p.json") == record


@st.composite
def probes(draw):
    magnitudes = tuple(sorted(draw(st.sets(shares, min_size=1, max_size=5))))
    names = draw(st.sets(st.sampled_from(sorted(OPERATION_TYPES)), min_size=1, max_size=5))
    baseline = (draw(shares), *(draw(st.floats(-1e5, 1e5)) for _ in MEASURES[1:]))

    def row():
        # a difference whose sum with the baseline is an accuracy again
        return (draw(shares) - baseline[0], *(draw(st.floats(-1e5, 1e5)) for _ in MEASURES[1:]))

    effects = {
        name: tuple(row() for _ in range(len(magnitudes) if OPERATION_TYPES[name].has_magnitude else 1))
        for name in names
    }
    return ProbeRecord(magnitudes, baseline, effects, draw(st.dictionaries(texts, json_values, max_size=2)))


@examples(60)
@given(probes())
def test_a_probe_comes_back_from_its_file(tmp_path, record):
    record.save(tmp_path / "p.json")
    assert ProbeRecord.load(tmp_path / "p.json") == record


# Search spaces


@st.composite
def domains(draw, depth=0):
    kind = draw(
        st.sampled_from(["choice", "uniform", "loguniform", "quniform", "randint", "normal", "qnormal", "nested"])
    )
    low = draw(st.floats(-1e3, 1e3))
    width, q = draw(st.floats(1e-3, 1e3)), draw(st.floats(1e-2, 10))
    if kind == "nested" and depth < 2:
        inner = st.dictionaries(texts.filter(lambda name: name != "_name"), domains(depth + 1), max_size=2)
        options = draw(st.lists(inner, min_size=1, max_size=3))
        return {"_type": "choice", "_value": [{"_name": str(i), **option} for i, option in enumerate(options)]}
    if kind in ("choice", "nested"):
        plain = json_values.filter(lambda value: not isinstance(value, dict))
        return {"_type": "choice", "_value": draw(st.lists(plain, min_size=1, max_size=4))}
    values = {
        "uniform": [low, low + width],
        "loguniform": [width, width + q],
        "quniform": [low, low + width, q],
        "randint": [int(low), int(low) + 1 + int(width)],
        "normal": [low, width],
        "qnormal": [low, width, q],
    }[kind]
    return {"_type": kind, "_value": values}


@examples(40)
@given(st.dictionaries(texts.filter(lambda name: name != "_name"), domains(), min_size=1, max_size=4))
def test_a_space_comes_back_and_its_settings_too(tmp_path, space):
    (tmp_path / "s.json").write_text(space_text(space), encoding="utf-8")
    read = read_space(tmp_path / "s.json")
    assert read == space
    made = SearchSpace.from_nni(read)
    for params in made.sample(2, np.random.default_rng(0)):
        sent = json.loads(json.dumps(params))
        made.validate(sent)
        assert made.key(made.decode(made.encode(sent))) == made.key(sent)


def test_a_choice_may_have_an_empty_name():
    """Found by the test before: its own settings did not fit into such a space."""
    space = SearchSpace.from_nni(
        {"": {"_type": "choice", "_value": [{"_name": "a", "": {"_type": "randint", "_value": [0, 2]}}]}}
    )
    space.validate({"": {"_name": "a", "": 1}})
    with pytest.raises(SearchSpaceError, match="_name is not in the search space"):
        space.validate({"": {"_name": "a", "": 1}, "_name": "a"})


# Journals

SPACE = {"x": {"_type": "uniform", "_value": [0, 1]}}
finite = st.floats(allow_nan=False, allow_infinity=False)
trials = st.builds(
    Trial,
    id=st.integers(-(2**53), 2**53),
    parameters=st.dictionaries(texts, json_values, max_size=3),
    state=st.sampled_from(TrialState),
    value=finite,
    curve=st.lists(st.none() | finite, max_size=4).map(tuple),
    seed=st.none() | st.integers(0, 2**63),
    started=st.none() | st.floats(0, 1e10),
    ended=st.none() | st.floats(0, 1e10),
    error=st.none() | texts,
    imported=st.booleans(),
    details=st.dictionaries(texts, json_values, max_size=3),
)


def open_journal(path: Path) -> Journal:
    return Journal.open(path, space=SPACE, settings={}, versions={})


def written(path: Path, made: list[Trial]) -> list[bytes]:
    """A journal of these trials; its lines."""
    path.unlink(missing_ok=True)
    with open_journal(path) as journal:
        for trial in made:
            journal.record_finished(trial)
    return path.read_bytes().splitlines(keepends=True)


@examples(50)
@given(st.lists(trials, max_size=4))
def test_a_journal_comes_back(tmp_path, made):
    written(tmp_path / "j", made)
    events = [event.trial for event in read_journal(tmp_path / "j").events]
    assert events == made
    with open_journal(tmp_path / "j") as journal:
        assert [event.trial for event in journal.content.events] == made


@examples(60)
@given(st.lists(trials, min_size=1, max_size=4), st.floats(0, 1))
def test_a_journal_cut_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path, made, share):
    path = tmp_path / "j"
    lines = written(path, made)
    raw = b"".join(lines)
    length = len(lines[0]) + int(share * (len(raw) - len(lines[0])))
    path.write_bytes(raw[:length])
    whole = raw[:length].count(b"\n") - 1
    assert [event.trial for event in read_journal(path).events] == made[:whole]
    with open_journal(path) as journal:
        assert path.read_bytes() == b"".join(lines[: whole + 1])  # the stump is gone
        journal.record_finished(made[-1])
    assert [event.trial for event in read_journal(path).events] == [*made[:whole], made[-1]]


@examples(60)
@given(st.lists(trials, min_size=2, max_size=5), st.integers(0, 2**32), st.integers(0, 7))
def test_a_flipped_bit_is_reported_with_its_line_or_changes_that_line_only(tmp_path, made, seed, bit):
    """There is no check sum: a digit that became another digit cannot be noticed."""
    path = tmp_path / "j"
    lines = written(path, made)
    rng = random.Random(seed)
    number = rng.randrange(1, len(lines))
    place = rng.randrange(len(lines[number]) - 1)  # not the newline: that joins two lines
    hurt = bytearray(lines[number])
    hurt[place] ^= 1 << bit
    broken = hurt[place] == ord("\n")
    path.write_bytes(b"".join([*lines[:number], bytes(hurt), *lines[number + 1 :]]))
    error = None
    try:
        events = [event.trial for event in read_journal(path).events]
    except JournalError as caught:
        error = str(caught)
    if error is not None:
        assert re.search(rf"line {number + 1}\b" + (rf"|line {number + 2}\b" if broken else ""), error)
        assert str(path) in error
        return
    assert not broken
    assert len(events) == len(made)
    assert [*events[: number - 1], *events[number:]] == [*made[: number - 1], *made[number:]]


@examples(40)
@given(st.lists(trials, min_size=2, max_size=4), st.data())
def test_a_line_that_is_none_is_reported_with_its_number(tmp_path, made, data):
    path = tmp_path / "j"
    lines = written(path, made)
    number = data.draw(st.integers(1, len(lines) - 1))
    junk = data.draw(st.binary(max_size=20).filter(lambda raw: b"\n" not in raw and not raw.strip().startswith(b"{")))
    path.write_bytes(b"".join([*lines[:number], junk + b"\n", *lines[number:]]))
    for read in (read_journal, open_journal):
        with pytest.raises(JournalError, match=rf"line {number + 1}\b"):
            read(path)
    assert path.read_bytes() == b"".join([*lines[:number], junk + b"\n", *lines[number:]])


@examples(60)
@given(
    trials, st.sampled_from(["seed", "started", "ended", "error"]), json_values | st.just(math.nan) | st.just(10**400)
)
def test_a_trial_is_kept_whatever_it_says_of_its_seed_times_and_error(tmp_path, made, name, value):
    written(tmp_path / "j", [kept := replace(made, **{name: value})])
    assert read_journal(tmp_path / "j").trials == (kept,)


# Settings


@examples(60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "optimize_mode": st.sampled_from(["maximize", "minimize"]),
            "surrogate": st.sampled_from(["gp", "forest", "random"]),
            "acquisition": st.sampled_from(["logei", "pi", "thompson"]),
            "n_initial": st.integers(1, 100),
            "probe": texts,
            "initial": st.lists(texts, max_size=3),
            "warm_start": st.lists(texts, max_size=3),
            "seed": st.integers(0, 2**53 - 1),
        },
    )
)
def test_settings_of_the_tuner_come_back(arguments):
    made = TunerSettings.from_arguments(arguments)
    assert TunerSettings.from_arguments(parse_json(json.dumps(made.to_dict()))) == made
    assert made.to_dict().items() >= arguments.items()


# Damage to real files of every kind


@pytest.mark.parametrize("reader", [name for name in READERS if name != "npz"])
def test_a_changed_value_anywhere_is_taken_or_refused_in_words(reader):
    @examples(SLOW.get(reader, 150))
    @given(st.integers(0, 2**32))
    def damage(seed):
        rng = random.Random(seed)
        raw = rng.choice(seeds()[reader])
        if reader in ("journal", "report"):
            hurt = damaged_lines(raw, rng)
        elif reader == "config":
            value = damaged(yaml.safe_load(raw), rng)
            hurt = yaml.safe_dump(value).encode("utf-8", "replace")
        else:
            hurt = json.dumps(damaged(json.loads(raw), rng)).encode()
        assert is_refused(reader, hurt) != ""

    damage()


@pytest.mark.parametrize("reader", READERS)
def test_changed_bytes_anywhere_are_taken_or_refused_in_words(reader):
    @examples(SLOW.get(reader, 150))
    @given(st.integers(0, 2**32))
    def damage(seed):
        rng = random.Random(seed)
        assert is_refused(reader, flipped(rng.choice(seeds()[reader]), rng)) != ""

    damage()


@pytest.mark.parametrize("reader", READERS)
def test_any_bytes_are_taken_or_refused_in_words(reader):
    @examples(SLOW.get(reader, 60))
    @given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def read(raw):
        assert is_refused(reader, raw) != ""

    read()


@pytest.mark.parametrize("reader", READERS)
def test_real_files_are_taken(reader):
    """Else the damage would be done to what is refused anyway."""
    assert [is_refused(reader, raw) for raw in seeds()[reader]] == [None] * len(seeds()[reader])
