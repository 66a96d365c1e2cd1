"""The least strength that hides enough: a threshold on a privacy score chooses a technique's parameters.

Raynal et al. 2020 ask people what they recognise, find the score from which on they recognise nothing (section 4.2),
and set the techniques so that images score just above it (sections 4.4 and 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from strategies.obfuscation import Obfuscation, group, obfuscate
from strategies.privacy.stream import Stream
from strategies.scores.privacy_scores import Score

MIXTURES = 32
"""Mixtures that each strength is scored on, at most."""


class NotReached(ValueError):
    """No strength of a technique reaches the threshold; the text says what the strongest comes to."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """A setting and how unlike its images its mixtures are.

    Attributes:
        setting: The technique with the strength that was found.
        scores: (mixtures,) float64, of each with the image that contributes most.
    """

    setting: Obfuscation
    scores: Tensor


def strengths(name: str, side: int) -> Sequence[float]:
    """Return the values that a technique's number can take on images of a size, the one that hides least first.

    Examples:
        >>> strengths("block", 12), strengths("kept", 12)[:3]
        ([1, 2, 3, 4, 6, 12], [0.95, 0.9, 0.85])
    """
    values: dict[str, Sequence[float]] = {
        "sigma": [float(sigma) for sigma in range(1, 256)],
        "block": [block for block in range(1, side + 1) if side % block == 0],
        "blocks": list(range(side, 0, -1)),
        "kernel": list(range(1, 2 * side, 2)),
        "kept": [round(1 - 0.05 * step, 2) for step in range(1, 20)],
    }
    return values[name]


def least_strength(setting: Obfuscation, images: Tensor, score: Score, at: float, key: bytes) -> Chosen:
    """Find the least strength at which mixtures score at least so much, on average.

    Of several numbers the last is chosen, and the others stay. It is found by bisection: more strength is taken to
    score more.

    Args:
        setting: The technique and its weights; its last number does not matter.
        images: (n, 3, height, width) uint8, of the size at which people were asked: a score depends on it.
        score: Of `SCORES`.
        at: The threshold.
        key: 32 bytes, of random numbers; the same for every strength.

    Raises:
        NotReached: When the strongest scores less.
        ValueError: When the technique has no strength, or there are fewer images than it mixes.
    """
    if not setting.strengths:
        raise ValueError(f"{setting.technique} has no strength that a threshold could choose")
    *others, name = setting.strengths
    values = strengths(name, min(images.shape[2:]))
    unlabelled = torch.zeros(len(images), dtype=torch.int64)
    groups = group(unlabelled, setting.images, Stream(key), repeat=True)[:MIXTURES]

    def tried(place: int) -> Chosen:
        strength = (*(setting.strengths[other] for other in others), values[place])
        one = replace(setting, strength=strength if others else strength[0])
        batch = obfuscate(one, images[groups], unlabelled[groups], 1, Stream(key))
        shown = images[groups.gather(1, batch.weights.argmax(1, keepdim=True))[:, 0]]
        return Chosen(one, score(shown, batch.pictures))

    low, high = 0, len(values) - 1
    best = tried(high)
    if best.scores.mean() < at:
        raise NotReached(
            f"{setting.technique} scores {best.scores.mean():.2f} at its strongest, {name} {values[high]:g}, less than"
            f" {at:g}"
        )
    while low < high:
        middle = (low + high) // 2
        found = tried(middle)
        if found.scores.mean() >= at:
            best, high = found, middle
        else:
            low = middle + 1
    return best


def at_size(setting: Obfuscation, before: int, after: int) -> Obfuscation:
    """Return a setting for images of another size: lengths in pixels grow and shrink with them, and hide no less.

    Args:
        before, after: Width and height of the images, in pixels.

    Examples:
        >>> at_size(Obfuscation("shuffle-mix", strength=16), 256, 48).strengths
        {'block': 3}
    """
    found = tuple(_at_size(name, value, before, after) for name, value in setting.strengths.items())
    return replace(setting, strength=None if not found else found if len(found) > 1 else found[0])


def _at_size(name: str, value: float, before: int, after: int) -> float:
    if name not in ("block", "kernel"):
        return value
    values = strengths(name, after)
    return next((each for each in values if each * before >= value * after), values[-1])
