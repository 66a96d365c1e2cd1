"""Frames to messages of the wire format, checked."""

from typing import Any, TypeVar

from google.protobuf.message import DecodeError

from protocol.codec import MAX_MESSAGE_BYTES, UnreadableMessage
from protocol.messages.base import BlobReference
from protocol.wire import parley_pb2 as wire

F = TypeVar("F")


def parse(kind: type[F], frame: bytes) -> F:
    """Read a frame.

    Raises
    ------
    UnreadableMessage
        When the bytes are no such frame.
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

    Raises
    ------
    UnreadableMessage
        When it has no SHA-256, or a length of nothing or of more than any message has.
    """
    if len(blob.sha256) != 32 or not 0 < blob.length <= MAX_MESSAGE_BYTES:
        raise UnreadableMessage(f"a blob of {blob.length} bytes under a name of {len(blob.sha256)} is not accepted")
    return BlobReference(digest=blob.sha256, length=blob.length)


def write_blob(blob: BlobReference) -> wire.Blob:
    """Write which blob is meant."""
    return wire.Blob(sha256=blob.digest, length=blob.length)
