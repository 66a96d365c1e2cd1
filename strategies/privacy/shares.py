"""Shares of secrets: a threshold of them restores one, fewer reveal nothing (Shamir 1979).

A secret of 32 bytes is 18 numbers of 15 bits, each shared on its own modulo 65,521, so that shares of thousands of
clients are products of small matrices.
"""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strategies.privacy.secure_sum import mask

PRIME = 65_521
"""The largest prime below 2^16: shares fit in 16 bits."""
SECRET_BYTES = 32
_BITS = 15
_LIMBS = 18
SHARE_BYTES = 2 * _LIMBS
_BASE = 17
"""Its powers are all numbers modulo the prime but 0."""

Shares = NDArray[np.uint8]
"""(n, 36), one in each row."""


class SharesBroken(ValueError):
    """Shares do not give a secret of 32 bytes back."""


def share(secret: bytes, holders: int, threshold: int, randomness: bytes) -> Shares:
    """Split a secret among holders 0, 1, ...

    Args:
        secret: 32 bytes.
        holders: How many, below 65,521.
        threshold: 1 to the number of holders.
        randomness: 32 secret bytes, from which the polynomials are drawn.

    Returns:
        (holders, 36); any `threshold` of them restore the secret.

    Raises:
        ValueError: When a number or a length is out of range.

    Examples:
        >>> shares = share(bytes(range(32)), 5, 3, b"r" * 32)
        >>> reconstruct([4, 0, 2], shares[[4, 0, 2]]) == bytes(range(32))
        True
    """
    if len(secret) != SECRET_BYTES or len(randomness) != SECRET_BYTES:
        raise ValueError("a secret and the randomness for its shares are of 32 bytes")
    if not 1 <= threshold <= holders < PRIME:
        raise ValueError(f"a threshold of 1 to {holders}, not {threshold}")
    number = int.from_bytes(secret)
    limbs = [number >> _BITS * limb & (1 << _BITS) - 1 for limb in range(_LIMBS)]
    # Of 64 bits modulo a number of 16 bits: as good as uniform (2^-48).
    drawn = mask(randomness, (threshold - 1) * _LIMBS) % PRIME
    coefficients = np.vstack([np.array(limbs, np.float64), drawn.reshape(-1, _LIMBS)])
    # Products are below 2^32, so that a float64 holds their sum exactly.
    values = np.mod(_powers(holders, threshold) @ coefficients, PRIME).astype("<u2")
    return values.view(np.uint8).reshape(holders, SHARE_BYTES)


def reconstruct(holders: Sequence[int], shares: Shares) -> bytes:
    """Return the secret of shares by their holders; with too few of them, another number or an error.

    Args:
        holders: Different numbers, as many as the threshold.
        shares: (holders, 36)

    Raises:
        SharesBroken: When what comes out is not a secret of 32 bytes.
    """
    values = np.ascontiguousarray(shares).view("<u2").astype(np.int64)
    # Products are below 2^32, and there are fewer than 2^16: their sum fits.
    limbs = _weights(np.asarray(holders, np.int64) + 1) @ values % PRIME
    number = sum(int(limb) << _BITS * place for place, limb in enumerate(limbs))
    if (limbs >> _BITS).any() or number >> 8 * SECRET_BYTES:
        raise SharesBroken(f"{len(holders)} shares do not give a secret back")
    return number.to_bytes(SECRET_BYTES)


@functools.lru_cache(maxsize=8)
def _powers(holders: int, threshold: int) -> NDArray[np.float64]:
    """Return (holders, threshold), the powers of 1, 2, ... modulo the prime."""
    points = np.arange(1, holders + 1)
    powers = np.ones((holders, threshold), np.int64)
    for exponent in range(1, threshold):
        powers[:, exponent] = powers[:, exponent - 1] * points % PRIME
    return powers.astype(np.float64)


def _weights(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weights of Lagrange's interpolation at 0, by logarithms: of each point, x_j / (x_j - x_i)."""
    logarithms, powers = _tables()
    differences = (points[None, :] - points[:, None]) % PRIME
    np.fill_diagonal(differences, 1)
    above = logarithms[points].sum() - logarithms[points]
    below = logarithms[differences].sum(axis=1)
    found: NDArray[np.int64] = powers[(above - below) % (PRIME - 1)]
    return found


@functools.cache
def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return logarithms of 1..p - 1, and the powers that they are of."""
    powers = np.ones(PRIME - 1, np.int64)
    for exponent in range(1, PRIME - 1):
        powers[exponent] = powers[exponent - 1] * _BASE % PRIME
    logarithms = np.zeros(PRIME, np.int64)
    logarithms[powers] = np.arange(PRIME - 1)
    return logarithms, powers
