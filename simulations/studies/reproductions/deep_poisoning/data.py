"""Images for the experiments: painted ones, or ImageNet and CelebA from the user's own copies.

S is the task's images, and Q public ones: in the paper two halves of ImageNet's classes (section 4.1).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from parties.album import Album, Pixels, readable
from protocol.storage.user_files import user_path
from simulations.data import faces, people, pets, published
from simulations.data.scene import Split
from simulations.data.stock import Chosen
from simulations.runs.seeding import numpy_generator, torch_generator
from simulations.studies.reproductions.deep_poisoning.scale import Scale
from strategies.learning.batches import Images

SPLITS: tuple[Split, Split] = ("public", "traded")
"""Training pictures, and test pictures: here public ones are those of other classes."""


@dataclass(frozen=True, eq=False)
class Task:
    """Images of a task, and public ones.

    Attributes:
        images, fresh, public: To train on, to test on, and Q.
        labels, fresh_labels: (n,) int64, or (n, attributes) bool; classes, or attributes.
    """

    images: Images
    labels: Tensor
    fresh: Images
    fresh_labels: Tensor
    public: Images


def check(scale: Scale, root: Path | None) -> None:
    """Check that the data sets are available, before any training.

    Raises:
        BadInput: When one is not available.
    """
    if scale.dataset == "imagenet":
        for name in ("imagenet", "celeba"):
            for split in SPLITS:
                published.read(name, root, split)


def classes(scale: Scale, root: Path | None, seed: int) -> Task:
    """Return S with its classes, and Q of other classes."""
    if scale.dataset == "imagenet":
        return _imagenet(scale, root, seed)
    generator, paint_generator = numpy_generator(seed, "deep poisoning"), torch_generator(seed, "deep poisoning")
    labels, fresh = (generator.permutation(np.resize(np.arange(10), count)) for count in (scale.images, scale.fresh))
    other = np.resize(np.arange(10), scale.public)
    return Task(
        Images(pets.draw(2 * labels, scale.side, paint_generator)),
        torch.from_numpy(labels),
        Images(pets.draw(2 * fresh, scale.side, paint_generator)),
        torch.from_numpy(fresh),
        Images(pets.draw(2 * other + 1, scale.side, paint_generator, "public")),
    )


def attributes(scale: Scale, root: Path | None, seed: int) -> Task:
    """Return images of people with their attributes, and public ones of other people (section 4.2.3)."""
    if scale.dataset == "imagenet":
        return _celeba(scale, root)
    generator, paint_generator = numpy_generator(seed, "attributes"), torch_generator(seed, "attributes")
    sets = [
        faces.draw(generator.integers(2**62, size=count), scale.side, paint_generator)
        for count in (scale.portraits, scale.fresh)
    ]
    persons = generator.integers(2**62, size=scale.public)
    public = faces.paint(
        persons, people.look(persons, paint_generator, "public"), scale.side, paint_generator, "public"
    )
    (images, known), (fresh, fresh_known) = ((each.images, torch.from_numpy(each.attributes)) for each in sets)
    return Task(Images(images), known, Images(fresh), fresh_known, Images(public))


def _imagenet(scale: Scale, root: Path | None, seed: int) -> Task:
    train, test = (published.read("imagenet", root, split) for split in SPLITS)
    order = numpy_generator(seed, "imagenet").permutation(len(train.class_names))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    half = len(order) // 2
    kept = _folder(root)

    def part(photographs: published.Photographs, name: str, mine: bool) -> tuple[Images, Tensor]:
        labels = place[photographs.labels]
        chosen = np.flatnonzero(labels < half if mine else labels >= half)
        pictures = cropped(photographs.pictures, chosen, scale.side, kept / f"{name}-{seed}-{scale.side}.npy")
        return Images(pictures), torch.from_numpy(labels[chosen])

    images, labels = part(train, "s", True)
    fresh, fresh_labels = part(test, "s-test", True)
    public, _ = part(train, "q", False)
    return Task(images, labels, fresh, fresh_labels, public)


def _celeba(scale: Scale, root: Path | None) -> Task:
    train, test = (published.read("celeba", root, split) for split in SPLITS)
    kept = _folder(root)
    sets = []
    for photographs, name in ((train, "faces"), (test, "faces-test")):
        everything = np.arange(len(photographs.pictures))
        pictures = cropped(photographs.pictures, everything, scale.side, kept / f"{name}-{scale.side}.npy")
        assert photographs.attributes is not None
        sets.append((pictures, photographs.attributes))
    half = len(sets[0][0]) // 2
    return Task(
        Images(sets[0][0][:half]),
        torch.from_numpy(sets[0][1][:half]),
        Images(sets[1][0]),
        torch.from_numpy(sets[1][1]),
        Images(sets[0][0][half:]),
    )


def _folder(root: Path | None) -> Path:
    folder = user_path(root or published.DEFAULT_ROOT) / "parley"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cropped(album: Album, chosen: NDArray[np.int64], side: int, file: Path) -> NDArray[np.uint8]:
    """Open pictures, scale and crop them to squares, and store them in a file that is memory-mapped.

    A picture that does not open becomes a black one.

    Args:
        album: Pictures of any sizes.
        chosen: (n,), which of them.
        side: Of the squares.
        file: Used unchanged if it exists.

    Returns:
        (n, side, side, 3), a memory map.
    """
    if not file.is_file():
        arriving = file.with_name(f"arriving-{file.name}")
        squares = np.lib.format.open_memmap(arriving, "w+", np.uint8, (len(chosen), side, side, 3))
        for place, picture in readable(Chosen(album, chosen.tolist())):
            squares[place] = _square(picture, side)
        squares.flush()
        arriving.rename(file)
    found: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    return found


def _square(picture: Pixels, side: int) -> NDArray[np.uint8]:
    """Scale a picture so that its shorter side is 8 / 7 of the square's, and cut out the middle."""
    image = Image.fromarray(picture)
    factor = side * 8 / 7 / min(image.size)
    image = image.resize((max(side, round(image.width * factor)), max(side, round(image.height * factor))))
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)), dtype=np.uint8)
