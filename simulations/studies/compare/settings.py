"""What is compared: seeds, the cohort, methods, attacks, and how much work each workflow gets."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, Len
from pydantic import Field, ValidationError

from protocol.errors import BadScenario, nearest
from protocol.mistakes import mistake
from protocol.settings import Section
from protocol.storage.user_files import user_path
from protocol.strict_yaml import BadYaml, parse_yaml
from simulations.scenarios.cohort import CohortSection
from simulations.scenarios.files import WORKFLOWS

PACKAGED = files("simulations") / "studies" / "compare"
NAMES = ("compare", "quick")
"""Comparisons that come with Parley."""


class WorkflowSection(Section):
    """How a workflow is played."""

    settings: dict[str, Any] = Field({}, description="keys of its scenario, with a dot before each key of a section")
    seconds: Annotated[float, Ge(0)] = Field(60.0, description="about how long a run takes, to tell the time left")


class Comparison(Section):
    """A comparison of ways of sharing on one cohort."""

    description: str = Field("", description="one line about it")
    seeds: Annotated[int, Ge(1), Le(100)] = Field(3, description="how many cohorts are drawn")
    first: Annotated[int, Ge(0), Le(2**62)] = Field(1, description="the first seed; the others follow it")
    methods: Annotated[tuple[str, ...], Len(1, 200)] | None = Field(
        None, description="ways of sharing, a name or a name before a colon, such as outsource; null: all"
    )
    attacks: tuple[str, ...] | None = Field(
        None,
        description="words in names of attacks, or criteria, that count; with a minus first: that do not; null: all",
    )
    cohort: CohortSection = CohortSection()
    workflows: dict[str, WorkflowSection] = Field({}, description="how each workflow is played")

    @property
    def all_seeds(self) -> range:
        """The seeds."""
        return range(self.first, self.first + self.seeds)


def load_comparison(
    source: str | Path | Comparison = "compare", settings: Mapping[str, Any] | None = None, **keys: Any
) -> Comparison:
    """Read a comparison, and change some of its keys.

    Args:
        source: ``compare``, or ``quick``, which takes minutes; the path of a ``.yaml`` file; or a comparison.
        settings: Values by key, such as ``{"cohort.people": 40}``.
        keys: The same for keys without a dot, such as ``seeds=3``.

    Raises:
        BadScenario: With one sentence that names the wrong key.

    Examples:
        >>> load_comparison("quick", seeds=2).seeds
        2
    """
    text, where, tree = "", "the comparison", dict[str, Any]()
    if isinstance(source, Comparison):
        tree = source.model_dump(mode="json")
    else:
        text, where = _text(source)
        try:
            found = parse_yaml(text)
        except BadYaml as error:
            raise BadScenario(f"{where}{error.place}: {error}") from None
        if not isinstance(found, dict):
            raise BadScenario(f"{where}: a comparison is a mapping of keys to values")
        tree = found
    given = {**(settings or {}), **keys}
    for key, value in given.items():
        *parents, leaf = key.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise BadScenario(f"there is no key {key}: {parent} is a value, it has no keys below it")
        branch[leaf] = value
    for name in tree.get("workflows") or {}:
        if name not in WORKFLOWS:
            raise BadScenario(f"{where}: workflows: there is no {name!r}; {nearest(str(name), WORKFLOWS)}")
    try:
        return Comparison.model_validate(tree)
    except ValidationError as error:
        raise BadScenario(f"{where}{mistake(error, Comparison, text, given)}") from None


def _text(source: str | Path) -> tuple[str, str]:
    name = str(source)
    if name in NAMES:
        return (PACKAGED / f"{name}.yaml").read_text(encoding="utf-8"), f"comparison {name}"
    if not name.endswith((".yaml", ".yml")):
        raise BadScenario(f"there is no comparison {name!r}, and it is not a .yaml file; {nearest(name, NAMES)}")
    try:
        return user_path(name).read_text(encoding="utf-8"), name
    except (OSError, UnicodeDecodeError) as error:
        raise BadScenario(f"the comparison {name} cannot be read: {error}") from None
