"""Secrets between two clients of a sum: seeds of masks, and messages that the cloud passes on unread and unchanged."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.errors import ProtocolError
from protocol.messages.secure_sum import TAG_BYTES

_NONCE = bytes(12)
_SALT = bytes(32)
_DOMAIN = b"parley/pairwise/1\0"


class ShareBroken(ProtocolError):
    """Shares do not open: they were sealed for another place or round, or changed on their way."""


class LowOrderKey(ProtocolError):
    """A public key with which everybody agrees on the same secret."""


class PairwiseKey:
    """A private X25519 key, and what it agrees on with the keys of others.

    Examples:
        >>> one, other = PairwiseKey(bytes(range(32))), PairwiseKey(bytes(range(1, 33)))
        >>> one.agreed(other.public) == other.agreed(one.public)
        True

    Args:
        private: 32 secret bytes.

    Attributes:
        public: The public key, 32 bytes.
    """

    def __init__(self, private: bytes) -> None:
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public = self._private.public_key().public_bytes_raw()

    def agreed(self, public: bytes) -> bytes:
        """Return 32 bytes that only the holders of two private keys know, for `expand` (X25519, HKDF-Extract).

        Raises:
            LowOrderKey: When the public key is of low order.
        """
        try:
            secret = self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise LowOrderKey("a public key is none that a secret can be agreed on with") from None
        return hmac.digest(_SALT, secret, hashlib.sha256)


def expand(agreed: bytes, purpose: str) -> bytes:
    """Return 32 bytes for one purpose of what two have agreed on (HKDF-Expand with SHA-256, RFC 5869)."""
    return hmac.digest(agreed, _DOMAIN + purpose.encode() + b"\x01", hashlib.sha256)


def seal_shares(agreed: bytes, context: str, shares: bytes) -> bytes:
    """Seal shares for a peer; the key is of one context, direction included, so the nonce may be constant."""
    return AESGCM(expand(agreed, f"shares {context}")).encrypt(_NONCE, shares, None)


def open_shares(agreed: bytes, context: str, sealed: bytes) -> bytes:
    """Open what a peer sealed.

    Raises:
        ShareBroken: When it was not sealed by that peer, in that context, for this key.
    """
    try:
        return AESGCM(expand(agreed, f"shares {context}")).decrypt(_NONCE, sealed, None)
    except InvalidTag:
        raise ShareBroken(f"shares do not open: {context}") from None


def tag(agreed: bytes, context: str, statement: bytes) -> bytes:
    """Return 16 bytes by which a peer knows who says a statement, direction included (keyed BLAKE2b)."""
    return hashlib.blake2b(statement, key=expand(agreed, f"tag {context}"), digest_size=TAG_BYTES).digest()
