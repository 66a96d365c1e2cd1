"""YAML as people mean it, and files that are none."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.strict_yaml import LARGEST, BadYaml, parse_yaml, read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"), ("true", True), ("FALSE", False),
        ("010", "010"), ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("1:30", "1:30"), ("190:20:30", "190:20:30"),
        ("1e-3", 0.001), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.inf", float("-inf")), ("+3", 3),
        ("2026-01-01", "2026-01-01"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), ("", None), ("~", None),
        ("'3'", "3"), ("=", "="), ("{on: 1}", {"on": 1}), ("!!int '0o10'", 8), ("!!float 3", 3.0),
        ("{a: &x {b: 1}, c: {<<: *x, b: 2}}", {"a": {"b": 1}, "c": {"b": 2}}),
    ],
)  # fmt: skip
def test_values_are_what_is_meant(text: str, value: object) -> None:
    read = parse_yaml(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key a is there already, in line 1"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "the key b is there already, in line 2"),
        ("{a: 1, a: 2}", 1, "in line 1"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n  <<: *x\n", 4, "in line 3"),
        ("a:\n\tb: 1\n", 2, "tab"),
        ("a: 1\0\n", 1, "#x0000"),
        ("---\na: 1\n---\nb: 2\n", 3, "another document"),
        ("a: !!python/object/apply:os.system ['true']", 1, "could not determine a constructor"),
        ("a: !!timestamp 2026-01-01", 1, "could not determine a constructor"),
        ("a: !!int x", 1, "not a number"),
        ("a: !!float x", 1, "not a number"),
        ("? [a]\n: 1\n", 1, "unhashable"),
        ("a: " + "9" * 5000, 1, "not a number"),
        ("a: &a [*a]", None, "an anchor holds itself"),
        ("[" * 10_000, None, "nested too deeply"),
        ("a: &a [" + "x," * 99 + "]\nb: &b [" + "*a," * 99 + "]\nc: &c [" + "*b," * 99 + "]", None, "more than"),
        ("*nowhere", 1, "undefined alias"),
    ],
    ids=lambda given: str(given)[:30],
)
def test_what_is_no_yaml_is_one_sentence_with_its_line(text: str, line: int | None, told: str) -> None:
    with pytest.raises(BadYaml, match=told) as error:
        parse_yaml(text)
    assert error.value.line == line
    assert "\n" not in str(error.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_written_is_read_as_the_same(value: object) -> None:
    read = parse_yaml(write_yaml(value))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ["1e-3", "0o10", "010", "yes", "2026-01-01", "null", "1_000", "1:30", ".inf", "<<", "="]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert parse_yaml(write_yaml({"key": text})) == {"key": text}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: 1\n".encode("utf-16"), "UTF-16, as PowerShell writes it"),
        ("a: 1\n".encode("utf-16-be"), "#x0000"),
        ("a: 1\nb: café\n".encode("latin-1"), "not UTF-8"),
        (b"a" * (LARGEST + 1), "larger than 1 MB"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(BadYaml, match=told):
        parse_yaml(read_yaml(tmp_path / "a.yaml"))


def test_a_mark_of_byte_order_and_lines_of_windows_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert parse_yaml(read_yaml(tmp_path / "a.yaml")) == {"a": 1, "b": 2}


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path, tmp_path / "zero.yaml", tmp_path / "pipe.yaml", tmp_path / ("x" * 300)):
        with pytest.raises(BadYaml, match=r"not a file|File name too long"):
            read_yaml(path)
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "nowhere.yaml")
