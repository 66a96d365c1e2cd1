"""Secrets between two clients of a sum: the seed of a mask, and messages that the cloud passes on unread."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import ProtocolError

_NONCE = bytes(12)


class ShareBroken(ProtocolError):
    """Shares do not open: they were sealed for another place or round, or changed on their way."""


def public_key(private: bytes) -> bytes:
    """Return the X25519 public key of 32 private bytes."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def agreed(private: bytes, public: bytes, purpose: str) -> bytes:
    """Return 32 bytes that only the holders of two private keys know, others for each purpose (X25519, HKDF)."""
    secret = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(hashes.SHA256(), 32, None, b"parley/pairwise/1\0" + purpose.encode()).derive(secret)


def seal_shares(private: bytes, public: bytes, context: str, shares: bytes) -> bytes:
    """Seal shares for a peer; the key is of one context, direction included, so the nonce may be constant."""
    return AESGCM(agreed(private, public, f"shares {context}")).encrypt(_NONCE, shares, context.encode())


def open_shares(private: bytes, public: bytes, context: str, sealed: bytes) -> bytes:
    """Open what a peer sealed.

    Raises:
        ShareBroken: When it was not sealed by that peer, in that context, for this key.
    """
    try:
        return AESGCM(agreed(private, public, f"shares {context}")).decrypt(_NONCE, sealed, context.encode())
    except InvalidTag:
        raise ShareBroken(f"shares do not open: {context}") from None
