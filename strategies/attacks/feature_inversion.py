"""The inversion attack: what a 2-d feature tells about the picture that it was computed from (CrowdBuy, section V).

"With the help of the decoder an adversary can reconstruct the 1000-dimension feature with some loss." Here it does, and
compares what it gets with public pictures that went the same way: the nearest of them vote on what the picture shows,
and their mean is the attack's picture. Two numbers hold no more than what pictures with that feature have in common.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Decode = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""From (n, 2) lattice points to (n, classes) fc8 features: the public decoder."""


class Inverted(NamedTuple):
    """What the attack infers from n features.

    Attributes:
        labels: (n,); what the pictures show, in the numbering of the public ones.
        pictures: (n, height, width, 3), what they look like.
    """

    labels: NDArray[np.int64]
    pictures: NDArray[np.uint8]


def invert(
    features: NDArray[np.int64],
    decode: Decode,
    public_features: NDArray[np.int64],
    public_labels: NDArray[np.int64],
    public_pictures: NDArray[np.uint8],
    neighbours: int = 15,
) -> Inverted:
    """Guess what pictures show and how they look, from their 2-d features.

    Args:
        features: (n, 2), lattice points: sent at level 1, or the localisation attack's guesses at level 2.
        decode: The public decoder.
        public_features: (m, 2), lattice points of public pictures.
        public_labels: (m,); what these show, from 0.
        public_pictures: (m, height, width, 3)
        neighbours: How many public pictures vote.

    Raises:
        ValueError: When there are fewer public pictures than are to vote.

    Examples:
        >>> black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
        >>> public = np.array([[0, 0], [1, 1], [90, 90], [91, 91]])
        >>> guess = invert(
        ...     np.array([[2, 0], [88, 95]]), lambda points: points.astype(np.float32), public,
        ...     np.array([0, 0, 1, 1]), np.stack([black, black, white, white]), neighbours=2,
        ... )
        >>> guess.labels.tolist(), guess.pictures[:, 0, 0, 0].tolist()
        ([0, 1], [0, 255])
    """
    if not 1 <= neighbours <= len(public_labels):
        raise ValueError(f"{neighbours} public pictures are to vote and there are {len(public_labels)}")
    decoded, known = decode(features).astype(np.float64), decode(public_features).astype(np.float64)
    squared = (decoded**2).sum(1)[:, None] - 2 * decoded @ known.T + (known**2).sum(1)
    nearest = np.argpartition(squared, neighbours - 1, axis=1)[:, :neighbours]
    votes = (public_labels[nearest][:, :, None] == np.arange(public_labels.max() + 1)).sum(axis=1)
    flat = public_pictures.reshape(len(public_pictures), -1)
    weights = np.zeros((len(features), len(flat)), np.float32)
    np.put_along_axis(weights, nearest, 1 / neighbours, axis=1)
    pictures = np.rint(weights @ flat.astype(np.float32)).astype(np.uint8)
    return Inverted(votes.argmax(axis=1), pictures.reshape(-1, *public_pictures.shape[1:]))
