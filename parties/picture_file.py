"""Picture files as people have them: which are read, what they become, and why others are not read."""

import functools
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, features

from protocol.messages.base import MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
"""Pillow's names of what is read, where Pillow can; HEIC is its HEIF, of the extra ``heic``."""
MOST_BYTES = 64 << 20

_TOO_LARGE = f"over {MAX_PIXELS // 1_000_000} megapixels"
_RAW = "a camera's raw file; save it as JPEG"
_REDUCED, _DNG = 254, 50706
"""Tags of TIFF: the picture is a reduced one, and the file is Adobe's raw."""
_BROKEN_FILE = (
    OSError, EOFError, SyntaxError, ValueError, IndexError, KeyError, TypeError, RuntimeError, struct.error, zlib.error
)  # fmt: skip


class UnusableFile(Exception):
    """A file that is skipped; the text is the reason, the same for all files that share it."""


def check(path: Path) -> None:
    """Decode a file, in reduced size where its format allows; raises `UnusableFile` if it is no picture to use."""
    with _opened(path) as image:
        image.draft("RGB", (1, 1))  # JPEG: read every byte, compute an eighth of the pixels
        _load(image)
        try:
            _rgb(image.crop((0, 0, 1, 1)))
        except _BROKEN_FILE as error:
            raise UnusableFile(f"with colours of the kind {image.mode}; save it as RGB") from error


def pixels(path: Path) -> NDArray[np.uint8]:
    """Return a file's first picture as upright 8-bit RGB; raises `UnusableFile`."""
    with _opened(path) as image:
        _load(image)
        return np.asarray(_rgb(_upright(image)))


@functools.cache
def _formats() -> tuple[str, ...]:
    """Return the formats that can be read here."""
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Read the header only, and refuse what is not a picture or too large to decode; Pillow's warnings stay silent."""
    try:
        status = path.stat()
    except OSError as error:
        raise UnusableFile("a broken link" if path.is_symlink() else "cannot be opened") from error
    if not stat.S_ISREG(status.st_mode):
        raise UnusableFile("not a regular file")
    if status.st_size > MOST_BYTES:
        raise UnusableFile(f"over {MOST_BYTES >> 20} MB")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(path, formats=_formats())
        except Image.DecompressionBombError as error:
            raise UnusableFile(_TOO_LARGE) from error
        except UnidentifiedImageError as error:
            raise UnusableFile(_unread(path)) from error
        except PermissionError as error:
            raise UnusableFile("cannot be opened") from error
        except _BROKEN_FILE as error:
            raise UnusableFile("damaged") from error
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise UnusableFile(_TOO_LARGE)
            if image.format == "TIFF" and _is_raw(image):
                raise UnusableFile(_RAW)
            if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
                raise UnusableFile("with pixels of 32 bits; save it with 8 or 16")
            yield image


def _is_raw(image: Image.Image) -> bool:
    """Whether a TIFF is a camera's: then its first picture is only a small preview."""
    tags = getattr(image, "tag_v2", {})
    return _DNG in tags or bool(tags.get(_REDUCED, 0) & 1)


def _unread(path: Path) -> str:
    """Return why Pillow does not know a file, by its first bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return "cannot be opened"
    if head[4:8] == b"ftyp":
        brands = {head[start : start + 4] for start in (8, *range(16, min(64, int.from_bytes(head[:4])), 4))}
        if brands & {b"avif", b"avis"}:
            return "damaged AVIF" if _decodes("AVIF") else "AVIF; read with pip install 'pillow>=11.3'"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "damaged HEIC" if _decodes("HEIF") else "HEIC; read with pip install 'parley[heic]'"
        return _RAW if b"crx " in brands else "a film"
    kinds = {
        (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF"): "damaged",
        (b"II*\0", b"MM\0*"): "damaged TIFF, or " + _RAW,
        (b"IIRO", b"IIRS", b"IIU\0", b"FUJIFILM"): _RAW,
        (b"\xff\x0a", b"\0\0\0\x0cJXL "): "JPEG XL; save it as JPEG",
        (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"): "JPEG 2000; save it as JPEG",
        (b"8BPS",): "Photoshop; save it as JPEG",
    }
    return next((reason for starts, reason in kinds.items() if head.startswith(starts)), "not a picture")


def _decodes(name: str) -> bool:
    return name in _formats() and (name != "AVIF" or bool(features.check("avif")))


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except _BROKEN_FILE as error:
        raise UnusableFile("damaged") from error


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
