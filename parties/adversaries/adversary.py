"""Adversaries: parties, servers or mods with a name, their knowledge beyond their role, and their profit."""

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, ClassVar, TypeVar, get_origin, get_type_hints

from pydantic import create_model

from parties.crowdsource.participant import Participant
from parties.crowdsource.workflow import Crowdsource
from parties.federate.client import Client
from parties.federate.workflow import Federate
from parties.outsource.owner import Owner
from parties.outsource.workflow import Outsource
from parties.party import Party
from parties.pool.entity import Entity
from parties.pool.workflow import Pool
from parties.publish.publisher import Publisher
from parties.publish.workflow import Publish
from parties.purchase.buyer import Buyer
from parties.purchase.seller import Seller
from parties.purchase.workflow import Purchase
from parties.workflow import Workflow
from protocol.settings import Section

PARTIES: tuple[type[Party], ...] = (Seller, Buyer, Entity, Participant, Owner, Publisher, Client)
SERVERS: tuple[type[Workflow[Any]], ...] = (Purchase, Pool, Crowdsource, Outsource, Publish, Federate)
ROLES: dict[str, type[Any]] = {each.role: each for each in PARTIES} | {each.role: each for each in SERVERS}
"""The honest party of each role that may cheat, and the honest workflow of each server; workflows add theirs above."""

Declared = TypeVar("Declared", bound=Callable[..., Any])
"""A class, or a function with the signature of a mod."""

_MARK = "parley_adversary"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Adversary:
    """One way to cheat.

    Attributes:
        name: Its key in scenarios.
        summary: What it does, one line: the first of its docstring.
        knowledge: What it sees beyond what its role sees.
        profit: Its gain, and under which conditions.
        party: Its class; of a server the workflow that it drives.
        parameters: What a scenario may set, with defaults and bounds.
        mod: Its function around every step, for adversaries that are mods.
        honest: Whether who plays it is honest after all, as in the twin that shows what this cheat changes.
    """

    name: str
    summary: str
    knowledge: str
    profit: str
    party: type[Any]
    parameters: type[Section]
    mod: Callable[..., Any] | None = None
    honest: bool = False

    @property
    def role(self) -> str:
        """The role that it plays: a key of `ROLES`."""
        role: str = self.party.role
        return role

    def cast(self, **settings: object) -> type[Any]:
        """Return its class with these settings.

        Raises:
            pydantic.ValidationError: When a setting is not one of `parameters`, or out of bounds.
        """
        values = dict(self.parameters.model_validate(settings))
        if self.honest:
            return self.party
        if self.mod is not None:
            values = {"mods": (functools.partial(self.mod, **values),)}
        return type(self.party.__name__, (self.party,), values)

    def reformed(self) -> "Adversary":
        """Return one of the same name that is honest."""
        return replace(self, party=ROLES[self.role], mod=None, honest=True)


def adversary(name: str, *, knowledge: str, profit: str, role: str | None = None) -> Callable[[Declared], Declared]:
    """Declare a way to cheat; its docstring says what it does.

    Args:
        name: Its key in scenarios.
        knowledge: What it sees beyond what its role sees, such as "nothing beyond its role".
        profit: Its gain.
        role: Whose messages are intercepted, a key of `ROLES`, for a function with the signature of Flower's mods,
            ``(message, context, call_next) -> message``. A class names its role by what it extends.

    Note:
        A server (the cloud of a purchase, the collector, ...) cheats by a class that extends its workflow. What a
        scenario may set are the annotated attributes of a class that have a value, and the keyword-only arguments of a
        function.

    Examples:
        >>> @adversary("greedy", knowledge="nothing beyond its role", profit="none: payments do not follow prices")
        ... class Greedy(Seller):
        ...     '''Asks for ten times what its pictures are worth to it.'''
        ...
        ...     factor: float = 10.0
        ...
        ...     def price(self, image: int) -> int:
        ...         return round(self.factor * self.costs[image])
        >>> greedy = declared(vars())["greedy"]
        >>> greedy.role, greedy.cast(factor=2).factor
        ('seller', 2.0)
    """

    def declare(target: Declared) -> Declared:
        if not _NAME.fullmatch(name):
            raise TypeError(f"invalid adversary name {name!r}: use lower-case letters, digits and hyphens")
        summary = (inspect.getdoc(target) or "").partition("\n")[0]
        if not summary:
            raise TypeError(f"adversary {name!r} has no docstring to say what it does")
        if isinstance(target, type) and issubclass(target, tuple(ROLES.values())):
            found = Adversary(name, summary, knowledge, profit, target, _model(name, _attributes(target)))
        elif isinstance(target, FunctionType) and role in [honest.role for honest in PARTIES]:
            parameters = _model(name, _keywords(target))
            found = Adversary(name, summary, knowledge, profit, ROLES[str(role)], parameters, target)
        else:
            raise TypeError(
                f"adversary {name!r} has to be a class that extends {_either(p.__name__ for p in ROLES.values())}, or a"
                f" function with {_either(f'role={honest.role!r}' for honest in PARTIES)}"
            )
        setattr(target, _MARK, found)
        return target

    return declare


def declared(namespace: Mapping[str, object]) -> dict[str, Adversary]:
    """Collect the adversaries of a module from its namespace, by name."""
    marked = [vars(value).get(_MARK) for value in namespace.values() if isinstance(value, (type, FunctionType))]
    return {found.name: found for found in marked if isinstance(found, Adversary)}


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)


def _model(name: str, fields: Mapping[str, tuple[Any, Any]]) -> type[Section]:
    model: type[Section] = create_model(name, __base__=Section, **dict(fields))  # type: ignore[call-overload]
    return model


def _attributes(target: Any) -> dict[str, tuple[Any, Any]]:
    """Return type and default of each annotated attribute that cheats add to their role."""
    hints = get_type_hints(target, include_extras=True)
    own = [owner for owner in target.__mro__ if owner not in ROLES[target.role].__mro__]
    return {
        attribute: (hints[attribute], getattr(target, attribute))
        for owner in reversed(own)
        for attribute in inspect.get_annotations(owner)
        if attribute in vars(owner) and get_origin(hints[attribute]) is not ClassVar
    }


def _keywords(target: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return type and default of each keyword-only argument."""
    hints = get_type_hints(target, include_extras=True)
    arguments = inspect.signature(target).parameters.values()
    return {each.name: (hints[each.name], each.default) for each in arguments if each.kind is each.KEYWORD_ONLY}
