"""A small CNN that treats every picture on its own: what DP-SGD and federated averaging can train.

Batch normalisation would let the pictures of a batch see each other, so that no bound on the gradient of one of them
held, and its statistics would differ between clients.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

WIDTHS = (16, 32, 32)
"""Channels of the convolutions; each halves height and width."""
_GROUPS = 8


class GroupNormalisedClassifier(nn.Module):
    """Convolutions with group normalisation (Wu and He 2018), an average over quarters, one fully connected layer.

    Args:
        generator: Draws the initial weights (He et al. 2015).
    """

    def __init__(self, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS), WIDTHS, strict=False):
            convolution = nn.Conv2d(before, after, 3, 2, padding=1, bias=False, device="meta").to_empty(device="cpu")
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
            layers += [convolution, nn.GroupNorm(_GROUPS, after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(4 * WIDTHS[-1], classes, device="meta").to_empty(device="cpu")
        nn.init.normal_(self.head.weight, std=(4 * WIDTHS[-1]) ** -0.5, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, 3, height, width) inputs in -1..1 to (n, classes) logits."""
        logits: Tensor = self.head(self.convolutions(inputs))
        return logits


def inputs_of(pictures: NDArray[np.uint8]) -> Tensor:
    """Return (n, height, width, 3) uint8 pictures as (n, 3, height, width) float32 inputs in -1..1."""
    channels_first = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return channels_first.float().div_(127.5).sub_(1).contiguous()


@torch.inference_mode()
def logits_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the logits of any number of inputs, (n, classes)."""
    return torch.cat([network(part) for part in torch.split(inputs, 256)])


def accuracy(network: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Return the share of inputs whose class the network names."""
    return (logits_of(network, inputs).argmax(1) == labels).double().mean().item()
