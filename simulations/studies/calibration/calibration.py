"""The scale of a featurizer's lattice, and measures of its points' quality (CrowdBuy, section VI.A).

Shapes: codes (n, 2); points (n, 2), or (n, D) for fc8 vectors; labels (n,), indices of categories, all of which occur.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.features.featurizer import LATTICE_SIDE

RADIUS, REACH, SIGNATURE_SIZE = 4000, 300, 4
"""R, d and k of the paper."""

RECALL = 0.8
"""Share of a category's pictures that lie within R of its centroid (section VI.A)."""

Points = NDArray[np.floating] | NDArray[np.int64]
Labels = NDArray[np.int64]


def centroids(points: Points, labels: Labels) -> NDArray[np.float64]:
    """Return the mean point of each category, shape (categories, 2)."""
    return np.stack([points[labels == label].mean(0, dtype=np.float64) for label in range(labels.max() + 1)])


def radius_of_recall(points: Points, labels: Labels, recall: float = RECALL) -> float:
    """Return the radius around centroids that holds a share of a category, averaged over categories.

    Examples:
        >>> points = np.array([[-1.0, 0.0], [1.0, 0.0], [6.0, 0.0], [10.0, 0.0]])
        >>> radius_of_recall(points, np.array([0, 0, 1, 1]), 0.5)
        1.0
    """
    distance = np.linalg.norm(points - centroids(points, labels)[labels], axis=1)
    order = np.argsort(distance)
    share = np.cumsum((1 / np.bincount(labels))[labels][order]) / (labels.max() + 1)
    return float(distance[order][np.searchsorted(share, recall - 1e-9)])


def lattice(codes: Points, labels: Labels) -> tuple[float, tuple[float, float]]:
    """Return the scale and offset that put the radius of recall at R and the points into the lattice's middle."""
    scale = RADIUS / radius_of_recall(codes, labels)
    low, high = np.quantile(codes, [0.001, 0.999], axis=0)
    x, y = LATTICE_SIDE / 2 - scale * (low + high) / 2
    return scale, (float(x), float(y))


def off_lattice(points: Points) -> float:
    """Return the share of points outside the lattice."""
    return float(((points < 0) | (points >= LATTICE_SIDE)).any(1).mean())


def recall(points: Points, labels: Labels, radius: float = RADIUS) -> float:
    """Return the share of a category within R of its centroid, averaged over categories."""
    return float(recall_curves(points, labels, np.array([radius])).mean())


def recall_curves(points: Points, labels: Labels, radii: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the share of each category within each radius of its centroid (Fig. 1b): shape (categories, radii)."""
    distance = np.linalg.norm(points - centroids(points, labels)[labels], axis=1)
    categories = [np.sort(distance[labels == label]) for label in range(labels.max() + 1)]
    return np.stack([np.searchsorted(own, radii, side="right") / len(own) for own in categories])


def pair_distances(points: Points, order: float = 2) -> NDArray[np.float64]:
    """Return the distances between all pairs of points, by the norm of that order: shape (n (n - 1) / 2,)."""
    pairs = [np.linalg.norm(points[index + 1 :] - point, order, axis=1) for index, point in enumerate(points)]
    return np.concatenate([np.empty(0), *pairs])


def centroid_distances(points: Points, labels: Labels) -> NDArray[np.float64]:
    """Return the distances between the centroids of all pairs of categories (Fig. 1a)."""
    return pair_distances(centroids(points, labels))


def pair_separation(points: Points, labels: Labels, radius: float = RADIUS) -> float:
    """Return the share of pairs of categories whose centroids are more than R apart."""
    return float((centroid_distances(points, labels) > radius).mean())


@dataclass(frozen=True)
class PurchaseQuality:
    """Averages over simulated purchases.

    Attributes:
        precision: Share of the matched pictures that were wanted.
        recall: Share of the wanted pictures that matched.
    """

    precision: float
    recall: float


def purchase_quality(
    points: Points,
    labels: Labels,
    categories: Sequence[int],
    generator: np.random.Generator,
    *,
    noise: float = 0.3,
    wanted: int = 3,
    samples: int = 10,
    purchases: int = 300,
) -> PurchaseQuality:
    """Match pictures against samples as the cloud does: lattice points with 0 < nearest distance <= R (section IV.A).

    Args:
        categories: The traded ones. Each purchase wants `wanted` of them, at random.
        noise: Share of offered pictures of other traded categories.
        samples: Sample pictures per purchase, drawn from the wanted categories.
    """
    points = points.astype(np.float64)
    on_lattice = ((points >= 0) & (points < LATTICE_SIDE)).all(1)
    precisions, recalls = [], []
    for _ in range(purchases):
        is_wanted = np.isin(labels, generator.choice(categories, wanted, replace=False))
        sample = generator.choice(np.flatnonzero(is_wanted), samples, replace=False)
        nearest = np.linalg.norm(points[:, None] - points[sample], axis=2).min(1)
        matched = on_lattice & (nearest > 0) & (nearest <= RADIUS)
        hits = matched[np.setdiff1d(np.flatnonzero(is_wanted), sample)].mean()
        strays = matched[~is_wanted & np.isin(labels, categories)].mean()
        bought = (1 - noise) * hits + noise * strays
        precisions.append((1 - noise) * hits / bought if bought else 1.0)
        recalls.append(hits)
    return PurchaseQuality(float(np.mean(precisions)), float(np.mean(recalls)))


def false_accepts(points: Points, labels: Labels, within: int) -> float:
    """Return the share of pairs of pictures of one category with points within a distance (L-infinity)."""
    close = pairs = 0
    for label in range(labels.max() + 1):
        distances = pair_distances(points[labels == label], np.inf)
        close, pairs = close + int((distances <= within).sum()), pairs + len(distances)
    return close / pairs
