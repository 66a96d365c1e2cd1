"""Checks of features, by the pool and by every entity that draws from it."""

import numpy as np
from numpy.typing import NDArray

from protocol.messages.pool import PoisonedFeatures

HIGHEST, STRONGEST = 16.0, 2.0
"""How many times the featurizer's highest values a feature may reach, channel by channel: a number, and the root mean
square of a map. Honest features reach 7 and 1 from modules trained for 15 steps or more, and 22 and 4.5 after one to
three steps."""


def contribution_refusal(
    contribution: PoisonedFeatures,
    pool: bytes,
    featurizer: bytes,
    shape: tuple[int, int, int],
    classes: int,
    highest: NDArray[np.float32],
) -> str | None:
    """Return why features are refused, None when they can be pooled.

    Args:
        pool, featurizer: The pool, and the fingerprint of its featurizer.
        shape: Channels, height and width of this featurizer's maps.
        classes: Labels are in 0..classes - 1.
        highest: (channels,), the values that this featurizer reaches (`published.highest_features`).
    """
    features, labels = contribution.features, contribution.labels
    if contribution.pool != pool:
        return "the features are for another pool"
    if contribution.featurizer != featurizer:
        return "the features come from another version of the featurizer"
    if features.shape[1:] != shape:
        return f"the features have shape {features.shape[1:]}, not {shape}"
    if not np.isfinite(features).all():
        return "the features hold numbers that are not finite"
    if not (features >= 0).all():
        return "the features hold negative numbers, and private modules end in a ReLU"
    relative = features / np.maximum(highest, np.float32(1e-3))[:, None, None]
    reached = float(relative.max(initial=0.0))
    if not reached <= HIGHEST:
        return f"a feature reaches {reached:.3g} times what the featurizer can produce, and {HIGHEST:g} are allowed"
    strength = float(np.sqrt(np.square(relative, out=relative).mean((1, 2, 3))).max(initial=0.0))
    if not strength <= STRONGEST:
        return f"a feature is {strength:.3g} times as strong as the featurizer's, and {STRONGEST:g} are allowed"
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        return f"a label is not one of the {classes} classes"
    return None
