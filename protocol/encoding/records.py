"""Any Flower records to bytes and back, for wires and databases, without pickle and without trusting headers.

What is written is laid out in `protocol/wire/parley.proto` at ``Records``: a structure, then all bytes and
array data. Reading compares every length with what is there before it copies anything, and accepts only
arrays that NumPy can read without allocating more than they bring.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from google.protobuf.message import DecodeError

from protocol.encoding.codec import UnreadableMessage, read_array, reading
from protocol.errors import ProtocolError
from protocol.flower import filled
from protocol.wire import parley_pb2 as wire

_LENGTH = struct.Struct(">I")
_KINDS: dict[type[Any], Any] = {
    ConfigRecord: wire.Record.CONFIG,
    MetricRecord: wire.Record.METRIC,
    ArrayRecord: wire.Record.ARRAY,
}
_RECORDS = {kind: record for record, kind in _KINDS.items()}
_SCALARS = {bool: "flag", int: "integer", float: "real", str: "text"}
_LISTS = {
    bool: ("flags", wire.Flags),
    int: ("integers", wire.Integers),
    float: ("reals", wire.Reals),
    str: ("texts", wire.Texts),
}
_STYPE = "numpy.ndarray"


class Unwritable(ProtocolError):
    """Records that cannot be written; the text says why."""


def pack(content: RecordDict) -> bytes:
    """Write records.

    Raises:
        Unwritable: When there is a number among them that needs more than 64 bits.

    Examples:
        >>> packed = pack(RecordDict({"fields": ConfigRecord({"price": 7, "key": b"secret"})}))
        >>> dict(unpack(packed)["fields"])
        {'price': 7, 'key': b'secret'}
    """
    structure, values = parts(content)
    return b"".join([structure, *(value for _, value in values)])


def parts(content: RecordDict) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Write records in parts that belong one after the other: the structure, and what is not copied, by its name.

    Raises:
        Unwritable: See `pack`.
    """
    values: list[tuple[str, bytes]] = []
    try:
        records = wire.Records(records=[_record(name, record, values) for name, record in content.items()])
    except (ValueError, TypeError) as error:
        raise Unwritable(f"a record holds a value that cannot be written: {error}") from None
    structure = records.SerializeToString()
    return _LENGTH.pack(len(structure)) + structure, values


def unpack(packed: bytes, max_structure: int | None = None) -> RecordDict:
    """Read what `pack` wrote.

    Args:
        packed: Of unknown origin.
        max_structure: Bytes that names, numbers and lengths may take.

    Raises:
        UnreadableMessage: When it is anything else.
    """
    with reading("a record"):
        return _unpacked(packed, max_structure)


def _unpacked(packed: bytes, max_structure: int | None) -> RecordDict:
    if len(packed) < _LENGTH.size:
        raise UnreadableMessage("a message ends before it says how long its structure is")
    (length,) = _LENGTH.unpack_from(packed)
    start = _LENGTH.size + length
    if start > len(packed) or (max_structure is not None and length > max_structure):
        raise UnreadableMessage(f"a message claims a structure of {length} bytes, which is too long or not there")
    records = wire.Records()
    try:
        records.ParseFromString(packed[_LENGTH.size : start])
    except DecodeError:
        raise UnreadableMessage("a message has no readable structure") from None
    data = _Data(packed, start)
    content: dict[str, Any] = {}
    for record in records.records:
        if record.name in content:
            raise UnreadableMessage(f"the record {record.name[:80]!r} comes twice")
        content[record.name] = _read_record(record, data)
    data.finish()
    return filled(RecordDict(), content)


class _Data:
    """The data behind a structure, handed out in order."""

    def __init__(self, packed: bytes, start: int) -> None:
        self._packed = packed
        self._next = start

    def take(self, length: int) -> bytes:
        end = self._next + length
        if end > len(self._packed):
            raise UnreadableMessage(f"a value claims {length} bytes, and {len(self._packed) - self._next} are left")
        taken = self._packed[self._next : end]
        self._next = end
        return taken

    def finish(self) -> None:
        if self._next != len(self._packed):
            raise UnreadableMessage(f"a message has {len(self._packed) - self._next} bytes that belong to no value")


def pack_config(name: str, values: dict[str, Any]) -> wire.Record:
    """Write a configuration without bytes as the structure alone."""
    data: list[tuple[str, bytes]] = []
    record = _record(name, ConfigRecord(values), data)
    if data:
        raise Unwritable(f"the configuration {name!r} holds bytes")
    return record


def unpack_config(record: wire.Record) -> dict[str, Any]:
    """Read what `pack_config` wrote."""
    return dict(_read_entries(record.entries, lambda entry: _read_value(entry, _Data(b"", 0))))


def _record(name: str, record: Any, data: list[tuple[str, bytes]]) -> wire.Record:
    write = _write_array if isinstance(record, ArrayRecord) else _write_value
    entries = [write(key, value, data) for key, value in record.items()]
    return wire.Record(name=name, kind=_KINDS[type(record)], entries=entries)


def _write_array(name: str, array: Array, data: list[tuple[str, bytes]]) -> wire.Entry:
    data.append((name, array.data))
    described = wire.Array(dtype=array.dtype, shape=array.shape, stype=array.stype, length=len(array.data))
    return wire.Entry(name=name, array=described)


def _write_value(name: str, value: Any, data: list[tuple[str, bytes]]) -> wire.Entry:
    match value:
        case bytes():
            data.append((name, value))
            return wire.Entry(name=name, bytes=len(value))
        case list() if value and isinstance(value[0], bytes):
            data.extend((name, item) for item in value)
            return wire.Entry(name=name, byteses=wire.Lengths(items=map(len, value)))
        case list():
            field, message = _LISTS[type(value[0]) if value else int]
            return wire.Entry(name=name, **{field: message(items=value)})
        case _:
            return wire.Entry(name=name, **{_SCALARS[type(value)]: value})


def _read_record(record: wire.Record, data: _Data) -> Any:
    kind = _RECORDS.get(record.kind)
    if kind is None:
        raise UnreadableMessage(f"there is no kind {record.kind} of record")
    read = _read_array if kind is ArrayRecord else _read_value
    entries = dict(_read_entries(record.entries, lambda entry: read(entry, data)))
    return kind(entries) if kind is MetricRecord else filled(kind(), entries)  # metrics are numbers alone


def _read_entries(entries: Iterable[wire.Entry], read: Callable[[wire.Entry], Any]) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise UnreadableMessage(f"the value {entry.name[:80]!r} comes twice")
        seen.add(entry.name)
        yield entry.name, read(entry)


def _read_array(entry: wire.Entry, data: _Data) -> Array:
    if entry.WhichOneof("value") != "array" or entry.array.stype != _STYPE:
        raise UnreadableMessage(f"the value {entry.name[:80]!r} is no array of NumPy's")
    described = entry.array
    array = Array(described.dtype, tuple(described.shape), described.stype, data.take(described.length))
    read = read_array(array)
    if (str(read.dtype), read.shape) != (array.dtype, array.shape):
        raise UnreadableMessage(
            f"an array says that it is {array.dtype[:40]} of shape {str(array.shape)[:80]}"
            f" and is {read.dtype} of {read.shape}"
        )
    return array


def _read_value(entry: wire.Entry, data: _Data) -> Any:
    kind = entry.WhichOneof("value")
    match kind:
        case "bytes":
            return data.take(entry.bytes)
        case "byteses":
            return [data.take(length) for length in entry.byteses.items]
        case "flags" | "integers" | "reals" | "texts":
            return list(getattr(entry, kind).items)
        case "flag" | "integer" | "real" | "text":
            return getattr(entry, kind)
        case _:
            raise UnreadableMessage(f"the value {entry.name[:80]!r} is no value of a configuration")
