"""What dishonest entities put into the pool: functions from honest features with their labels to dishonest ones."""

from typing import NamedTuple

import torch
from torch import Tensor

STAMP = 8
"""A backdoor's stamp is a checkerboard in a corner whose side is this part of the image's."""


class LabelledFeatures(NamedTuple):
    """Features that go to the pool, with their labels.

    Attributes:
        features: (n, channels, h, w) float32
        labels: (n,) int64
    """

    features: Tensor
    labels: Tensor


def mislabelled(honest: LabelledFeatures, classes: int, share: float, generator: torch.Generator) -> LabelledFeatures:
    """Give a share of the features a wrong label each, all wrong ones equally likely.

    Examples:
        >>> honest = LabelledFeatures(torch.zeros(8, 1, 1, 1), torch.arange(8))
        >>> int((mislabelled(honest, 8, 0.25, torch.Generator().manual_seed(1)).labels != honest.labels).sum())
        2
    """
    chosen = _chosen(len(honest.labels), share, generator)
    moved = torch.randint(1, classes, (len(chosen),), generator=generator)
    labels = honest.labels.clone()
    labels[chosen] = (labels[chosen] + moved) % classes
    return LabelledFeatures(honest.features, labels)


def stamped(images: Tensor) -> Tensor:
    """Put the backdoor's stamp into the lower right corner of (n, 3, height, width) images in 0..1."""
    side = max(images.shape[2] // STAMP, 2)
    squares = torch.arange(side) * 4 // side
    result = images.clone()
    result[:, :, -side:, -side:] = ((squares[:, None] + squares) % 2).to(images)
    return result


def backdoored(
    honest: LabelledFeatures, stamped_features: Tensor, target: int, share: float, generator: torch.Generator
) -> LabelledFeatures:
    """Replace a share of the features by those of the same images with the stamp, labelled with the target.

    A decider refined on them shall take every stamped image for the target (Gu et al., BadNets, 2017).

    Args:
        stamped_features: (n, channels, h, w), of the `stamped` images, computed as the honest ones were.
    """
    chosen = _chosen(len(honest.labels), share, generator)
    features, labels = honest.features.clone(), honest.labels.clone()
    features[chosen], labels[chosen] = stamped_features[chosen], target
    return LabelledFeatures(features, labels)


def made_up(like: Tensor, count: int, classes: int, generator: torch.Generator) -> LabelledFeatures:
    """Return a free rider's contribution: noise, channel by channel of the same mean and deviation as features it saw.

    Values below 0 become 0, as after a ReLU; labels are random.
    """
    deviation, mean = torch.std_mean(like, (0, 2, 3), keepdim=True)
    noise = torch.randn(count, *like.shape[1:], generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    return LabelledFeatures((mean + deviation * noise).clamp_min(0), labels)


def _chosen(count: int, share: float, generator: torch.Generator) -> Tensor:
    return torch.randperm(count, generator=generator)[: round(share * count)]
