"""What parties of one process compute together: one batched pass instead of one each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from flwr.app import RecordDict

if TYPE_CHECKING:
    from parties.party import Party

P = TypeVar("P", bound="Party")
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Prepared:
    """What was computed for one party ahead of one message.

    Attributes
    ----------
    content : RecordDict
        The message as it was then; a mod may still change it on its way.
    question : object
        The same, decoded.
    results : mapping
        What each `Together` computed.
    """

    content: RecordDict
    question: object
    results: dict[Together[Any, Any, Any], Any] = field(default_factory=dict)


class Together(Generic[P, Q, R]):
    """The batched form of a computation; see `together`."""

    def __init__(self, step: str, function: Callable[[Sequence[P], Q], Sequence[R]]) -> None:
        self.step = step
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[Party], name: str) -> None:
        self.owner = owner

    @overload
    def __get__(self, party: None, owner: type[P]) -> Together[P, Q, R]: ...

    @overload
    def __get__(self, party: P, owner: type[P]) -> Callable[[Q], R]: ...

    def __get__(self, party: P | None, owner: type[P]) -> Together[P, Q, R] | Callable[[Q], R]:
        """Return a function of the question that answers for one party."""
        if party is None:
            return self

        def for_one(question: Q) -> R:
            prepared = party.prepared
            if prepared is not None and prepared.question is question and self in prepared.results:
                found: R = prepared.results[self]
                return found
            return self.function([party], question)[0]

        return for_one

    def is_shared_by(self, role: type[Party]) -> bool:
        """Whether this kind of party takes the step as its role does; one that does it its own way computes alone."""
        return role.steps_of()[self.step] is self.owner.steps_of()[self.step]


def together(step: str) -> Callable[[Callable[[Sequence[P], Q], Sequence[R]]], Together[P, Q, R]]:
    """Mark the batched form of a computation that a step needs.

    It is a function of parties and of the message that all of them were sent, and returns one result
    per party. The step calls it like a method with the message alone. Where many parties of one
    process are asked the same, it has then run once for all of them; otherwise it runs for the one.

    Mods and adversaries notice nothing: the step itself is still taken by each party on its own,
    and a party whose message was changed on its way, or whose class takes the step in another way,
    computes alone.

    Examples
    --------
    >>> from parties.party import Party, step
    >>> from protocol.messages.purchase import Hello, Introduction
    >>> class Twin(Party):
    ...     @together("introduce")
    ...     def squares(twins, hello):
    ...         return [index**2 for index, twin in enumerate(twins)]
    >>> Twin(secret=bytes(32)).squares(Hello())
    0
    """
    return lambda function: Together(step, function)
