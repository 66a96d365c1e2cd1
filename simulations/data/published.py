"""Published data sets of photographs, read by torchvision from a local folder or downloaded once.

A data set's own training pictures are public, and its test (ImageNet: validation) pictures are traded. So no traded
picture was used to train a featurizer: `vgg16` was trained on ImageNet's training pictures. CelebA's training and test
pictures show different people.

CIFAR-10's files are pickles. torchvision opens only those whose MD5 sum is the published one.
"""

import contextlib
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parties.album import Album, Pixels, UnreadableImage
from protocol.errors import BadInput
from protocol.storage.user_files import user_path
from simulations.data.people import CLASSES, classify
from simulations.data.scene import Split

DEFAULT_ROOT = Path("~/.cache/parley/data")
"""The folder of data sets, also for downloads, unless a scenario names another one."""

_SILENCE = 20
"""Seconds without data from a server before a download fails."""


@dataclass(frozen=True)
class Source:
    """Where a data set is and how torchvision reads it.

    Attributes:
        kind: torchvision's class.
        labels: Its attribute with the labels.
        folder: The folder in the data root.
        url: Its web page.
        splits: Arguments that select the pictures of each split.
        downloads: Whether torchvision can download it.
    """

    kind: str
    labels: str
    folder: str
    url: str
    splits: dict[Split, dict[str, Any]]
    downloads: bool = True


def _splits(public: str, traded: str) -> dict[Split, dict[str, Any]]:
    return {"public": {"split": public}, "traded": {"split": traded}}


SOURCES: dict[str, Source] = {
    "imagenet": Source(
        "ImageNet",
        "targets",
        "imagenet",
        "https://image-net.org/download.php",
        _splits("train", "val"),
        downloads=False,
    ),
    "celeba": Source(
        "CelebA", "attr", "celeba", "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", _splits("train", "test")
    ),
    "stl10": Source(
        "STL10", "labels", "stl10_binary", "https://cs.stanford.edu/~acoates/stl10", _splits("train", "test")
    ),
    "oxford_pets": Source(
        "OxfordIIITPet",
        "_labels",
        "oxford-iiit-pet",
        "https://www.robots.ox.ac.uk/~vgg/data/pets",
        _splits("trainval", "test"),
    ),
    "cifar10": Source(
        "CIFAR10",
        "targets",
        "cifar-10-batches-py",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        {"public": {"train": True}, "traded": {"train": False}},
    ),
}
"""Every published data set by its name in a scenario."""


@dataclass(frozen=True)
class Photographs:
    """One split of a published data set.

    Attributes:
        pictures: Opened one at a time.
        labels: (n,), positions in `class_names`.
        class_names: Unique names.
        persons: (n,), the person in each picture, if known.
        attributes: (n, k), CelebA's 40 attributes.
        attribute_names: Names of these columns.
    """

    pictures: Album
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    persons: NDArray[np.int64] | None = None
    attributes: NDArray[np.bool_] | None = None
    attribute_names: tuple[str, ...] = ()


def read(name: str, root: Path | None = None, split: Split = "traded") -> Photographs:
    """Open a data set; a missing one is downloaded if torchvision can.

    Classes are the data set's own. CelebA's are those of `faces`, such as "young women with eyeglasses".

    Args:
        name: A key of `SOURCES`.
        root: The folder of all data sets, laid out as torchvision does; None for `DEFAULT_ROOT`. ImageNet is in its own
            folder ``imagenet`` there: its archives, or ``meta.bin`` and ``val`` as torchvision unpacks them.
        split: Test pictures, or training pictures.

    Raises:
        BadInput: When the data set is not available, or its files are damaged.
    """
    source, root = SOURCES[name], user_path(root or DEFAULT_ROOT)
    try:
        return _open(name, root, split)
    except Exception as unread:  # its parsers of archives, tables and pickles raise many kinds
        if not source.downloads:
            raise BadInput(
                f"data set {name}: torchvision does not find it in {root / source.folder} ({_reason(unread)}); it "
                f"cannot be downloaded without an account: get it from {source.url} and put its archives there"
            ) from unread
        if (root / source.folder).is_dir():
            raise BadInput(
                f"data set {name}: {root / source.folder} is incomplete or damaged ({_reason(unread)}); delete it to "
                f"have it downloaded again, or get it from {source.url}"
            ) from unread
    try:
        _download(name, root, split)
        return _open(name, root, split)
    except Exception as failure:  # as above, and errors of networks and disks
        raise BadInput(
            f"data set {name} is not in {root} and cannot be downloaded ({_reason(failure)}); get it from {source.url} "
            f"and unpack it as {root / source.folder}, or name the folder that holds {source.folder} as data_root"
        ) from failure


def _reason(error: Exception) -> str:
    """Return the first line of an error, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _dataset(name: str, root: Path, split: Split, **options: bool) -> Any:
    import torchvision.datasets  # noqa: PLC0415  (takes two seconds)

    return getattr(torchvision.datasets, SOURCES[name].kind)(root, **SOURCES[name].splits[split], **options)


def _open(name: str, root: Path, split: Split) -> Photographs:
    dataset = _dataset(name, root / "imagenet" if name == "imagenet" else root, split)
    pictures = _Opened(dataset)
    if name == "celeba":
        attributes = dataset.attr.numpy().astype(bool)
        names = tuple(dataset.attr_names[: attributes.shape[1]])
        persons = dataset.identity[:, 0].numpy().astype(np.int64)
        return Photographs(pictures, classify(attributes, names), CLASSES, persons, attributes, names)
    labels = np.asarray(getattr(dataset, SOURCES[name].labels), dtype=np.int64)
    if name == "imagenet":  # words alone are not unique: there are two classes of cranes
        words = tuple(f"{synonyms[0]} ({wnid})" for synonyms, wnid in zip(dataset.classes, dataset.wnids, strict=True))
        return Photographs(pictures, labels, words)
    return Photographs(pictures, labels, tuple(dataset.classes))


def _download(name: str, root: Path, split: Split) -> None:
    """Download to a separate folder, and move it into the root when it is complete."""
    folder = SOURCES[name].folder
    created = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="download-", dir=root) as arriving,
            contextlib.redirect_stdout(sys.stderr),
        ):
            _dataset(name, Path(arriving), split, download=True)
            (Path(arriving) / folder).replace(root / folder)
    finally:
        socket.setdefaulttimeout(patience)
        if created:
            with contextlib.suppress(OSError):  # not empty
                root.rmdir()


class _Opened:
    """A torchvision data set as an album: each picture is opened on access."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Pixels:
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            image, _ = self._dataset[index]
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableImage(_reason(error)) from error
