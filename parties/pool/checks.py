"""Checks of features, by the pool and by every entity that draws from it."""

import numpy as np

from protocol.messages.pool import PoisonedFeatures


def contribution_refusal(
    contribution: PoisonedFeatures, pool: bytes, featurizer: bytes, shape: tuple[int, int, int], classes: int
) -> str | None:
    """Return why features are refused, None when they can be pooled.

    Args:
        pool, featurizer: The pool, and the fingerprint of its featurizer.
        shape: Channels, height and width of this featurizer's maps.
        classes: Labels are in 0..classes - 1.
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
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        return f"a label is not one of the {classes} classes"
    return None
