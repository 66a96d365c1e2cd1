"""What every scenario can set; each workflow adds its own sections (``simulations/<workflow>/scenario.py``)."""

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le
from pydantic import (
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails

from parties.policy.settings import Policy
from protocol.errors import nearest
from protocol.mistakes import Misplaced
from protocol.settings import Section, Share
from simulations.scenarios.cohort import CohortSection, filled
from simulations.scenarios.expectations import parse_condition

if TYPE_CHECKING:
    from parties.adversaries import Adversary


class RenamedKey(FutureWarning):
    """A key of a scenario has another name in this release."""


class Mix(Section):
    """How many parties are one adversary, and how: `share`, `drawn`, and the adversary's own settings."""

    model_config = ConfigDict(extra="allow")

    share: Share
    drawn: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_share(cls, given: Any) -> Any:
        return given if isinstance(given, (dict, Mix)) else {"share": given}

    @model_serializer(mode="wrap")
    def _shortest(self, write: SerializerFunctionWrapHandler) -> Any:
        return write(self) if self.drawn or self.settings else self.share

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe both forms."""
        whole = handler(core)
        return {"anyOf": [handler.resolve_ref_schema(whole)["properties"]["share"], whole]}

    @property
    def settings(self) -> dict[str, Any]:
        """The adversary's own settings."""
        return dict(self.model_extra or {})


class Scenario(Section):
    """One world and one workflow."""

    crowd: ClassVar[str]
    """The role of most parties; an adversary's share is a share of these."""
    roles: ClassVar[tuple[str, ...]]
    """Roles that may be adversaries."""

    description: str = Field("", description="one line about it")
    workflow: str = Field(description="the workflow; `parley list` names them")
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = Field(7, description="the same seed gives the same outcome")
    grid: Literal["local", "ray", "grpc"] = Field(
        "local",
        description="where the parties run: local: in this process; ray: in a few Ray workers that hold many;"
        " grpc: in processes that attach over mutual TLS, as if they were deployed",
    )
    workers: Annotated[int, Ge(1), Le(10_000)] | None = Field(
        None,
        description="processes that share the work: what is trained and attacked, and on grids ray and grpc the"
        " parties; null: one for each processor here",
    )
    address: str | None = Field(
        None, description="for grid ray: a running cluster, host:port of its head node; null: Ray starts here"
    )
    dataset: Literal["pets", "faces", "digits", "imagenet", "celeba", "stl10", "oxford_pets", "cifar10"] = Field(
        "pets", description="the pictures; `parley list` names the data sets"
    )
    data_root: str | None = Field(
        None, description="folder of the torchvision data sets, also for downloads; null: ~/.cache/parley/data"
    )
    cohort: CohortSection | None = Field(
        None,
        description="the people of several workflows that are compared, {people: 96, pictures: 6, ...}; sizes, task and"
        " private attribute of the scenario follow from it; null: people of the scenario's own",
    )
    adversaries: dict[str, Mix] = Field(
        {},
        description="adversaries, {name: share of their role} or {name: {share: 0.1, drawn: true}}: exactly that share,"
        " or each party with that probability; `parley list` names them",
    )
    twin: bool | Literal["each"] = Field(
        True,
        description="with adversaries: play the same world also without them, and report what they changed; each: also"
        " without one of them at a time, which takes as many times as long",
    )
    policy: Policy | None = Field(
        None,
        description="what every party refuses; null: nothing; {}: what is strict; `parley privacy --default` prints its"
        " keys",
    )
    expect: dict[str, str] = Field(
        {}, description='expected results, {key of the report: condition}, like {outcome.precision: ">= 0.9"}'
    )

    @property
    def cheats(self) -> bool:
        """Whether anybody is to cheat."""
        return bool(self.adversaries)

    def honest(self) -> "Scenario":
        """Return the same world, in which nobody cheats."""
        return self.model_copy(update={"adversaries": {}})

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_read(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        read = _renamed(cls, given)
        return read if read.get("cohort") is None else filled(read, cls.of_cohort)

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort, with a dot before each key of a section."""
        return {}

    @model_validator(mode="after")
    def _addresses_are_rays(self) -> "Scenario":
        if self.grid != "ray" and self.address is not None:
            raise ValueError(f"address is for grid ray, but grid is {self.grid}: set grid to ray, or leave address out")
        return self

    @field_validator("adversaries")
    @classmethod
    def _adversaries_exist(cls, mixes: dict[str, Mix], info: ValidationInfo) -> dict[str, Mix]:
        from parties.adversaries import ADVERSARIES

        given: Mapping[str, Adversary] = (info.context or {}).get("adversaries", ADVERSARIES)
        known = {name: cheat for name, cheat in given.items() if cheat.role in cls.roles}
        for name, mix in mixes.items():
            if name in given and name not in known:
                roles = " or ".join(cls.roles)
                raise Misplaced(
                    (name,), f"{name} is an adversary of the role {given[name].role}, but here adversaries are {roles}"
                )
            if name not in known:
                raise Misplaced((name,), f"there is no adversary {name!r}; {nearest(name, known)}")
            try:
                known[name].parameters.model_validate(mix.settings)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                keys = ["share", "drawn", *known[name].parameters.model_fields]
                raise Misplaced(*_below((name,), first, keys)) from None
        total = sum(mix.share for name, mix in mixes.items() if known[name].role == cls.crowd)
        if total > 1:
            raise ValueError(f"the shares of adversaries of the role {cls.crowd} add up to {total:g}, more than 1")
        return mixes

    @field_validator("expect")
    @classmethod
    def _expectations_are_conditions(cls, expect: dict[str, str]) -> dict[str, str]:
        for key, condition in expect.items():
            try:
                parse_condition(condition)
            except ValueError as error:
                raise Misplaced((key,), str(error)) from None
        return expect


def _below(parents: tuple[str, ...], error: ErrorDetails, keys: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """Return the path and the sentence of a mistake in an adversary's settings."""
    path = (*parents, *(str(part) for part in error["loc"]))
    key = ".".join(("adversaries", *path))
    if error["type"] == "extra_forbidden":
        return path, f"there is no key {key}; {nearest(path[-1], keys)}"
    return path, f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _renamed(kind: type[Section], given: Mapping[str, Any], parents: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return settings with the present names of keys; warn of old ones."""
    read = dict(given)
    for old, new in kind.RENAMED.items():
        if old in read:
            before, now = (".".join((*parents, name)) for name in (old, new))
            if new in read:
                raise Misplaced((*parents, old), f"{before} is now {now}: leave {before} out")
            warnings.warn(f"{before} is now {now}; the old name is read until 0.3", RenamedKey, stacklevel=2)
            read[new] = read.pop(old)
    for name, info in kind.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, Section) and isinstance(read.get(name), dict):
            read[name] = _renamed(section, read[name], (*parents, name))
    return read
