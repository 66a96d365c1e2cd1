"""People's own pictures: a folder of files, checked once and opened on demand."""

import os
import stat
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from parties.album import Pixels, UnreadableImage
from simulations.errors import BadInput

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MOST_BYTES = 64 << 20
MOST_PIXELS = 25_000_000

_TOO_LARGE = f"over {MOST_PIXELS // 1_000_000} megapixels"

_BROKEN_FILE = (OSError, EOFError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class FolderImages:
    """The readable pictures of a folder, as an album: each is opened when asked for.

    Attributes
    ----------
    paths : tuple of Path
        The files, in sorted order.
    labels : tuple of str or None
        The sub-folder of the folder that each picture lies in (at any depth), None for pictures in the folder itself.
    skipped : dict of str to int
        How many files were left out, by reason.
    """

    def __init__(self, paths: Sequence[Path], labels: Sequence[str | None], skipped: dict[str, int]) -> None:
        self.paths = tuple(paths)
        self.labels = tuple(labels)
        self.skipped = skipped

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        """Open one picture as upright RGB; raises `UnreadableImage` if the file is no longer what it was."""
        try:
            return _pixels(self.paths[index])
        except _UnusableFile as unusable:
            raise UnreadableImage(f"{self.paths[index]}: {unusable}") from unusable


def read_folder(folder: Path) -> FolderImages:
    """Find the pictures in a folder and its sub-folders.

    JPEG, PNG, WebP, BMP and GIF files are found by content, whatever their names. Animations give their first frame,
    transparent pictures are laid on white, 16-bit and CMYK ones become 8-bit RGB, and photos are turned upright. Every
    file is decoded once, in reduced size where the format allows, so that a damaged one is known now. Files over 64 MB
    and pictures over 25 megapixels (by their header) are not decoded. Links to folders are not followed.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    FolderImages

    Raises
    ------
    BadInput
        If there is no such folder, or no picture in it can be read.
    """
    if not folder.exists():
        raise BadInput(f"there is no folder {folder}")
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; give the folder that holds the pictures")
    paths: list[Path] = []
    labels: list[str | None] = []
    skipped: Counter[str] = Counter()
    for path in _files(folder, skipped):
        try:
            _check(path)
        except _UnusableFile as unusable:
            skipped[str(unusable)] += 1
            continue
        inside = path.relative_to(folder).parts
        paths.append(path)
        labels.append(inside[0] if len(inside) > 1 else None)
    if not paths:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        raise BadInput(
            f"{folder} holds no readable picture ({reasons or 'it is empty'}); put JPEG, PNG or WebP files there"
        )
    return FolderImages(paths, labels, dict(skipped))


class _UnusableFile(Exception):
    """A file that is skipped; the text is the reason, the same for all files that share it."""


def _files(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    def unlisted(_: OSError) -> None:
        skipped["in a folder that may not be read"] += 1

    for parent, folders, names in os.walk(folder, onerror=unlisted):
        folders.sort()
        yield from (Path(parent) / name for name in sorted(names))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Read the header only, and refuse what is not a picture or too large to decode; Pillow's warnings stay silent."""
    try:
        status = path.stat()
    except OSError as error:
        raise _UnusableFile("cannot be opened") from error
    if not stat.S_ISREG(status.st_mode):
        raise _UnusableFile("not regular files")
    if status.st_size > MOST_BYTES:
        raise _UnusableFile(f"over {MOST_BYTES >> 20} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise _UnusableFile(_TOO_LARGE) from error
        except UnidentifiedImageError as error:
            raise _UnusableFile("not a picture") from error
        except PermissionError as error:
            raise _UnusableFile("cannot be opened") from error
        except _BROKEN_FILE as error:
            raise _UnusableFile("damaged") from error
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise _UnusableFile(_TOO_LARGE)
            yield image


def _check(path: Path) -> None:
    with _opened(path) as image:
        image.draft("RGB", (1, 1))  # JPEG: read every byte, compute an eighth of the pixels
        _load(image)


def _pixels(path: Path) -> Pixels:
    with _opened(path) as image:
        _load(image)
        return np.asarray(_rgb(_upright(image)))


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except _BROKEN_FILE as error:
        raise _UnusableFile("damaged") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN_FILE:  # the picture is whole, only its EXIF data is not
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        levels = np.asarray(image).clip(0, 65535) // 257
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")
