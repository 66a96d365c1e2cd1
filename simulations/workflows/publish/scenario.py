"""Settings of a publication scenario."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len
from pydantic import Field, ValidationInfo, field_validator, model_validator

from protocol.errors import nearest
from protocol.messages.publish import CallForPictures, Setting
from protocol.settings import Section
from simulations.data.people import FIXED, PASSING
from simulations.scenarios.base import Scenario
from simulations.scenarios.cohort import CohortSection, attribute, check_attribute, one_of
from simulations.scenarios.methods import built_in
from strategies.dp_images import MECHANISMS, Mechanism, mechanism

LEAST, MOST = 1e-9, 1e9
"""Beyond these epsilons noise is no number, or none."""


class MethodSection(Section):
    """A method of publication; settings that its mechanism does not have are null."""

    mechanism: str = Field(description=f"one of {', '.join(MECHANISMS)}")
    epsilon: float | None = Field(None, description="dp-pix: of a picture; dp-svd: per unit of distance")
    delta: float | None = Field(None, description="snow: the probability that a pixel is kept")
    cell: int | None = Field(None, description="dp-pix, pixelize: width of a cell, pixels")
    changed: Annotated[int, Le(10**6)] | None = Field(
        None, description="dp-pix: how many pixels neighbours may differ in (m)"
    )
    values: int | None = Field(None, description="dp-svd: singular values of each channel (k)")
    threshold: Annotated[int, Le(1000)] | None = Field(
        None, description="p3, p3-jpeg: coefficients beyond it are secret (T)"
    )
    quality: Annotated[int, Ge(1), Le(100)] | None = Field(None, description="p3-jpeg: quality of the JPEG file")

    @field_validator("mechanism")
    @classmethod
    def _mechanism_exists(cls, name: str) -> str:
        if name not in MECHANISMS:
            raise ValueError(f"there is no mechanism {name!r}; {nearest(name, MECHANISMS)}")
        return name

    @model_validator(mode="after")
    def _settings_suit(self) -> "MethodSection":
        self.build()
        if self.epsilon is not None and not LEAST <= self.epsilon <= MOST:
            raise ValueError(f"epsilon is {LEAST:g} to {MOST:g}, not {self.epsilon}")
        return self

    @property
    def settings(self) -> dict[str, float | int]:
        """The settings that are not null."""
        return {name: value for name, value in self if name != "mechanism" and value is not None}

    def build(self) -> Mechanism:
        """Return the mechanism; ValueError when a setting is missing, unknown or out of range."""
        return mechanism(self.mechanism, **self.settings)

    def call(self, method: str, most: int) -> CallForPictures:
        """Return the cloud's call to owners."""
        settings = tuple(
            Setting(name=name, value=float(value), whole=isinstance(value, int))
            for name, value in self.settings.items()
        )
        return CallForPictures(method=method, mechanism=self.mechanism, settings=settings, most=most)


class OwnersSection(Section):
    """Owners; each is one person, who is in all of the owner's pictures."""

    count: Annotated[int, Ge(2), Le(1000)] = Field(40, description="number of owners")
    pictures: Annotated[int, Ge(1), Le(1000)] = Field(24, description="pictures of each owner")
    publish: Annotated[int, Ge(1), Le(1000)] = Field(20, description="how many of these it publishes for each method")
    size: Annotated[int, Ge(32), Le(256)] = Field(48, description="width and height of a picture, pixels")


class AttackerSection(Section):
    """The attacker's knowledge and means."""

    known: Annotated[int, Ge(1), Le(1000)] = Field(
        24, description="other pictures of each owner, to learn to recognise owners from"
    )
    strangers: Annotated[int, Ge(10), Le(10_000)] = Field(
        600, description="pictures of other people, to learn faces in general from"
    )
    attribute: one_of(FIXED) = Field(  # type: ignore[valid-type]
        "Male", description="a private attribute of the owners to infer"
    )
    epochs: Annotated[int, Ge(1), Le(200)] = Field(10, description="rounds of training of each network")


USUAL: dict[str, dict[str, Any]] = {
    "raw": {"mechanism": "plain"},
    "pixelized": {"mechanism": "pixelize", "cell": 8},
    "p3": {"mechanism": "p3", "threshold": 15},
    "pix-1": {"mechanism": "dp-pix", "epsilon": 1.0},
    "pix-5": {"mechanism": "dp-pix", "epsilon": 5.0},
    "pix-20": {"mechanism": "dp-pix", "epsilon": 20.0},
    "svd-weak": {"mechanism": "dp-svd", "epsilon": 0.01},
    "svd-strong": {"mechanism": "dp-svd", "epsilon": 0.001},
    "snow-half": {"mechanism": "snow", "delta": 0.5},
    "snow-tenth": {"mechanism": "snow", "delta": 0.1},
}
"""The methods of a scenario by default; one that names some of them need not repeat their settings."""


class PublishScenario(Scenario):
    """The same pictures, published by several methods, each assessed as if it were the only one."""

    crowd = "publisher"
    roles = ("publisher", "curator")

    description: str = Field("Owners publish faces, with and without differential privacy.", description="one line")
    workflow: Literal["publish"] = Field("publish", description="the workflow")
    dataset: Literal["faces"] = Field("faces", description="the pictures: of persons, with attributes")
    methods: Annotated[dict[str, MethodSection], Len(1, 30), built_in(USUAL)] = Field(
        default_factory=lambda: {name: MethodSection(**settings) for name, settings in USUAL.items()},
        description="methods by name; the built-in names need no settings",
    )
    task: attribute(PASSING) = Field(  # type: ignore[valid-type]
        "Smiling", description="the labels of the published pictures, an attribute to train on"
    )
    owners: OwnersSection = OwnersSection()
    asks: Annotated[int, Ge(1), Le(100)] = Field(1, description="calls of the cloud for each method")
    delta: Annotated[float, Gt(0), Le(0.1)] = Field(1e-6, description="delta of the composition over many pictures")
    attacker: AttackerSection = AttackerSection()

    @classmethod
    def of_cohort(cls, cohort: CohortSection) -> Mapping[str, Any]:
        """Return the keys that follow from a cohort: each of its people is an owner."""
        return {
            "task": cohort.task,
            "owners.count": cohort.people,
            "owners.pictures": cohort.pictures,
            "owners.publish": cohort.pictures,
            "owners.size": cohort.side,
            "attacker.known": cohort.known,
            "attacker.strangers": cohort.public * cohort.pictures,
            "attacker.attribute": cohort.private,
        }

    @field_validator("attacker")
    @classmethod
    def _attribute_exists(cls, attacker: AttackerSection, info: ValidationInfo) -> AttackerSection:
        check_attribute(attacker.attribute, FIXED, info, "attacker.attribute", ("attribute",))
        return attacker

    @model_validator(mode="after")
    def _pictures_hold_cells(self) -> "PublishScenario":
        size = self.owners.size
        for name, method in self.methods.items():
            cell = getattr(method.build(), "cell", 1)
            if cell > size:
                raise ValueError(
                    f"methods.{name}.cell: pictures of {size}x{size} are smaller than one cell of {cell}x{cell} pixels;"
                    " set owners.size or cell"
                )
            if size % cell:
                raise ValueError(f"methods.{name}.cell: cells of {cell} pixels do not tile pictures of {size}x{size}")
            if (method.values or 1) > size:
                raise ValueError(f"methods.{name}.values: pictures of {size}x{size} have {size} singular values")
        if self.owners.publish > self.owners.pictures:
            raise ValueError(
                f"owners.publish: {self.owners.publish} is more than owners.pictures, {self.owners.pictures}"
            )
        return self


SCENARIO = PublishScenario
