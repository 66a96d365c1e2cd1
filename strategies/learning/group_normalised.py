"""A small CNN that treats every picture on its own: what DP-SGD and federated averaging can train.

Batch normalisation would let the pictures of a batch see each other, so that no bound on the gradient of one of them
held, and its statistics would differ between clients.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.learning.initialise import built
from strategies.pixels import network_inputs

WIDTHS = (16, 32, 32)
"""Channels of the convolutions; each halves height and width."""
_GROUPS = 8


class GroupNormalisedClassifier(nn.Module):
    """Convolutions with group normalisation (Wu and He 2018), an average over quarters, one fully connected layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, padding=1, bias=False), nn.GroupNorm(_GROUPS, after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * WIDTHS[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, 3, height, width) inputs in -1..1 to (n, classes) logits."""
        logits: Tensor = self.head(self.convolutions(inputs))
        return logits


def new_group_normalised(classes: int, generator: torch.Generator) -> GroupNormalisedClassifier:
    """Return an untrained network, weights drawn from the generator (He et al. 2015)."""
    return built(lambda: GroupNormalisedClassifier(classes), generator, mode="fan_in", layout=torch.contiguous_format)


def inputs_of(pictures: NDArray[np.uint8]) -> Tensor:
    """Return (n, height, width, 3) uint8 pictures as (n, 3, height, width) float32 inputs in -1..1."""
    return network_inputs(pictures).contiguous()
