"""One byte string per message: what is hashed and signed.

The encoding is injective: every value carries its type and its length, so that no two different
messages share their bytes.
"""

import hashlib
import struct
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
    parts: list[bytes] = []
    _write(message, parts)
    return b"".join(parts)


def digest(message: ProtocolMessage) -> bytes:
    """SHA-256 of the canonical bytes (32 bytes)."""
    return hashlib.sha256(canonical(message)).digest()


def _sized(tag: bytes, data: bytes) -> bytes:
    return tag + struct.pack(">I", len(data)) + data


def _write(value: Any, parts: list[bytes]) -> None:
    match value:
        case None:
            parts.append(b"n")
        case bool():
            parts.append(b"t" if value else b"f")
        case int():
            parts.append(_sized(b"i", str(int(value)).encode()))
        case float():
            parts.append(b"d" + struct.pack(">d", value))
        case str():
            parts.append(_sized(b"s", value.encode()))
        case bytes():
            parts.append(_sized(b"b", value))
        case tuple():
            parts.append(b"l" + struct.pack(">I", len(value)))
            for item in value:
                _write(item, parts)
        case np.ndarray():
            parts.append(_sized(b"a", f"{value.dtype.str}{value.shape}".encode()))
            parts.append(np.ascontiguousarray(value).tobytes())
        case ProtocolMessage():
            parts.append(_head(type(value)))
            for name in type(value).model_fields:
                parts.append(_sized(b"k", name.encode()))
                _write(getattr(value, name), parts)
        case _:
            raise TypeError(f"a {type(value).__name__} has no canonical form")


def _head(kind: type[ProtocolMessage]) -> bytes:
    return _sized(b"m", kind.kind().encode()) + struct.pack(">II", kind.version, len(kind.model_fields))
