"""The localisation attack against exhaustive search, and how far it gets with and without the defence."""

import numpy as np
import pytest

from strategies.features.localisation import is_possible, localise, localise_over_requests
from strategies.features.planar_laplace import planar_laplace
from strategies.features.signatures import LATTICE, centroids, signature_table

REACH, SIZE = 300, 4
SALTS = [b"request %d" % i for i in range(10)]


def mean_error(guesses: np.ndarray, features: np.ndarray) -> float:
    return float(np.hypot(*(guesses - features).T).mean())


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    return np.random.default_rng(0).integers(2 * REACH, LATTICE - 2 * REACH, (3000, 2))


@pytest.fixture(scope="module")
def signatures(features: np.ndarray) -> list[np.ndarray]:
    return [signature_table(salt, REACH, SIZE).sign(features) for salt in SALTS]


def mean_of_equal_signatures(feature: np.ndarray, salts: list[bytes], reach: int, size: int) -> list[float]:
    """Try every feature near enough to share a point."""
    axes = [np.arange(max(0, centre - 2 * reach), min(LATTICE - 1, centre + 2 * reach) + 1) for centre in feature]
    others = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    equal = np.ones(len(others), bool)
    for salt in salts:
        table = signature_table(salt, reach, size)
        equal &= np.all(table.sign(others) == table.sign(feature[None]), axis=(1, 2))
    return others[equal].mean(axis=0).tolist()


class TestLocalise:
    @pytest.mark.parametrize(("reach", "size"), [(6, 3), (9, 1), (75, 4)])
    def test_is_the_mean_of_all_features_with_the_signature(self, reach: int, size: int) -> None:
        generator = np.random.default_rng(reach)
        corners = np.array([[0, 0], [LATTICE - 1, 3], [5, LATTICE - 2]])
        some = np.concatenate([generator.integers(0, LATTICE, (4, 2)), corners])
        guesses = localise(signature_table(b"salt", reach, size).sign(some), b"salt", reach)
        expected = [mean_of_equal_signatures(feature, [b"salt"], reach, size) for feature in some]
        assert np.allclose(guesses, expected, rtol=0, atol=1e-6)

    def test_does_not_depend_on_the_order_of_points(self, signatures: list[np.ndarray]) -> None:
        some = signatures[0][:50]
        assert np.array_equal(localise(some, SALTS[0], REACH), localise(some[:, ::-1], SALTS[0], REACH))

    def test_beats_the_centroid(self, features: np.ndarray, signatures: list[np.ndarray]) -> None:
        assert mean_error(centroids(signatures[0]), features) == pytest.approx(108.5, abs=4)
        assert mean_error(localise(signatures[0], SALTS[0], REACH), features) == pytest.approx(61.7, abs=3)

    def test_a_forged_signature_gives_its_centroid(self) -> None:
        forged = np.array([[[0, 0], [9000, 0], [0, 9000], [5, 5]]], np.uint16)
        assert np.array_equal(localise(forged, b"salt", REACH), centroids(forged))

    def test_nothing_gives_nothing(self) -> None:
        assert localise(np.empty((0, 4, 2), np.uint16), b"salt", REACH).shape == (0, 2)

    def test_the_defence_holds_it_off(self, features: np.ndarray) -> None:
        protected = np.rint(planar_laplace(features, 1 / 75, np.random.default_rng(1))).astype(int).clip(0, LATTICE - 1)
        guesses = localise(signature_table(SALTS[0], REACH, SIZE).sign(protected), SALTS[0], REACH)
        assert mean_error(guesses, protected) < 65
        assert mean_error(guesses, features) > 140


class TestLocaliseOverRequests:
    def test_is_the_mean_of_all_features_with_these_signatures(self) -> None:
        some = np.random.default_rng(1).integers(0, LATTICE, (4, 2))
        released = [signature_table(salt, 10, 3).sign(some) for salt in SALTS[:3]]
        expected = [mean_of_equal_signatures(feature, SALTS[:3], 10, 3) for feature in some]
        assert np.allclose(localise_over_requests(released, SALTS[:3], 10), expected, rtol=0, atol=1e-6)

    def test_ten_requests_all_but_reveal_the_feature(self, features: np.ndarray, signatures: list[np.ndarray]) -> None:
        assert mean_error(localise_over_requests(signatures, SALTS, REACH), features) < 8

    def test_bad_arguments_are_refused(self, signatures: list[np.ndarray]) -> None:
        with pytest.raises(ValueError, match="one array per salt"):
            localise_over_requests(signatures[:2], SALTS[:1], REACH)
        with pytest.raises(ValueError, match=r"shape \(n, k, 2\)"):
            localise(np.zeros((3, 2), np.uint16), b"salt", REACH)


class TestPossibleSignatures:
    def test_every_signature_of_a_feature_is_possible_at_the_edges_too(self) -> None:
        generator = np.random.default_rng(4)
        features = generator.integers(0, 65_536, (300, 2))
        features[:40] = generator.choice([0, 5, 65_530, 65_535], (40, 2))
        for salt in (b"one", b"two"):
            signatures = signature_table(salt, 100, 4).sign(features)
            assert is_possible(signatures, salt, 100).all()

    def test_what_no_feature_has_is_not(self) -> None:
        features = np.random.default_rng(5).integers(2000, 60_000, (200, 2))
        signatures = signature_table(b"salt", 100, 4).sign(features).astype(np.int64)
        assert not is_possible(signatures, b"another salt", 100).any()
        apart, moved, repeated = signatures.copy(), signatures.copy(), signatures.copy()
        apart[:, 0] = (apart[:, 0] + 30_000) % 65_536
        moved[:, 3] += np.where(moved[:, 3] < moved[:, 0], 1, -1)
        repeated[:, 0] = repeated[:, 1]
        for forged in (apart, moved, repeated):
            assert is_possible(forged, b"salt", 100).mean() < 0.01

    def test_brute_force_agrees(self) -> None:
        table, around = (
            signature_table(b"few", 3, 3),
            np.stack(np.meshgrid(*[np.arange(100, 112)] * 2), -1).reshape(-1, 2),
        )
        real = {tuple(sorted(map(tuple, each))) for each in table.sign(around).tolist()}
        generator = np.random.default_rng(6)
        points = generator.integers(102, 109, (400, 3, 2))
        points[:200] = table.sign(around[generator.integers(len(around), size=200)])
        inside = [tuple(sorted(map(tuple, each))) in real for each in points.tolist()]
        found = is_possible(points, b"few", 3)
        assert found[:200].all()
        assert [bool(each) for each in found] == inside
