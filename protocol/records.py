"""Flower records as bytes, for databases: no pickle, and large values can be left to the vault.

The layout is a JSON index, its length before it, and the byte strings that the index speaks of, end to end.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from protocol.errors import ProtocolError

_HEAD = struct.Struct(">4sI")
_MAGIC = b"PRD1"
_RECORDS: dict[str, type[ConfigRecord] | type[MetricRecord]] = {"config": ConfigRecord, "metric": MetricRecord}


class UnreadableRecords(ProtocolError):
    """What was read is not what `pack` wrote."""


def pack(content: RecordDict, store: Callable[[str, bytes], str | None] = lambda name, value: None) -> bytes:
    """Write records as bytes.

    Parameters
    ----------
    content : RecordDict
        The records.
    store : callable, optional
        Given each byte string with its name, it may keep it elsewhere and return where; None has it packed.

    Examples
    --------
    >>> content = RecordDict({"fields": ConfigRecord({"price": 3, "salts": [b"a", b"b"]})})
    >>> unpack(pack(content)) == content
    True
    """
    segments: list[bytes] = []

    def written(name: str, value: Any) -> Any:
        if isinstance(value, list):
            return [written(name, item) for item in value]
        if not isinstance(value, bytes):
            return value
        place = store(name, value)
        if place is not None:
            return {"stored": place}
        segments.append(value)
        return {"length": len(value)}

    index: dict[str, Any] = {}
    for name, record in content.items():
        if isinstance(record, ArrayRecord):
            arrays = {
                key: [array.dtype, list(array.shape), array.stype, written(key, array.data)]
                for key, array in record.items()
            }
            index[name] = ["array", arrays]
        else:
            kind = "config" if isinstance(record, ConfigRecord) else "metric"
            index[name] = [kind, {key: written(key, value) for key, value in record.items()}]
    head = json.dumps(index, separators=(",", ":")).encode()
    return b"".join([_HEAD.pack(_MAGIC, len(head)), head, *segments])


def unpack(data: bytes, load: Callable[[str], bytes] | None = None) -> RecordDict:
    """Read records that were packed.

    Parameters
    ----------
    data : bytes
        What `pack` returned.
    load : callable, optional
        Returns the byte string that was stored under a name.

    Raises
    ------
    UnreadableRecords
        When it is anything else.
    """
    try:
        magic, length = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError(f"it begins with {magic!r}")
        index = json.loads(data[_HEAD.size : _HEAD.size + length])
        position = _HEAD.size + length

        def read(value: Any) -> Any:
            nonlocal position
            if isinstance(value, list):
                return [read(item) for item in value]
            if not isinstance(value, dict):
                return value
            if "stored" in value:
                if load is None:
                    raise ValueError("a value was stored elsewhere")
                return load(value["stored"])
            start, position = position, position + value["length"]
            if not start <= position <= len(data):
                raise ValueError(f"it ends after {len(data)} bytes")
            return data[start:position]

        content = RecordDict()
        for name, (kind, values) in index.items():
            if kind == "array":
                arrays = {
                    key: Array(dtype, tuple(shape), stype, read(body))
                    for key, (dtype, shape, stype, body) in values.items()
                }
                content[name] = ArrayRecord(arrays)
            else:
                content[name] = _RECORDS[kind]({key: read(value) for key, value in values.items()})
        if position != len(data):
            raise ValueError(f"{len(data) - position} bytes are left over")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise UnreadableRecords(f"these are no packed records: {error}") from None
    return content
