"""Classifiers of pictures and how they are trained: what a buyer does with the pictures it bought (CrowdBuy, VI.D)."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.learning.fit import Plan, Watch, fit, mirrored
from strategies.learning.initialise import built
from strategies.pixels import network_inputs

WIDTHS = (24, 48, 64, 96)
"""Channels of the convolutions; each halves height and width."""
LEARNING_RATE = 4e-3
_PIXELS_AT_ONCE = 1 << 20


class CompactClassifier(nn.Module):
    """Convolutions with batch normalisation, an average over positions, and one fully connected layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [
                nn.Conv2d(before, after, 3, 2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, 3, height, width) inputs in -1..1 to (n, classes) logits."""
        logits: Tensor = self.head(self.convolutions(inputs).mean((2, 3)))
        return logits


def _compact(classes: int, generator: torch.Generator) -> nn.Module:
    return built(lambda: CompactClassifier(classes), generator, mode="fan_in", layout=torch.contiguous_format)


def _resnet18(classes: int, generator: torch.Generator) -> nn.Module:
    from torchvision.models import resnet18  # noqa: PLC0415  (two seconds that others need not wait for)

    network: nn.Module = built(lambda: resnet18(num_classes=classes), generator, layout=torch.contiguous_format)
    return network


ARCHITECTURES: dict[str, Callable[[int, torch.Generator], nn.Module]] = {"compact": _compact, "resnet18": _resnet18}
"""Networks by name: ``make(classes, generator)`` draws initial weights; their input is that of `CompactClassifier`."""


def new_classifier(architecture: str, classes: int, generator: torch.Generator) -> nn.Module:
    """Return a network with initial weights drawn by the generator (He et al. 2015).

    Raises:
        ValueError: When there is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"there is no architecture {architecture}; choose from {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture](classes, generator)


def train_classifier(
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: int,
    generator: torch.Generator,
    *,
    architecture: str = "compact",
    device: torch.device | None = None,
    epochs: int = 20,
    batch: int = 32,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> nn.Module:
    """Train a classifier from scratch (see `fit`), pictures mirrored at random.

    Args:
        pictures: (n, height, width, 3), RGB, at least two.
        labels: (n,); what they show, from 0.
        generator: On the CPU; draws weights, order and mirroring, so that its state decides the result on one kind of
            device.
        architecture: Of `ARCHITECTURES`.
        device: Where to compute; None for the CPU.
        epochs, batch: Rounds over all pictures, and pictures per step. What an epoch's last step would lack is left out
            of that epoch.
        progress: Told the number of each epoch as it ends, from 1, and the loss of its last step.

    Returns:
        The network, on `device`, in evaluation mode.

    Raises:
        ValueError: When there are fewer than two pictures, or labels that are no classes.

    Examples:
        >>> shades = np.repeat(np.array([40, 200], np.uint8), 16)
        >>> pictures = np.broadcast_to(shades[:, None, None, None], (32, 16, 16, 3))
        >>> network = train_classifier(pictures, np.repeat([0, 1], 16), 2, torch.Generator().manual_seed(1), batch=16)
        >>> classify(network, pictures)[[0, 31]].tolist()
        [0, 1]
    """
    if len(pictures) < 2 or len(labels) != len(pictures):
        raise ValueError(
            f"{len(pictures)} pictures and {len(labels)} labels: it takes two pictures, each with its label"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels are numbered 0 to {classes - 1}, not {labels.min()} to {labels.max()}")
    device = device or torch.device("cpu")
    network = new_classifier(architecture, classes, generator).to(device)
    inputs, targets = network_inputs(pictures).to(device), torch.from_numpy(labels).to(device)

    def loss(chosen: Tensor) -> Tensor:
        (shown,) = mirrored(generator, inputs[chosen.to(device)])
        return F.cross_entropy(network(shown), targets[chosen.to(device)])

    fit(network, loss, len(pictures), generator, Plan(epochs, batch, LEARNING_RATE), Watch(progress))
    return network


def classify(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Name the class of (n, height, width, 3) uint8 pictures, (n,) int64."""
    if not len(pictures):
        return np.empty(0, np.int64)
    named: NDArray[np.int64] = logits(network, pictures).argmax(1)
    return named


@torch.inference_mode()
def logits(network: nn.Module, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the network makes of (n, height, width, 3) uint8 pictures, at least one: (n, classes) float32."""
    device = next(network.parameters()).device
    return np.concatenate([network(network_inputs(part).to(device)).cpu().numpy() for part in _parts(pictures)])


def _parts(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    size = max(1, _PIXELS_AT_ONCE // max(1, pictures[:1].size // 3))
    return [pictures[start : start + size] for start in range(0, len(pictures), size)]
