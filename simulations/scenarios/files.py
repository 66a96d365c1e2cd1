"""Scenarios as files: reads one, locates mistakes in it, and writes one to start from."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from protocol.errors import BadScenario, nearest
from protocol.settings import Section, yaml_lines
from protocol.storage.user_files import user_path
from protocol.strict_yaml import BadYaml, parse_yaml, parse_yaml_nodes, read_yaml
from simulations.scenarios.base import Misplaced, Scenario

if TYPE_CHECKING:
    from parties.adversaries import Adversary

WORKFLOWS = {
    "purchase": "CrowdBuy: bids, selection, escrow, sealed delivery, verification, arbitration, payout",
    "pool": "Deep Poisoning: entities pool features that hide their images, and refine models on them",
    "outsource": "image obfuscation: owners publish obfuscated images, a service trains on them and returns the model",
    "crowdsource": "PRIC: representations that hide chosen attributes, collected for tasks unknown beforehand",
    "publish": "owners publish pictures with differential privacy: DP-Pix, DP-SVD, Snow",
    "federate": "clients learn together by Flower's strategies, by secure sums, with and without differential privacy",
}
"""Workflows by name, with one line each."""


def scenario_class(name: str) -> type[Scenario]:
    """Return the class of a workflow's scenarios."""
    found: type[Scenario] = import_module(f"simulations.workflows.{name}.scenario").SCENARIO
    return found


def schema_of(workflow: str) -> dict[str, Any]:
    """Return the JSON Schema of a workflow's scenarios."""
    schema = scenario_class(workflow).model_json_schema()
    for key in schema["properties"].values():
        if (named := key.get("additionalProperties")) and "$ref" in named:
            # An entry with a built-in name need not repeat its settings.
            schema["$defs"][named["$ref"].rpartition("/")[2]].pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


PACKAGED = files("simulations") / "scenarios"
LONGEST = 80
"""Characters of a wrong value that a sentence shows."""
LONGEST_SENTENCE = 600
DEFAULT = "purchase"
"""The workflow of a scenario that names none."""


def packaged() -> dict[str, str]:
    """Return the scenarios that come with Parley: name and description."""
    return {name: parse_yaml(_packaged(name))["description"] for name in packaged_names()}


def packaged_names() -> list[str]:
    """Return the names of the scenarios that come with Parley."""
    return sorted(entry.name.removesuffix(".yaml") for entry in PACKAGED.iterdir() if entry.name.endswith(".yaml"))


def _packaged(name: str) -> str:
    return (PACKAGED / f"{name}.yaml").read_text(encoding="utf-8")


def load(
    source: str | PathLike[str] | Scenario,
    settings: Sequence[str] | Mapping[str, Any] = (),
    adversaries: Mapping[str, "Adversary"] | None = None,
) -> Scenario:
    """Read a scenario, and change some of its keys.

    Mistakes in names and files are found before the import of PyTorch, which takes seconds.

    Args:
        source: The name of a packaged scenario, the path of a ``.yaml`` file, or a scenario.
        settings: Each ``key.of.section=value`` with the value in YAML; or values by key.
        adversaries: The adversaries that it may name; None: the built-in ones.

    Raises:
        BadScenario: With one sentence that names the wrong key, its line, and the most similar valid key.
    """
    tree, text, where = _read(source)
    given = settings if isinstance(settings, Mapping) else dict(_setting(each) for each in settings)
    for key, value in given.items():
        _assign(tree, key.split("."), value, key)
    name = tree.get("workflow", DEFAULT)
    if not isinstance(name, str) or name not in WORKFLOWS:
        line = _line(text, ["workflow"], given)
        raise BadScenario(f"{where}{line}: workflow: there is no {_shown(name)}; {nearest(str(name), WORKFLOWS)}")
    kind = scenario_class(name)
    try:
        return kind.model_validate(tree, context={} if adversaries is None else {"adversaries": adversaries})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadScenario(f"{where}{_line(text, _path(first), given)}: {_sentence(first, kind)}") from None


def _read(source: str | PathLike[str] | Scenario) -> tuple[dict[str, Any], str, str]:
    """Return a scenario's keys and values, its text, and its name in messages."""
    if isinstance(source, Scenario):
        return source.model_dump(mode="json"), "", "the scenario"
    if not isinstance(source, (str, PathLike)):
        raise BadScenario(f"{source!r} is not a scenario: give a name, the path of a .yaml file, or a Scenario")
    source = fspath(source)
    source = str(user_path(source)) if source.endswith((".yaml", ".yml")) else source
    if source.endswith((".yaml", ".yml")):
        try:
            text, where = read_yaml(Path(source)), source
        except FileNotFoundError:
            raise BadScenario(
                f"there is no scenario file {source}; `parley init {source}` writes one to start from"
            ) from None
        except BadYaml as error:
            raise BadScenario(f"{source}{error.place}: {error}") from None
    elif source in (names := packaged_names()):
        text, where = _packaged(source), f"scenario {source}"
    else:
        raise BadScenario(f"there is no scenario {source!r}, and it is not a .yaml file; {nearest(source, names)}")
    tree = _parse(text, where)
    if not isinstance(tree, dict):
        found = "empty" if tree is None else f"{_shown(tree)}"
        raise BadScenario(f"{where}: a scenario is a mapping of keys to values, and this is {found}")
    return tree, text, where


def _setting(text: str) -> tuple[str, Any]:
    """Read one ``key=value``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise BadScenario(f"--set {text}: write it as key=value, for example seed=3")
    return key, _parse(value, f"--set {text}")


def _line(text: str, path: Sequence[str], settings: Collection[str]) -> str:
    """Return the line of a key in the file; an empty string if a setting added it."""
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


def commented(workflow: str = DEFAULT) -> str:
    """Write the default scenario of a workflow as YAML with a comment on each key.

    Examples:
        >>> parse_yaml(commented())["sellers"]["count"]
        200
    """
    default = scenario_class(workflow).model_validate({})
    return "\n".join(("# A Parley scenario: run it with `parley run FILE`.", *yaml_lines(default))) + "\n"


def _parse(text: str, where: str) -> Any:
    try:
        return parse_yaml(text)
    except BadYaml as error:
        raise BadScenario(f"{where}{error.place}: {error}") from None


def _shown(value: object) -> str:
    """Return a value as it is shown in a sentence."""
    return _cut("null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value), LONGEST)


def _cut(text: str, longest: int = LONGEST_SENTENCE) -> str:
    return text if len(text) <= longest else f"{text[:longest]}..."


def _assign(tree: dict[str, Any], path: Sequence[str], value: Any, key: str) -> None:
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise BadScenario(f"there is no key {key}: {parent} is a value, it has no keys below it")
    tree[leaf] = value


def _sentence(error: ErrorDetails, kind: type[Scenario]) -> str:
    """Return pydantic's first error as one sentence."""
    path = [str(part) for part in error["loc"]]
    if isinstance(cause := error.get("ctx", {}).get("error"), Misplaced):
        return _cut(str(cause))
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}; {nearest(path[-1], _keys(kind, path[:-1]))}"
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "dict_type"):
        message = "keys and values belong here"
    given = "" if isinstance(error["input"], (dict, Section)) else f", not {_shown(error['input'])}"
    return _cut(f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}") + given


def _path(error: ErrorDetails) -> list[str]:
    """Return the keys that lead to a mistake."""
    cause = error.get("ctx", {}).get("error")
    return [str(part) for part in (*error["loc"], *(cause.path if isinstance(cause, Misplaced) else ()))]


def _keys(kind: type[Scenario], path: Sequence[str]) -> list[str]:
    """Return the keys of the section at a path, in which names of methods and places in lists are skipped."""
    section: type[Section] = kind
    for name in path:
        if name in section.model_fields:
            section = next(_sections(section.model_fields[name].annotation), section)
    return list(section.model_fields)


def _sections(annotation: Any) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for each in get_args(annotation):
        yield from _sections(each)
