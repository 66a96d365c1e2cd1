"""Sums of vectors whose summands stay hidden: fixed-point numbers, masks that cancel, and shares of their seeds.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", section 4. Numbers are
integers modulo 2^64, so that masks cancel exactly.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Masked = NDArray[np.uint64]
"""Integers modulo 2^64, in two's complement for negative ones."""

FRACTION_BITS = 24
PRIME = 2**521 - 1
"""Shares are numbers modulo this Mersenne prime; secrets are of 32 bytes."""
SHARE_BYTES = 66
_SECRET_BYTES = 32


def quantise(values: NDArray[np.float64], limit: float) -> Masked:
    """Return numbers in fixed point, 24 bits of fraction.

    Args:
        values: (n,), clipped to -limit..limit.
        limit: Times the number of summands, below 2^39, or the sum overflows.

    Raises:
        ValueError: When a value is not a number.

    Examples:
        >>> restore(quantise(np.array([-1.5, 0.25]), 10.0) + quantise(np.array([1.0, 1.0]), 10.0))
        array([-0.5 ,  1.25])
    """
    if np.isnan(values).any():
        raise ValueError("a sum needs numbers, and one of these values is none")
    return np.rint(np.clip(values, -limit, limit) * 2.0**FRACTION_BITS).astype(np.int64).view(np.uint64)


def restore(total: Masked) -> NDArray[np.float64]:
    """Return the numbers behind a sum."""
    return total.view(np.int64) / 2.0**FRACTION_BITS


def mask(seed: bytes, size: int) -> Masked:
    """Return the numbers that a seed of 32 bytes expands to, uniform modulo 2^64 (AES-256 in counter mode)."""
    stream = Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(8 * size))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64)


def masked(values: Masked, own: bytes, added: Sequence[bytes], subtracted: Sequence[bytes]) -> Masked:
    """Hide values behind one's own mask and those shared with each peer.

    Args:
        values: (n,)
        own: Seed of the mask that is removed once it is known who is present.
        added, subtracted: Seeds shared with peers: one of the two adds what the other subtracts.
    """
    total = values + mask(own, len(values))
    for seed in added:
        total = total + mask(seed, len(values))
    for seed in subtracted:
        total = total - mask(seed, len(values))
    return total


def share(secret: bytes, places: Sequence[int], threshold: int, randomness: bytes) -> dict[int, bytes]:
    """Split a secret into shares: a threshold of them restores it, fewer reveal nothing (Shamir 1979).

    Args:
        secret: 32 bytes.
        places: Different positive numbers, one for each share.
        threshold: 1 to the number of places.
        randomness: 32 secret bytes, from which the polynomial is drawn.

    Raises:
        ValueError: When a number or a length is out of range.

    Examples:
        >>> shares = share(bytes(range(32)), [1, 2, 3, 4, 5], 3, b"r" * 32)
        >>> reconstruct({place: shares[place] for place in (5, 1, 3)}) == bytes(range(32))
        True
    """
    if len(secret) != _SECRET_BYTES or len(randomness) != _SECRET_BYTES:
        raise ValueError("a secret and the randomness for its shares are of 32 bytes")
    if not 1 <= threshold <= len(places) or len(set(places)) < len(places) or min(places) < 1:
        raise ValueError(
            f"a threshold of 1 to {len(places)} and different positive places, not {threshold} and {places}"
        )
    stream = hashlib.shake_256(b"parley/shares/1" + randomness).digest(80 * (threshold - 1))
    coefficients = [int.from_bytes(secret)]
    coefficients += [int.from_bytes(stream[80 * i : 80 * i + 80]) % PRIME for i in range(threshold - 1)]
    shares = {}
    for place in places:
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * place + coefficient) % PRIME
        shares[place] = value.to_bytes(SHARE_BYTES)
    return shares


def reconstruct(shares: Mapping[int, bytes]) -> bytes:
    """Return the secret of shares by their places; with too few of them, another number or an error.

    Raises:
        ValueError: When what comes out is not a secret of 32 bytes.
    """
    total = 0
    for place, value in shares.items():
        above = below = 1
        for other in shares:
            if other != place:
                above = above * other % PRIME
                below = below * (other - place) % PRIME
        total += int.from_bytes(value) * above * pow(below, -1, PRIME)
    try:
        return (total % PRIME).to_bytes(_SECRET_BYTES)
    except OverflowError:
        raise ValueError(f"{len(shares)} shares do not give a secret back") from None
