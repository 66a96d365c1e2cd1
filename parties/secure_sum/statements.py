"""What the clients of a sum and the cloud hash, sign and commit to, and how sets of places and rows are written."""

import functools
import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from protocol.crypto.signing import verify
from protocol.encoding.canonical import canonical
from protocol.errors import ProtocolError
from protocol.messages.secure_sum import COMMITMENT_BYTES, SHARE_BYTES, Advertisement, Crowd, Round

KINDS = ("own mask", "mask key")
"""What is shared."""


class UnsafeSum(ProtocolError):
    """The cloud's question would reveal this client's update; the text says why."""


def signed_part(round: Round, masks: bytes, shares: bytes) -> bytes:
    """Return what a client signs of its keys."""
    return canonical(round) + masks + shares


def is_signed(round: Round, row: bytes) -> bool:
    """Whether the identity in a row of an advertisement has signed its keys, for this sum."""
    return is_by(row[64:96], "secure sum keys", signed_part(round, row[:32], row[32:64]), row[96:160])


@functools.lru_cache(maxsize=32_768)
def is_by(identity: bytes, domain: str, message: bytes, signature: bytes) -> bool:
    """Whether an identity has signed this; where many clients are in one process, looked at once for all of them."""
    return verify(identity, domain, message, signature)


def row_of(advertisement: Advertisement) -> bytes:
    """Return an advertisement without its voucher, as a row (160 bytes)."""
    each = advertisement
    return each.masks + each.shares + each.identity + each.signature


def commitment(crowd: bytes, source: int, target: int, kind: str, value: bytes) -> bytes:
    """Return 16 bytes that bind a share of a client for another one.

    What it hides is as good as uniform, so that it needs no salt.

    Args:
        crowd: See `crowd_digest`.
        source, target: Places.
        kind: One of `KINDS`.
    """
    what = f"parley/share/1 {kind} {source} {target} ".encode() + crowd + value
    return hashlib.sha256(what).digest()[: COMMITMENT_BYTES // 2]


def to_bits(places: Iterable[int], clients: int) -> NDArray[np.uint8]:
    """Return a set of places as bits."""
    flags = np.zeros(clients, bool)
    flags[np.fromiter(places, np.int64) - 1] = True
    return np.packbits(flags)


def from_bits(bits: NDArray[np.uint8], clients: int) -> NDArray[np.bool_]:
    """Return (clients,), whether each place is in a set.

    Raises:
        UnsafeSum: When it is a set of other places.
    """
    if len(bits) != -(-clients // 8) or np.unpackbits(bits)[clients:].any():
        raise UnsafeSum(f"a set of places is none of {clients} clients")
    return np.unpackbits(bits, count=clients).astype(bool)


def said_present(crowd: bytes, part: bytes, present: bytes) -> bytes:
    """Return what clients sign to confirm who took part, and whose values have arrived."""
    return hashed("present", crowd, part, present)


def mask_purpose(round: Round) -> str:
    """Name the purpose of the seed of a mask between two clients."""
    return f"mask {round.training} {round.number}"


def crowd_digest(crowd: Crowd) -> bytes:
    """Return the hash of what all clients of a sum have to be told alike."""
    numbers = f"{crowd.clients} {crowd.neighbours} {crowd.threshold}"
    return hashed("crowd", canonical(crowd.round), numbers.encode(), crowd.root)


def commitments(crowd: bytes, source: int, target: int, both: bytes) -> bytes:
    """Return commitments to the two shares of a client for another one, one after the other."""
    own_mask, mask_key = both[:SHARE_BYTES], both[SHARE_BYTES:]
    kinds = zip(KINDS, (own_mask, mask_key), strict=True)
    return b"".join(commitment(crowd, source, target, kind, value) for kind, value in kinds)


def seed_commitment(crowd: bytes, place: int, seed: bytes) -> bytes:
    """Return what binds a client to the seed of its own mask."""
    return hashed("seed", crowd, str(place).encode(), seed)


def hashed(what: str, *parts: bytes) -> bytes:
    """Return a hash of parts for one purpose."""
    prefixed = (len(part).to_bytes(4, "big") + part for part in (b"parley/sum/2", what.encode(), *parts))
    return hashlib.sha256(b"".join(prefixed)).digest()


def rows_of(rows: Iterable[bytes], width: int) -> NDArray[np.uint8]:
    """Return rows of bytes as an array."""
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, width)
