"""The weights of a mixture, which the owner keeps, and the label that follows from them, which it publishes.

Raynal et al. 2020, section 3.1. Weights are (m, k) float32, rows summing to 1: m mixtures of k images each.
"""

import numpy as np
import torch
from torch import Tensor

BETA = 0.4
"""Parameter of mixup's Beta distribution (Zhang et al. 2018 use 0.2 to 0.4)."""
MOST = 0.65
"""The largest weight that InstaHide allows (Huang et al. 2020, section 5)."""


def given_weights(values: tuple[float, ...], mixtures: int, device: torch.device) -> Tensor:
    """Give every mixture the same weights, scaled to sum to 1 (the paper prints thirds as .33)."""
    weights = torch.tensor(values, dtype=torch.float64, device=device)
    return (weights / weights.sum()).float().expand(mixtures, -1)


def distorting_weights(sources: Tensor) -> Tensor:
    r"""Weigh images so that the least distorted one is distorted most: lambda_i = s_j / (s_i + s_j).

    The paper wants a function of both images with :math:`\lambda(x_i, x_j) = 1 - \lambda(x_j, x_i)` that maximises
    distortion, and does not print one. The correlation of a mixture with :math:`x_i` (the structure that SSIM looks at)
    grows with :math:`\lambda_i` and that with :math:`x_j` falls, so that the larger of the two is least where they
    meet: where :math:`\lambda_i s_i = \lambda_j s_j`, with s the standard deviation of an image's pixels, however the
    two images are correlated. With more images, weights go as 1 / s.

    Parameters
    ----------
    sources : (m, k, channels, height, width) uint8

    Examples
    --------
    >>> plain, strong = torch.tensor([120, 130]), torch.tensor([90, 150])
    >>> distorting_weights(torch.stack([plain, strong]).reshape(1, 2, 1, 1, 2).byte())
    tensor([[0.8571, 0.1429]])
    """
    spreads = []
    for group in sources.flatten(2):
        values = group.float()
        spreads.append(torch.linalg.vector_norm(values - values.mean(dim=1, keepdim=True), dim=1))
    inverse = 1 / torch.stack(spreads).clamp(min=1.0)
    return inverse / inverse.sum(dim=1, keepdim=True)


def beta_weights(mixtures: int, images: int, generator: torch.Generator) -> Tensor:
    """Draw mixup's weights: Beta(`BETA`, `BETA`) for two images, Dirichlet for more (Zhang et al. 2018)."""
    # torch draws from no such distribution with a generator of one's own.
    seed = torch.randint(1 << 62, (1,), generator=generator, device=generator.device).item()
    drawn = np.random.default_rng(int(seed)).dirichlet([BETA] * images, mixtures)
    return torch.from_numpy(drawn).float().to(generator.device)


def capped_weights(mixtures: int, images: int, generator: torch.Generator) -> Tensor:
    """Draw InstaHide's weights: uniform numbers scaled to sum to 1, none above `MOST` (Huang et al. 2020).

    What exceeds the cap is shared out among the others, in proportion.
    """
    drawn = torch.rand(mixtures, images, generator=generator, device=generator.device).clamp(min=1e-6)
    weights = drawn / drawn.sum(dim=1, keepdim=True)
    if images == 1:
        return weights
    largest = weights.max(dim=1, keepdim=True).values
    others = weights * (1 - MOST) / (1 - largest).clamp(min=1e-6)
    return torch.where(largest > MOST, torch.where(weights == largest, MOST, others), weights)


def dominant(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return which image of each mixture has the largest weight, (m,) int64; ties are broken at random.

    Examples
    --------
    >>> dominant(torch.tensor([[0.75, 0.25], [0.4, 0.6]]), torch.Generator().manual_seed(1)).tolist()
    [0, 1]
    """
    tied = torch.isclose(weights, weights.max(dim=1, keepdim=True).values)
    draws = torch.rand(weights.shape, generator=generator, device=weights.device)
    return torch.where(tied, draws, -1).argmax(dim=1)


def label_shares(labels: Tensor, weights: Tensor, classes: int) -> Tensor:
    """Mix the labels as the images, as mixup does: (m, classes) float32 from (m, k) labels and weights.

    Examples
    --------
    >>> label_shares(torch.tensor([[2, 0]]), torch.tensor([[0.75, 0.25]]), 3)
    tensor([[0.2500, 0.0000, 0.7500]])
    """
    return torch.zeros(len(labels), classes, device=labels.device).scatter_add_(1, labels, weights)
