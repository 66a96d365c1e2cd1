"""Masked sums are plain sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from strategies.privacy.secure_sum import mask, masked, quantise, restore


@given(st.integers(1, 9), st.integers(0, 2**32))
def test_masks_cancel_exactly(clients: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = [quantise(generator.normal(size=50) * 1000, 1e6) for _ in range(clients)]
    pairs = {(i, j): generator.bytes(32) for i in range(clients) for j in range(i)}
    own = [generator.bytes(32) for _ in range(clients)]
    hidden = [
        masked(values[i], own[i], [pairs[j, i] for j in range(i + 1, clients)], [pairs[i, j] for j in range(i)])
        for i in range(clients)
    ]
    total = np.sum(hidden, axis=0, dtype=np.uint64)
    for each in own:
        total = total - mask(each, 50)
    assert np.array_equal(total, np.sum(values, axis=0, dtype=np.uint64))
    assert not any(np.array_equal(one, other) for one, other in zip(hidden, values, strict=True))


def test_what_is_masked_looks_like_noise() -> None:
    hidden = masked(quantise(np.zeros(20_000), 1.0), b"s" * 32, [], [])
    assert stats.kstest(hidden / 2.0**64, "uniform").pvalue > 1e-4
    assert abs(np.corrcoef(hidden[:-1] / 2.0**64, hidden[1:] / 2.0**64)[0, 1]) < 0.05


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=20))
def test_fixed_point_is_within_half_a_step(numbers: list[float]) -> None:
    values = np.array(numbers)
    assert np.abs(restore(quantise(values, 1e5)) - values).max() <= 2.0**-25
    assert np.abs(restore(quantise(values, 10.0))).max() <= 10


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="one of these values is none"):
        quantise(np.array([1.0, np.nan]), 1.0)
