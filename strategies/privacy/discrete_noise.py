"""Discrete Laplace and Gaussian noise, drawn exactly.

Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020), algorithms 1 to 3. Scales
are powers of two, in units of a grid that the caller chooses. So every probability that is compared is a ratio of
integers: nothing is rounded, and the low bits of a published number tell nothing of what it was before (Mironov 2012).
"""

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.privacy.stream import Stream

LAPLACE_BITS, GAUSSIAN_BITS = 52, 20
"""Of the finest grids: what is drawn, and the squares that are compared, fit in 64 bits."""
Integer = int | np.int64
_WORDS = 16
"""Words of 32 bits that are taken at a time, for each missing number: about what one needs."""


def discrete_laplace(bits: int, size: int, stream: Stream) -> NDArray[np.int64]:
    """Draw integers x with probability proportional to exp(-|x| / 2^bits) (algorithm 2).

    A number that may move by d grid units has epsilon = d / 2^bits.

    Args:
        bits: 0 to 52.
        size: How many.

    Returns:
        (size,)

    Raises:
        ValueError: When the scale is out of range.

    Examples:
        >>> round(float(discrete_laplace(4, 10_000, Stream(bytes(32))).std()) / 16, 1)
        1.4
    """
    _check(bits, LAPLACE_BITS)
    return _drawn(bits, size, stream, gaussian=False)


def discrete_gaussian(bits: int, size: int, stream: Stream) -> NDArray[np.int64]:
    """Draw integers x with probability proportional to exp(-x^2 / (2 * 4^bits)) (algorithm 3).

    A vector that may move by d grid units (L2) has d^2 / (2 * 4^bits) in zero-concentrated privacy (theorem 14).

    Args:
        bits: The standard deviation is 2^bits; 0 to 20.
        size: How many.

    Returns:
        (size,)

    Raises:
        ValueError: When the scale is out of range.

    Examples:
        >>> round(float(discrete_gaussian(10, 10_000, Stream(bytes(32))).std()) / 1024, 1)
        1.0
    """
    _check(bits, GAUSSIAN_BITS)
    return _drawn(bits, size, stream, gaussian=True)


def _check(bits: int, most: int) -> None:
    if not 0 <= bits <= most:
        raise ValueError(f"the scale of this noise has 0 to {most} bits, not {bits}")


def _drawn(bits: int, size: int, stream: Stream, gaussian: bool) -> NDArray[np.int64]:
    drawn = np.zeros(size, np.int64)
    words, found = np.zeros(0, np.uint32), 0
    while found < size:
        words = np.concatenate([words, stream.words(_WORDS * (size - found) + _WORDS)])
        more, used = _fill(words, bits, gaussian, drawn[found:])
        words, found = words[used:], found + more
    return drawn


@compiled
def _fill(words: NDArray[np.uint32], bits: int, gaussian: bool, drawn: NDArray[np.int64]) -> tuple[int, int]:
    """Draw as many numbers as these words are enough for; returns how many, and the words that they took."""
    found, place, scale = 0, 0, np.int64(1) << bits
    while found < len(drawn):
        low, after = _bits(words, place, bits)
        accepted, after = _bernoulli_exp(words, after, low, bits)
        if accepted:
            times, after = _successes(words, after)
            number = low + (times << bits)
            sign, after = _bits(words, after, 1)
            accepted = bool(sign == 0 or number > 0)  # zero has one sign
            if accepted and gaussian:
                away = number - scale
                accepted, after = _bernoulli_exp(words, after, away * away, 2 * bits + 1)
        if after > len(words):
            return found, place  # this number is drawn again, from the same words and those that follow
        place = after
        if accepted:
            drawn[found] = -number if sign else number
            found += 1
    return found, place


@compiled
def _bernoulli_exp(words: NDArray[np.uint32], place: int, numerator: Integer, bits: int) -> tuple[bool, int]:
    """Draw True with probability exp(-numerator / 2^bits) (algorithm 1)."""
    for _ in range(numerator >> bits):
        happens, place = _bernoulli_exp_fraction(words, place, 1, 0)
        if not happens:
            return False, place
    return _bernoulli_exp_fraction(words, place, numerator & ((np.int64(1) << bits) - 1), bits)


@compiled
def _bernoulli_exp_fraction(words: NDArray[np.uint32], place: int, numerator: Integer, bits: int) -> tuple[bool, int]:
    """Draw as `_bernoulli_exp`, up to 2^bits: of events of numerator / (k 2^bits), the first that fails is odd."""
    k = 1
    while place <= len(words):
        low, place = _bits(words, place, bits)
        if low >= numerator:
            break
        if k > 1:
            part, place = _below(words, place, k)
            if part > 0:
                break
        k += 1
    return k % 2 == 1, place


@compiled
def _successes(words: NDArray[np.uint32], place: int) -> tuple[Integer, int]:
    """Count how often an event of probability 1 / e happens before it fails."""
    count = np.int64(0)
    while place <= len(words):
        happens, place = _bernoulli_exp_fraction(words, place, 1, 0)
        if not happens:
            break
        count += 1
    return count, place


@compiled
def _below(words: NDArray[np.uint32], place: int, end: int) -> tuple[Integer, int]:
    """Draw an integer, uniform in 0..end - 1, by rejection."""
    while place < len(words):
        word, place = np.int64(words[place]), place + 1
        part = word % end
        if word - part + end <= np.int64(1) << 32:
            return part, place
    return np.int64(0), place + 1


@compiled
def _bits(words: NDArray[np.uint32], place: int, bits: int) -> tuple[Integer, int]:
    """Draw an integer of so many bits, 0 to 63; beyond the last word it is 0."""
    number = np.int64(0)
    left = bits
    while left > 0:
        if place < len(words):
            number = (number << 32) | np.int64(words[place])
        place, left = place + 1, left - 32
    return number & ((np.int64(1) << bits) - 1), place
