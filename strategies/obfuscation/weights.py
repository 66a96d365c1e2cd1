"""The weights of a mixture, which the owner keeps, and the label that follows from them, which it publishes.

Raynal et al. 2020, section 3.1. Weights are (m, k) float32, rows summing to 1: m mixtures of k images each.
"""

import math
from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from scipy.special import gammaincinv
from torch import Tensor

from strategies.privacy.rounded_noise import FINE, rounded_gaussian
from strategies.privacy.stream import Stream

BETA = 0.4
"""Parameter of mixup's Beta distribution (Zhang et al. 2018 use 0.2 to 0.4)."""
MOST = 0.65
"""The largest weight that InstaHide allows (Huang et al. 2020, section 5)."""

_WINDOW = 8
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # Wang et al. 2004
_SHIFTS = 8


def given_weights(values: tuple[float, ...], mixtures: int, device: torch.device) -> Tensor:
    """Give every mixture the same weights, scaled to sum to 1 (the paper prints thirds as .33)."""
    weights = torch.tensor(values, dtype=torch.float64, device=device)
    return (weights / weights.sum()).float().expand(mixtures, -1)


def distorting_weights(sources: Tensor) -> Tensor:
    r"""Choose weights that minimise the largest SSIM between the mixture and any of its images.

    The paper wants a function of both images with :math:`\lambda(x_i, x_j) = 1 - \lambda(x_j, x_i)` that maximises
    distortion, expects it near one half, and does not print it. The similarity of a mixture to an image grows with the
    image's weight, so that the largest similarity is least where all are equal. Weights are shifted towards the images
    that are kept less, a fixed number of times. SSIM is that of windows of 8 x 8 pixels side by side: their means and
    covariances are computed once and give those of every mixture.

    Args:
        sources: (m, k, channels, height, width) uint8, at least 8 pixels a side.

    Returns:
        (m, k) float32

    Raises:
        ValueError: When images are smaller than a window.
    """
    if min(sources.shape[3:]) < _WINDOW:
        raise ValueError(f"weights that distort most need images of at least {_WINDOW} pixels a side")
    images = sources.float().unbind(1)
    means = torch.stack([_window_means(image) for image in images], dim=1)
    covariances = torch.empty(*sources.shape[:2], *means.shape[1:], device=sources.device)
    for one, other in combinations_with_replacement(range(len(images)), 2):
        shared = _window_means(images[one] * images[other]) - means[:, one] * means[:, other]
        covariances[:, one, other] = covariances[:, other, one] = shared
    logits = torch.zeros(sources.shape[:2], device=sources.device)
    for _ in range(_SHIFTS):
        kept = _similarity(logits.softmax(dim=1), means, covariances)
        logits -= kept - kept.mean(dim=1, keepdim=True)
    return logits.softmax(dim=1)


def _window_means(images: Tensor) -> Tensor:
    """Return the mean of every window of (m, channels, height, width) images, (m, windows)."""
    rows, columns = (side // _WINDOW for side in images.shape[2:])
    fitting = images[:, :, : rows * _WINDOW, : columns * _WINDOW]
    lines = fitting.reshape(*images.shape[:2], rows, _WINDOW, columns * _WINDOW).mean(dim=3)
    return lines.reshape(len(images), -1, _WINDOW).mean(dim=2)


def _similarity(weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """Return the SSIM of each mixture with each of its images, (m, k).

    From the images' means in w windows, (m, k, w), and their covariances there, (m, k, k, w).
    """
    mean = torch.einsum("mk,mkw->mw", weights, means)[:, None]
    covariance = torch.einsum("mk,mklw->mlw", weights, covariances)
    variance = torch.einsum("ml,mlw->mw", weights, covariance)[:, None]
    variances = covariances.diagonal(dim1=1, dim2=2).transpose(1, 2)
    light = (2 * mean * means + _C1) / (mean.square() + means.square() + _C1)
    return (light * (2 * covariance + _C2) / (variance + variances + _C2)).mean(dim=2)


def beta_weights(mixtures: int, images: int, stream: Stream) -> Tensor:
    """Draw mixup's weights: Beta(`BETA`, `BETA`) for two images, Dirichlet for more (Zhang et al. 2018)."""
    gammas = gammaincinv(BETA, _between((mixtures, images), stream).numpy())
    return torch.from_numpy(gammas / gammas.sum(axis=1, keepdims=True)).float()


def capped_weights(mixtures: int, images: int, stream: Stream) -> Tensor:
    """Draw InstaHide's weights: uniform numbers scaled to sum to 1, none above `MOST` (Huang et al. 2020).

    What exceeds the cap is shared out among the others, in proportion.
    """
    drawn = _between((mixtures, images), stream).float().clamp(min=1e-6)
    weights = drawn / drawn.sum(dim=1, keepdim=True)
    if images == 1:
        return weights
    largest = weights.max(dim=1, keepdim=True).values
    others = weights * (1 - MOST) / (1 - largest).clamp(min=1e-6)
    return torch.where(largest > MOST, torch.where(weights == largest, MOST, others), weights)


def dominant(weights: Tensor, stream: Stream) -> Tensor:
    """Return which image of each mixture has the largest weight, (m,) int64; ties are broken at random.

    Examples:
        >>> dominant(torch.tensor([[0.75, 0.25], [0.4, 0.6]]), Stream(bytes(32))).tolist()
        [0, 1]
    """
    tied = torch.isclose(weights, weights.max(dim=1, keepdim=True).values)
    return torch.where(tied, _between(weights.shape, stream).to(weights.device), -1.0).argmax(dim=1)


def _between(shape: Sequence[int], stream: Stream) -> Tensor:
    """Draw numbers uniform between 0 and 1, and neither, float64."""
    return torch.from_numpy(stream.uniform(math.prod(shape)) + 2.0**-54).reshape(shape)


def label_shares(labels: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Mix the labels as the images, as mixup does: (m, classes) float32 from (m, k) labels and weights.

    Examples:
        >>> label_shares(torch.tensor([[2, 0]]), torch.tensor([[0.75, 0.25]]), 3)
        tensor([[0.2500, 0.0000, 0.7500]])
    """
    return torch.zeros(len(labels), classes, device=labels.device).scatter_add_(1, labels, weights)


def noisy_labels(shares: Tensor, images: int, sigma: float, stream: Stream) -> Tensor:
    """Name the class whose share is largest after noise N(0, sigma^2) on each, (m,) int64, from (m, classes) shares.

    Shares are counted in parts of 1 / (256 k), of which those of k images of one weight are whole numbers, so that the
    noisy ones are exact.
    """
    parts = FINE * images
    noise = torch.from_numpy(rounded_gaussian(sigma * parts, shares.numel(), stream)).reshape(shares.shape)
    return (shares.double().mul(parts).round() + noise.to(shares.device)).argmax(dim=1)
