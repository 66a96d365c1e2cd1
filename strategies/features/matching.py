"""Which images match the buyer's samples, and how well (CrowdBuy, sections IV.A and IV.B).

Features have D = 2 numbers, or as many as an fc8 vector.
"""

import numpy as np
from numpy.typing import NDArray

from strategies.features.signatures import on_lattice

Points = NDArray[np.int64] | NDArray[np.float64]


def nearest_distance(points: Points, centroids: Points) -> NDArray[np.float64]:
    """Return each point's Euclidean distance to the nearest target centroid.

    Args:
        points: (n, D); features, or the centroids of signatures.
        centroids: (m, D), features of the buyer's sample images.

    Returns:
        (n,), distances in the features' own units.

    Raises:
        ValueError: When there is no centroid.

    Examples:
        >>> nearest_distance(np.array([[3, 4], [10, 0]]), np.array([[0, 0], [10, 1]]))
        array([5., 1.])
    """
    if not len(centroids):
        raise ValueError("no target centroid: a request needs at least one sample image")
    positions = np.asarray(points, np.float64)
    axes = np.ascontiguousarray(positions.T)
    squared = np.full(len(positions), np.inf)
    for centroid in np.asarray(centroids, np.float64):
        np.minimum(squared, sum((axis - value) ** 2 for axis, value in zip(axes, centroid, strict=True)), out=squared)
    return np.asarray(np.sqrt(squared))


def is_candidate(points: Points, centroids: Points, radius: float, *, exclude_zero: bool = True) -> NDArray[np.bool_]:
    """Return which images match a sample: 0 < min D <= R, and, in two dimensions, on the lattice.

    Args:
        points: (n, D); features, or the centroids of signatures.
        centroids: (m, D), features of the buyer's sample images.
        radius: R, in the same units.
        exclude_zero: Whether an image at distance 0, which the buyer has already, is out. At level 2 the cloud sees
            only signatures and cannot tell: there the seller excludes it and the buyer verifies.

    Returns:
        (n,)

    Raises:
        ValueError: When there is no centroid, or the radius is not positive.

    Examples:
        >>> is_candidate(np.array([[0, 0], [3, 4], [3, 5]]), np.array([[0, 0]]), radius=5)
        array([False,  True, False])
    """
    _require_radius(radius)
    distance = nearest_distance(points, centroids)
    inside = on_lattice(points) if points.shape[1] == 2 else True
    return inside & (distance <= radius) & ((distance > 0) | (not exclude_zero))


def matching_degree(points: Points, centroids: Points, radius: float) -> NDArray[np.float64]:
    """Return each image's matching degree, max(0, 1 - min D / R) (definition 1).

    Args:
        points: (n, D); features, or the centroids of signatures.
        centroids: (m, D), features of the buyer's sample images.
        radius: R, in the same units.

    Returns:
        (n,); 1 is a perfect match, 0 unmatched.

    Raises:
        ValueError: When there is no centroid, or the radius is not positive.

    Examples:
        >>> matching_degree(np.array([[0, 0], [3, 4], [30, 40]]), np.array([[0, 0]]), radius=20)
        array([1.  , 0.75, 0.  ])
    """
    _require_radius(radius)
    distance = nearest_distance(points, centroids)
    return np.maximum(0.0, 1.0 - distance / radius)


def _require_radius(radius: float) -> None:
    if not radius > 0:
        raise ValueError(f"radius is {radius}: the distance threshold must be positive")
