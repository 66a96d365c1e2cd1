"""A classification network and where it is split into featurizer and decider (Deep Poisoning, section 3.2, Eq. 2).

Phi(x) = phi_2(phi_1(x)): phi_1, the featurizer, maps images to feature maps, and phi_2, the decider, maps those to
logits. torchvision's ResNets and VGGs are split after any of their layers or blocks; `conv4_1`, where the paper splits
ResNets, is the first block of torchvision's `layer3`.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from strategies.learning.initialise import built

COMPACT_CHANNELS = 64
"""Of the feature maps of the compact network, whose side is a quarter of the image's."""


class Standardise(nn.Module):
    """Subtract a mean from each colour, and divide by a deviation."""

    def __init__(self, mean: tuple[float, float, float], deviation: tuple[float, float, float]) -> None:
        super().__init__()
        self._mean, self._deviation = mean, deviation

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) images in 0..1 to standardised ones, colours last in memory, which is faster."""
        mean, deviation = (images.new_tensor(values)[:, None, None] for values in (self._mean, self._deviation))
        return ((images - mean) / deviation).contiguous(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a short cut (He et al. 2016, the basic block)."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        same = channels == out and stride == 1
        self.short_cut = nn.Identity() if same else nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )  # fmt: skip

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, out, h / stride, w / stride)."""
        return torch.relu(self.branch(features) + self.short_cut(features))


class SplitNetwork(nn.Module):
    """A classification network in two parts.

    Attributes:
        featurizer: phi_1: from (n, 3, height, width) images in 0..1 to (n, channels, h, w) feature maps; standardises
            by itself.
        decider: phi_2: from feature maps to (n, classes) logits.
    """

    def __init__(self, featurizer: nn.Sequential, decider: nn.Sequential) -> None:
        super().__init__()
        self.featurizer, self.decider = featurizer, decider

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, 3, height, width) images in 0..1 to (n, classes) logits."""
        logits: Tensor = self.decider(self.featurizer(images))
        return logits


def split(network: nn.Module, layer: str) -> SplitNetwork:
    """Split a torchvision ResNet or VGG, trained or not, after a layer or block.

    Args:
        network: torchvision's ResNet or VGG; its parts are used, not copied.
        layer: In torchvision's names (``"layer3.0"``, ``"features.16"``) or the papers': ``"conv4_1"``, for a ResNet
            the first block of conv4_x, for a VGG the first convolution of the fourth group with its activation.

    Raises:
        ValueError: When it has no such layer, or the split would leave one part empty.
        TypeError: When it is another kind of network.

    Examples:
        >>> import torchvision.models as zoo
        >>> with torch.device("meta"):
        ...     parts = split(zoo.resnet18(num_classes=10), "conv4_1")
        >>> parts.featurizer(torch.empty(1, 3, 224, 224, device="meta")).shape
        torch.Size([1, 256, 14, 14])
    """
    from strategies.features.vgg import DEVIATION, MEAN  # noqa: PLC0415  (as in `_zoo`)

    layers = _layers(network)
    names = list(layers)
    wanted = _torchvision_name(network, layer) if re.fullmatch(r"conv\d+_\d+", layer) else layer
    if wanted not in names[:-1]:
        raise ValueError(f"there is no layer {layer!r} to split after; these are: {', '.join(names[:-1])}")
    cut = names.index(wanted) + 1
    parts = [
        OrderedDict((name.replace(".", "_"), layers[name]) for name in part) for part in (names[:cut], names[cut:])
    ]
    return SplitNetwork(
        nn.Sequential(OrderedDict([("standardise", Standardise(MEAN, DEVIATION)), *parts[0].items()])),
        nn.Sequential(parts[1]),
    )


def _zoo() -> Any:
    import torchvision.models  # noqa: PLC0415  (two seconds that the compact network need not wait for)

    return torchvision.models


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    """Name the layers and blocks that a network applies one after the other."""
    zoo = _zoo()
    if not isinstance(network, zoo.ResNet | zoo.VGG):
        raise TypeError(f"a {type(network).__name__} cannot be split: only torchvision's ResNets and VGGs")
    layers: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        if name in {"fc", "classifier"}:
            layers["flatten"] = nn.Flatten()
        if isinstance(child, nn.Sequential):
            layers |= {f"{name}.{number}": part for number, part in child.named_children()}
        else:
            layers[name] = child
    for name, part in layers.items():
        if isinstance(part, nn.ReLU):
            layers[name] = nn.ReLU()  # VGG's works in place, and would change features that others still read
    return layers


def _torchvision_name(network: nn.Module, paper_name: str) -> str:
    zoo = _zoo()
    group, number = (int(part) for part in paper_name.removeprefix("conv").split("_"))
    if isinstance(network, zoo.ResNet):
        return f"layer{group - 1}.{number - 1}"
    groups, convolutions = 1, 0
    for name, part in _layers(network).items():
        if isinstance(part, nn.Conv2d):
            convolutions += 1
        elif isinstance(part, nn.ReLU) and (groups, convolutions) == (group, number):
            return name
        elif isinstance(part, nn.MaxPool2d):
            groups, convolutions = groups + 1, 0
    return ""


def compact(classes: int) -> SplitNetwork:
    """Return a small residual network for images of about 64 x 64, split where the side has shrunk to a quarter."""
    channels = COMPACT_CHANNELS
    featurizer = nn.Sequential(
        Standardise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        ResidualBlock(32, channels, 2),
    )  # fmt: skip
    decider = nn.Sequential(
        ResidualBlock(channels, 128, 2), ResidualBlock(128, 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes),
    )  # fmt: skip
    return SplitNetwork(featurizer, decider)


ARCHITECTURES: dict[str, Callable[[int], SplitNetwork]] = {
    "compact": compact,
    "resnet18": lambda classes: split(_zoo().resnet18(num_classes=classes), "conv4_1"),
    "resnet50": lambda classes: split(_zoo().resnet50(num_classes=classes), "conv4_1"),
    "resnet101": lambda classes: split(_zoo().resnet101(num_classes=classes), "conv4_1"),
    "vgg16": lambda classes: split(_zoo().vgg16_bn(num_classes=classes, init_weights=False), "conv3_3"),
}
"""Untrained networks by name, each split where this project does it; the ResNets where the paper does."""


def new_network(architecture: str, classes: int, generator: torch.Generator) -> SplitNetwork:
    """Return an untrained network of `ARCHITECTURES`, weights drawn from the generator.

    Raises:
        ValueError: When there is no such architecture.

    Examples:
        >>> network = new_network("compact", 10, torch.Generator().manual_seed(1))
        >>> features = network.featurizer(torch.zeros(2, 3, 64, 64))
        >>> features.shape, network.decider(features).shape
        (torch.Size([2, 64, 16, 16]), torch.Size([2, 10]))
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(f"there is no architecture {architecture!r}; these are: {', '.join(ARCHITECTURES)}")
    return built(lambda: ARCHITECTURES[architecture](classes), generator)
