"""Planar Laplace noise has the distribution from which its guarantee follows."""

import numpy as np
import pytest
from scipy import stats

from strategies.features.planar_laplace import planar_laplace

EPSILON = 1 / 75


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    features = np.tile([30000, 40000], (200_000, 1))
    return planar_laplace(features, EPSILON, np.random.default_rng(7)) - features


def test_radius_and_angle_are_gamma_and_uniform_and_independent(noise: np.ndarray) -> None:
    radius, angle = np.hypot(*noise.T), np.arctan2(*noise.T)
    assert stats.kstest(radius, stats.gamma(2, scale=1 / EPSILON).cdf).pvalue > 1e-3
    assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    near = radius < np.median(radius)
    assert stats.ks_2samp(angle[near], angle[~near]).pvalue > 1e-3


def test_nearby_features_are_indistinguishable(noise: np.ndarray) -> None:
    apart = 100
    bins = [np.linspace(-250, 350, 13), np.linspace(-250, 250, 11)]
    here, there = (np.histogram2d(*(noise + shift).T, bins=bins)[0] for shift in ([0, 0], [apart, 0]))
    # 4.5 standard deviations of a Poisson count, on either side.
    margin = 4.5 * (1 / np.sqrt(here) + 1 / np.sqrt(there))
    ratio = np.log(here / there)
    assert np.all(np.abs(ratio) <= EPSILON * apart + margin)
    assert np.abs(ratio).max() > 0.8 * EPSILON * apart


def test_the_generator_is_the_only_randomness() -> None:
    features = np.array([[1, 2], [3, 4]])
    first, second = (planar_laplace(features, 0.1, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(first, second)
    assert planar_laplace(features[:0], 0.1, np.random.default_rng(1)).shape == (0, 2)


@pytest.mark.parametrize("epsilon", [0, -1, float("nan"), float("inf")])
def test_epsilon_must_be_positive(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        planar_laplace(np.array([[1, 2]]), epsilon, np.random.default_rng(1))
