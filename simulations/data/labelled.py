"""Labelled images of any data set: some of its classes, what they have in common, and as many images as are wanted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parties.album import Album, Pixels, read_folder
from protocol.errors import BadInput
from simulations.data import published
from simulations.data.breeds import CATS
from simulations.data.stock import PaintedPets, Pile, Stock, folder_pile, stock
from simulations.runs.seeding import numpy_generator

_OXFORD_CATS = (
    "Abyssinian", "Bengal", "Birman", "Bombay", "British Shorthair", "Egyptian Mau", "Maine Coon", "Persian", "Ragdoll",
    "Russian Blue", "Siamese", "Sphynx",
)  # fmt: skip
_VEHICLES = ("airplane", "automobile", "car", "ship", "truck")
_KINDS = {"pets": ("cat", tuple(CATS), "dog"), "oxford_pets": ("cat", _OXFORD_CATS, "dog"),
          "stl10": ("vehicle", _VEHICLES, "animal"), "cifar10": ("vehicle", _VEHICLES, "animal")}  # fmt: skip


@dataclass(frozen=True)
class LabelledImages:
    """Images by class, each of which is taken once.

    Attributes:
        stock: Where they come from.
        classes: (n,), which of the stock's classes are used.
        kinds: The kind of each class, one of two: cat or dog, animal or vehicle; None where the data set knows none.
        available: How many images there are; None: as many as are wanted.
    """

    stock: Stock
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    kinds: tuple[str, ...] | None
    available: int | None

    def take(self, count: int, purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Take images, of all classes in turn, and their positions in `class_names`; other purposes get other images.

        Where a class runs out there are fewer.
        """
        return self.choose(np.resize(np.arange(len(self.classes)), count), purpose)

    def choose(self, wanted: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Take one image per position in `class_names`, as `take` does."""
        album, labels = self.stock.take(self.classes[wanted], purpose)
        places = {int(label): place for place, label in enumerate(self.classes)}
        return album, np.array([places[int(label)] for label in labels], dtype=np.int64)


def labelled_images(
    dataset: str, root: Path | None, seed: int, *, classes: int | None = 10, side: int = 64
) -> LabelledImages:
    """Open a data set.

    Args:
        dataset: A key of `DATASETS`; of published ones, training and test pictures are taken together.
        root: The folder of published data sets, None for the default one; of ``folder``, the folder itself, whose
            sub-folders are classes.
        seed: Draws the classes and what is painted, or shuffles what there is.
        classes: How many to use, half of each kind where there are kinds; None: all.
        side: At which size to paint.

    Raises:
        BadInput: When the data set cannot be had, or has fewer than two classes or fewer than are wanted.
    """
    source, available = _source(dataset, root, seed, side)
    names = source.class_names
    count = len(names) if classes is None else classes
    if not 2 <= count <= len(names):
        raise BadInput(f"data set {dataset} has {len(names)} classes, and {count} are wanted: at least 2, at most all")
    kinds = _kinds(dataset, names)
    generator = numpy_generator(seed, "classes")
    if kinds is None:
        chosen = generator.permutation(len(names))[:count]
    else:
        halves = [generator.permutation(np.flatnonzero(np.array(kinds) == kind)) for kind in sorted(set(kinds))]
        first = min(len(halves[0]), max(count // 2, count - len(halves[1])))
        chosen = np.concatenate([halves[0][:first], halves[1][: count - first]])
    chosen = np.sort(chosen)
    return LabelledImages(
        source,
        chosen,
        tuple(names[index] for index in chosen),
        None if kinds is None else tuple(kinds[index] for index in chosen),
        available,
    )


def _source(dataset: str, root: Path | None, seed: int, side: int) -> tuple[Stock, int | None]:
    if dataset == "pets":
        return PaintedPets(seed, size=side), None
    if dataset == "folder":
        if root is None:
            raise BadInput("data set folder needs a folder whose sub-folders are the classes")
        pictures = read_folder(root)
        return folder_pile(pictures, seed), sum(label is not None for label in pictures.labels)
    if dataset in published.SOURCES:
        halves = [published.read(dataset, root, split) for split in ("public", "traded")]
        labels = np.concatenate([half.labels for half in halves])
        return Pile(_Joined(*(half.pictures for half in halves)), labels, halves[0].class_names, seed), len(labels)
    source = stock(dataset, seed, root)
    return source, source.left if isinstance(source, Pile) else None


def _kinds(dataset: str, names: tuple[str, ...]) -> tuple[str, ...] | None:
    if dataset not in _KINDS:
        return None
    first, members, other = _KINDS[dataset]
    return tuple(first if name in members else other for name in names)


class _Joined:
    """Two albums, one after the other."""

    def __init__(self, first: Album, second: Album) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, index: int) -> Pixels:
        return self._first[index] if index < len(self._first) else self._second[index - len(self._first)]
