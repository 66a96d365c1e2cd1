"""Labelled images of any data set: some of its classes, grouped into two kinds, and images of these."""

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
    """Images by class; each image is taken once.

    Attributes:
        stock: Their source.
        classes: (n,), the used classes of the stock.
        kinds: The kind of each class, one of two: cat or dog, animal or vehicle; None if the data set has no kinds.
        available: The number of images; None: unlimited.
    """

    stock: Stock
    classes: NDArray[np.int64]
    class_names: tuple[str, ...]
    kinds: tuple[str, ...] | None
    available: int | None

    def take(self, count: int, purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Take images of all classes in turn, with their positions in `class_names`; other purposes get other images.

        There are fewer when a class runs out.
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
        dataset: A key of `DATASETS`; training and test pictures of published ones are combined.
        root: The folder of published data sets, None for the default one; for ``folder``, the folder itself, with
            classes as sub-folders.
        seed: For the choice of classes and for painting, or for shuffling.
        classes: The number to use, half of each kind if there are kinds; None: all.
        side: Width and height to paint, pixels.

    Raises:
        BadInput: When the data set is not available, or has fewer than two classes or fewer than `classes`.
    """
    source, available = _source(dataset, root, seed, side)
    names = source.class_names
    count = len(names) if classes is None else classes
    if not 2 <= count <= len(names):
        raise BadInput(f"data set {dataset} has {len(names)} classes: choose 2 to {len(names)}, not {count}")
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
            raise BadInput("data set folder needs a folder with the classes as sub-folders")
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
