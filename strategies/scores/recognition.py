"""From which score on an image counts as unrecognisable (Raynal et al. 2020, sections 4.2.3 and 4.3).

A recogniser (people, or a classifier) looks at obfuscated images and either names the class of one of the images in
them or not. Each (obfuscated image, component) pair has a score. The positive event is *not recognised*; a pair is
called private when its score reaches the threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc, roc_curve


@dataclass(frozen=True)
class Threshold:
    """A threshold on a score, and what it does.

    Attributes:
        value: Scores from this value on count as private.
        false_positives, true_positives: Shares of the recognised, and of the unrecognised pairs, that reach it.
    """

    value: float
    false_positives: float
    true_positives: float


@dataclass(frozen=True)
class Agreement:
    """How well a score agrees with a recogniser.

    Attributes:
        auc: Area under the ROC curve: .5 for a score that says nothing, 1 for perfect agreement.
        t_acc: With the largest TPR - FPR.
        t_cut_off: Nearest to the corner FPR = 0, TPR = 1.
        curve: (points, 2); FPR and TPR, from (0, 0) to (1, 1).
    """

    auc: float
    t_acc: Threshold
    t_cut_off: Threshold
    curve: NDArray[np.float64]


def agreement(scores: NDArray[np.float64], recognised: NDArray[np.bool_]) -> Agreement:
    """Draw the ROC curve of a score against a recogniser and choose the paper's two thresholds on it.

    Args:
        scores: (n,), of (obfuscated image, component) pairs; more is more private.
        recognised: (n,), whether the recogniser named that component's class.

    Raises:
        ValueError: When lengths differ, a score is not finite, or all pairs, or none, were recognised.

    Examples:
        >>> found = agreement(np.array([0.1, 0.3, 0.6, 0.8]), np.array([True, True, False, False]))
        >>> found.auc, found.t_acc.value, found.t_cut_off.value
        (1.0, 0.6, 0.6)
    """
    if len(scores) != len(recognised) or not np.isfinite(scores).all():
        raise ValueError(f"{len(scores)} scores for {len(recognised)} answers: each answer takes one finite score")
    if recognised.all() or not recognised.any():
        raise ValueError(f"{recognised.sum()} of {len(recognised)} were recognised: a ROC curve takes some of each")
    false, true, values = roc_curve(~recognised, scores, drop_intermediate=False)

    def at(point: np.intp) -> Threshold:
        return Threshold(float(values[point]), float(false[point]), float(true[point]))

    # The first point calls nothing private; its threshold is infinite.
    most, nearest = 1 + np.argmax((true - false)[1:]), 1 + np.argmin((false**2 + (1 - true) ** 2)[1:])
    return Agreement(float(auc(false, true)), at(most), at(nearest), np.stack([false, true], axis=1))
