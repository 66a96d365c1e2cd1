"""From which score on an image counts as unrecognisable (Raynal et al. 2020, sections 4.2.3 and 4.3).

A recogniser (people, or a classifier) looks at obfuscated images and either names the class of one of the images in
them or not. Each (obfuscated image, component) pair has a score. The positive event is *not recognised*; a pair is
called private when its score reaches the threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATES = 400
"""Surveys that intervals are computed from."""


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
        values: (points,); the threshold of each point, infinite at the first, at which nothing is private.
    """

    auc: float
    t_acc: Threshold
    t_cut_off: Threshold
    curve: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """95 % intervals of what an `Agreement` says: (low, high) each."""

    auc: tuple[float, float]
    t_acc: tuple[float, float]
    t_cut_off: tuple[float, float]


def agreement(
    scores: NDArray[np.float64], recognised: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> Agreement:
    """Draw the ROC curve of a score against a recogniser and choose the paper's two thresholds on it.

    Args:
        scores: (n,), of (obfuscated image, component) pairs; more is more private.
        recognised: (n,), whether the recogniser named that component's class.
        weights: (n,), how often each pair counts; None: once.

    Raises:
        ValueError: When lengths differ, a score is not finite, or all pairs, or none, were recognised.

    Examples:
        >>> found = agreement(np.array([0.1, 0.3, 0.6, 0.8]), np.array([True, True, False, False]))
        >>> found.auc, found.t_acc.value, found.t_cut_off.value
        (1.0, 0.6, 0.6)
    """
    if len(scores) != len(recognised) or not np.isfinite(scores).all():
        raise ValueError(f"{len(scores)} scores for {len(recognised)} answers: each answer needs one finite score")
    if recognised.all() or not recognised.any():
        raise ValueError(f"{recognised.sum()} of {len(recognised)} were recognised: a ROC curve needs some of each")
    false, true, values = _curve(scores, recognised, np.ones(len(scores)) if weights is None else weights)

    def at(point: np.intp) -> Threshold:
        return Threshold(float(values[point]), float(false[point]), float(true[point]))

    # The first point calls nothing private; its threshold is infinite.
    most, nearest = 1 + np.argmax((true - false)[1:]), 1 + np.argmin((false**2 + (1 - true) ** 2)[1:])
    return Agreement(float(np.trapezoid(true, false)), at(most), at(nearest), np.stack([false, true], axis=1), values)


def intervals(
    scores: NDArray[np.float64],
    recognised: NDArray[np.bool_],
    people: NDArray[np.int64],
    pictures: NDArray[np.int64],
    generator: np.random.Generator,
    replicates: int = REPLICATES,
) -> Intervals:
    """Return 95 % intervals over people and pictures, both of which could have been others.

    Answers of one person are not independent, nor are answers about one picture: both are resampled, and an answer
    counts as often as its person times its picture was drawn (Owen 2007, "The pigeonhole bootstrap"). A single person
    is not resampled: the intervals are then over pictures alone.

    Args:
        people, pictures: (n,), whose answer each pair is, and to which picture.

    Raises:
        ValueError: As `agreement`.
    """
    agreement(scores, recognised)
    whose, shown = (np.unique(each, return_inverse=True)[1] for each in (people, pictures))
    found: list[tuple[float, float, float]] = []
    while len(found) < replicates:
        asked = _drawn(int(whose.max()) + 1, generator)
        weights = asked[whose] * _drawn(int(shown.max()) + 1, generator)[shown]
        counted = weights > 0
        if recognised[counted].all() or not recognised[counted].any():
            continue  # there is no curve
        one = agreement(scores[counted], recognised[counted], weights[counted])
        found.append((one.auc, one.t_acc.value, one.t_cut_off.value))
    low, high = np.quantile(np.array(found), (0.025, 0.975), axis=0)
    pairs = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    return Intervals(*pairs)


def _drawn(count: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return how often each of so many is drawn; one alone always once."""
    return np.bincount(generator.integers(count, size=count), minlength=count).astype(np.float64)


def _curve(
    scores: NDArray[np.float64], recognised: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return FPR and TPR at every threshold that is a score, the largest first, after a threshold that none reaches."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    shares = []
    for kind in (recognised, ~recognised):
        reached = np.cumsum((weights * kind)[order])
        shares.append(np.append(0.0, reached[last] / reached[-1]))
    return shares[0], shares[1], np.append(np.inf, ordered[last])
