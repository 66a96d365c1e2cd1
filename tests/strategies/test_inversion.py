"""The inversion attack against brute force."""

import numpy as np
import pytest

from strategies.attacks.feature_inversion import invert


def decode(points: np.ndarray) -> np.ndarray:
    x, y = points.T.astype(np.float32)
    return np.stack([x, y, x + 2 * y], axis=1)


@pytest.fixture
def public() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return (
        generator.integers(0, 1000, (200, 2)),
        generator.integers(0, 6, 200),
        generator.integers(0, 256, (200, 4, 5, 3), dtype=np.uint8),
    )


@pytest.mark.parametrize("neighbours", [1, 7, 200])
def test_the_nearest_in_decoded_space_vote_and_their_mean_is_the_picture(
    public: tuple[np.ndarray, np.ndarray, np.ndarray], neighbours: int
) -> None:
    features, labels, pictures = public
    targets = np.random.default_rng(1).integers(0, 1000, (30, 2))
    found = invert(targets, decode, features, labels, pictures, neighbours)
    assert found.pictures.dtype == np.uint8
    assert found.pictures.shape == (30, 4, 5, 3)
    for target, label, picture in zip(targets, *found, strict=True):
        distance = np.linalg.norm(decode(features) - decode(target[None]), axis=1)
        nearest = np.argsort(distance)[:neighbours]
        assert label == np.bincount(labels[nearest], minlength=6).argmax()
        assert np.abs(picture - pictures[nearest].mean(axis=0)).max() <= 0.51


def test_no_feature_gives_no_guess(public: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    features, labels, pictures = public
    found = invert(np.zeros((0, 2), np.int64), decode, features, labels, pictures)
    assert len(found.labels) == len(found.pictures) == 0


@pytest.mark.parametrize("neighbours", [0, 201])
def test_as_many_vote_as_there_are(public: tuple[np.ndarray, np.ndarray, np.ndarray], neighbours: int) -> None:
    features, labels, pictures = public
    with pytest.raises(ValueError, match="are to vote and there are 200"):
        invert(features, decode, features, labels, pictures, neighbours)
