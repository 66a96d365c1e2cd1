"""The networks of PRIC: the extractor E_phi, and classifiers of attributes (section 2, Fig. 2).

The paper gives no layers. As in the authors' follow-up (TIPRDC, 2020), the extractor is what VGG does up to its second
pooling, so that a representation has a quarter of the picture's side.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from strategies.deep_poisoning.split import Standardise
from strategies.learning.initialise import built

SCALE = 4
"""Side of a picture divided by the side of its representation."""
CELLS = 4
"""Rows and columns of the grid in whose cells classifiers average features."""
WIDTHS: Mapping[str, int] = {"plain": 64, "strong": 128, "deep": 48}
"""Channels of a classifier; the strong one has a layer more, the deep one four in residual blocks, and twice the width
from the pooling on."""


def _layer(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def _compact() -> nn.Sequential:
    return nn.Sequential(
        Standardise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        *_layer(3, 16), nn.MaxPool2d(2), *_layer(16, 32), *_layer(32, 32), nn.MaxPool2d(2),
    )  # fmt: skip


def _vgg16() -> nn.Sequential:
    from torchvision.models import vgg16_bn  # noqa: PLC0415 seconds that the compact extractor need not wait for

    blocks = vgg16_bn(init_weights=False).features[:14]
    plain = [nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in blocks]
    return nn.Sequential(Standardise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), *plain)


EXTRACTORS: dict[str, Callable[[], nn.Sequential]] = {"compact": _compact, "vgg16": _vgg16}
"""Untrained extractors by name: 32 channels for pictures of 32 to 64 pixels, and the follow-up's, with 128."""


def new_extractor(architecture: str, generator: torch.Generator) -> nn.Sequential:
    """Return an untrained extractor, weights drawn from the generator.

    It maps (n, 3, height, width) pictures in 0..1 to (n, channels, height / 4, width / 4) representations.

    Raises:
        ValueError: When there is no such architecture.

    Examples:
        >>> new_extractor("compact", torch.Generator().manual_seed(1)).eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 32, 8, 8])
    """
    if architecture not in EXTRACTORS:
        raise ValueError(f"there is no extractor {architecture!r}; these are: {', '.join(EXTRACTORS)}")
    return built(EXTRACTORS[architecture], generator)


class Residual(nn.Module):
    """Two layers with a short cut around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(*_layer(channels, channels), *_layer(channels, channels)[:-1])

    def forward(self, representations: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        branch: Tensor = self.branch(representations)
        return torch.relu(representations + branch)


class Classifier(nn.Module):
    """Tells attributes from representations: C of Eq. 1, a collector's task, or an attacker.

    Args:
        channels: Of the representations.
        attributes: How many binary attributes; one logit each.
        strength: "plain", "strong" or "deep", a key of `WIDTHS`.
    """

    def __init__(self, channels: int, attributes: int, strength: str = "plain") -> None:
        super().__init__()
        width = WIDTHS[strength]
        if strength == "deep":
            layers = [*_layer(channels, width), Residual(width), nn.MaxPool2d(2)]
            layers += [*_layer(width, 2 * width), Residual(2 * width)]
            width *= 2
        else:
            layers = [*_layer(channels, width), nn.MaxPool2d(2), *_layer(width, width)]
        if strength == "strong":
            layers += _layer(width, width)
        self.embed = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(CELLS), nn.Flatten(), nn.Linear(CELLS**2 * width, width), nn.ReLU()
        )
        self.decide = nn.Linear(width, attributes)

    def forward(self, representations: Tensor) -> Tensor:
        """Map (n, channels, h, w) representations to (n, attributes) logits."""
        logits: Tensor = self.decide(self.embed(representations))
        return logits


def new_classifier(channels: int, attributes: int, generator: torch.Generator, strength: str = "plain") -> Classifier:
    """Return an untrained classifier, weights drawn from the generator.

    Examples:
        >>> new_classifier(32, 3, torch.Generator().manual_seed(1))(torch.zeros(2, 32, 8, 8)).shape
        torch.Size([2, 3])
    """
    return built(lambda: Classifier(channels, attributes, strength), generator)
