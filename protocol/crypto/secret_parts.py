"""The secret part of a P3 picture, encrypted for friends of its owner."""

import hashlib
import zlib

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from protocol.errors import ProtocolError

_NONCE_BYTES = 12


class SecretPartBroken(ProtocolError):
    """A secret part does not open with this key."""


def seal(key: bytes, part: NDArray[np.int16]) -> bytes:
    """Encrypt a part; its length reveals how much of the picture is secret.

    The nonce is a keyed hash of what is encrypted, so that the same part gives the same bytes, and different parts
    never share a nonce.

    Args:
        key: 32 bytes.
    """
    plain = zlib.compress(part.astype("<i2").tobytes())
    nonce = hashlib.blake2b(plain, key=key, digest_size=_NONCE_BYTES).digest()
    return nonce + AESGCM(key).encrypt(nonce, plain, None)


def unseal(key: bytes, sealed: bytes, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Decrypt a part of this shape.

    Raises:
        SecretPartBroken: When the key is another one, or the bytes were changed, or hold a part of another shape.
    """
    size = 2 * int(np.prod(shape))
    try:
        plain = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        unpacked = zlib.decompressobj().decompress(plain, size + 1)
    except (InvalidTag, ValueError, zlib.error):
        raise SecretPartBroken("a secret part does not open with this key") from None
    if len(unpacked) != size:
        raise SecretPartBroken(f"a secret part is not of shape {shape}")
    return np.frombuffer(unpacked, dtype="<i2").reshape(shape).astype(np.int16)
