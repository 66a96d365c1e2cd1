"""YAML as people mean it: the core schema of YAML 1.2, and mistakes that YAML itself would swallow are errors.

``yes``, ``no``, ``on``, ``010``, ``1:30`` and dates are text, and ``1e-3`` is a number. A key that is there twice is an
error. No value is built but numbers, texts, true, false, null, lists and mappings.
"""

import re
import stat
from pathlib import Path
from typing import Any

import yaml

LARGEST = 1 << 20
"""Bytes that a file may have."""
MOST = 100_000
"""Values that a document may have when its aliases are unfolded."""
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_CORE = "tag:yaml.org,2002:"


class BadYaml(ValueError):
    """A file that is no such YAML; the text says why.

    Attributes:
        line: Where, from 1; None: nowhere in particular.
    """

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line

    @property
    def place(self) -> str:
        """The line, to be put after the name of the file."""
        return "" if self.line is None else f", line {self.line}"


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 as the class that it extends
    yaml_constructors = {  # noqa: RUF012
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_CORE) in ("null", "bool", "str", "seq", "map")
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that is there twice, of which one would be lost."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if before := lines.get((key.tag, key.value)):
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is there already, in line {before}; keep one of them",
                    problem_mark=key.start_mark,
                )
            lines[key.tag, key.value] = key.start_mark.line + 1
        return node

    def number(self, node: yaml.ScalarNode) -> int | float:
        """Return a number, also after an explicit tag."""
        try:
            if node.tag == f"{_CORE}int":
                return int(node.value, 0)
            return float(node.value.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            raise yaml.MarkedYAMLError(
                problem=f"this is not a number that can be read: {node.value[:40]}", problem_mark=node.start_mark
            ) from None


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML 1.1 or this one would not read as text."""


for _tag, _pattern, _first in (
    ("merge", "<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"{_CORE}{_tag}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
for _tag in ("int", "float"):
    _Loader.add_constructor(f"{_CORE}{_tag}", _Loader.number)


def read_yaml(path: Path) -> str:
    """Return the text of a file.

    Raises:
        FileNotFoundError: When it is not there.
        BadYaml: When it is no file, cannot be read, is too large, or is not UTF-8.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadYaml("this is a folder, not a file" if path.is_dir() else "this is not a file with text")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadYaml(f"it cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise BadYaml(f"it is larger than {LARGEST >> 20} MB, and so not the file that is meant")
    if found := _ENCODINGS.get(content[:2]):
        raise BadYaml(f"it is {found}, as PowerShell writes it; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadYaml("a letter here is not UTF-8; save the file as UTF-8", line) from None


def parse_yaml(text: str) -> Any:
    """Return what a text says.

    Raises:
        BadYaml: When it is not YAML, has a key twice, or unfolds to too much.

    Examples:
        >>> parse_yaml("{rate: 1e-3, train: no, since: 2026-01-01}")
        {'rate': 0.001, 'train': 'no', 'since': '2026-01-01'}
    """
    try:
        read = yaml.load(text, _Loader)  # a SafeLoader of fewer types: it builds plain values only
        _count(read, 0)
    except yaml.reader.ReaderError as error:
        raise BadYaml(
            f"the character #x{ord(text[error.position]):04x} is not allowed", text.count("\n", 0, error.position) + 1
        ) from None
    except yaml.MarkedYAMLError as error:
        line = None if error.problem_mark is None else error.problem_mark.line + 1
        raise BadYaml(_why(str(error.problem)), line) from None
    except RecursionError:
        raise BadYaml("it is nested too deeply, or an anchor holds itself") from None
    return read


def parse_yaml_nodes(text: str) -> yaml.Node | None:
    """Return the nodes of a text that `parse_yaml` has read, to find lines."""
    node: yaml.Node | None = yaml.compose(text, _Loader)
    return node


def write_yaml(value: object, **style: Any) -> str:
    """Return a value as YAML that reads as the same value."""
    written: str = yaml.dump(value, Dumper=_Dumper, **style)
    return written


def _why(problem: str) -> str:
    if "'\\t'" in problem:
        return "there is a tab here; YAML is indented with spaces"
    return problem if problem.startswith(("the key", "this is")) else f"this is not YAML ({problem})"


def _count(value: object, counted: int) -> int:
    counted += 1
    if counted > MOST:
        raise BadYaml(f"it has more than {MOST} values when its aliases are unfolded")
    if isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            counted = _count(each, counted)
    return counted
