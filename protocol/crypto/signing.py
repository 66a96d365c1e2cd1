"""Ed25519 signatures with separated domains, and the keys and salts that a party derives from its secret.

A party keeps a single secret of 32 bytes. Keys and salts follow from it by name, so that a step that
is run again after a crash gives the same answer, and nothing else has to be stored.
"""

from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32

_DERIVATION = b"parley/derive/1"
_SIGNATURE = b"parley/signature/1"

_P = 2**255 - 19
_Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""The y coordinates of the eight points of the curve whose order divides 8."""


def derive(secret: bytes, *labels: str | bytes, length: int = 32) -> bytes:
    """Derive a key or salt from a party's secret, by HKDF-SHA256 (RFC 5869).

    Args:
        secret: 32 uniformly random bytes.
        *labels: What the result is for; text counts as its UTF-8 bytes. Other labels, or the same bytes split
            otherwise, give an unrelated result.
        length: Bytes wanted, 1 to 8160.

    Raises:
        ValueError: When the secret is not 32 bytes.

    Examples:
        >>> derive(bytes(32), "salt", "ab") == derive(bytes(32), "salt", "a", "b")
        False
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a party's secret is {SECRET_BYTES} bytes, not {len(secret)}")
    encoded = (label.encode() if isinstance(label, str) else label for label in labels)
    info = b"".join(_prefixed(label) for label in (_DERIVATION, *encoded))
    return HKDF(hashes.SHA256(), length, salt=None, info=info).derive(secret)


class SigningKey:
    """A pair of Ed25519 keys.

    Examples:
        >>> key = SigningKey.derive(bytes(32), "identity")
        >>> signature = key.sign("order", b"one image, please")
        >>> verify(key.public, "order", b"one image, please", signature)
        True
        >>> verify(key.public, "bid", b"one image, please", signature)
        False

    Attributes:
        public: The public key, 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    @classmethod
    def derive(cls, secret: bytes, label: str) -> Self:
        """Derive the pair that a party uses for one purpose; see `derive`."""
        return cls(derive(secret, "signing key", label))

    def sign(self, domain: str, message: bytes) -> bytes:
        """Sign a message as what it is; a signature made in one domain is not valid in another."""
        return self._private.sign(_statement(domain, message))


def verify(public: bytes, domain: str, message: bytes, signature: bytes) -> bool:
    """Whether the holder of a public key signed this message in this domain.

    Keys of small order are refused: under such a key one signature fits every message, so that its
    owner could deny or replace what it signed, and the library would accept it.
    """
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if len(public) != 32 or y >= _P or y in _SMALL_ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _statement(domain, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def _statement(domain: str, message: bytes) -> bytes:
    return _prefixed(_SIGNATURE) + _prefixed(domain.encode()) + message


def _prefixed(field: bytes) -> bytes:
    return len(field).to_bytes(8, "big") + field
