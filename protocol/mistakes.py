"""Mistakes in files of settings, each as one sentence with its line: in scenarios, policies and kits."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from protocol.errors import nearest
from protocol.settings import Section
from protocol.strict_yaml import parse_yaml_nodes

LONGEST = 80
"""Characters of a wrong value that a sentence shows."""
LONGEST_SENTENCE = 600
_PLAIN = {
    "model_type": "keys and values belong here",
    "dict_type": "keys and values belong here",
    "tuple_type": "a list belongs here",
    "list_type": "a list belongs here",
}
"""What is said in place of Python's words."""


class Misplaced(ValueError):
    """A mistake below the key that is being validated."""

    def __init__(self, path: tuple[str, ...], sentence: str) -> None:
        super().__init__(sentence)
        self.path = path


def mistake(error: ValidationError, kind: type[Section], text: str, settings: Collection[str] = ()) -> str:
    r"""Return the first mistake in settings: its line, and a sentence, to be put after the name of the file.

    Args:
        kind: What was being read.
        text: The file, in which the line is found.
        settings: Keys that were set beside the file, which have no line.

    Examples:
        >>> from protocol.settings import Section
        >>> class Album(Section):
        ...     images: int
        >>> text = "# My album.\nimagse: 3"
        >>> try:
        ...     Album.model_validate({"images": 1, "imagse": 3})
        ... except ValidationError as error:
        ...     print(f"album.yaml{mistake(error, Album, text)}")
        album.yaml, line 2: there is no key imagse; did you mean images?
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    below = cause.path if isinstance(cause, Misplaced) else ()
    path = [str(part) for part in (*first["loc"], *below)]
    return f"{line_of(text, path, settings)}: {_sentence(first, kind)}"


def line_of(text: str, path: Sequence[str], settings: Collection[str] = ()) -> str:
    """Return the line of a key in a file; an empty string if a setting beside the file added it."""
    given = [key.split(".") for key in settings]
    if any(list(path[: len(keys)]) == keys[: len(path)] for keys in given):
        return ""
    node, line = parse_yaml_nodes(text), None
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if str(key.value) == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return "" if line is None else f", line {line}"


def shown(value: object) -> str:
    """Return a value as it is shown in a sentence."""
    return _cut("null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value), LONGEST)


def _cut(text: str, longest: int = LONGEST_SENTENCE) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _sentence(error: ErrorDetails, kind: type[Section]) -> str:
    path = [str(part) for part in error["loc"]]
    if isinstance(cause := error.get("ctx", {}).get("error"), Misplaced):
        return _cut(str(cause))
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}; {nearest(path[-1], _keys(kind, path[:-1]))}"
    message = _PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))
    # A sentence that gives advice names the value itself.
    said = ";" in message or isinstance(error["input"], (dict, Section))
    given = "" if said else f", not {shown(error['input'])}"
    return _cut(f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}") + given


def _keys(kind: type[Section], path: Sequence[str]) -> list[str]:
    """Return the keys of the section at a path, in which names of methods and places in lists are skipped."""
    section = kind
    for name in path:
        if name in section.model_fields:
            section = next(_sections(section.model_fields[name].annotation), section)
    return list(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for each in get_args(annotation):
        yield from _sections(each)
