"""The reconstruction attack: a U-Net that learns to undo an obfuscation from images whose originals are known.

Ronneberger et al. 2015 for the network; McPherson et al. 2016 for learning from images obfuscated alike, of which
Raynal et al. 2020 (section 4.4) measure the classifying form. Pictures are (n, 3, height, width) uint8 tensors.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.learning.fit import Plan, Watch, fit, mirrored
from strategies.learning.initialise import built
from strategies.pixels import centred, to_pixels

WIDTHS = (24, 48, 96)
"""Channels of the levels; each below the first has half the height and width."""
LEARNING_RATE = 4e-3
_STRIDE = 2 ** (len(WIDTHS) - 1)


class UNet(nn.Module):
    """Convolutions down to a quarter of the size and up again, joined level by level; it predicts a correction.

    Args:
        channels: Of inputs, three or more; the first three are corrected.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        ups = list(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.down = nn.ModuleList(
            _block(before, after) for before, after in zip((channels, *WIDTHS[:-1]), WIDTHS, strict=True)
        )
        self.up = nn.ModuleList(_block(below + level, level) for below, level in ups)
        self.head = nn.Conv2d(WIDTHS[0], 3, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, channels, height, width) inputs, sides divisible by 4, to (n, 3, height, width) in -1..1."""
        levels = []
        features = inputs
        for depth, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if depth else features)
            levels.append(features)
        for block, beside in zip(self.up, reversed(levels[:-1]), strict=True):
            features = block(torch.cat([F.interpolate(features, scale_factor=2), beside], dim=1))
        corrected: Tensor = inputs[:, :3] + self.head(features)
        return corrected


def new_unet(generator: torch.Generator) -> UNet:
    """Return an untrained network, weights drawn from the generator (He et al. 2015); it leaves images as they are."""
    network = built(UNet, generator, mode="fan_in", layout=torch.contiguous_format)
    nn.init.zeros_(network.head.weight)
    return network


def train_reconstructor(
    obfuscated: Tensor,
    originals: Tensor,
    generator: torch.Generator,
    *,
    device: torch.device | None = None,
    epochs: int = 20,
    batch: int = 16,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> UNet:
    """Train a `UNet` from scratch (see `fit`) on known pairs, mirrored at random, by their L1 distance.

    Args:
        obfuscated, originals: (n, 3, height, width) uint8, at least two known pairs; sides divisible by 4.
        generator: On the CPU; draws weights, order and mirroring.
        device: Where to compute; None for the CPU.
        epochs, batch: Rounds over all pairs, and pairs per step. What an epoch's last step would lack is left out of
            that epoch.
        progress: Called as each epoch ends with its number, from 1, and the loss of its last step.

    Returns:
        The network, on `device`, in evaluation mode.

    Raises:
        ValueError: When there are fewer than two pairs, or their shapes differ or do not suit the network.
    """
    if len(obfuscated) < 2 or obfuscated.shape != originals.shape:
        raise ValueError(
            f"obfuscated images of {tuple(obfuscated.shape)} and originals of {tuple(originals.shape)}: "
            "training needs two pairs or more, of one size"
        )
    if any(side % _STRIDE for side in originals.shape[2:]):
        raise ValueError(f"the sides of the images are multiples of {_STRIDE}, not {tuple(originals.shape[2:])}")
    device = device or torch.device("cpu")
    network = new_unet(generator).to(device)

    def loss(chosen: Tensor) -> Tensor:
        shown, wanted = mirrored(generator, centred(obfuscated[chosen].cpu()), centred(originals[chosen].cpu()))
        return F.l1_loss(network(shown.to(device)), wanted.to(device))

    fit(network, loss, len(originals), generator, Plan(epochs, batch, LEARNING_RATE), Watch(progress))
    return network


@torch.inference_mode()
def reconstruct(network: UNet, obfuscated: Tensor) -> Tensor:
    """Guess the originals of (n, 3, height, width) uint8 obfuscated images, as such."""
    device = network.head.weight.device
    parts = [network(centred(part.cpu()).to(device)).cpu() for part in torch.split(obfuscated, 64)]
    return to_pixels(torch.cat(parts).add_(1).mul_(127.5))


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
        nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True),
    )  # fmt: skip
