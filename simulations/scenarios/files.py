"""Scenarios as files: read one, say what is wrong with it and where, write one to start from."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from parties.adversaries import ADVERSARIES, Adversary
from protocol.errors import BadScenario, nearest
from protocol.settings import Section
from simulations.scenarios.base import Misplaced, Scenario

WORKFLOWS = {
    "purchase": "CrowdBuy: bids, selection, escrow, sealed delivery, verification, arbitration, payout",
    "pool": "Deep Poisoning: entities pool features that cannot be turned back into images, and refine on them",
    "outsource": "image obfuscation: owners publish obfuscated images, a service trains on them and returns the model",
    "crowdsource": "PRIC: representations that hide chosen attributes, collected for tasks unknown beforehand",
    "publish": "owners publish pictures with differential privacy: DP-Pix, DP-SVD, Snow",
    "federate": "clients learn together by Flower's strategies, by secure sums, with and without differential privacy",
}
"""Workflows by name, with one line each."""


def scenario_class(name: str) -> type[Scenario]:
    """Return what a scenario of a workflow may hold."""
    found: type[Scenario] = import_module(f"simulations.workflows.{name}.scenario").SCENARIO
    return found


PACKAGED = files("simulations") / "scenarios"
DEFAULT = "purchase"
"""The workflow of a scenario that names none."""


def packaged() -> dict[str, str]:
    """Return the scenarios that come with Parley: name and description."""
    names = sorted(entry.name.removesuffix(".yaml") for entry in PACKAGED.iterdir() if entry.name.endswith(".yaml"))
    return {name: load(name).description for name in names}


def load(source: str, settings: Sequence[str] = (), adversaries: Mapping[str, Adversary] = ADVERSARIES) -> Scenario:
    """Read a scenario by name or from a YAML file, and change some of its keys.

    Args:
        source: A packaged scenario's name, or the path of a ``.yaml`` file.
        settings: ``key.of.section=value`` each; the value is YAML.
        adversaries: The ways to cheat that there are.

    Raises:
        BadScenario: With one sentence that names the key at fault, the line it is on, and the nearest right one.
    """
    if source.endswith((".yaml", ".yml")):
        path = Path(source)
        if not path.is_file():
            raise BadScenario(f"there is no scenario file {source}; `parley init {source}` writes one to start from")
        text, where = path.read_text(encoding="utf-8", errors="replace"), source
    else:
        entry = PACKAGED / f"{source}.yaml"
        if not source.replace("-", "").isalnum() or not entry.is_file():
            names = [item.name.removesuffix(".yaml") for item in PACKAGED.iterdir() if item.name.endswith(".yaml")]
            raise BadScenario(f"there is no scenario {source!r}; {nearest(source, names)}, or give a .yaml file")
        text, where = entry.read_text(encoding="utf-8"), f"scenario {source}"
    tree = _parse(text, where)
    if not isinstance(tree, dict):
        raise BadScenario(f"{where}: a scenario is a mapping of keys to values")
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise BadScenario(f"--set {setting}: write it as key=value, for example seed=3")
        _assign(tree, key.split("."), _parse(value, f"--set {setting}"), setting)
    name = tree.get("workflow", DEFAULT)
    if name not in WORKFLOWS:
        line = _line(text, ["workflow"], settings)
        raise BadScenario(f"{where}{line}: workflow: there is no {name!r}; {nearest(str(name), WORKFLOWS)}")
    kind = scenario_class(name)
    try:
        return kind.model_validate(tree, context={"adversaries": adversaries})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadScenario(f"{where}{_line(text, _path(first), settings)}: {_sentence(first, kind)}") from None


def _line(text: str, path: Sequence[str], settings: Sequence[str]) -> str:
    """Say on which line of the file a key is; nothing where a setting put it there."""
    given = [setting.partition("=")[0].split(".") for setting in settings]
    if any(list(path[: len(keys)]) == keys[: len(path)] for keys in given):
        return ""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), None
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
        >>> yaml.safe_load(commented())["sellers"]["count"]
        200
    """
    default = scenario_class(workflow).model_validate({})
    return "\n".join(("# A Parley scenario: run it with `parley run FILE`.", *_comment(default, 0))) + "\n"


def _comment(section: Section, indent: int) -> Iterator[str]:
    pad, plain = "  " * indent, section.model_dump(mode="json")
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            yield ""
            yield f"{pad}# {(type(value).__doc__ or '').strip()}"
            yield f"{pad}{name}:"
            yield from _comment(value, indent + 1)
        else:
            rendered = yaml.safe_dump(plain[name], default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
            yield f"{pad}{name}: {rendered}  # {info.description}"


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise BadScenario(f"{where}{line}: this is not YAML ({getattr(error, 'problem', error)})") from None


def _assign(tree: dict[str, Any], path: Sequence[str], value: Any, setting: str) -> None:
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise BadScenario(f"--set {setting}: {parent} is a value, it has no keys below it")
    tree[leaf] = value


def _sentence(error: ErrorDetails, kind: type[Scenario]) -> str:
    """Turn pydantic's first complaint into one sentence of ours."""
    path = [str(part) for part in error["loc"]]
    if isinstance(cause := error.get("ctx", {}).get("error"), Misplaced):
        return str(cause)
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        return f"there is no key {key}; {nearest(path[-1], _keys(kind, path[:-1]))}"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if isinstance(error["input"], (dict, Section)) else f", not {error['input']!r}"
    return f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{given}"


def _path(error: ErrorDetails) -> list[str]:
    """Return the keys that lead to a mistake."""
    cause = error.get("ctx", {}).get("error")
    return [str(part) for part in (*error["loc"], *(cause.path if isinstance(cause, Misplaced) else ()))]


def _keys(kind: type[Scenario], path: Sequence[str]) -> list[str]:
    section: Any = kind
    for name in path:
        section = section.model_fields[name].annotation
        section = next((option for option in get_args(section) if isinstance(option, type)), section)
    return list(section.model_fields)
