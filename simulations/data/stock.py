"""The sources of albums' pictures: painted in any number, or taken from a finite pile, each once."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from parties.album import Album, FolderImages, Pixels
from simulations.data import digits, faces, people, pets, published
from simulations.data.cohort import Cohort
from simulations.data.painted import Dealt, sizes, unpainted
from simulations.runs.seeding import numpy_generator, torch_generator

UNLABELLED = -1
"""The label of pictures without a known class."""


class Stock(Protocol):
    """Pictures by class.

    Attributes:
        class_names: Names of the classes; empty for unlabelled pictures.
        shows_persons: Whether the persons in the pictures are known.
    """

    class_names: tuple[str, ...]
    shows_persons: bool

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Return one picture and its label per wanted class; fewer when the pile runs out."""

    def deal(self, albums: Sequence[NDArray[np.int64]], one_person: bool) -> Dealt:
        """Fill one album per array of wanted classes; with `one_person`, all pictures of an album show the same one."""


class PaintedPets:
    """Breeds of pets, painted on demand."""

    class_names = pets.BREEDS
    shows_persons = False

    def __init__(self, seed: int, folder: Path | None = None, size: int = 64) -> None:
        self._seed = seed
        self._folder = folder
        self._size = size

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Paint one picture per class; other purposes get other pictures."""
        return list(_paint_pets(classes, self._size, self._seed, purpose)), classes

    def deal(self, albums: Sequence[NDArray[np.int64]], one_person: bool) -> Dealt:
        """Return albums that are painted when they are opened."""
        return unpainted(albums, albums, partial(_paint_pets, size=self._size, seed=self._seed), self._folder)


def _paint_pets(classes: NDArray[np.int64], size: int, seed: int, purpose: str) -> NDArray[np.uint8]:
    return pets.draw(classes, size, torch_generator(seed, "paint", purpose))


class PaintedFaces:
    """Faces, painted on demand; the classes are `people.CLASSES`."""

    class_names = people.CLASSES
    shows_persons = True

    def __init__(self, seed: int, folder: Path | None = None, size: int = 64) -> None:
        self._seed = seed
        self._folder = folder
        self._size = size

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Paint one person per class; other purposes get other people."""
        sitters = np.stack([self._find(classes, purpose), classes], axis=1)
        return list(_paint_faces(sitters, self._size, self._seed, purpose)), classes

    def deal(self, albums: Sequence[NDArray[np.int64]], one_person: bool) -> Dealt:
        """Return albums that are painted when they are opened; an album of one person has its first picture's class."""
        if one_person:
            albums = [np.full_like(album, album[0]) for album in albums]
            persons = np.repeat(self._find(np.array([album[0] for album in albums]), "albums"), sizes(albums))
        else:
            persons = self._find(np.concatenate(albums), "albums")
        sitters = np.stack([persons, np.concatenate(albums)], axis=1)
        parts = np.split(sitters, np.cumsum(sizes(albums))[:-1])
        return unpainted(parts, albums, partial(_paint_faces, size=self._size, seed=self._seed), self._folder)

    def _find(self, classes: NDArray[np.int64], purpose: str) -> NDArray[np.int64]:
        """Find a different person of the right sex and age for each class."""
        generator = numpy_generator(self._seed, "people", purpose)
        persons = np.empty(len(classes), dtype=np.int64)
        missing = np.arange(len(classes))
        while len(missing):
            persons[missing] = generator.integers(2**62, size=len(missing))
            found = people.classify(people.look(persons[missing], torch_generator(0)))
            missing = missing[found // 2 != classes[missing] // 2]
        return persons


def _paint_faces(sitters: NDArray[np.int64], size: int, seed: int, purpose: str) -> NDArray[np.uint8]:
    """Paint one picture per row of person and class."""
    generator = torch_generator(seed, "paint", purpose)
    looks = people.look(sitters[:, 0], generator)
    looks[:, people.ATTRIBUTES.index("Eyeglasses")] = sitters[:, 1] % 2 == 1  # glasses do not depend on the person
    return faces.paint(sitters[:, 0], looks, size, generator)


class Pile:
    """A finite set of pictures; each goes to one owner only.

    Args:
        pictures: All pictures.
        labels: (n,); their classes, or `UNLABELLED`.
        seed: Shuffles the pile.
        persons: (n,), the person in each picture, if known.
    """

    def __init__(
        self,
        pictures: Album,
        labels: NDArray[np.int64],
        class_names: tuple[str, ...],
        seed: int,
        persons: NDArray[np.int64] | None = None,
    ) -> None:
        self.class_names = class_names
        self.shows_persons = persons is not None
        self._pictures = pictures
        self._persons = persons
        order = numpy_generator(seed, "pile").permutation(len(labels))
        self._left = {int(label): list(order[labels[order] == label]) for label in np.unique(labels)}

    @property
    def left(self) -> int:
        """The number of remaining pictures."""
        return sum(len(indices) for indices in self._left.values())

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Take pictures off the pile, class by class; a class that has run out is skipped."""
        return self._album([(self._left[label].pop(), label) for label in classes.tolist() if self._left.get(label)])

    def deal(self, albums: Sequence[NDArray[np.int64]], one_person: bool) -> Dealt:
        """Fill the albums one after the other."""
        fill = self._take_person if one_person else lambda wanted: self.take(wanted, "albums")
        return [fill(wanted) for wanted in albums]

    def _take_person(self, classes: NDArray[np.int64]) -> tuple[Album, NDArray[np.int64]]:
        """Take pictures of the person in the class's topmost picture; this person's other pictures are discarded."""
        label = int(classes[0])
        left = self._left.get(label)
        if not left or self._persons is None:
            return self._album([])
        person = self._persons[left[-1]]
        same = [index for index in left if self._persons[index] == person]
        self._left[label] = [index for index in left if self._persons[index] != person]
        return self._album([(index, label) for index in same[: len(classes)]])

    def _album(self, taken: list[tuple[int, int]]) -> tuple[Album, NDArray[np.int64]]:
        labels = np.array([label for _, label in taken], dtype=np.int64)
        return Chosen(self._pictures, [index for index, _ in taken]), labels


class CohortStock:
    """The people of a cohort, with an album each; other pictures are public ones.

    Args:
        cohort: Its classes are by the task and the private attribute.
    """

    shows_persons = True

    def __init__(self, cohort: Cohort) -> None:
        self.class_names = cohort.classes
        self._cohort = cohort

    def take(self, classes: NDArray[np.int64], purpose: str) -> tuple[Album, NDArray[np.int64]]:
        """Return public pictures, one after the other in each class, as long as there are any."""
        shown, used, places = self._cohort.classes_of(self._cohort.public), dict[int, int](), []
        for wanted in classes.tolist():
            of_it = np.flatnonzero(shown == wanted)
            if used.get(wanted, 0) < len(of_it):
                places.append(int(of_it[used.get(wanted, 0)]))
                used[wanted] = used.get(wanted, 0) + 1
        return list(self._cohort.public.pictures[places]), shown[places]

    def deal(self, albums: Sequence[NDArray[np.int64]], one_person: bool) -> Dealt:
        """Return each person's pictures; what is wanted does not matter."""
        shared = self._cohort.shared
        classes, size = self._cohort.classes_of(shared), len(shared) // len(albums)
        parts = [slice(number * size, (number + 1) * size) for number in range(len(albums))]
        return [(list(shared.pictures[part]), classes[part]) for part in parts]


class Chosen:
    """Some pictures of an album, as an album."""

    def __init__(self, album: Album, indices: Sequence[int]) -> None:
        self._album = album
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Pixels:
        return self._album[int(self._indices[index])]


def stock(dataset: str, seed: int, root: Path | None = None, painted: Path | None = None) -> Stock:
    """Return a data set's traded pictures; no featurizer was trained on any of them.

    Args:
        dataset: A key of `DATASETS` other than "folder".
        seed: For painting, or for shuffling.
        root: The folder of published data sets; None for the default one.
        painted: A folder of this run for painted pictures; None: they are kept in memory only.

    Raises:
        BadInput: When a published data set is not available.
    """
    if dataset == "pets":
        return PaintedPets(seed, painted)
    if dataset == "faces":
        return PaintedFaces(seed, painted)
    if dataset == "digits":
        images, labels = digits.read("traded")
        return Pile(list(images), labels, digits.CLASSES, seed)
    photographs = published.read(dataset, root)
    return Pile(photographs.pictures, photographs.labels, photographs.class_names, seed, photographs.persons)


def folder_pile(folder: FolderImages, seed: int) -> Pile:
    """Return a user's own pictures as a pile; sub-folders are classes."""
    names = tuple(sorted({label for label in folder.labels if label is not None}))
    labels = [UNLABELLED if label is None else names.index(label) for label in folder.labels]
    return Pile(folder, np.array(labels, dtype=np.int64), names, seed)
