"""Every measure against a second implementation, scikit-image's."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from strategies.scores.image_quality import disclosure, l1, psnr, ssim


@pytest.fixture(scope="module")
def pairs() -> tuple[Tensor, Tensor]:
    """Six smooth images, and themselves with noise, other brightness, or as negatives."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(6, 3, 6, 8, generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=(30, 40), mode="bilinear")
    others = (images + 0.1 * torch.randn(images.shape, generator=generator)).clamp(0, 1)
    others[2], others[3], others[4] = images[2] * 0.5, 1 - images[3], images[5]
    return images, others


def arrays(images: Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).double().numpy()


def test_ssim_is_that_of_scikit_image(pairs: tuple[Tensor, Tensor]) -> None:
    judged = [
        structural_similarity(
            image, other, channel_axis=2, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for image, other in zip(*map(arrays, pairs), strict=True)
    ]
    np.testing.assert_allclose(ssim(*pairs).numpy(), judged, atol=2e-5)


def test_psnr_is_that_of_scikit_image(pairs: tuple[Tensor, Tensor]) -> None:
    judged = [peak_signal_noise_ratio(one, other, data_range=1) for one, other in zip(*map(arrays, pairs), strict=True)]
    np.testing.assert_allclose(psnr(*pairs).numpy(), judged, rtol=1e-3)


def test_l1_is_the_mean_absolute_difference(pairs: tuple[Tensor, Tensor]) -> None:
    np.testing.assert_allclose(l1(*pairs), np.abs(arrays(pairs[0]) - arrays(pairs[1])).mean((1, 2, 3)), rtol=1e-5)


def test_a_negative_is_as_good_as_the_image(pairs: tuple[Tensor, Tensor]) -> None:
    images, _ = pairs
    found = disclosure(1 - images, images)
    assert found.ssim < 0
    assert found.either_polarity == pytest.approx(1)
    assert found.either_polarity == pytest.approx(disclosure(images, images).either_polarity)


def test_gradients_pass_through_ssim(pairs: tuple[Tensor, Tensor]) -> None:
    images, others = pairs
    moving = others.clone().requires_grad_(True)
    ssim(images, moving).mean().backward()
    assert moving.grad is not None
    better = (others + 0.5 * moving.grad / moving.grad.abs().max()).clamp(0, 1)
    assert ssim(images, better).mean() > ssim(images, others).mean()
