"""Image reconstructors: networks that turn feature maps back into images (Deep Poisoning, sections 3.2 and 4.2.2).

Where the paper stretches each image's colours to 0..1 (min-max), these squeeze them by a sigmoid: an image's darkest
and brightest points need not be black and white, and SSIM from clean features was .53 with it and .38 with min-max.
"""

import re
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from strategies.learning.initialise import built

PUBLISHED = "px2s2"
"""The one that entities publish, and that Deep Poisoning Modules are trained against."""
UNSEEN = ("px4s2", "rx2s2", "rx4s2", "rx4s4", "rx2s2-clamp")
"""The paper's five that no module is trained against."""
FEWEST_CHANNELS, TAIL_CHANNELS = 16, 16


@dataclass(frozen=True)
class Design:
    """How a reconstructor is built.

    Attributes:
        residual: Inverse bottleneck blocks with a short cut (``r``), or plain ones (``p``).
        blocks: Blocks before each upscaling (``x``).
        factor: Of one upscaling (``s``).
        clamp: Colours are cut off to 0..1, instead of squeezed into it.
    """

    residual: bool
    blocks: int
    factor: int
    clamp: bool

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read the paper's notation.

        Raises:
            ValueError: When it is not of the form ``px2s2`` or ``rx4s4-clamp``.

        Examples:
            >>> Design.parse("rx2s2-clamp")
            Design(residual=True, blocks=2, factor=2, clamp=True)
        """
        parts = re.fullmatch(r"([pr])x([1-9])s([2-9])(-clamp)?", name)
        if parts is None:
            raise ValueError(f"a reconstructor is named like px2s2 or rx4s4-clamp, not {name!r}")
        return cls(parts[1] == "r", int(parts[2]), int(parts[3]), parts[4] is not None)


class InverseBottleneck(nn.Module):
    """1x1 convolution, BN, 3x3 convolution, BN, 1x1 convolution, then ReLU; a short cut around them if residual."""

    def __init__(self, channels: int, residual: bool) -> None:
        super().__init__()
        narrow = max(channels // 2, FEWEST_CHANNELS)
        self.branch = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow),
            nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False), nn.BatchNorm2d(narrow),
            nn.Conv2d(narrow, channels, 1),
        )  # fmt: skip
        self._residual = residual

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        branch: Tensor = self.branch(features)
        return torch.relu(features + branch if self._residual else branch)


class Reconstructor(nn.Module):
    """psi: from feature maps to images.

    Blocks and upscaling alternate until the image's size is reached; an upscaling by s divides the channels by s (sub-
    pixel convolution, Shi et al. 2016). Then a 1x1 convolution, BN, ReLU, and a 1x1 convolution to three colours.

    Args:
        channels: Of the feature maps.
        scale: Side of an image divided by the side of its feature maps: a power of the design's factor.
        design: How it is built.

    Raises:
        ValueError: When upscaling by the factor never gives the scale.
    """

    def __init__(self, channels: int, scale: int, design: Design) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        reached = 1
        while reached < scale:
            narrow = max(channels // design.factor, FEWEST_CHANNELS)
            layers += [InverseBottleneck(channels, design.residual) for _ in range(design.blocks)]
            layers += [nn.Conv2d(channels, narrow * design.factor**2, 1), nn.PixelShuffle(design.factor)]
            channels, reached = narrow, reached * design.factor
        if reached != scale:
            raise ValueError(f"features are to grow {scale} times, which is no power of {design.factor}")
        layers += [nn.Conv2d(channels, TAIL_CHANNELS, 1, bias=False), nn.BatchNorm2d(TAIL_CHANNELS), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(TAIL_CHANNELS, 3, 1))
        self._clamp = design.clamp

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) feature maps to (n, 3, scale * h, scale * w) images in 0..1."""
        colours: Tensor = self.layers(features).float()
        return (colours + 0.5).clamp(0, 1) if self._clamp else colours.sigmoid()


def new_reconstructor(name: str, channels: int, scale: int, generator: torch.Generator) -> Reconstructor:
    """Return an untrained reconstructor, named in the paper's notation, weights drawn from the generator.

    Examples:
        >>> reconstructor = new_reconstructor("rx4s4", 64, 4, torch.Generator().manual_seed(1))
        >>> reconstructor(torch.zeros(2, 64, 16, 16)).shape
        torch.Size([2, 3, 64, 64])
    """
    return built(lambda: Reconstructor(channels, scale, Design.parse(name)), generator)
