"""What programs draw from the system, drawn from a seed instead."""

import hashlib
import hmac
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.crypto.sealing import Suite

_KEM = b"KEM\x00\x20"
_SUITE = b"HPKE\x00\x20\x00\x01\x00\x02"


@contextmanager
def from_seed(seed: str, on_draw: Callable[[bytes], None], on_wrap: Callable[[bytes], None]) -> Iterator[None]:
    """Take what programs draw from the system from a seed, for a while.

    Args:
        seed: Everything follows from it.
        on_draw: Called with all that is drawn.
        on_wrap: Called with each data key that is wrapped.
    """
    source = random.Random(f"{seed}/entropy")

    def draw(size: int) -> bytes:
        drawn = source.randbytes(size)
        on_draw(drawn)
        return drawn

    patches: list[tuple[Any, str, Any]] = [
        (os, "urandom", draw),
        (random, "_urandom", draw),  # of `secrets`
        (Suite, "hpke", property(lambda suite: _Hpke(_real(suite), draw, on_wrap))),
    ]
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in patches]
    for owner, name, value in patches:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _real(suite: Suite) -> hpke.Suite:
    assert suite.kem is hpke.KEM.X25519, "of the other one the randomness is not known here"
    return _X25519


_X25519 = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class _Hpke:
    """The library's HPKE, whose one-time keys come from a source."""

    real: hpke.Suite
    source: Callable[[int], bytes]
    on_wrap: Callable[[bytes], None]

    def encrypt(self, plaintext: bytes, public_key: X25519PublicKey, info: bytes) -> bytes:
        """Wrap; the library opens it."""
        self.on_wrap(plaintext)
        return encrypted(plaintext, public_key, info, self.source(32))

    def decrypt(self, wrap: bytes, private_key: X25519PrivateKey, info: bytes) -> bytes:
        """Unwrap."""
        return self.real.decrypt(wrap, private_key, info)


def encrypted(plaintext: bytes, public_key: X25519PublicKey, info: bytes, one_time: bytes) -> bytes:
    """Encrypt by HPKE in base mode with X25519, HKDF-SHA256 and AES-256-GCM (RFC 9180), under a given one-time key."""
    key = X25519PrivateKey.from_private_bytes(one_time)
    enc = key.public_key().public_bytes_raw()
    agreed = _extract(_KEM, b"", b"eae_prk", key.exchange(public_key))
    shared = _expand(_KEM, agreed, b"shared_secret", enc + public_key.public_bytes_raw(), 32)
    context = b"\0" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
    secret = _extract(_SUITE, shared, b"secret", b"")
    nonce = _expand(_SUITE, secret, b"base_nonce", context, 12)
    return enc + AESGCM(_expand(_SUITE, secret, b"key", context, 32)).encrypt(nonce, plaintext, b"")


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, hashlib.sha256)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """Expand to at most 32 bytes."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01"
    return hmac.digest(key, labelled, hashlib.sha256)[:length]
