"""Albums: pictures that are opened one at a time."""

import os
import stat
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from protocol.crypto.signing import derive
from protocol.errors import BadInput
from protocol.messages.base import MAX_PIXELS
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.secret_generator import secret_generator

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


class ObfuscatedAlbum:
    """An album whose pictures are obfuscated when they are opened, each always in the same way.

    Where the technique mixes, a picture is mixed with others of the album, drawn at random and brought to its size; it
    has the first weight itself. Features, commitments and deliveries are then those of the obfuscated
    pictures.

    Args:
        album: The pictures as they are.
        obfuscation: The technique and its setting.
        secret: The party's; mixtures and noise derive from it.

    Examples:
        >>> album = [np.full((16, 16, 3), shade, np.uint8) for shade in (200, 40)]
        >>> ObfuscatedAlbum(album, Obfuscation("mix"), bytes(32))[0][0, 0].tolist()
        [160, 160, 160]
    """

    def __init__(self, album: Album, obfuscation: Obfuscation, secret: bytes) -> None:
        self._album, self._obfuscation, self._secret = album, obfuscation, secret

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._album)

    def __getitem__(self, index: int) -> Pixels:
        """Open a picture and obfuscate it.

        Raises:
            UnreadableImage: When it, or one to mix it with, cannot be opened.
            ValueError: When the album has too few pictures to mix, or the setting does not suit the picture's size.
        """
        picture = self._album[index]
        mixed = self._obfuscation.images
        if len(self) < mixed:
            raise ValueError(f"{self._obfuscation.technique} mixes {mixed} pictures, and the album has {len(self)}")
        generator = secret_generator(derive(self._secret, "obfuscated album", str(index)))
        others = [place for place in torch.randperm(len(self), generator=generator).tolist() if place != index]
        size = picture.shape[0], picture.shape[1]
        images = [picture, *(_resized(self._album[place], *size) for place in others[: mixed - 1])]
        sources = to_tensor(images)[None]
        labels = torch.zeros(1, mixed, dtype=torch.int64)
        shown: Pixels = to_pictures(obfuscate(self._obfuscation, sources, labels, 1, generator).pictures)[0]
        return shown


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MOST_BYTES = 64 << 20

_TOO_LARGE = f"over {MAX_PIXELS // 1_000_000} megapixels"

_BROKEN_FILE = (OSError, EOFError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class FolderImages:
    """The readable pictures of a folder, as an album: each is opened when asked for.

    Attributes:
        paths: The files, in sorted order.
        labels: The sub-folder of the folder that each picture lies in (at any depth), None for pictures in the folder
            itself.
        skipped: How many files were left out, by reason.
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

    Raises:
        BadInput: If there is no such folder, or no picture in it can be read.
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
            if image.width * image.height > MAX_PIXELS:
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
