"""Sums of vectors whose summands stay hidden: fixed-point numbers, and masks that cancel.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", section 4. Numbers are
integers modulo 2^64, so that masks cancel exactly.
"""

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Masked = NDArray[np.uint64]
"""Integers modulo 2^64, in two's complement for negative ones."""

FRACTION_BITS = 24


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
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64, copy=False)


def masked(values: Masked, own: bytes, added: Sequence[bytes], subtracted: Sequence[bytes]) -> Masked:
    """Hide values behind one's own mask and those shared with each peer.

    Args:
        values: (n,)
        own: Seed of the mask that is removed once it is known who is present.
        added, subtracted: Seeds shared with peers: one of the two adds what the other subtracts.
    """
    total = values + mask(own, len(values))
    for seed in added:
        total += mask(seed, len(values))
    for seed in subtracted:
        total -= mask(seed, len(values))
    return total
