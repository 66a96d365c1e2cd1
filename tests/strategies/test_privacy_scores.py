"""Every privacy score against a second implementation, to 1e-4."""

import numpy as np
import pytest
import score_oracles
import torch
from skimage.metrics import mean_squared_error, structural_similarity
from torch import Tensor, nn

from simulations.data import pets
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import (
    SCORES,
    dhaar,
    dphash,
    dssim,
    feature_distances,
    frechet_distance,
    frechet_interval,
    mse,
)

SETTINGS = [
    Obfuscation("mix"),
    Obfuscation("noise-mix", weights=(0.5, 0.5), strength=40),
    Obfuscation("shuffle-mix", weights=(1.0,), strength=4),
    Obfuscation("pixelize"),
    Obfuscation("blur", strength=9),
]


@pytest.fixture(scope="module")
def pairs() -> tuple[Tensor, Tensor]:
    """Portraits of 64 pixels, and what each of several techniques makes of them."""
    stream = Stream(bytes(32))
    drawn = torch.from_numpy(pets.draw(np.arange(8), 64, torch.Generator().manual_seed(3))).permute(0, 3, 1, 2)
    obfuscated = [
        obfuscate(
            setting, torch.stack([drawn, drawn.roll(1, 0)], 1)[:, : setting.images],
            torch.zeros(8, setting.images, dtype=torch.int64), 1, stream,
        ).pictures
        for setting in SETTINGS
    ]  # fmt: skip
    return drawn.repeat(len(SETTINGS), 1, 1, 1), torch.cat(obfuscated)


def channels_last(pictures: Tensor) -> np.ndarray:
    return pictures.permute(0, 2, 3, 1).numpy()


def by_pair(score: object, pairs: tuple[Tensor, Tensor]) -> np.ndarray:
    return np.array([score(*pair) for pair in zip(*map(channels_last, pairs), strict=True)])  # type: ignore[operator]


def test_mse(pairs: tuple[Tensor, Tensor]) -> None:
    np.testing.assert_allclose(mse(*pairs), by_pair(mean_squared_error, pairs), atol=1e-4)


def test_dssim(pairs: tuple[Tensor, Tensor]) -> None:
    expected = by_pair(
        lambda first, second: (
            1
            - structural_similarity(
                first,
                second,
                channel_axis=2,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
        ),
        pairs,
    )
    np.testing.assert_allclose(dssim(*pairs), expected, atol=1e-4)
    assert np.ptp(expected) > 0.5


def test_dhaar(pairs: tuple[Tensor, Tensor]) -> None:
    expected = 1 - by_pair(score_oracles.haarpsi, pairs)
    np.testing.assert_allclose(dhaar(*pairs), expected, atol=1e-4)
    assert np.ptp(expected) > 0.4


def test_phash(pairs: tuple[Tensor, Tensor]) -> None:
    expected = by_pair(score_oracles.phash_distance, pairs)
    np.testing.assert_allclose(dphash(*pairs), expected, atol=1e-4)
    assert expected.max() > 0.2


class ColourAndContrast(nn.Module):
    """Six features that are easily computed twice."""

    def forward(self, images: Tensor) -> Tensor:
        values = images.double().flatten(2)
        return torch.cat([values.mean(2), values.std(2)], dim=1)


def test_fid_and_feature_distances(pairs: tuple[Tensor, Tensor]) -> None:
    features = [ColourAndContrast()(images).numpy() for images in pairs]
    expected = score_oracles.frechet(*features)
    assert frechet_distance(*pairs, ColourAndContrast()) == pytest.approx(expected, rel=1e-6, abs=1e-4)
    assert frechet_distance(pairs[0], pairs[1][:17], ColourAndContrast()) > 0
    assert frechet_distance(pairs[0], pairs[0], ColourAndContrast()) == pytest.approx(0, abs=1e-4)
    low, high = frechet_interval(*(torch.from_numpy(each) for each in features))
    assert low <= expected <= high < 10 * expected
    distances = ((features[0] - features[1]) ** 2).sum(1)
    np.testing.assert_allclose(feature_distances(*pairs, ColourAndContrast()), distances, atol=1e-4)


def test_fid_says_what_it_lacks(pairs: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match="weights are missing: none given"):
        frechet_distance(*pairs, None)
    with pytest.raises(ValueError, match="no weights for weight: load them first"):
        feature_distances(*pairs, nn.Linear(3, 3, device="meta"))
    with pytest.raises(ValueError, match="at least two images"):
        frechet_distance(pairs[0][:1], pairs[1][:1], ColourAndContrast())


@pytest.mark.parametrize("name", SCORES)
def test_scores_of_equal_images_are_0_and_grow_with_noise(pairs: tuple[Tensor, Tensor], name: str) -> None:
    originals, score = pairs[0][:8], SCORES[name]
    assert score(originals, originals).abs().max() < 1e-5
    noisy = [
        obfuscate(
            Obfuscation("noise-mix", weights=(1.0,), strength=sigma), originals[:, None],
            torch.zeros(8, 1, dtype=torch.int64), 1, Stream(bytes(32)),
        ).pictures
        for sigma in (10, 80)
    ]  # fmt: skip
    assert score(originals, noisy[0]).mean() < score(originals, noisy[1]).mean()
    assert score(originals[:0], originals[:0]).shape == (0,)
    assert score(originals, noisy[0]).dtype == torch.float64


@pytest.mark.parametrize("name", SCORES)
def test_shapes_that_do_not_compare_are_refused(name: str) -> None:
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match="one to one"):
        SCORES[name](images, images[:1])
    with pytest.raises(ValueError, match="one to one"):
        SCORES[name](images[:, :1], images[:, :1])


def test_too_small_images_are_refused() -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for score in (dssim, dhaar):
        with pytest.raises(ValueError, match=r"at least 1[16] pixels a side"):
            score(images, images)
