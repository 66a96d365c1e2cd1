"""The matched-image decision against scipy and against the paper's inequalities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from strategies.features.matching import is_candidate, matching_degree, nearest_distance
from strategies.features.signatures import LATTICE

positions = st.lists(st.tuples(*[st.integers(0, LATTICE - 1)] * 2), min_size=1, max_size=8).map(np.array)


@given(positions, positions)
def test_nearest_distance_equals_scipy(points: np.ndarray, centroids: np.ndarray) -> None:
    assert np.allclose(nearest_distance(points, centroids), cdist(points, centroids).min(axis=1), rtol=1e-12)


@given(positions, positions, st.integers(1, LATTICE))
def test_candidates_are_within_the_radius_and_not_the_samples(
    points: np.ndarray, centroids: np.ndarray, radius: int
) -> None:
    squared = ((points[:, None] - centroids[None]) ** 2).sum(axis=-1).min(axis=1)
    assert is_candidate(points, centroids, radius).tolist() == ((squared > 0) & (squared <= radius**2)).tolist()
    assert is_candidate(points, centroids, radius, exclude_zero=False).tolist() == (squared <= radius**2).tolist()


@given(positions, positions, st.integers(1, LATTICE))
def test_the_degree_falls_from_one_at_a_sample_to_zero_at_the_radius(
    points: np.ndarray, centroids: np.ndarray, radius: int
) -> None:
    degree = matching_degree(points, centroids, radius)
    assert np.all((degree >= 0) & (degree <= 1))
    distance = nearest_distance(points, centroids)
    assert np.array_equal(degree == 0, distance >= radius)
    assert np.allclose((1 - degree) * radius, np.minimum(distance, radius), rtol=1e-12, atol=1e-6)
    assert np.all(matching_degree(centroids, centroids, radius) == 1)


def test_a_point_off_the_lattice_is_unmatched() -> None:
    points = np.array([[-3, 0], [3, 0], [LATTICE, 5]])
    assert is_candidate(points, np.array([[0, 0], [LATTICE - 1, 5]]), 10).tolist() == [False, True, False]


@given(st.integers(0, 2**31), st.integers(3, 40))
def test_vectors_match_by_the_same_distance(seed: int, dimensions: int) -> None:
    generator = np.random.default_rng(seed)
    vectors = generator.integers(-(2**31), 2**31, (7, dimensions))
    targets = np.concatenate([vectors[:1], generator.integers(-(2**31), 2**31, (2, dimensions))])
    expected = cdist(vectors, targets).min(axis=1)
    assert np.allclose(nearest_distance(vectors, targets), expected)
    radius = float(np.median(expected)) + 1
    assert np.array_equal(is_candidate(vectors, targets, radius), (expected > 0) & (expected <= radius))


def test_no_points_give_no_answers() -> None:
    nothing, samples = np.empty((0, 2), int), np.array([[1, 1]])
    assert matching_degree(nothing, samples, 5).shape == is_candidate(nothing, samples, 5).shape == (0,)


def test_bad_arguments_are_refused() -> None:
    points = np.array([[1, 1]])
    with pytest.raises(ValueError, match="at least one sample"):
        nearest_distance(points, np.empty((0, 2)))
    for radius in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="radius"):
            is_candidate(points, points, radius)
        with pytest.raises(ValueError, match="radius"):
            matching_degree(points, points, radius)
