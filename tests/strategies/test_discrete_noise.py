"""Noise is of exactly the stated distribution, hides what it is added to, and half of it is noticed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from strategies.privacy.auditing import audited_epsilon
from strategies.privacy.discrete_noise import GAUSSIAN_BITS, LAPLACE_BITS, discrete_gaussian, discrete_laplace
from strategies.privacy.stream import Stream

DRAWN, JUDGED = 400_000, 50_000
dp.enable_features("contrib")
Sampler = Callable[[int, int, Stream], NDArray[np.int64]]
Mass = Callable[[NDArray[np.int64], int], NDArray[np.float64]]


def stream(seed: int) -> Stream:
    return Stream(seed.to_bytes(32))


def laplace_mass(numbers: NDArray[np.int64], bits: int) -> NDArray[np.float64]:
    ratio = np.exp(-1.0 / (1 << bits))
    return (1 - ratio) / (1 + ratio) * ratio ** np.abs(numbers)


def gaussian_mass(numbers: NDArray[np.int64], bits: int) -> NDArray[np.float64]:
    weights = np.exp(-(numbers.astype(float) ** 2) / (2 * 4.0**bits))
    return weights / weights.sum()


BOTH = pytest.mark.parametrize(
    ("sampler", "mass"), [(discrete_laplace, laplace_mass), (discrete_gaussian, gaussian_mass)]
)


@BOTH
@pytest.mark.parametrize("bits", [0, 1, 4])
def test_each_number_has_its_exact_probability(sampler: Sampler, mass: Mass, bits: int) -> None:
    drawn = sampler(bits, DRAWN, stream(bits))
    numbers = np.arange(-40 << bits, (40 << bits) + 1)
    expected = DRAWN * mass(numbers, bits)
    observed = np.bincount(drawn - numbers[0], minlength=len(numbers))
    common = expected > 10
    rest = [observed[~common].sum()], [expected[~common].sum()]
    observed, expected = np.append(observed[common], rest[0]), np.append(expected[common], rest[1])
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-6


@pytest.mark.parametrize(
    ("sampler", "bits", "like"),
    [(discrete_laplace, LAPLACE_BITS, stats.laplace()), (discrete_gaussian, GAUSSIAN_BITS, stats.norm())],
)
def test_on_a_fine_grid_it_is_the_continuous_one_and_its_low_bits_are_uniform(
    sampler: Sampler, bits: int, like: stats.rv_continuous
) -> None:
    drawn = sampler(bits, DRAWN, stream(1))
    assert stats.kstest(drawn / 2.0**bits, like.cdf).pvalue > 1e-6
    assert stats.chisquare(np.bincount(drawn & 255, minlength=256)).pvalue > 1e-6
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 5 / DRAWN**0.5


@pytest.mark.parametrize(("bits", "kept"), [(3, True), (2, False)])
def test_an_audit_accepts_the_noise_and_notices_half_of_it(bits: int, kept: bool) -> None:
    """A count that may move by 8 units, at epsilon 1."""
    hits = [int((count + discrete_laplace(bits, DRAWN, stream(count)) >= 8).sum()) for count in (8, 0)]
    assert (audited_epsilon(hits[0], DRAWN, hits[1], DRAWN, 0.0, 1e-6) <= 1.0) == kept


@pytest.mark.parametrize(
    ("sampler", "measurement", "distance", "moved", "promised"),
    [
        (discrete_laplace, dp.m.make_laplace, dp.l1_distance(T=int), 3, lambda bits: 3 / 2**bits),
        (discrete_gaussian, dp.m.make_gaussian, dp.l2_distance(T=float), 3.0, lambda bits: 9 / (2 * 4**bits)),
    ],
)
@pytest.mark.parametrize("bits", [0, 5])
def test_opendp_draws_and_promises_the_same(
    sampler: Sampler, measurement: Any, distance: Any, moved: float, promised: Callable[[int], float], bits: int
) -> None:
    theirs = measurement(dp.vector_domain(dp.atom_domain(T=int)), distance, scale=float(1 << bits))
    assert theirs.map(moved) == pytest.approx(promised(bits))
    drawn = sampler(bits, JUDGED, stream(bits)), np.array(theirs([0] * JUDGED))
    edges = np.unique(np.quantile(drawn[1], np.linspace(0.02, 0.98, 40)))
    counts = [np.bincount(np.searchsorted(edges, numbers), minlength=len(edges) + 1) for numbers in drawn]
    assert stats.chi2_contingency(np.array(counts)[:, np.sum(counts, axis=0) > 0]).pvalue > 1e-6


@BOTH
@given(bits=st.integers(0, 12), size=st.integers(0, 50), more=st.integers(0, 50))
def test_who_draws_more_gets_the_same_numbers_first(
    sampler: Sampler, mass: Mass, bits: int, size: int, more: int
) -> None:
    assert len(sampler(bits, size, stream(3))) == size
    assert np.array_equal(sampler(bits, size, stream(3)), sampler(bits, size, stream(3)))


@BOTH
@pytest.mark.parametrize("bits", [-1, 53])
def test_a_scale_out_of_range_is_refused(sampler: Sampler, mass: Mass, bits: int) -> None:
    with pytest.raises(ValueError, match=f"bits, not {bits}"):
        sampler(bits, 1, stream(1))


@given(end=st.integers(1, 2**62), size=st.integers(0, 20))
def test_numbers_below_an_end_are_below_it(end: int, size: int) -> None:
    drawn = stream(end).below(end, size)
    assert drawn.shape == (size,)
    assert ((drawn >= 0) & (drawn < end)).all()


def test_a_stream_is_uniform() -> None:
    assert stats.kstest(stream(1).uniform(DRAWN), "uniform").pvalue > 1e-6
    assert stats.chisquare(np.bincount(stream(2).below(6, DRAWN))).pvalue > 1e-6
    assert stats.chisquare(np.bincount(stream(3).bits(5, DRAWN))).pvalue > 1e-6
    assert sorted(stream(4).permutation(100)) == list(range(100))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 4"):
        Stream(b"four")
