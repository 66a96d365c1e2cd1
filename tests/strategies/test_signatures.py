"""Signatures against a naive full scan; the honest bound of theorem 5 against its distribution."""

from hashlib import blake2b

import numpy as np
import pytest
from scipy import stats

from strategies.features.signatures import (
    LATTICE,
    centroids,
    hash_of,
    on_lattice,
    point_of,
    signature_table,
    theorem5_delta,
)


def naive_hash(x: np.ndarray, y: np.ndarray, salt: bytes) -> np.ndarray:
    """Hash points by the Feistel network, written out in 64-bit numpy."""
    keys = np.frombuffer(blake2b(key=salt, digest_size=24, person=b"signature").digest(), "<u4")
    left, right = x.astype(np.uint64), y.astype(np.uint64)
    for key in keys.astype(np.uint64):
        mixed = right ^ key
        for factor, shift in ((0x9E3779B1, 15), (0x85EBCA77, 13), (0xC2B2AE3D, 16)):
            mixed = mixed * np.uint64(factor) % np.uint64(2**32)
            mixed ^= mixed >> np.uint64(shift)
        left, right = right, left ^ mixed % np.uint64(2**16)
    return left * np.uint64(2**16) + right


def naive_signature(feature: np.ndarray, salt: bytes, reach: int, size: int) -> list[list[int]]:
    x, y = (np.arange(max(0, centre - reach), min(LATTICE - 1, centre + reach) + 1) for centre in feature)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    return points[np.argsort(naive_hash(*points.T, salt))[:size]].tolist()


class TestSign:
    @pytest.mark.parametrize(
        ("reach", "size"), [(300, 4), (300, 64), (120, 1), (60, 4), (20, 5), (3, 16), (1, 4), (0, 1)]
    )
    def test_equals_a_full_scan(self, reach: int, size: int) -> None:
        inside = np.random.default_rng(reach).integers(0, LATTICE, (15, 2))
        edges = np.array(
            [[0, 0], [0, LATTICE - 1], [LATTICE - 1, 0], [LATTICE - 1, LATTICE - 1], [2, 40000], [40000, 2]]
        )
        features = np.concatenate([inside, edges])
        signatures = signature_table(b"salt", reach, size).sign(features)
        assert signatures.dtype == np.uint16
        assert signatures.tolist() == [naive_signature(feature, b"salt", reach, size) for feature in features]

    def test_a_window_with_too_few_listed_points_is_scanned(self) -> None:
        features = np.stack(np.meshgrid(np.arange(2), np.arange(30)), axis=-1).reshape(-1, 2)
        signatures = signature_table(b"corner", 80, 7).sign(features)
        assert signatures.tolist() == [naive_signature(feature, b"corner", 80, 7) for feature in features]

    def test_a_window_may_be_the_whole_lattice(self) -> None:
        features = np.array([[0, 0], [30000, 5], [65535, 65535]])
        smallest = [[point_of(rank, signature_table(b"all", 65535, 2).smallest.keys) for rank in range(2)]]
        assert np.array_equal(signature_table(b"all", 65535, 2).sign(features), smallest * 3)

    def test_nothing_signs_to_nothing(self) -> None:
        assert signature_table(b"salt", 300, 4).sign(np.empty((0, 2), int)).shape == (0, 4, 2)

    def test_another_salt_gives_other_points(self) -> None:
        features = np.random.default_rng(1).integers(0, LATTICE, (50, 2))
        first, second = (signature_table(salt, 300, 4).sign(features) for salt in (b"one", b"two"))
        assert not np.any(np.all(first == second, axis=(1, 2)))

    @pytest.mark.parametrize("feature", [[-1, 0], [0, LATTICE], [10**12, 5]])
    def test_a_feature_off_the_lattice_is_refused(self, feature: list[int]) -> None:
        with pytest.raises(ValueError, match=r"feature 1 .* off the lattice"):
            signature_table(b"salt", 300, 4).sign(np.array([[5, 5], feature]))

    def test_features_that_are_not_integer_points_are_refused(self) -> None:
        table = signature_table(b"salt", 300, 4)
        with pytest.raises(ValueError, match="integer lattice points"):
            table.sign(np.array([[0.5, 1.0]]))
        with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
            table.sign(np.array([1, 2]))


class TestSignatureTable:
    def test_is_built_once_and_read_only(self) -> None:
        table = signature_table(b"salt", 300, 4)
        assert table is signature_table(b"salt", 300, 4)
        with pytest.raises(ValueError, match="read-only"):
            table.smallest.points[0] = 0

    @pytest.mark.parametrize(("salt", "reach", "size"), [(b"", -1, 1), (b"", 1, 5), (b"", 300, 0), (bytes(65), 300, 4)])
    def test_bad_parameters_are_refused(self, salt: bytes, reach: int, size: int) -> None:
        with pytest.raises(ValueError, match=r"reach|size|salt"):
            signature_table(salt, reach, size)


class TestHash:
    def test_runs_backwards(self) -> None:
        keys = signature_table(b"salt", 300, 4).smallest.keys
        hashes = [*range(1000), *range(2**32 - 1000, 2**32), *range(0, 2**32, 2**22 + 1)]
        points = [point_of(hashed, keys) for hashed in hashes]
        assert [hash_of(x, y, keys) for x, y in points] == hashes
        assert all(0 <= coordinate < LATTICE for point in points for coordinate in point)

    def test_scatters_evenly(self) -> None:
        x, y = signature_table(b"salt", 300, 4).smallest.points.T
        counts = np.histogram2d(x, y, bins=64, range=[[0, LATTICE], [0, LATTICE]])[0].ravel()
        assert stats.chisquare(counts).pvalue > 1e-4

    def test_signatures_scatter_evenly_over_the_window(self) -> None:
        features = np.random.default_rng(2).integers(300, LATTICE - 300, (30_000, 2))
        offsets = signature_table(b"salt", 300, 4).sign(features)[:, 0].astype(int) - features
        for axis in offsets.T:
            # Windows overlap and share points, so neighbours are not independent: a wide margin.
            assert stats.kstest(axis + 300, stats.randint(0, 601).cdf).statistic < 0.03


class TestCentroids:
    def test_is_the_mean_of_the_points(self) -> None:
        signatures = np.random.default_rng(3).integers(0, LATTICE, (20, 4, 2)).astype(np.uint16)
        expected = [[sum(axis) / 4 for axis in np.array(points, int).T.tolist()] for points in signatures]
        assert np.array_equal(centroids(signatures), expected)

    def test_misses_the_feature_by_what_the_window_allows(self) -> None:
        features = np.random.default_rng(4).integers(300, LATTICE - 300, (20_000, 2))
        errors = np.hypot(*(centroids(signature_table(b"salt", 300, 4).sign(features)) - features).T)
        assert errors.mean() == pytest.approx(108.5, abs=3)


class TestTheorem5Delta:
    @pytest.mark.parametrize(
        ("reach", "size", "steps"), [(300, 4, 1), (300, 4, 75), (300, 4, 125), (2, 3, 4), (300, 64, 5)]
    )
    def test_is_the_chance_of_a_point_that_the_other_window_lacks(self, reach: int, size: int, steps: int) -> None:
        window, lacking = (2 * reach + 1) ** 2, steps * (2 * reach + 1)
        delta = theorem5_delta(reach, size, steps)
        assert delta == pytest.approx(stats.hypergeom(window, lacking, size).sf(0), rel=1e-9)
        assert delta <= size * lacking / (window - size + 1)

    @pytest.mark.parametrize("steps", [1, 75])
    def test_is_what_signatures_show(self, steps: int) -> None:
        features = np.random.default_rng(5).integers(300, LATTICE - 400, (40_000, 2))
        rightmost = signature_table(b"salt", 300, 4).sign(features + np.array([steps, 0]))[:, :, 0].max(axis=1)
        shown = np.mean(rightmost > features[:, 0] + 300)
        assert shown == pytest.approx(theorem5_delta(300, 4, steps), rel=0.1)

    def test_disjoint_windows_are_always_told_apart(self) -> None:
        assert theorem5_delta(5, 2, 0) == 0
        assert theorem5_delta(5, 2, 11) == theorem5_delta(5, 2, 50) == 1

    def test_bad_parameters_are_refused(self) -> None:
        with pytest.raises(ValueError, match="steps"):
            theorem5_delta(300, 4, -1)


def test_on_lattice() -> None:
    points = np.array([[0, 0], [LATTICE - 1, 5], [LATTICE, 5], [5, -1]])
    assert on_lattice(points).tolist() == [True, True, False, False]
