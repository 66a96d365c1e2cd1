"""How large a message of a kind can be: derived from its fields, so an answer brings no more than was asked for."""

from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import GroupedMetadata, MaxLen
from flwr.app import Message

from protocol.encoding.codec import MAX_MESSAGE_BYTES
from protocol.messages.base import ArrayOf, ProtocolMessage

MAX_STRUCTURE_BYTES = 16_000_000
"""The most bytes that names, numbers and lengths of any message may take: about 30,000 bids."""

_ENTRY, _NUMBER, _ARRAY, _INDEX, _LETTER = 24, 11, 48, 7, 4
"""Bytes of the wire format, at most: around a value, of a number, of what describes an array beside its axes, of a
place in a list, of a letter."""


class Bound(NamedTuple):
    """Bytes of packed records, at most: names, numbers and lengths, and what stands behind them."""

    structure: int
    values: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.structure + self.values

    def __add__(self, other: "Bound") -> "Bound":  # type: ignore[override]
        return Bound(self.structure + other.structure, self.values + other.values)

    def at_most(self, other: "Bound") -> "Bound":
        """Return the smaller one of each."""
        return Bound(min(self.structure, other.structure), min(self.values, other.values))

    def largest(self, other: "Bound") -> "Bound":
        """Return the larger one of each."""
        return Bound(max(self.structure, other.structure), max(self.values, other.values))


ANY = Bound(MAX_STRUCTURE_BYTES, MAX_MESSAGE_BYTES)
"""What holds where nothing is known of a message."""
_NOTHING = Bound(0, 0)


@cache
def bound_of(*kinds: type[ProtocolMessage]) -> Bound:
    """Return how large packed records are that hold one of these messages.

    Examples:
        >>> from protocol.messages.base import Acknowledgement, Introduction
        >>> bound_of(Acknowledgement).total < bound_of(Introduction).total < 3_000
        True
    """
    found = _NOTHING
    for kind in kinds:
        found = found.largest(_message(kind, 0))
    head = Bound(1_000 + sum(len(kind.kind()) for kind in kinds), 0)
    return (found + head).at_most(ANY)


def with_bound(message: Message, bound: Bound) -> Message:
    """Note on a question how large its answer may be, for grids that carry it between machines."""
    message.__dict__["_answer_bound"] = bound
    return message


def answer_bound(question: Message) -> Bound:
    """Return how large the answer to a question may be."""
    bound: Bound = question.__dict__.get("_answer_bound", ANY)
    return bound


def _message(kind: type[ProtocolMessage], path: int) -> Bound:
    found = _NOTHING
    for name, field in kind.model_fields.items():
        found += _value(field.annotation, field.metadata, path + len(name) + 1)
    return found


def _value(annotation: Any, metadata: list[Any], path: int) -> Bound:
    """Return the bound of one value under a path of this length."""
    here = Bound(_ENTRY + path, 0)
    if array := next((each for each in metadata if isinstance(each, ArrayOf)), None):
        return here + Bound(_ARRAY + _NUMBER * len(array.shape), array.max_bytes + 1_000)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(inner[0], [*inner[1:], *metadata], path)
    if origin in (Union, UnionType):
        found = _NOTHING
        for each in inner:
            found = found.largest(_value(each, metadata, path))
        return found
    if origin is tuple:
        if len(inner) != 2 or inner[1] is not ...:
            items = [_value(each, [], path + _INDEX) for each in inner]
        else:
            item = _value(inner[0], [], path + _INDEX)
            items = [Bound(item.structure * _most(metadata), item.values * _most(metadata))]
        return sum(items, here)
    if origin is Literal or annotation in (NoneType, bool, int, float):
        return here + Bound(max([_NUMBER, *(_LETTER * len(str(each)) for each in inner)]), 0)
    if annotation is bytes:
        return here + Bound(_NUMBER, _most(metadata))
    if annotation is str:
        return here + Bound(_NUMBER + _LETTER * _most(metadata), 0)
    if issubclass(annotation, Enum):
        return here + Bound(_LETTER * max(len(str(each.value)) for each in annotation), 0)
    return _message(annotation, path)


def _most(metadata: list[Any]) -> int:
    """Return how many items, letters or bytes there are at most."""
    parts = [part for each in metadata for part in (each if isinstance(each, GroupedMetadata) else [each])]
    return min([each.max_length for each in parts if isinstance(each, MaxLen)], default=MAX_MESSAGE_BYTES)
