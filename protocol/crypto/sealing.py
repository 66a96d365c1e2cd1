"""Sealed delivery: an image goes to its buyer, and a dispute about it can be decided later.

One image is sealed to one one-time public key, in the context of one order::

    context = SHA-256(canonical order)                                         32 bytes
    wrap    = HPKE(public key, info = label || context, plaintext = data key)  RFC 9180, base mode
    Kc, Ke  = HKDF-SHA256(data key, info = label || context)                   32 + 32 bytes
    body    = AES-256-GCM(Ke, nonce 0, pad(opening), aad = context || Kc)
    blob    = wrap || Kc || body

AES-GCM does not commit to its key: one ciphertext can be made that opens to two messages under two
keys (Dodis et al., CRYPTO 2018). Kc does commit, and is compared before the body is opened, so that a
blob opens to one thing only; the wrap's key is pinned by the buyer's order. The data key is fresh for
each blob, which is why the nonce may be constant.

The opening is laid out as ``image salt || feature salt || feature || W || H || RGB`` and padded with
zeros to a Padmé length, so that the blob's length tells at most O(log log L) bits of the image's, for
at most 12 % more bytes (Nikitin et al., PoPETs 2019, section 4).
"""

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import shake_256
from hmac import compare_digest
from io import BytesIO
from types import MappingProxyType

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.crypto.commitments import SALT_BYTES, Pixels, canonical_rgb, pack_feature, unpack_feature
from protocol.errors import ProtocolError
from protocol.messages.base import MAX_PIXELS

PRIVATE_KEY_BYTES = 32
"""Any 32 bytes are a private key, in every suite."""

_WRAP = b"parley/delivery/wrap/1"
_BODY = b"parley/delivery/body/1"
_CONTEXT_BYTES = 32
_KEY_BYTES = 32
_TAG_BYTES = 16
_NONCE = bytes(12)
_PIECE_BYTES = 1 << 16

_PublicKey = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


class SealBroken(ProtocolError):
    """A blob does not open with this key in this context, or what is inside is malformed."""


class BadDeliveryKey(ProtocolError, ValueError):
    """These bytes are not a delivery key."""


class UnknownSuite(ProtocolError):
    """No suite has this name."""


@dataclass(frozen=True, eq=False)
class Opening:
    """What a buyer finds in the box: the image and what opens the bid's two commitments.

    Attributes:
        image_salt, feature_salt: 16 bytes each.
        feature: What was committed to: a lattice point, or an fc8 vector.
        image: (H, W, 3), the image; read-only when it comes out of `open_sealed`.
    """

    image_salt: bytes = field(repr=False)
    feature_salt: bytes = field(repr=False)
    feature: tuple[int, ...]
    image: Pixels = field(repr=False)


@dataclass(frozen=True)
class DeliveryKey:
    """A one-time pair for one image: `public` goes into the order, `private` stays with the buyer.

    The buyer reveals `private` only in a dispute, and with it nothing but this one image.
    """

    private: bytes = field(repr=False)
    public: bytes


@dataclass(frozen=True)
class Suite:
    """A key encapsulation for HPKE, and how its keys are read from bytes."""

    kem: hpke.KEM
    public_key: Callable[[bytes], _PublicKey]
    private_key: Callable[[bytes], _PrivateKey]
    public_bytes_of: Callable[[bytes], bytes]

    @property
    def hpke(self) -> hpke.Suite:
        """The whole HPKE suite: this encapsulation with HKDF-SHA256 and AES-256-GCM."""
        return hpke.Suite(self.kem, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

    @property
    def wrap_bytes(self) -> int:
        """Bytes of a wrapped data key."""
        return self.kem.enc_length() + _KEY_BYTES + _TAG_BYTES


def _x25519_public_bytes_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _hybrid_pair(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """Expand the seed that is a private key of X-Wing (draft-connolly-cfrg-xwing-kem, section 5.2)."""
    expanded = shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def _hybrid_private_key(seed: bytes) -> hpke.MLKEM768X25519PrivateKey:
    return hpke.MLKEM768X25519PrivateKey(*_hybrid_pair(seed))


def _hybrid_public_key(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    mlkem, x25519 = public[:-32], public[-32:]
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
    )


def _hybrid_public_bytes_of(private: bytes) -> bytes:
    mlkem, x25519 = _hybrid_pair(private)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


SUITES: Mapping[str, Suite] = MappingProxyType(
    {
        "x25519": Suite(
            hpke.KEM.X25519,
            X25519PublicKey.from_public_bytes,
            X25519PrivateKey.from_private_bytes,
            _x25519_public_bytes_of,
        ),
        "mlkem768-x25519": Suite(
            hpke.KEM.MLKEM768_X25519,
            _hybrid_public_key,
            _hybrid_private_key,
            _hybrid_public_bytes_of,
        ),
    }
)
"""The suites by their names in a scenario; the second is X-Wing, which holds while either half of it does."""


def new_delivery_key(suite: str) -> DeliveryKey:
    """Make a one-time pair from the system's randomness.

    A buyer that must give the same answer twice derives the private key and asks `delivery_public_key`.

    Raises:
        UnknownSuite: When no suite has this name.
    """
    private = os.urandom(PRIVATE_KEY_BYTES)
    return DeliveryKey(private, delivery_public_key(private, suite))


def delivery_public_key(private_key: bytes, suite: str) -> bytes:
    """Compute the public key that belongs to a private one: 32 bytes, 1216 in the hybrid suite.

    Raises:
        UnknownSuite: When no suite has this name.
        BadDeliveryKey: When the private key is not 32 bytes.
    """
    return _suite(suite).public_bytes_of(_checked_private(private_key))


def check_delivery_key(public_key: bytes, suite: str) -> None:
    """Make sure that images can be sealed to a public key.

    The cloud asks before it passes an order on, so that a seller is not blamed
    for a key that it cannot seal to.

    Raises:
        UnknownSuite: When no suite has this name.
        BadDeliveryKey: When the public key is not one of this suite, or is one that would agree on a known secret.
    """
    _wrapped(bytes(_KEY_BYTES), public_key, bytes(_CONTEXT_BYTES), suite)


def seal(opening: Opening, public_key: bytes, context: bytes, suite: str) -> bytes:
    """Seal an image and its salts to a one-time public key.

    Args:
        opening: What the buyer is to find.
        public_key: The key in the buyer's order.
        context: SHA-256 of the canonical order, 32 bytes: the blob opens in no other context.
        suite: A name from `SUITES`.

    Returns:
        The blob; 128 bytes (1216 in the hybrid suite) longer than the padded opening.

    Raises:
        UnknownSuite: When no suite has this name.
        BadDeliveryKey: See `check_delivery_key`.
        ValueError: When the opening or the context is malformed.

    Examples:
        >>> key = new_delivery_key("x25519")
        >>> opening = Opening(bytes(16), bytes(16), (7, 8), np.zeros((2, 2, 3), np.uint8))
        >>> blob = seal(opening, key.public, bytes(32), "x25519")
        >>> open_sealed(blob, key.private, bytes(32), "x25519").feature
        (7, 8)
    """
    _check_context(context)
    data_key = os.urandom(_KEY_BYTES)
    wrap = _wrapped(data_key, public_key, context, suite)
    commitment, body_key = _committed_keys(data_key, context)
    cipher = Cipher(algorithms.AES256(body_key), modes.GCM(_NONCE)).encryptor()
    cipher.authenticate_additional_data(context + commitment)
    blob = BytesIO()
    blob.write(wrap)
    blob.write(commitment)
    for piece in _laid_out(opening):
        blob.write(cipher.update(piece))
    cipher.finalize()
    blob.write(cipher.tag)
    return blob.getvalue()


def open_sealed(blob: bytes, private_key: bytes, context: bytes, suite: str, dimensions: int = 2) -> Opening:
    """Open a blob, as its buyer or, with the buyer's revealed key, as the arbiter of a dispute.

    What is inside is not yet compared with the bid's commitments: that is the caller's next step.

    Args:
        blob: What `seal` returned.
        private_key: The one-time private key, 32 bytes.
        context: SHA-256 of the canonical order, 32 bytes.
        suite: A name from `SUITES`.
        dimensions: How many numbers a feature has.

    Raises:
        SealBroken: When the blob does not open to a well-formed image of at most 25,000,000 pixels.
        UnknownSuite: When no suite has this name.
        BadDeliveryKey: When the private key is not 32 bytes.
        ValueError: When the context is not 32 bytes.
    """
    chosen = _suite(suite)
    _check_context(context)
    own_key = chosen.private_key(_checked_private(private_key))
    least, most = (sealed_length(pixels, suite, dimensions) for pixels in (1, MAX_PIXELS))
    if not least <= len(blob) <= most:
        raise SealBroken(f"a sealed image is {least} to {most} bytes, not {len(blob)}")
    body_at = chosen.wrap_bytes + _KEY_BYTES
    view = memoryview(blob)
    wrap, commitment, body = view[: chosen.wrap_bytes], view[chosen.wrap_bytes : body_at], view[body_at:]
    try:
        data_key = chosen.hpke.decrypt(wrap, own_key, _WRAP + context)
    except (InvalidTag, ValueError):
        raise SealBroken("the data key was not sealed to this delivery key for this order") from None
    expected_commitment, body_key = _committed_keys(data_key, context)
    if not compare_digest(commitment, expected_commitment):
        raise SealBroken("the sealed image does not commit to the data key that came with it")
    try:
        plaintext = AESGCM(body_key).decrypt(_NONCE, body, context + expected_commitment)
    except InvalidTag:
        raise SealBroken("the sealed image was changed, or is not one") from None
    return _unpacked(plaintext, dimensions)


def sealed_length(pixels: int, suite: str, dimensions: int = 2) -> int:
    """Bytes of the sealed blob of an image of `pixels` pixels, with a feature of `dimensions` numbers."""
    return _suite(suite).wrap_bytes + _KEY_BYTES + _padme(_header(dimensions).size + 3 * pixels) + _TAG_BYTES


def _header(dimensions: int) -> struct.Struct:
    return struct.Struct(f">{SALT_BYTES}s{SALT_BYTES}s{4 * dimensions}sII")


def _suite(name: str) -> Suite:
    if name not in SUITES:
        raise UnknownSuite(f"there is no suite {name[:80]!r}; the suites are {', '.join(SUITES)}")
    return SUITES[name]


def _check_context(context: bytes) -> None:
    if len(context) != _CONTEXT_BYTES:
        raise ValueError(f"the context is the order's SHA-256, {_CONTEXT_BYTES} bytes, not {len(context)}")


def _checked_private(key: bytes) -> bytes:
    if len(key) != PRIVATE_KEY_BYTES:
        raise BadDeliveryKey(f"a private delivery key is {PRIVATE_KEY_BYTES} bytes, not {len(key)}")
    return key


def _wrapped(data_key: bytes, public_key: bytes, context: bytes, suite: str) -> bytes:
    chosen = _suite(suite)
    try:
        return chosen.hpke.encrypt(data_key, chosen.public_key(public_key), _WRAP + context)
    except ValueError as error:
        raise BadDeliveryKey(f"these {len(public_key)} bytes are no public key of {suite}: {error}") from None


def _committed_keys(data_key: bytes, context: bytes) -> tuple[bytes, bytes]:
    """Derive (Kc, Ke): a commitment to the data key, and the key of the body."""
    keys = HKDF(hashes.SHA256(), 2 * _KEY_BYTES, salt=None, info=_BODY + context).derive(data_key)
    return keys[:_KEY_BYTES], keys[_KEY_BYTES:]


def _laid_out(opening: Opening) -> Iterator[bytes | memoryview]:
    """Yield the padded plaintext in small pieces, as copying an image to fresh memory costs more than encrypting it."""
    for salt in (opening.image_salt, opening.feature_salt):
        if len(salt) != SALT_BYTES:
            raise ValueError(f"a salt is {SALT_BYTES} bytes, not {len(salt)}")
    pixels = canonical_rgb(opening.image)
    height, width, _ = opening.image.shape
    feature = pack_feature(opening.feature)
    header = _header(len(opening.feature))
    yield header.pack(opening.image_salt, opening.feature_salt, feature, width, height)
    for start in range(0, len(pixels), _PIECE_BYTES):
        yield pixels[start : start + _PIECE_BYTES]
    length = header.size + len(pixels)
    yield bytes(_padme(length) - length)


def _unpacked(plaintext: bytes, dimensions: int) -> Opening:
    header = _header(dimensions)
    image_salt, feature_salt, feature, width, height = header.unpack_from(plaintext)
    size = 3 * width * height
    if not (1 <= width * height <= MAX_PIXELS and _padme(header.size + size) == len(plaintext)):
        raise SealBroken(f"the box claims an image of {width} x {height} pixels but holds {len(plaintext)} bytes")
    content = np.frombuffer(plaintext, np.uint8, offset=header.size)
    if content[size:].any():
        raise SealBroken("the box hides something behind the image: its padding is not zero")
    return Opening(image_salt, feature_salt, unpack_feature(feature), content[:size].reshape(height, width, 3))


def _padme(length: int) -> int:
    """Round a length up so that its mantissa is no longer than its exponent (PURBs, algorithm 1)."""
    exponent = length.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-length // step) * step
