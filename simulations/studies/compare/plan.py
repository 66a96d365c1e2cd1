"""Which runs a comparison takes: for each seed one of every workflow, which plays all of its methods on the cohort."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from protocol.errors import BadInput, UserError
from simulations.scenarios.base import Scenario
from simulations.scenarios.files import scenario_class
from simulations.studies.compare.methods import Method
from simulations.studies.compare.settings import Comparison, WorkflowSection

ATTACKED = "attacks.attacked"
"""Images of an owner that are attacked: half of them at most, as others leak."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        name: Of its folder.
        key: The same for all seeds.
        scenario: What it plays, as its report has it.
        methods: Which methods.
        seconds: How long it takes, about.
    """

    name: str
    key: str
    seed: int
    scenario: dict[str, Any]
    methods: tuple[str, ...]
    seconds: float


def planned(comparison: Comparison, methods: Mapping[str, Method]) -> list[Run]:
    """Return the runs, those that take longest first.

    Raises:
        BadInput: When a method's settings are wrong.
    """
    groups: dict[str, list[str]] = {}
    for name, method in methods.items():
        groups.setdefault("-".join(filter(None, (method.workflow, method.run))), []).append(name)
    runs = []
    for key, names in groups.items():
        workflow = methods[names[0]].workflow
        section = comparison.workflows.get(workflow, WorkflowSection())
        keys = dict(section.settings)
        for name in names:
            for setting, value in methods[name].settings.items():
                keys[setting] = _together(keys[setting], value) if setting in keys else deepcopy(value)
        if ATTACKED in keys:
            keys[ATTACKED] = max(8, min(keys[ATTACKED], comparison.cohort.held // 2))
        for seed in comparison.all_seeds:
            scenario = _checked(comparison, workflow, keys, seed, names)
            runs.append(
                Run(f"{key}-{seed}", key, seed, scenario.model_dump(mode="json"), tuple(names), section.seconds)
            )
    return sorted(runs, key=lambda run: (-run.seconds, run.seed, run.key))


def _checked(comparison: Comparison, workflow: str, keys: Mapping[str, Any], seed: int, names: list[str]) -> Scenario:
    tree: dict[str, Any] = {
        "workflow": workflow,
        "seed": seed,
        "workers": 1,
        "cohort": comparison.cohort.model_dump(mode="json"),
        "description": f"Played for a comparison: {', '.join(names)}.",
    }
    for key, value in keys.items():
        *parents, leaf = key.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = value
    try:
        return scenario_class(workflow).model_validate(tree)
    except UserError:
        raise
    except ValueError as error:
        first = next(_sentences(error))
        raise BadInput(f"{', '.join(names)}: the workflow {workflow} cannot be played so: {first}") from None


def _sentences(error: ValueError) -> Iterator[str]:
    found = getattr(error, "errors", None)
    if found is None:
        yield str(error)
        return
    for each in found(include_url=False):
        place = ".".join(map(str, each["loc"]))
        yield f"{place}: {each['msg']}" if place else each["msg"]


def _together(one: Any, other: Any) -> Any:
    """Put the settings of two methods together."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: _together(one[name], value) if name in one else value for name, value in other.items()}}
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return [*one, *(each for each in other if each not in one)]
    return other
