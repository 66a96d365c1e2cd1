"""Blobs beside messages, for the grids that keep large ones out of the cloud's memory.

Over such a grid a `bytes` in a field called ``blob`` that is not small goes to the cloud's vault and back by itself;
in the cloud's copy of the message a `BlobReference` stands in its place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from protocol.encoding.codec import RECORDS
from protocol.messages.base import BlobReference

_HEADER, _FIELDS, _ = RECORDS
_DIGEST, _LENGTH = "/digest", "/length"


def streams(grid: Grid) -> bool:
    """Whether this grid keeps blobs out of messages; by its attribute ``streams``."""
    return bool(getattr(grid, "streams", False))


def give_up(grid: Grid, message_ids: Iterable[str]) -> Iterable[Message]:
    """Withdraw messages that nobody waits for any longer, where the grid can; returns late replies to them."""
    withdraw = getattr(grid, "give_up", None)
    return [] if withdraw is None else withdraw(message_ids)


def blobs_of(content: RecordDict) -> dict[str, bytes | BlobReference]:
    """Return the fields of a message that are called ``blob``, by their paths; other records have none.

    Examples:
        >>> fields = ConfigRecord({"items/0/blob": b"sealed", "price": 3})
        >>> blobs_of(RecordDict({"message": ConfigRecord({"kind": "Parcel", "version": 1}), "fields": fields}))
        {'items/0/blob': b'sealed'}
    """
    fields = content.get(_FIELDS)
    if not isinstance(content.get(_HEADER), ConfigRecord) or not isinstance(fields, ConfigRecord):
        return {}
    found: dict[str, bytes | BlobReference] = {}
    for path, value in fields.items():
        if _is_blob(path) and isinstance(value, bytes):
            found[path] = value
        elif path.endswith(_DIGEST) and _is_blob(path.removesuffix(_DIGEST)):
            length = fields.get(path.removesuffix(_DIGEST) + _LENGTH)
            if isinstance(value, bytes) and len(value) == 32 and type(length) is int and length > 0:
                found[path.removesuffix(_DIGEST)] = BlobReference(digest=value, length=length)
    return found


def replace_blobs(content: RecordDict, blobs: Mapping[str, bytes | BlobReference]) -> RecordDict:
    """Return the same message with other blobs at these paths."""
    if not blobs:
        return content
    fields: dict[str, Any] = dict(content[_FIELDS])
    for path, blob in blobs.items():
        for name in (path, path + _DIGEST, path + _LENGTH):
            fields.pop(name, None)
        if isinstance(blob, BlobReference):
            fields |= {path + _DIGEST: blob.digest, path + _LENGTH: blob.length}
        else:
            fields[path] = blob
    replaced = RecordDict(dict(content))
    replaced[_FIELDS] = ConfigRecord(fields)
    return replaced


def _is_blob(path: str) -> bool:
    return path.rpartition("/")[2] == "blob"
