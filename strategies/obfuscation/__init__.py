"""Obfuscation: images made unrecognisable to people and machines, on which a model can still be trained.

Raynal, Achanta and Humbert 2020, "Image Obfuscation for Privacy-Preserving Machine Learning". In every epoch the owner

1. draws who is mixed with whom (`group`),
2. obfuscates batches of these groups (`obfuscate`),
3. publishes the pictures and their labels, and keeps the groups and the weights.

To add a technique, write its function in `techniques` and add a line to `OBFUSCATIONS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from strategies.obfuscation.grouping import group
from strategies.obfuscation.techniques import (
    blur_and_mix,
    graft_and_mix,
    graft_shares,
    instahide,
    mix,
    mix_and_noise,
    noise_and_mix,
    pixelize_and_mix,
    shuffle_and_mix,
    shuffle_noise_and_mix,
)
from strategies.obfuscation.weights import (
    beta_weights,
    capped_weights,
    distorting_weights,
    dominant,
    given_weights,
    label_shares,
    noisy_labels,
)
from strategies.privacy.stream import Stream

__all__ = ["OBFUSCATIONS", "Obfuscated", "Obfuscation", "ObfuscationInfo", "group", "mixing_weights", "obfuscate"]

Drawn = Literal["distorting", "beta", "capped"]


@dataclass(frozen=True)
class ObfuscationInfo:
    """What a technique does, in one line, and its usual setting.

    Attributes:
        description: One line.
        function: Of `techniques`.
        weights: Of the images in a mixture, or how they are drawn.
        images: How many images are mixed.
        strengths: The technique's own numbers by name, as they usually are.
        label: What is published: the class of the image that contributes most; every class's share; or the class whose
            share is largest after noise.
    """

    description: str
    function: Callable[..., Tensor]
    weights: tuple[float, ...] | Drawn
    images: int = 2
    strengths: Mapping[str, float] = field(default_factory=dict)
    label: Literal["dominant", "shares", "noisy"] = "dominant"


_THREE_TO_ONE = (0.75, 0.25)

OBFUSCATIONS = {
    "mix": ObfuscationInfo("the weighted sum of two images", mix, _THREE_TO_ONE),
    "mix-3": ObfuscationInfo("the weighted sum of three images", mix, (0.5, 0.33, 0.16), 3),
    "graft-mix": ObfuscationInfo(
        "some pixels of one image, the others mixed", graft_and_mix, _THREE_TO_ONE, strengths={"kept": 0.5}
    ),
    "shuffle-mix": ObfuscationInfo(
        "pixels shuffled within small squares, then mixed", shuffle_and_mix, _THREE_TO_ONE, strengths={"block": 8}
    ),
    "noise-mix": ObfuscationInfo(
        "Gaussian noise on each image, then mixed", noise_and_mix, _THREE_TO_ONE, strengths={"sigma": 20.0}
    ),
    "shuffle-noise-mix": ObfuscationInfo(
        "pixels shuffled within small squares, then Gaussian noise, then mixed",
        shuffle_noise_and_mix,
        _THREE_TO_ONE,
        strengths={"block": 4, "sigma": 20.0},
    ),
    "pixelize-mix": ObfuscationInfo("large pixels, mixed", pixelize_and_mix, _THREE_TO_ONE, strengths={"blocks": 32}),
    "blur-mix": ObfuscationInfo("blurred and mixed", blur_and_mix, _THREE_TO_ONE, strengths={"kernel": 17}),
    "pixelize": ObfuscationInfo("large pixels only", pixelize_and_mix, (1.0,), 1, strengths={"blocks": 16}),
    "blur": ObfuscationInfo("blurred only", blur_and_mix, (1.0,), 1, strengths={"kernel": 35}),
    "mixup": ObfuscationInfo("a random share of each image and label (Zhang et al. 2018)", mix, "beta", label="shares"),
    "instahide": ObfuscationInfo(
        "four images mixed, signs flipped at random (Huang et al. 2020)", instahide, "capped", 4, label="shares"
    ),
    "dp-mix": ObfuscationInfo(
        "many images averaged, with differentially private noise (Lee et al. 2019)",
        mix_and_noise,
        (0.125,) * 8,
        8,
        strengths={"sigma": 40.0},
        label="noisy",
    ),
}
"""Techniques by name."""


@dataclass(frozen=True)
class Obfuscation:
    """A technique with its setting; what is left out is as usual.

    Args:
        technique: Of `OBFUSCATIONS`.
        weights: Of the images in a mixture, the first in a group first, scaled to sum to 1; "distorting" for those that
            distort most.
        strength: The technique's own number; of several, all of them, in the order of `ObfuscationInfo.strengths`.

    Raises:
        ValueError: When there is no such technique, it has no strength or another number of them, or weights are
            negative or all zero.

    Examples:
        >>> Obfuscation("noise-mix", weights=(0.5, 0.5), strength=30).images
        2
        >>> Obfuscation("shuffle-noise-mix", strength=(2, 30)).strengths
        {'block': 2, 'sigma': 30.0}
    """

    technique: str
    weights: tuple[float, ...] | Literal["distorting"] | None = None
    strength: float | tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.technique not in OBFUSCATIONS:
            raise ValueError(f"there is no obfuscation {self.technique}; choose from {', '.join(OBFUSCATIONS)}")
        if self.strength is not None and not self.info.strengths:
            raise ValueError(f"{self.technique} has no strength to set")
        if len(self._given) not in (0, len(self.info.strengths)):
            named = " and ".join(self.info.strengths)
            raise ValueError(f"the strength of {self.technique} is {named}, not {len(self._given)} numbers")
        if isinstance(self.weights, tuple) and (min(self.weights, default=-1) < 0 or not sum(self.weights) > 0):
            raise ValueError(f"weights are positive, not {self.weights}")

    @property
    def info(self) -> ObfuscationInfo:
        """The technique."""
        return OBFUSCATIONS[self.technique]

    @property
    def images(self) -> int:
        """How many images are mixed."""
        return len(self.weights) if isinstance(self.weights, tuple) else self.info.images

    @property
    def strengths(self) -> dict[str, float]:
        """The technique's own numbers by name: those that are set, or the usual ones."""
        usual = self.info.strengths
        chosen = zip(usual.items(), self._given or usual.values(), strict=True)
        return {name: type(value)(given) for (name, value), given in chosen}

    @property
    def _given(self) -> tuple[float, ...]:
        if self.strength is None:
            return ()
        return self.strength if isinstance(self.strength, tuple) else (self.strength,)


class Obfuscated(NamedTuple):
    """A batch of obfuscated images. The first two are published, the weights stay with the owner.

    Attributes:
        pictures: (m, 3, height, width) uint8
        labels: (m,) int64, or (m, classes) float32, classes; for mixup and InstaHide every class's share.
        weights: (m, k) float32, what each image of the group contributes.
    """

    pictures: Tensor
    labels: Tensor
    weights: Tensor


def obfuscate(
    obfuscation: Obfuscation,
    sources: Tensor,
    labels: Tensor,
    classes: int,
    stream: Stream,
    *,
    regions: Tensor | None = None,
) -> Obfuscated:
    """Obfuscate one batch of groups, in time linear in the pixels.

    Args:
        obfuscation: The technique and its setting.
        sources: (m, k, 3, height, width) uint8; the groups' images, on the CPU or a GPU.
        labels: (m, k) int64; what they show, on the same device.
        stream: Of random numbers; the owner's is its own secret, and of this batch alone.
        regions: (m, height, width) bool, where to obfuscate: elsewhere the picture shows the image that contributes
            most, as it is. None: everywhere.

    Raises:
        ValueError: When sources are of another type or number than the obfuscation takes, or its strength does not suit
            their size.

    Examples:
        >>> sources = torch.tensor([200, 40], dtype=torch.uint8).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, 8, 8)
        >>> batch = obfuscate(Obfuscation("mix"), sources, torch.tensor([[1, 0]]), 2, Stream(bytes(32)))
        >>> batch.pictures.unique().tolist(), batch.labels.tolist(), batch.weights.tolist()
        ([160], [1], [[0.75, 0.25]])
    """
    if sources.dtype != torch.uint8 or sources.dim() != 5 or sources.shape[1:3] != (obfuscation.images, 3):
        raise ValueError(
            f"{obfuscation.technique} takes (m, {obfuscation.images}, 3, height, width) uint8 images, "
            f"not {tuple(sources.shape)} {sources.dtype}"
        )
    info = obfuscation.info
    weights = mixing_weights(obfuscation, sources, stream)
    strengths = obfuscation.strengths
    pictures = info.function(sources, weights, stream, **strengths)
    if "kept" in strengths:
        weights = graft_shares(weights, strengths["kept"])
    most = dominant(weights, stream)
    if regions is not None:
        shown = sources[torch.arange(len(sources), device=sources.device), most]
        pictures = torch.where(regions[:, None], pictures, shown)
    if info.label == "dominant":
        published = labels.gather(1, most[:, None])[:, 0]
    else:
        published = label_shares(labels, weights, classes)
    if info.label == "noisy":
        published = noisy_labels(published, obfuscation.images, strengths["sigma"] / 255, stream)
    return Obfuscated(pictures, published, weights)


def mixing_weights(obfuscation: Obfuscation, sources: Tensor, stream: Stream) -> Tensor:
    """Return the weights of the images in every group, (m, k) float32, from (m, k, 3, height, width) images."""
    weights = obfuscation.weights or obfuscation.info.weights
    if weights == "distorting":
        return distorting_weights(sources)
    if weights == "beta":
        return beta_weights(len(sources), obfuscation.images, stream).to(sources.device)
    if weights == "capped":
        return capped_weights(len(sources), obfuscation.images, stream).to(sources.device)
    return given_weights(weights, len(sources), sources.device)
