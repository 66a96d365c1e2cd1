"""One byte string per message: what is hashed and signed.

The encoding is injective: every value carries its type and its length, so that no two different
messages share their bytes.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from protocol.messages.base import ProtocolMessage


def canonical(message: ProtocolMessage) -> bytes:
    r"""Encode a message for hashing and signing.

    Examples
    --------
    >>> from protocol.messages.purchase import Acknowledgement
    >>> canonical(Acknowledgement())
    b'm\x00\x00\x00\x0fAcknowledgement\x00\x00\x00\x01\x00\x00\x00\x00'
    """
    return b"".join(_parts(message))


def digest(message: ProtocolMessage) -> bytes:
    """SHA-256 of the canonical bytes (32 bytes)."""
    return hashlib.sha256(canonical(message)).digest()


def _sized(tag: bytes, data: bytes) -> bytes:
    return tag + struct.pack(">I", len(data)) + data


def _parts(value: Any) -> Iterator[bytes]:
    match value:
        case None:
            yield b"n"
        case bool():
            yield b"t" if value else b"f"
        case int():
            yield _sized(b"i", str(int(value)).encode())
        case float():
            yield b"d" + struct.pack(">d", value)
        case str():
            yield _sized(b"s", value.encode())
        case bytes():
            yield _sized(b"b", value)
        case tuple():
            yield b"l" + struct.pack(">I", len(value))
            for item in value:
                yield from _parts(item)
        case np.ndarray():
            yield _sized(b"a", f"{value.dtype.str}{value.shape}".encode())
            yield np.ascontiguousarray(value).tobytes()
        case ProtocolMessage():
            fields = type(value).model_fields
            yield _sized(b"m", value.kind().encode()) + struct.pack(">II", value.version, len(fields))
            for name in fields:
                yield _sized(b"k", name.encode())
                yield from _parts(getattr(value, name))
        case _:
            raise TypeError(f"a {type(value).__name__} has no canonical form")
