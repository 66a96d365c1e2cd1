"""Albums: pictures that are opened one at a time."""

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from parties.picture_file import UnusableFile, check, pixels
from protocol.crypto.signing import derive
from protocol.errors import BadInput
from protocol.storage.user_files import composed, printable, user_path
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream

_log = logging.getLogger("parley")

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
        partners = Stream(derive(self._secret, "obfuscated album", "partners", str(index)))
        others = [place for place in partners.permutation(len(self)).tolist() if place != index]
        size = picture.shape[0], picture.shape[1]
        images = [picture, *(_resized(self._album[place], *size) for place in others[: mixed - 1])]
        sources = to_tensor(images)[None]
        labels = torch.zeros(1, mixed, dtype=torch.int64)
        question = repr(self._obfuscation), repr(sources.shape), sources.numpy().tobytes()
        stream = Stream(derive(self._secret, "obfuscated album", *question))
        shown: Pixels = to_pictures(obfuscate(self._obfuscation, sources, labels, 1, stream).pictures)[0]
        return shown


def _resized(picture: Pixels, height: int, width: int) -> Pixels:
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


_SYSTEMS = frozenset({
    "__macosx", "@eadir", "@__thumb", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin",
    "recycler", "recycled", "found.000", "system volume information", "lost+found", "thumbs.db", "ehthumbs.db",
    "desktop.ini", "icon\r", "network trash folder", "temporary items",
})  # fmt: skip
"""Files and folders that systems and disk stations put beside pictures, in lower case."""
_OWN = "hidden, or the system's own"
_NAMED = 3
"""Files that a sentence names."""

Stamp = tuple[int, int, int, int]
"""What changes with a file's content: device, number, bytes, and time in nanoseconds."""


class FolderImages:
    """The readable pictures of a folder, as an album: each is opened when asked for.

    Attributes:
        folder: Where they are.
        paths: The files, in sorted order.
        labels: The sub-folder of the folder that each picture lies in (at any depth), None for pictures in the folder
            itself. Letters are composed, whatever the disk has.
        stamps: Of each picture, what was checked.
        left_out: Why other files and folders were left out.
    """

    def __init__(self, folder: Path, stamps: Mapping[Path, Stamp], left_out: Mapping[Path, str]) -> None:
        self.folder = folder
        self.paths = tuple(stamps)
        self.labels = tuple(_label(path.relative_to(folder)) for path in stamps)
        self.stamps = dict(stamps)
        self.left_out = dict(left_out)

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:
        """Open one picture as upright RGB; raises `UnreadableImage` if the file is no longer what it was."""
        try:
            return pixels(self.paths[index])
        except UnusableFile as unusable:
            raise UnreadableImage(f"{printable(self.paths[index])}: {unusable}") from unusable

    @property
    def skipped(self) -> dict[str, int]:
        """How many files and folders were left out, by reason."""
        return dict(Counter(self.left_out.values()))

    def skipped_sentences(self) -> list[str]:
        """Return a sentence for each reason: how many were left out, and which."""
        return _sentences(self.folder, self.left_out)


def read_folder(folder: str | Path, before: FolderImages | None = None, besides: Collection[str] = ()) -> FolderImages:
    """Find the pictures in a folder and its sub-folders.

    JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF and, with the extra ``heic``, HEIC files are found by content, whatever their
    names. Animations give their first frame, transparent pictures are laid on white, 16-bit and CMYK ones become 8-bit
    RGB, and photos are turned upright. Every file is decoded once, in reduced size where the format allows, so that a
    damaged one is known now. Files over 64 MB and pictures over 25 megapixels (by their header) are not decoded. Links
    are followed, each folder is read once. What is hidden or a system's own is passed over. What was left out is
    logged.

    Args:
        folder: The folder, as the user names it.
        before: The same folder, read earlier: only what has changed is decoded again, and logged.
        besides: Files in the folder itself that are meant to be no pictures, in lower case.

    Raises:
        BadInput: If there is no such folder, or no picture in it can be read.
    """
    folder = user_path(folder)
    if not os.path.lexists(folder):
        raise BadInput(f"there is no folder {printable(folder)}")
    if not folder.is_dir():
        kind = "a broken link" if folder.is_symlink() else "a file"
        raise BadInput(f"{printable(folder)} is {kind}; give the folder that holds the pictures")
    left_out: dict[Path, str] = {}
    stamps: dict[Path, Stamp] = {}
    for path in _files(folder, left_out):
        if path.parent == folder and path.name.lower() in besides:
            continue
        try:
            stamps[path] = _checked(path, before)
        except UnusableFile as unusable:
            left_out[path] = str(unusable)
    known = {} if before is None else before.left_out
    new = {path: reason for path, reason in left_out.items() if known.get(path) != reason}
    for sentence in _sentences(folder, {path: reason for path, reason in new.items() if reason == _OWN}):
        _log.info("%s: %s", printable(folder), sentence)
    if not stamps:
        reasons = "; ".join(f"{len(names)} {reason}: {_some(names)}" for reason, names in _by_reason(folder, left_out))
        why = reasons or "it is empty"
        raise BadInput(f"{printable(folder)} holds no readable picture ({why}); put JPEG, PNG or WebP files there")
    for sentence in _sentences(folder, {path: reason for path, reason in new.items() if reason != _OWN}):
        _log.warning("%s: %s", printable(folder), sentence)
    return FolderImages(folder, stamps, left_out)


def _label(inside: Path) -> str | None:
    return composed(inside.parts[0]) if len(inside.parts) > 1 else None


def _sentences(folder: Path, left_out: Mapping[Path, str]) -> list[str]:
    return [
        f"{len(names)} {'file' if len(names) == 1 else 'files'} skipped: {reason} ({_some(names)})."
        for reason, names in _by_reason(folder, left_out)
    ]


def _by_reason(folder: Path, left_out: Mapping[Path, str]) -> list[tuple[str, list[str]]]:
    names: dict[str, list[str]] = {}
    for path, reason in sorted(left_out.items()):
        names.setdefault(reason, []).append(printable(path.relative_to(folder)))
    return list(names.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _files(folder: Path, left_out: dict[Path, str]) -> list[Path]:
    """List the files in a folder, in its sub-folders and in what these link to; a folder comes before those in it."""
    found: list[Path] = []
    real, linked = [folder], list[Path]()
    seen: set[tuple[int, int]] = set()
    while real or linked:
        here = real.pop() if real else linked.pop()
        try:
            status = here.stat()
            if status.st_ino and (status.st_dev, status.st_ino) in seen:
                left_out[here] = "a link to a folder that is read anyway"
                continue
            seen.add((status.st_dev, status.st_ino))
            for entry in here.iterdir():
                if entry.name.startswith(".") or entry.name.lower() in _SYSTEMS:
                    left_out[entry] = _OWN
                elif entry.is_dir():
                    (linked if entry.is_symlink() else real).append(entry)
                else:
                    found.append(entry)
        except OSError:
            left_out[here] = "a folder that may not be read"
    return sorted(found, key=lambda path: [(1, part) for part in path.parts[:-1]] + [(0, path.name)])


def _checked(path: Path, before: FolderImages | None) -> Stamp:
    """Check a picture, unless it was and has not changed since.

    Raises:
        UnusableFile: When it is none, or changes while it is read.
    """
    stamp = _stamp(path)
    if before is None or stamp is None or before.stamps.get(path) != stamp:
        check(path)
        if stamp is None or _stamp(path) != stamp:
            raise UnusableFile("still being written")
    return stamp


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
