"""What a seller holds: pictures that are opened one at a time."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An RGB picture, shape (height, width, 3)."""


class UnreadableImage(Exception):
    """A picture of an album cannot be opened; the text says why."""


class Album(Protocol):
    """Pictures by position. A list of arrays is one; so is a folder of files that are opened on demand."""

    def __len__(self) -> int:
        """Return how many pictures there are, readable or not."""

    def __getitem__(self, index: int, /) -> Pixels:
        """Return one picture; raises `UnreadableImage`."""


def readable(album: Album) -> Iterator[tuple[int, Pixels]]:
    """Yield the pictures that open, with their positions; one is in memory at a time."""
    for index in range(len(album)):
        try:
            yield index, album[index]
        except UnreadableImage:
            continue
