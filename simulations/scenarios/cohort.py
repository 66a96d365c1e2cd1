"""One cohort for several workflows: the same people, their images, one task and one private attribute."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from protocol.errors import nearest
from protocol.mistakes import Misplaced
from protocol.settings import Section

FEWEST = 20
"""People whose images are shared, at least: fewer are no crowd to be found in."""
MOSTLY = 0.6
"""The share of people with the private attribute among those of every second owner; of the others, the rest."""
LABELS = "labels.csv"
"""The file beside a user's own images that says what they show."""


class CohortSection(Section):
    """People with several images, in parts that have no person in common, all drawn from the scenario's seed."""

    people: Annotated[int, Ge(FEWEST), Le(100_000)] = Field(96, description="people whose images are shared")
    pictures: Annotated[int, Ge(2), Le(1000)] = Field(6, description="images of each of them, and of public people")
    known: Annotated[int, Ge(1), Le(1000)] = Field(4, description="other images of each of them, which attackers have")
    owners: Annotated[int, Ge(2), Le(1000)] = Field(
        4, description="institutions that hold the images where people do not hold their own"
    )
    public: Annotated[int, Ge(50), Le(100_000)] = Field(
        240, description="people whose images and labels everybody has: attackers, collectors, pre-training"
    )
    fresh: Annotated[int, Ge(50), Le(100_000)] = Field(
        400, description="people that models are tested on, an image each"
    )
    side: Annotated[int, Ge(32), Le(256)] = Field(32, description="width and height of images, a multiple of 16")
    task: str = Field(
        "Mouth_Slightly_Open", description="the attribute that is to be learnt, known of every shared image"
    )
    private: str = Field("Male", description="the attribute that is private")
    root: str | None = Field(
        None, description=f"my own images instead of painted faces: a folder with {LABELS}, a row for each file"
    )
    people_by: str = Field(
        "folder", description=f"who is in my own images; folder: each sub-folder is a person; or a column of {LABELS}"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> "CohortSection":
        if self.side % 16:
            raise ValueError(f"side: {self.side} is not a multiple of 16")
        if self.people % self.owners:
            raise ValueError(f"people: {self.people} people cannot be shared out among {self.owners} owners alike")
        if self.task == self.private:
            raise ValueError(f"private: {self.private} is the task, whose labels are shared")
        return self

    @property
    def held(self) -> int:
        """Images of each owner."""
        return self.people // self.owners * self.pictures


def one_of(known: Sequence[str]) -> Any:
    """Return the type of a key that names an attribute; its section's scenario checks it (`check_attribute`)."""
    return Annotated[str, WithJsonSchema({"enum": list(known), "type": "string"})]


def attribute(known: Sequence[str]) -> Any:
    """Return the type of a scenario's own key that names an attribute."""

    def checked(name: str, info: ValidationInfo) -> str:
        check_attribute(name, known, info, info.field_name or "")
        return name

    return Annotated[one_of(known), AfterValidator(checked)]


def check_attribute(
    name: str, known: Sequence[str], info: ValidationInfo, key: str, below: tuple[str, ...] = ()
) -> None:
    """Refuse an attribute that painted faces do not have; a cohort of the user's own may have any.

    Args:
        info: Of the key that is validated, after ``cohort``.
        key: With that of its section.
        below: The path to it from the key that is validated.
    """
    if name not in known and info.data.get("cohort") is None:
        raise Misplaced(below, f"{key}: there is no attribute {name!r}; {nearest(name, known)}")


def filled(given: Mapping[str, Any], of_cohort: Callable[[CohortSection], Mapping[str, Any]]) -> dict[str, Any]:
    """Return a scenario's keys with those that follow from its cohort.

    Args:
        given: As the scenario's file has them.
        of_cohort: From a cohort to keys, with a dot before each key of a section.
    """
    section = CohortSection.model_validate(given["cohort"])
    tree = dict(given)
    for key, value in of_cohort(section).items():
        *parents, leaf = key.split(".")
        branch = tree
        for parent in parents:
            below = branch.get(parent, {})
            branch[parent] = dict(below) if isinstance(below, Mapping) else below.model_dump(mode="json")
            branch = branch[parent]
        if leaf in branch and _plain(branch[leaf]) != _plain(value):
            raise Misplaced(tuple(key.split(".")), f"{key} follows from cohort, it is {value!r}: leave it out")
        branch[leaf] = value
    return tree


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
