"""Albums that are painted when they are opened; until then they need no memory."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parties.album import Album, Pixels

AT_ONCE = 80
"""About the number of pictures in a batch, which is painted when its first picture is opened."""
KEPT = 64
"""Batches in the cache of each process."""

Dealt = list[tuple[Album, NDArray[np.int64]]]
"""An album and the labels of its pictures, per seller."""


class Batch:
    """Pictures that are painted together when one of them is opened.

    Args:
        paint: Returns the (n, height, width, 3) pictures, always the same.
        file: Stores them for other processes of this machine, and for later.
    """

    def __init__(self, paint: Callable[[], NDArray[np.uint8]], file: Path | None) -> None:
        self._paint = paint
        self._file = file

    @lru_cache(maxsize=KEPT)  # noqa: B019 bounded
    def pictures(self) -> NDArray[np.uint8]:
        """Return all pictures."""
        if self._file is None:
            return self._paint()
        with suppress(FileNotFoundError):
            kept: NDArray[np.uint8] = np.load(self._file, mmap_mode="r", allow_pickle=False)
            return kept
        painted = self._paint()
        arriving = self._file.with_name(f"{uuid.uuid4().hex}.npy")
        try:
            np.save(arriving, painted, allow_pickle=False)
            arriving.replace(self._file)
        except OSError:  # another machine does not have this folder, and here it may be full: then it is painted again
            with suppress(OSError):
                arriving.unlink(missing_ok=True)
        return painted


class PaintedAlbum:
    """An album among the pictures of a batch."""

    def __init__(self, batch: Batch, places: range) -> None:
        self._batch = batch
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Pixels:
        return np.asarray(self._batch.pictures()[self._places[index]])


def unpainted(
    wanted: Sequence[NDArray[np.int64]],
    labels: Sequence[NDArray[np.int64]],
    paint: Callable[..., NDArray[np.uint8]],
    folder: Path | None,
) -> Dealt:
    """Return albums that are painted in batches when they are opened, and the labels of their pictures.

    Args:
        wanted: Descriptions of the pictures of each album, a row per picture.
        labels: Each (n,), the labels of its pictures.
        paint: Takes such rows and a `purpose` for its generator.
        folder: For painted pictures; None: they are kept in memory only.
    """
    batches = np.cumsum(sizes(wanted)) // AT_ONCE
    dealt: Dealt = []
    for number in np.unique(batches).tolist():
        first, last = np.searchsorted(batches, (number, number + 1)).tolist()
        some = wanted[first:last]
        file = None if folder is None else folder / f"{number}.npy"
        batch = Batch(partial(paint, np.concatenate(some), purpose=f"albums {number}"), file)
        ends = np.cumsum(sizes(some)).tolist()
        albums = [PaintedAlbum(batch, range(end - len(rows), end)) for end, rows in zip(ends, some, strict=True)]
        dealt += zip(albums, labels[first:last], strict=True)
    return dealt


def sizes(albums: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return the number of pictures in each album."""
    return [len(album) for album in albums]
