"""The Deep Poisoning Module: what an entity keeps to itself (Deep Poisoning, sections 3.3 and 4.2.1)."""

import torch
from torch import Tensor, nn

from strategies.learning.initialise import built

BLOCKS = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a short cut (He et al. 2016), of the same width throughout."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(),
            nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU(),
            nn.Conv2d(narrow, channels, 1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        return torch.relu(features + self.branch(features))


class DeepPoisoningModule(nn.Sequential):
    """P: four residual blocks that change (n, channels, h, w) feature maps and keep their shape.

    With it, or with pairs of images and poisoned features, the features can be turned back: keep both secret.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(*(Bottleneck(channels) for _ in range(BLOCKS)))


def new_module(channels: int, generator: torch.Generator) -> DeepPoisoningModule:
    """Return an untrained module, weights drawn from the generator.

    Examples:
        >>> new_module(64, torch.Generator().manual_seed(1))(torch.zeros(2, 64, 16, 16)).shape
        torch.Size([2, 64, 16, 16])
    """
    return built(lambda: DeepPoisoningModule(channels), generator)
