"""The sealed format again, written from its description with nothing but HMAC, X25519, ML-KEM and AES-GCM."""

import hmac
import os
import struct
from hashlib import sha3_256, sha256, shake_256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.crypto.sealing import SUITES, DeliveryKey, Opening, delivery_public_key, seal

CONTEXT = sha256(b"an order").digest()
IMAGE = np.random.default_rng(3).integers(0, 256, (4, 4, 3), dtype=np.uint8)
OPENING = Opening(b"salt of the img.", b"salt of feature.", (30_000, 7), IMAGE)
KEYS = {
    suite: DeliveryKey(private, delivery_public_key(private, suite))
    for suite in SUITES
    for private in [sha256(suite.encode()).digest()]
}
BLOBS = {suite: seal(OPENING, KEYS[suite].public, CONTEXT, suite) for suite in SUITES}

every_suite = pytest.mark.parametrize("suite", SUITES)


def same(a: Opening, b: Opening) -> bool:
    return (a.image_salt, a.feature_salt, a.feature) == (b.image_salt, b.feature_salt, b.feature) and np.array_equal(
        a.image, b.image
    )


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    block, out = b"", b""
    while len(out) < length:
        block = hmac.digest(prk, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


def labeled_extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + ikm, "sha256")


def labeled_expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite_id + label + info, length)


def x25519_shared(secret: bytes, enc: bytes, public: bytes) -> bytes:
    """DHKEM(X25519, HKDF-SHA256): RFC 9180, section 4.1."""
    prk = labeled_extract(b"KEM\x00\x20", b"", b"eae_prk", secret)
    return labeled_expand(b"KEM\x00\x20", prk, b"shared_secret", enc + public, 32)


def base_mode(kem: int, aead: int, key_size: int, shared: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    """The cipher and first nonce of a base mode context: RFC 9180, section 5.1."""
    suite_id = b"HPKE" + struct.pack(">HHH", kem, 1, aead)
    psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"")
    schedule = b"\x00" + psk_id_hash + labeled_extract(suite_id, b"", b"info_hash", info)
    secret = labeled_extract(suite_id, shared, b"secret", b"")
    key = labeled_expand(suite_id, secret, b"key", schedule, key_size)
    return AESGCM(key), labeled_expand(suite_id, secret, b"base_nonce", schedule, 12)


def body_keys(data_key: bytes) -> tuple[bytes, bytes]:
    keys = expand(hmac.digest(bytes(32), data_key, "sha256"), b"parley/delivery/body/1" + CONTEXT, 64)
    return keys[:32], keys[32:]


def wrapped(data_key: bytes, public: bytes) -> bytes:
    ephemeral = X25519PrivateKey.generate()
    enc = ephemeral.public_key().public_bytes_raw()
    shared = x25519_shared(ephemeral.exchange(X25519PublicKey.from_public_bytes(public)), enc, public)
    cipher, nonce = base_mode(0x0020, 2, 32, shared, b"parley/delivery/wrap/1" + CONTEXT)
    return enc + cipher.encrypt(nonce, data_key, b"")


def unwrapped(wrap: bytes, suite: str) -> bytes:
    private, public = KEYS[suite].private, KEYS[suite].public
    if suite == "x25519":
        kem, enc = 0x0020, wrap[:32]
        own = X25519PrivateKey.from_private_bytes(private)
        shared = x25519_shared(own.exchange(X25519PublicKey.from_public_bytes(enc)), enc, public)
    else:
        kem, enc = 0x647A, wrap[:1120]
        seed = shake_256(private).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:64]).decapsulate(enc[:1088])
        point = X25519PrivateKey.from_private_bytes(seed[64:]).exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        shared = sha3_256(mlkem + point + enc[1088:] + public[1184:] + b"\\.//^\\").digest()
    cipher, nonce = base_mode(kem, 2, 32, shared, b"parley/delivery/wrap/1" + CONTEXT)
    return cipher.decrypt(nonce, wrap[len(enc) :], b"")


def plaintext_of(width: int, height: int, pixels: bytes) -> bytes:
    fields = (OPENING.image_salt, OPENING.feature_salt, *OPENING.feature, width, height)
    return struct.pack(">16s16siiII", *fields) + pixels


def sealed_by_hand(plaintext: bytes) -> bytes:
    """What a seller who does not run our code might send."""
    data_key = os.urandom(32)
    commitment, key = body_keys(data_key)
    body = AESGCM(key).encrypt(bytes(12), plaintext, CONTEXT + commitment)
    return wrapped(data_key, KEYS["x25519"].public) + commitment + body
