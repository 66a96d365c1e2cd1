"""Scenarios as files: reads one, locates mistakes in it, and writes one to start from."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.resources import files
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from protocol.errors import BadScenario, nearest
from protocol.mistakes import line_of, mistake, shown
from protocol.settings import yaml_lines
from protocol.storage.user_files import user_path
from protocol.strict_yaml import BadYaml, parse_yaml, read_yaml
from simulations.scenarios.base import Scenario

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
    given = settings if isinstance(settings, Mapping) else dict(setting(each) for each in settings)
    for key, value in given.items():
        _assign(tree, key.split("."), value, key)
    name = tree.get("workflow", DEFAULT)
    if not isinstance(name, str) or name not in WORKFLOWS:
        line = line_of(text, ["workflow"], given)
        raise BadScenario(f"{where}{line}: workflow: there is no {shown(name)}; {nearest(str(name), WORKFLOWS)}")
    kind = scenario_class(name)
    try:
        return kind.model_validate(tree, context={} if adversaries is None else {"adversaries": adversaries})
    except ValidationError as error:
        raise BadScenario(f"{where}{mistake(error, kind, text, given)}") from None


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
        found = "empty" if tree is None else f"{shown(tree)}"
        raise BadScenario(f"{where}: a scenario is a mapping of keys to values, and this is {found}")
    return tree, text, where


def setting(text: str) -> tuple[str, Any]:
    """Read one ``key=value``, the value in YAML; raises `BadScenario` where it is none."""
    key, equals, value = text.partition("=")
    if not equals:
        raise BadScenario(f"--set {text}: write it as key=value, for example seed=3")
    return key, _parse(value, f"--set {text}")


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


def _assign(tree: dict[str, Any], path: Sequence[str], value: Any, key: str) -> None:
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise BadScenario(f"there is no key {key}: {parent} is a value, it has no keys below it")
    tree[leaf] = value
