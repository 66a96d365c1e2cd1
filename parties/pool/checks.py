"""What the pool, and every entity that draws from it, check of features before they use them."""

import numpy as np

from protocol.messages.pool import PoisonedFeatures


def contribution_refusal(
    contribution: PoisonedFeatures, pool: bytes, featurizer: bytes, shape: tuple[int, int, int], classes: int
) -> str | None:
    """Say why features are refused, None when they can be pooled.

    Args:
        pool, featurizer: What they have to be for, and the fingerprint of what has to have computed them.
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
