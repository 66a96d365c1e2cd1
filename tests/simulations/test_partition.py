import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.data.partition import album_sizes, by_classes, by_dirichlet, by_person

seeds = st.integers(0, 2**32)
held = st.lists(st.integers(0, 1000), min_size=1, max_size=30, unique=True).map(np.array)
sizes = st.integers(1, 60)


@given(seeds, st.integers(1, 50), st.integers(1, 20), st.integers(0, 500), st.floats(0, 10))
def test_sizes_are_in_range_and_follow_from_the_generator(
    seed: int, count: int, least: int, more: int, skew: float
) -> None:
    drawn, again = (album_sizes(count, least, least + more, skew, np.random.default_rng(seed)) for _ in range(2))
    assert drawn.shape == (count,)
    assert drawn.dtype == np.int64
    assert np.array_equal(drawn, again)
    assert least <= drawn.min() <= drawn.max() <= least + more


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 2.5])
def test_sizes_follow_the_power_law(skew: float) -> None:
    values = np.arange(2.0, 12.0)
    expected = values**-skew / (values**-skew).sum()
    drawn = album_sizes(40_000, 2, 11, skew, np.random.default_rng(1))
    # Four standard errors of a share are at most 4 * 0.5 / 200.
    assert np.bincount(drawn, minlength=12)[2:] / 40_000 == pytest.approx(expected, abs=0.01)


@given(seeds, held, sizes, st.integers(1, 40), st.floats(0.01, 1e6))
def test_labels_are_held_ones_and_follow_from_the_generator(
    seed: int, held: np.ndarray, size: int, variety: int, alpha: float
) -> None:
    for partition in (
        lambda generator: by_classes(held, size, variety, generator),
        lambda generator: by_dirichlet(held, size, alpha, generator),
        lambda generator: by_person(held, size, generator),
    ):
        labels, again = (partition(np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(labels, again)
        assert labels.shape == (size,)
        assert labels.dtype == np.int64
        assert set(labels.tolist()) <= set(held.tolist())


@given(seeds, held, sizes, st.integers(1, 40))
def test_as_many_classes_as_asked_for_at_most(seed: int, held: np.ndarray, size: int, variety: int) -> None:
    assert len(set(by_classes(held, size, variety, np.random.default_rng(seed)).tolist())) <= variety
    assert len(set(by_person(held, size, np.random.default_rng(seed)).tolist())) == 1


@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_shares_vary_as_those_of_a_dirichlet_distribution(alpha: float) -> None:
    """A share of k classes has mean 1/k and variance (1/k)(1 - 1/k) / (k alpha + 1)."""
    classes, albums, size = 4, 2000, 2000
    generator = np.random.default_rng(1)
    counts = [
        np.bincount(by_dirichlet(np.arange(classes), size, alpha, generator), minlength=classes) for _ in range(albums)
    ]
    shares = np.array(counts) / size
    spread = (1 / classes) * (1 - 1 / classes)
    assert shares.mean(0) == pytest.approx(1 / classes, abs=4 * (spread / albums) ** 0.5)
    assert shares.var(0) == pytest.approx(spread / (classes * alpha + 1), rel=0.12)
