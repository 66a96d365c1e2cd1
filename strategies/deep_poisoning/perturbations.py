"""Perturbations of feature maps that a Deep Poisoning Module is compared with (Deep Poisoning, Table 3).

Each maps (n, channels, h, w) to the same shape, and may be applied to poisoned features as well.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SPREAD = 5, 1.5
"""Side of the filters' window, and standard deviation of the Gaussian one, in positions. The paper gives neither."""


def gaussian_noise(features: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Add noise whose standard deviation is the features' own, times a strength."""
    noise = torch.randn(features.shape, generator=generator).to(features.device)
    return features + strength * features.std() * noise


def gaussian_filter(features: Tensor) -> Tensor:
    """Blur each channel with a Gaussian; beyond the border is 0.

    Examples:
        >>> blurred = gaussian_filter(torch.ones(1, 2, 9, 9))
        >>> round(blurred[0, 0, 4, 4].item(), 6), blurred.shape
        (1.0, torch.Size([1, 2, 9, 9]))
    """
    away = torch.arange(WINDOW) - WINDOW // 2
    profile = torch.exp(-(away**2) / (2 * SPREAD**2))
    return _filtered(features, profile / profile.sum())


def mean_filter(features: Tensor) -> Tensor:
    """Replace each value by the mean of its window, channel by channel; beyond the border is 0."""
    return _filtered(features, torch.full((WINDOW,), 1 / WINDOW))


def _filtered(features: Tensor, profile: Tensor) -> Tensor:
    channels = features.shape[1]
    kernel = torch.outer(profile, profile).to(features).expand(channels, 1, WINDOW, WINDOW)
    return F.conv2d(features, kernel, padding=WINDOW // 2, groups=channels)
