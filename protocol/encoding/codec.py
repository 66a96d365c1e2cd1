"""Messages to Flower `RecordDict` and back.

Arrays go to the `ArrayRecord` ``arrays``, everything else to the `ConfigRecord` ``fields``, under
the path of the field (``bids/3/bid/price``). Decoding is where a peer's bytes become data, so it
trusts nothing: sizes are compared with what really arrived before anything is allocated, nothing is
unpickled or evaluated, and the result is validated strictly against the one message that is expected.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any, TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.typing import NDArray
from pydantic import ValidationError

from protocol.errors import ProtocolError
from protocol.flower import copy_array, filled
from protocol.messages.base import ProtocolMessage

MAX_MESSAGE_BYTES = 256_000_000
"""The largest message that is decoded."""

RECORDS = _HEADER, _FIELDS, _ARRAYS = "message", "fields", "arrays"
"""The names of the Flower records that make up one message."""

_COUNT = "#"
_MAX_DEPTH = 8
_MAGIC, _MAX_HEADER = b"\x93NUMPY\x01\x00", 1000
_SCALARS = (bool, int, float, str, bytes)
_HEADER_LINE = re.compile(
    rb"\{'descr': '([^']{1,9})', 'fortran_order': (False|True),"
    rb" 'shape': \(((?:\d{1,18}, ){0,31}\d{1,18},?|)\), \} *\n"
)
"""The header of an array as NumPy writes it; it is never evaluated."""
_DTYPES = {dtype.str: dtype for dtype in (np.dtype(f"{order}{code}") for order in "<>" for code in "?bhilqBHILQefd")}
"""Numbers, by how headers name their types."""

M = TypeVar("M", bound=ProtocolMessage)


class UnreadableMessage(ProtocolError):
    """What arrived is not the message that was expected; the text says why, in one sentence."""


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Refuse what a peer sent when it cannot be read, for whatever reason; code in the block does no I/O."""
    try:
        yield
    except UnreadableMessage:
        raise
    except Exception as error:
        raise UnreadableMessage(f"{what} cannot be read: {type(error).__name__}: {str(error)[:200]}") from error


def encode(message: ProtocolMessage) -> RecordDict:
    """Turn a message into Flower records.

    Examples:
        >>> from protocol.messages.base import Introduction
        >>> records = encode(Introduction(role="seller", identity=bytes(32)))
        >>> records["fields"]["role"]
        'seller'
        >>> decode(records, Introduction).role
        'seller'
    """
    fields: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for name in type(message).model_fields:
        _flatten(name, getattr(message, name), fields, arrays)
    header = {"kind": message.kind(), "version": message.version}
    return filled(
        RecordDict(),
        {
            _HEADER: filled(ConfigRecord(), header),
            _FIELDS: filled(ConfigRecord(), fields),
            _ARRAYS: filled(ArrayRecord(), arrays),
        },
    )


def decode(content: RecordDict, *expected: type[M]) -> M:
    """Read the expected message, or one of those expected, out of Flower records.

    Raises:
        UnreadableMessage: When the records hold anything but a valid message of such a kind, in our version.
    """
    with reading("a message"):
        return _decoded(content, expected)


def _decoded(content: RecordDict, expected: tuple[type[M], ...]) -> M:
    size = encoded_size(content)
    if size > MAX_MESSAGE_BYTES:
        raise UnreadableMessage(f"a message of {size} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    header, fields, arrays = content.get(_HEADER), content.get(_FIELDS), content.get(_ARRAYS)
    if not (isinstance(header, ConfigRecord) and isinstance(fields, ConfigRecord) and isinstance(arrays, ArrayRecord)):
        names = " or ".join(kind.kind() for kind in expected)
        raise UnreadableMessage(f"expected a {names}, got records that are no message of this protocol")
    kind, version = header.get("kind"), header.get("version")
    asked = next((each for each in expected if (each.kind(), each.version) == (kind, version)), None)
    if asked is None or type(version) is not int:
        versions = " or ".join(f"{each.kind()} version {each.version}" for each in expected)
        raise UnreadableMessage(f"expected {versions}, got {str(kind)[:80]} version {str(version)[:20]}")
    tree = _Tree(most=len(fields) + len(arrays))
    for path, value in fields.items():
        tree.insert(path, tuple(value) if type(value) is list else value)
    for path, array in arrays.items():
        tree.insert(path, read_array(array))
    try:
        return asked.model_validate(_collapse(tree.root))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise UnreadableMessage(f"{asked.kind()}: {where[:80]}: {first['msg'][:200]}") from None


def encoded_size(content: RecordDict) -> int:
    """Bytes that the content of these records takes: values and array data, with their names."""
    total = 0
    for record in content.values():
        for name, value in record.items():
            total += len(name) + _value_size(value)
    return total


def read_array(array: Array) -> NDArray[Any]:
    """Read a Flower array without trusting its header.

    The header's dtype and shape are compared with the bytes that are there; the result is a
    read-only view of those bytes, so a header cannot make us allocate anything.

    Raises:
        UnreadableMessage: When the bytes are not one whole array of numbers in NumPy's own format.
    """
    data = array.data
    if data[:8] != _MAGIC:
        raise UnreadableMessage("an array is in an unknown version of NumPy's format")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER_LINE.fullmatch(data, 10, start) if start <= min(len(data), _MAX_HEADER) else None
    if header is None:
        raise UnreadableMessage("an array has no readable header")
    name, fortran, extents = (part.decode("ascii", "replace") for part in header.groups())
    dtype = _DTYPES.get(name)
    if dtype is None or fortran == "True":
        raise UnreadableMessage(
            f"an array of {name} in {'Fortran' if fortran == 'True' else 'C'} order is not accepted"
        )
    shape = tuple(int(extent) for extent in extents.split(",") if extent)
    body = memoryview(data)[start:]
    if prod(shape) * dtype.itemsize != len(body) or prod(filter(None, shape)) > MAX_MESSAGE_BYTES:
        raise UnreadableMessage(f"an array claims {dtype} of shape {shape} but brings {len(body)} bytes")
    return np.frombuffer(body, dtype=dtype).reshape(shape)


def copy_records(content: RecordDict) -> RecordDict:
    """Copy records so that a change of the copy does not show in the original.

    Byte strings are shared: they cannot be changed in place.
    """
    copy = content.copy()
    for name, record in content.items():
        copy[name] = filled(record.copy(), {key: _copy(value) for key, value in record.items()})
    return copy


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    return copy_array(value) if isinstance(value, Array) else value


def _flatten(path: str, value: Any, fields: dict[str, Any], arrays: dict[str, Array]) -> None:
    match value:
        case None:
            return
        case np.ndarray():
            arrays[path] = Array(np.ascontiguousarray(value))
        case ProtocolMessage():
            for name in type(value).model_fields:
                _flatten(f"{path}/{name}", getattr(value, name), fields, arrays)
        case tuple() if value and type(value[0]) in _SCALARS:
            fields[path] = list(value)
        case tuple():
            fields[f"{path}/{_COUNT}"] = len(value)
            for index, item in enumerate(value):
                _flatten(f"{path}/{index}", item, fields, arrays)
        case str():
            fields[path] = str(value)
        case _:
            fields[path] = value


class _Tree:
    """Values by their paths, in groups within groups.

    Args:
        most: Groups that there may be: none of our messages has more of them than values.
    """

    def __init__(self, most: int) -> None:
        self._left = most
        self.root: dict[str, Any] = {}
        self._groups: dict[str | None, dict[str, Any]] = {None: self.root}

    def insert(self, path: str, value: Any) -> None:
        above, slash, leaf = path.rpartition("/")
        group = self._groups.get(above if slash else None)
        if group is None:
            group = self._group(above)
        if leaf in group:
            raise UnreadableMessage(f"the field {path[:80]} comes twice")
        group[leaf] = value

    def _group(self, path: str) -> dict[str, Any]:
        names = path.split("/", _MAX_DEPTH)
        if len(names) >= _MAX_DEPTH:
            raise UnreadableMessage(f"a field is nested more than {_MAX_DEPTH} deep")
        group = self.root
        for name in names:
            if name not in group:
                self._left -= 1
                group[name] = {}
            group = group[name]
            if not isinstance(group, dict):
                raise UnreadableMessage(f"the field {path[:80]} is both a value and a group")
        if self._left < 0:
            raise UnreadableMessage("a message has more groups than values")
        self._groups[path] = group
        return group


def _collapse(tree: Any) -> Any:
    """Turn the groups that carry a count into tuples, from the leaves up."""
    if not isinstance(tree, dict):
        return tree
    count = tree.pop(_COUNT, None)
    if count is None:
        return {name: _collapse(value) for name, value in tree.items()}
    if type(count) is not int or count != len(tree) or any(str(index) not in tree for index in range(count)):
        raise UnreadableMessage(f"a list claims {str(count)[:20]} items but brings {len(tree)}")
    return tuple(_collapse(tree[str(index)]) for index in range(count))


def _value_size(value: Any) -> int:
    kind = type(value)
    if kind is int or kind is float:
        return 8
    if kind is bytes or kind is str:
        return len(value)
    if kind is bool:
        return 1
    if kind is list:
        return 8 * len(value) if value and type(value[0]) in (int, float) else sum(map(_value_size, value))
    return len(value.data) if isinstance(value, Array) else len(str(value))  # of a class of the peer's own
