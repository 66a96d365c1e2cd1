"""One byte string per message: what is hashed and signed.

The encoding is injective: every value carries its type and its length, so that no two different
messages share their bytes.
"""

import hashlib
import struct
from functools import cache
from typing import Any

import numpy as np

from protocol.messages.base import ProtocolMessage


def canonical(message: ProtocolMessage) -> bytes:
    r"""Encode a message for hashing and signing.

    Examples:
        >>> from protocol.messages.base import Acknowledgement
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
    return tag + len(data).to_bytes(4, "big") + data


def _write(value: Any, parts: list[bytes]) -> None:
    kind = type(value)
    if kind is int:
        parts.append(_sized(b"i", str(value).encode()))
    elif kind is bytes:
        parts.append(_sized(b"b", value))
    elif kind is tuple:
        parts.append(b"l" + len(value).to_bytes(4, "big"))
        for item in value:
            _write(item, parts)
    elif isinstance(value, ProtocolMessage):
        head, fields = _form(type(value), _plain(value) if value.later else frozenset())
        parts.append(head)
        for name, key in fields:
            parts.append(key)
            _write(getattr(value, name), parts)
    else:
        parts.append(_rarer(value))


def _rarer(value: Any) -> bytes:
    match value:
        case None:
            return b"n"
        case bool():
            return b"t" if value else b"f"
        case int():
            return _sized(b"i", str(int(value)).encode())
        case float():
            return b"d" + struct.pack(">d", value)
        case str():
            return _sized(b"s", value.encode())
        case np.ndarray():
            header = _sized(b"a", f"{value.dtype.str}{value.shape}".encode())
            return header + np.ascontiguousarray(value).tobytes()
        case _:
            raise TypeError(f"a {type(value).__name__} has no canonical form")


def _plain(message: ProtocolMessage) -> frozenset[str]:
    """Return the fields added later that are at their defaults."""
    fields = type(message).model_fields
    return frozenset(name for name in message.later if getattr(message, name) == fields[name].default)


@cache
def _form(kind: type[ProtocolMessage], left_out: frozenset[str]) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    """Return what a message begins with, and each of its fields with what its value follows.

    Args:
        left_out: Fields added later that are at their defaults. The number of the others is in the head, and each
            bears its name, so that no two messages share their bytes.
    """
    written = [name for name in kind.model_fields if name not in left_out]
    head = _sized(b"m", kind.kind().encode()) + struct.pack(">II", kind.version, len(written))
    return head, tuple((name, _sized(b"k", name.encode())) for name in written)
