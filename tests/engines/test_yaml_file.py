"""A YAML file of keys and values: plain data only, and a line that says what is wrong with it."""

from __future__ import annotations

import pytest
import yaml

from tuun_da.engines.yaml_file import MAX_BYTES, MAX_VALUES, parse_yaml, read_yaml, yaml_scalar
from tuun_da.errors import ConfigError

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: a: is there twice, first in line 1"),
        (b"t:\n  a: 1\n  a: 1\n", "line 3: a: is there twice, first in line 2"),
        (b"? a\n: 1\n'a': 2\n", "line 3: a: is there twice"),
        (b"a:\n\tb: 1\n", "line 2: a tab indents it; YAML wants spaces"),
        (b"\ta: 1\n", "line 1: a tab indents it"),
        (b"a: &x [1, *x]\n", "line 1: an alias stands inside of what it stands for"),
        (LAUGHS.encode(), f"stands for more than {MAX_VALUES} values"),
        (b"a: [\n", "is not YAML: while parsing a flow node"),
        (b"[" * 100_000, "is not YAML: it is nested too deeply"),
        (b"a: 1\n---\nb: 2\n", "but found another document"),
        (b"a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        (b"{[1]: 2}\n", "found unhashable key"),
        (b"b: 1\na: 0100\n", "line 2: YAML takes 0100 for a number of base 8"),
        (b"a: [-0_10]\n", "line 1: YAML takes -0_10 for a number of base 8"),
        (b"a: 1:30\n", "line 1: YAML takes 1:30 for a number of base 60"),
        (b"a: 1:30.5\n", "line 1: YAML takes 1:30.5 for a number of base 60"),
        (b"a: 2020-99-99\n", "month must be in 1..12"),
        (b"a: 1\x00", "special characters are not allowed"),
        (b"a: \xff", "is not YAML: it is not UTF-8 text"),
        (b"- a\n", "must hold keys and values, got list"),
        (b"text\n", "must hold keys and values, got str"),
        (b"", "must hold keys and values, got an empty file"),
        (b"# nothing\n", "must hold keys and values, got an empty file"),
        (b"a: " + b"x" * MAX_BYTES, f"is larger than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_wrong_is_told_with_the_files_name(tmp_path, content, words):
    path = tmp_path / "f.yml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "<unicode string>" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path, words in ((tmp_path / "missing.yml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"{path} cannot be read: {words}"):
            read_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml("a\0b")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, 2.5, null, yes]\nc: {d: ~}\n",
        "a: &x {b: 1}\nc: *x\nd: *x\n",
        "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n",
        "'a': 1\n1: 2\n'1': 3\n",
        "a: |\n  with a\ttab\n",
    ],
)
def test_what_is_right_is_what_yaml_reads(text):
    assert parse_yaml(text, "f") == yaml.safe_load(text)


def test_a_byte_order_mark_is_passed_over(tmp_path):
    (tmp_path / "f.yml").write_bytes("\ufeffa: 1\n".encode())
    assert read_yaml(tmp_path / "f.yml") == {"a": 1}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -7,
        0.1,
        1e-7,
        1e20,
        "",
        "none",
        "null",
        "yes",
        "1e-3",
        "12",
        "a: b",
        "# c",
        "ä",
        "folder:/x y",
    ],
)
def test_a_scalar_is_read_as_it_was_written(value):
    written = yaml_scalar(value)
    assert "\n" not in written
    read = yaml.safe_load(f"key: {written}")["key"]
    assert (read, type(read)) == (value, type(value))
