"""Frames to messages of the wire format, checked."""

from typing import Any, TypeVar

from flwr.app import RecordDict
from google.protobuf.message import DecodeError

from protocol.encoding.bounds import ANY, MAX_STRUCTURE_BYTES, Bound
from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage
from protocol.encoding.records import Unwritable, parts, unpack
from protocol.messages.base import BlobReference
from protocol.wire import parley_pb2 as wire

F = TypeVar("F")


def parse(kind: type[F], frame: bytes) -> F:
    """Read a frame.

    Raises:
        UnreadableMessage: When the bytes are no such frame.
    """
    parsed: Any = kind()
    try:
        parsed.ParseFromString(frame)
    except DecodeError:
        raise UnreadableMessage(f"{len(frame)} bytes that are no {kind.__name__} arrived") from None
    result: F = parsed
    return result


def read_blob(blob: wire.Blob) -> BlobReference:
    """Read which blob is meant.

    Raises:
        UnreadableMessage: When it has no SHA-256, or a length of nothing or of more than any message has.
    """
    if len(blob.sha256) != 32 or not 0 < blob.length <= MAX_MESSAGE_BYTES:
        raise UnreadableMessage(f"a blob of {blob.length} bytes under a name of {len(blob.sha256)} is not accepted")
    return BlobReference(digest=blob.sha256, length=blob.length)


def write_blob(blob: BlobReference) -> wire.Blob:
    """Write which blob is meant."""
    return wire.Blob(sha256=blob.digest, length=blob.length)


def write_content(content: RecordDict) -> list[bytes]:
    """Write records as pieces that belong one after the other; large values are not copied.

    Raises:
        Unwritable: When there is too much of it, or a value that cannot be written.
    """
    structure, values = parts(content)
    pieces = [structure, *(value for _, value in values)]
    if len(structure) > MAX_STRUCTURE_BYTES:
        raise Unwritable(f"the names and numbers of a message take {len(structure)} bytes, over {MAX_STRUCTURE_BYTES}")
    if (size := sum(map(len, pieces))) > MAX_MESSAGE_BYTES:
        raise Unwritable(f"a message of {size} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    return pieces


def read_content(packed: bytes, bound: Bound = ANY) -> RecordDict:
    """Read records.

    Raises:
        UnreadableMessage: When the bytes are none, or too many.
    """
    if len(packed) > (limit := min(bound.total, MAX_MESSAGE_BYTES)):
        raise UnreadableMessage(f"a message of {len(packed)} bytes is over the limit of {limit}")
    return unpack(packed, bound.structure)
