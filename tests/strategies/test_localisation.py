"""The localisation attack against exhaustive search, and how far it gets with and without the defence."""

import numpy as np
import pytest

from strategies.features.localisation import localise, localise_over_requests
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
