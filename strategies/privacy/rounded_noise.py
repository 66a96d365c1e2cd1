"""Gaussian noise that is rounded to integers, drawn exactly, and fast enough for every value of a picture.

Where what is published is an integer plus noise that is rounded, the sum is the rounded sum of both: it tells no more
than the Gaussian mechanism itself, and floating point has no part in it (Mironov 2012).
"""

from dataclasses import dataclass
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from strategies.compiled import compiled
from strategies.privacy.stream import Stream

MOST = 1 << 17
"""The largest standard deviation."""
FINE = 256
"""Parts of a unit, where whole units are too coarse."""
_WORD, _GUIDE = 64, 16
"""Bits that decide nearly all numbers, and those of them by which the table is entered."""
_DEVIATIONS = 8
"""How far the table reaches; what lies beyond is one number in 10^15."""
_UNSURE = np.uint64(1 << 24)
"""Of 2^64: farther from a boundary than this, a word is on its side whatever the error of SciPy's Phi."""


def rounded_gaussian(sigma: float, size: int, stream: Stream) -> NDArray[np.int64]:
    """Draw normal numbers and round each to the nearest integer.

    A table of the distribution function inverts 64 uniform bits. Where these are so close to a boundary that the
    table's own rounding could matter, more bits are drawn, and arithmetic is as precise as they are.

    Args:
        sigma: The standard deviation before rounding, 0 to 131,072.
        size: How many.

    Returns:
        (size,)

    Raises:
        ValueError: When the standard deviation is out of range.

    Examples:
        >>> round(float(rounded_gaussian(20.0, 10_000, Stream(bytes(32))).std()))
        20
    """
    if not 0 <= sigma <= MOST:
        raise ValueError(f"the standard deviation of this noise is 0 to {MOST:,}, not {sigma:g}")
    if sigma == 0:
        return np.zeros(size, np.int64)
    table = _table(float(sigma))
    words = np.frombuffer(stream.take(_WORD // 8 * size), dtype="<u8")
    drawn, unsure = np.empty(size, np.int64), np.empty(size, np.bool_)
    _look_up(words, table.guide, table.boundaries, drawn, unsure)
    drawn -= table.reach
    for place in np.flatnonzero(unsure):
        drawn[place] = _exact(int(words[place]), int(drawn[place]), sigma, stream)
    return drawn


@dataclass(frozen=True)
class _Table:
    """Phi((i + 1/2) / sigma) for -reach <= i < reach, in units of 2^-64, and how many lie below each 16 bits."""

    reach: int
    boundaries: NDArray[np.uint64]
    guide: NDArray[np.int64]


@lru_cache(maxsize=8)
def _table(sigma: float) -> _Table:
    reach = int(_DEVIATIONS * sigma) + 2
    lower = np.ldexp(ndtr((np.arange(-reach, 0) + 0.5) / sigma), _WORD).astype(np.uint64)
    boundaries = np.concatenate([lower, ~lower[::-1]])  # symmetric
    starts = np.arange(1 << _GUIDE, dtype=np.uint64) << np.uint64(_WORD - _GUIDE)
    return _Table(reach, boundaries, np.searchsorted(boundaries, starts, side="right"))


@compiled
def _look_up(
    words: NDArray[np.uint64],
    guide: NDArray[np.int64],
    boundaries: NDArray[np.uint64],
    drawn: NDArray[np.int64],
    unsure: NDArray[np.bool_],
) -> None:
    """Count the boundaries below each word, and note which words are too close to one, or beyond all."""
    last = len(boundaries)
    for index in range(len(words)):
        word = words[index]
        place = guide[word >> np.uint64(_WORD - _GUIDE)]
        while place < last and boundaries[place] <= word:
            place += 1
        drawn[index] = place
        unsure[index] = (
            place in (0, last) or word - boundaries[place - 1] < _UNSURE or boundaries[place] - word <= _UNSURE
        )


def _exact(word: int, number: int, sigma: float, stream: Stream) -> int:
    """Find the number whose part of the unit interval holds 0.word..., near a guess; more bits are drawn as needed."""
    bits = _WORD
    while True:
        with mpmath.workprec(2 * bits):
            error = mpmath.ldexp(1, -bits - _GUIDE)  # far above that of mpmath at this precision
            low, high = mpmath.ldexp(word, -bits), mpmath.ldexp(word + 1, -bits)
            begins, ends = (mpmath.ncdf((number + half) / mpmath.mpf(sigma)) for half in (-0.5, 0.5))
            if begins + error <= low and high <= ends - error:
                return number
            if high <= begins - error:
                number -= 1
            elif ends + error <= low:
                number += 1
            else:
                word, bits = word << _WORD | int.from_bytes(stream.take(_WORD // 8)), bits + _WORD
