"""Every kind of message that there is, and random valid messages of each, for tests that leave none out."""

import importlib
import pkgutil
import typing
from collections.abc import Iterator
from enum import Enum
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types as at
import numpy as np
from pydantic import ValidationError

import protocol.messages
from protocol.messages.base import ArrayOf, ProtocolMessage

FEW = 2
"""Items of lists, and the extent of free axes, so that what belongs together is of one length."""
SMALL = 3
"""How far numbers lie above their lower bound, at most."""


def kinds() -> list[type[ProtocolMessage]]:
    """Return all classes of messages and of their parts, in the order of their names."""
    for module in pkgutil.iter_modules(protocol.messages.__path__):
        importlib.import_module(f"protocol.messages.{module.name}")
    found = {each for each in _below(ProtocolMessage) if each.__module__.startswith("protocol.messages.")}
    return sorted((each for each in found if not each.__name__.startswith("_")), key=str)


def arrays(kind: type[ProtocolMessage]) -> Iterator[tuple[str, ArrayOf]]:
    """Yield the arrays among a message's own fields, by their names."""
    for name, field in kind.model_fields.items():
        for array in _arrays(field.annotation, field.metadata):
            yield name, array


def example(kind: type[ProtocolMessage], random: Random) -> ProtocolMessage:
    """Draw a valid message; drawn again until it is one."""
    for _ in range(1000):
        fields = {
            name: _drawn(field.annotation, field.metadata, random)
            for name, field in kind.model_fields.items()
            if field.is_required() or random.random() < 0.5
        }
        try:
            return kind.model_validate(fields)
        except ValidationError as error:
            last = error
    raise AssertionError(f"no example of {kind.kind()}: {last}")


def _below(kind: type[ProtocolMessage]) -> Iterator[type[ProtocolMessage]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


def _arrays(annotation: Any, metadata: list[Any]) -> Iterator[ArrayOf]:
    yield from (each for each in metadata if isinstance(each, ArrayOf))
    if get_origin(annotation) is not None:
        inner, *more = get_args(annotation)
        if get_origin(annotation) is typing.Annotated:
            yield from _arrays(inner, more)
        elif get_origin(annotation) in (Union, UnionType, tuple):
            for each in (inner, *more):
                yield from _arrays(each, [])


def _drawn(annotation: Any, metadata: list[Any], random: Random) -> Any:  # noqa: PLR0912
    array = next((each for each in metadata if isinstance(each, ArrayOf)), None)
    if array is not None:
        shape = [FEW if extent is None else extent for extent in array.shape]
        return np.array([random.randrange(2) for _ in range(int(np.prod(shape)))]).reshape(shape).astype(array.dtype)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _drawn(inner[0], [*inner[1:], *metadata], random)
    if origin in (Union, UnionType):
        return _drawn(random.choice(inner), [] if NoneType in inner else metadata, random)
    if origin is Literal:
        return random.choice(inner)
    least, most = _bounds(metadata)
    if origin is tuple:
        if len(inner) != 2 or inner[1] is not ...:
            return tuple(_drawn(each, [], random) for each in inner)
        return tuple(_drawn(inner[0], [], random) for _ in range(int(min(max(FEW, least), most))))
    if annotation is NoneType:
        return None
    if issubclass(annotation, ProtocolMessage):
        return example(annotation, random)
    if issubclass(annotation, Enum):
        return random.choice(list(annotation))
    if annotation is bool:
        return random.random() < 0.5
    if annotation is int:
        return random.randint(int(least), int(min(least + SMALL, most)))
    if annotation is float:
        return random.uniform(least, min(least + SMALL, most))
    if annotation is str:
        return "".join(random.choice("aé/0") for _ in range(random.randint(0, SMALL)))
    if annotation is bytes:
        return random.randbytes(int(min(max(least, random.randint(1, 40)), most)))
    raise AssertionError(f"no example of {annotation}")


def _bounds(metadata: list[Any]) -> tuple[float, float]:
    """Return the least and the most that a number is, or the items or bytes that there are."""
    least, most = 0.0, float("inf")
    for each in metadata:
        for part in each if isinstance(each, at.GroupedMetadata) else [each]:
            match part:
                case at.Ge(ge):
                    least = float(ge)  # type: ignore[arg-type]
                case at.Gt(gt):
                    least = float(gt) + 1  # type: ignore[arg-type]
                case at.MinLen(length):
                    least = float(length)
                case at.Le(le):
                    most = float(le)  # type: ignore[arg-type]
                case at.MaxLen(length):
                    most = float(length)
                case _:
                    pass
    return least, most
