"""Rounded Gaussian noise has exactly its probabilities, hides what it is added to, and half of it is noticed."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from strategies.privacy.auditing import audited_epsilon
from strategies.privacy.rounded_noise import MOST, rounded_gaussian
from strategies.privacy.stream import Stream

DRAWN = 400_000


class Scripted(Stream):
    """A stream whose first bytes are chosen."""

    def __init__(self, first: bytes) -> None:
        super().__init__(bytes(32))
        self._first = first

    def take(self, size: int) -> bytes:
        taken, self._first = self._first[:size], self._first[size:]
        return taken + super().take(size - len(taken))


@pytest.mark.parametrize("sigma", [0.25, 1.25, 20.0, 77.7])
def test_each_number_has_its_probability(sigma: float) -> None:
    drawn = rounded_gaussian(sigma, DRAWN, Stream(int(100 * sigma).to_bytes(32)))
    reach = int(9 * sigma) + 3
    numbers = np.arange(-reach, reach + 1)
    expected = DRAWN * np.diff(stats.norm.cdf(np.append(numbers - 0.5, reach + 0.5) / sigma))
    observed = np.bincount(drawn + reach, minlength=len(numbers))
    common = expected > 10
    rest = [observed[~common].sum()], [expected[~common].sum()]
    observed, expected = np.append(observed[common], rest[0]), np.append(expected[common], rest[1])
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-6


@pytest.mark.parametrize("sigma", [5120.0, float(MOST)])
def test_in_small_units_it_is_the_continuous_one_and_its_low_bits_are_uniform(sigma: float) -> None:
    drawn = rounded_gaussian(sigma, DRAWN, Stream(bytes(32)))
    assert stats.kstest(drawn / sigma, stats.norm.cdf).pvalue > 1e-6
    assert stats.chisquare(np.bincount(drawn & 255, minlength=256)).pvalue > 1e-6
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / DRAWN**0.5


@given(number=st.integers(-11, 10), above=st.booleans(), units=st.integers(1, 1 << 10), sigma=st.floats(1.0, 4.0))
def test_bits_that_lie_beside_a_boundary_are_told_apart_exactly(
    number: int, above: bool, units: int, sigma: float
) -> None:
    """The first 64 bits are those of Phi((number + 1/2) / sigma); the next 64 lie beside it."""
    with mpmath.workprec(400):
        boundary = int(mpmath.floor(mpmath.ldexp(mpmath.ncdf((number + mpmath.mpf(1) / 2) / sigma), 128)))
    word = boundary + (units if above else -units)
    if not 0 <= word < 1 << 128:
        return
    first, second = divmod(word, 1 << 64)
    drawn = rounded_gaussian(sigma, 1, Scripted(first.to_bytes(8, "little") + second.to_bytes(8)))
    assert drawn.tolist() == [number + above]


@pytest.mark.parametrize(("sigma", "kept"), [(8.0, True), (4.0, False)])
def test_an_audit_accepts_the_noise_and_notices_half_of_it(sigma: float, kept: bool) -> None:
    """A count that may move by 8, at the epsilon of sigma 8 and delta 0.01."""
    epsilon, delta = 2.5, 0.01
    exact = stats.norm.cdf(0.5 - epsilon) - np.exp(epsilon) * stats.norm.cdf(-0.5 - epsilon)
    assert exact < delta
    threshold = 8 + 8
    hits = [
        int((count + rounded_gaussian(sigma, DRAWN, Stream(count.to_bytes(32))) >= threshold).sum()) for count in (8, 0)
    ]
    assert (audited_epsilon(hits[0], DRAWN, hits[1], DRAWN, delta, 1e-6) <= epsilon) == kept


def test_without_deviation_there_is_no_noise_and_others_are_refused() -> None:
    assert rounded_gaussian(0, 3, Stream(bytes(32))).tolist() == [0, 0, 0]
    for wrong in (-1.0, MOST + 1.0, float("nan")):
        with pytest.raises(ValueError, match="standard deviation of this noise is 0 to 131,072"):
            rounded_gaussian(wrong, 1, Stream(bytes(32)))
