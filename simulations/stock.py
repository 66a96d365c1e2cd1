"""Where albums' pictures come from: painted as many as wanted, or dealt from a finite pile, each once."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parties.album import Album, Pixels
from simulations.datasets import digits, pets
from simulations.datasets.folder import FolderImages
from simulations.seeding import generator, torch_generator

UNLABELLED = -1
"""The label of a picture of which nobody has said what it shows."""


class Stock(Protocol):
    """Pictures by class.

    Attributes
    ----------
    class_names : tuple of str
        What the classes are called; empty where pictures are unlabelled.
    """

    class_names: tuple[str, ...]

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Return one picture per wanted class and the labels of those there were; fewer when the pile runs out."""


class PaintedStock:
    """Breeds of pets, painted on demand."""

    class_names = pets.BREEDS

    def __init__(self, seed: int, size: int = 64) -> None:
        self._seed = seed
        self._size = size

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Paint one picture per class; other purposes get other pictures."""
        return list(pets.draw(classes, self._size, torch_generator(self._seed, "paint", purpose))), classes


class Pile:
    """A finite set of pictures, each of which goes to one owner only.

    Parameters
    ----------
    pictures : Album
        All there are.
    labels : (n,) int64
        Their classes, or `UNLABELLED`.
    class_names : tuple of str
        Names of the classes.
    seed : int
        Shuffles the pile.
    """

    def __init__(self, pictures: Album, labels: NDArray[np.int64], class_names: tuple[str, ...], seed: int) -> None:
        self.class_names = class_names
        self._pictures = pictures
        order = generator(seed, "pile").permutation(len(labels))
        self._left = {int(label): list(order[labels[order] == label]) for label in np.unique(labels)}

    @property
    def left(self) -> int:
        """How many pictures are still there."""
        return sum(len(indices) for indices in self._left.values())

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Take pictures off the pile, class by class; a class that has run out is skipped."""
        taken = [(self._left[label].pop(), label) for label in classes.tolist() if self._left.get(label)]
        return Chosen(self._pictures, [index for index, _ in taken]), np.array(
            [label for _, label in taken], dtype=np.int64
        )


class Chosen:
    """Some pictures of an album, as an album."""

    def __init__(self, album: Album, indices: Sequence[int]) -> None:
        self._album = album
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Pixels:
        return self._album[int(self._indices[index])]


def stock(dataset: str, seed: int) -> Stock:
    """Return a data set's pictures that may be traded; never one that a featurizer was trained on."""
    if dataset == "pets":
        return PaintedStock(seed)
    images, labels = digits.read("traded")
    return Pile(list(images), labels, digits.CLASSES, seed)


def folder_pile(folder: FolderImages, seed: int) -> Pile:
    """Return a user's own pictures as a pile; sub-folders are classes."""
    names = tuple(sorted({label for label in folder.labels if label is not None}))
    labels = [UNLABELLED if label is None else names.index(label) for label in folder.labels]
    return Pile(folder, np.array(labels, dtype=np.int64), names, seed)
