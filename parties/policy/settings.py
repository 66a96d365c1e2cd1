"""A party's policy, as its owner writes it: ``policy.yaml`` in a kit, or the section ``policy`` of a scenario."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import Field, ValidationError, field_validator, model_validator

from protocol.errors import BadKit, nearest
from protocol.messages.base import MAX_ITEMS
from protocol.mistakes import mistake
from protocol.settings import Section, Share, yaml_lines
from protocol.strict_yaml import BadYaml, parse_yaml, read_yaml

Workflow = Literal["purchase", "pool", "crowdsource", "outsource", "publish", "federate"]
Way = Literal["plain", "private", "sum"]
Epsilon = Annotated[float, Gt(0), Le(1000)]
Count = Annotated[int, Ge(1), Le(10**9)]


WORKFLOWS: dict[str, Workflow] = {
    "seller": "purchase",
    "buyer": "purchase",
    "entity": "pool",
    "participant": "crowdsource",
    "owner": "outsource",
    "publisher": "publish",
    "client": "federate",
}
"""Which workflow a role is of; other roles have nothing to keep."""


class Budgets(Section):
    """Privacy budgets: an epsilon that all answers together do not exceed, for good; null for none."""

    delta: Annotated[float, Gt(0), Lt(1)] = Field(1e-6, description="delta of all budgets")
    image: Epsilon | None = Field(4.0, description="of each image")
    person: Epsilon | None = Field(8.0, description="of each person, in all images together")
    life: Epsilon | None = Field(16.0, description="as if all answers were about the same person")


class Publishing(Section):
    """What is published of pictures."""

    mechanisms: tuple[str, ...] = Field(("dp-pix",), description="mechanisms that may be used")
    unprotected: bool = Field(
        False, description="whether they may be of those that promise nothing: plain, pixelize, p3, p3-jpeg, dp-svd"
    )
    epsilon: Epsilon = Field(1.0, description="largest epsilon of one picture, for as many pixels as `changed` says")
    changed: Annotated[int, Ge(1), Le(10**6)] = Field(
        16, description="pixels that are protected together; a release for more or fewer is counted in proportion"
    )
    pictures: Count = Field(8, description="most pictures")

    @field_validator("mechanisms")
    @classmethod
    def _mechanisms_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from strategies.dp_images import MECHANISMS  # noqa: PLC0415  (only who names some waits for PyTorch)

        for name in names:
            if name not in MECHANISMS:
                raise ValueError(f"there is no mechanism {name!r}; {nearest(name, MECHANISMS)}")
        return names


class Federating(Section):
    """How rounds of training are answered."""

    ways: Annotated[tuple[Way, ...], Len(0, 3)] = Field(
        ("private", "sum"),
        description="plain: the update as it is; private: with the noise of DP-SGD; sum: behind masks, in a secure sum",
    )
    sigma: Annotated[float, Gt(0), Le(1000)] = Field(1.0, description="private: least noise, by the clipping norm")
    rounds: Count = Field(200, description="most answers to rounds, of all trainings together")

    @model_validator(mode="after")
    def _sums_hide(self) -> "Federating":
        if {"plain", "sum"} <= set(self.ways):
            raise ValueError(
                "plain and sum exclude each other: who asks for one update under two names reads in the plain what the"
                " sum hides"
            )
        return self


class Summing(Section):
    """Secure sums."""

    fewest: Annotated[int, Ge(2), Le(10_000)] = Field(3, description="fewest clients in a sum")


class Pooling(Section):
    """What is pooled of features."""

    publishers: tuple[str, ...] = Field(
        (), description="names of the entities whose networks are believed; none: every entity's"
    )
    clean: Share = Field(
        0.1, description="least SSIM with which the published reconstructor restores public images; 0: it is not tried"
    )
    published: Share = Field(
        0.2,
        description="largest share of what it restores of the own images that it restores from poisoned features;"
        " 1: not tried",
    )
    unseen: Share = Field(
        0.9, description="the same of a reconstructor that the entity trains itself on public images; 1: not tried"
    )


class Outsourcing(Section):
    """What is published for training."""

    epochs: Count = Field(20, description="most epochs: the same images in fresh mixtures can be unmixed")


class Purchasing(Section):
    """What bids show."""

    privacy: tuple[Literal["basic", "level1", "level2"], ...] = Field(
        ("level2",), description="levels of privacy under which it bids"
    )
    bids: Annotated[int, Ge(0), Le(MAX_ITEMS)] = Field(1000, description="most bids on one request")


class Serving(Section):
    """What anybody's Flower app may answer here; how it may train is said in `federate`, `sums` and `budgets`."""

    answers: tuple[str, ...] = Field(("train", "evaluate"), description="message types that are answered")
    epsilon: Epsilon | None = Field(
        None, description="private: epsilon of one answer to train, as the app's own mod gives it; null: no such answer"
    )
    delta: Annotated[float, Ge(0), Lt(1)] = Field(0.0, description="private: delta of one answer to train")
    ledger: str = Field("privacy.sqlite", description="the privacy ledger, beside this file")


class Policy(Section):
    """What a party takes part in, and on which terms. The default is strict: nothing leaves as it is."""

    workflows: tuple[Workflow, ...] = Field(
        ("purchase", "pool", "crowdsource", "outsource", "publish", "federate"), description="what it takes part in"
    )
    budgets: Budgets = Budgets()
    publish: Publishing = Publishing()
    federate: Federating = Federating()
    sums: Summing = Summing()
    pool: Pooling = Pooling()
    outsource: Outsourcing = Outsourcing()
    purchase: Purchasing = Purchasing()
    app: Serving = Serving()


FILE = "policy.yaml"
"""In a party's kit."""
_OF_ROLES: dict[str, tuple[str, ...]] = {
    "seller": ("workflows", "purchase"),
    "buyer": ("workflows",),
    "entity": ("workflows", "pool"),
}


def commented_policy(sections: Sequence[str] = ()) -> str:
    """Write the default policy as YAML, with a comment on each key; of some sections alone, or of all."""
    head = "# What this party lets others have of it. What is left out is as strict as can be."
    return "\n".join((head, *yaml_lines(Policy(), sections))) + "\n"


def policy_of_role(role: str) -> str | None:
    """Write the default policy of a deployed role; None for one that has nothing to keep.

    Examples:
        >>> print(policy_of_role("entity").splitlines()[-3])
          clean: 0.1  # least SSIM with which the published reconstructor restores public images; 0: it is not tried
    """
    return commented_policy(_OF_ROLES[role]) if role in _OF_ROLES else None


def read_policy(path: str | PathLike[str]) -> Policy:
    """Read a policy.

    Raises:
        FileNotFoundError: When there is no such file.
        BadKit: With one sentence, when it cannot be used.
    """
    path = Path(path)
    try:
        text = read_yaml(path)
        tree = parse_yaml(text)
    except BadYaml as error:
        raise BadKit(f"{path}{error.place}: {error}") from None
    try:
        return Policy.model_validate({} if tree is None else tree)
    except ValidationError as error:
        raise BadKit(f"{path}{mistake(error, Policy, text)}") from None
