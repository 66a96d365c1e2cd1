"""P3 on JPEG files: their own coefficients are split, and both parts are JPEG files (Ra, Govindan and Ortega 2013).

Nothing is decoded or compressed again: joined parts have the coefficients of the file to the last bit. What a file says
beside its picture (EXIF: place, time, camera) is in neither part.

Coefficients are those of jpeglib, the extra ``jpeg``. It wraps libjpeg, which is no parser for files of strangers: give
it files of your own, or what was encoded here.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from strategies.dp_images.p3 import Parts, join_coefficients, split_coefficients

COMPONENTS = ("Y", "Cb", "Cr")


def available() -> bool:
    """Tell whether jpeglib is installed."""
    try:
        import jpeglib  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def split_file(content: bytes, threshold: int) -> tuple[bytes, bytes]:
    """Split a JPEG file into a public and a secret one.

    Args:
        content: Grey, or in YCbCr with any subsampling, as cameras write it.
        threshold: T, at least 1.

    Raises:
        ValueError: When it is no such file, or the threshold is below 1.
    """
    parts = {name: split_coefficients(blocks, threshold) for name, blocks in coefficients(content).items()}
    public, secret = (_with(content, {name: pick(each) for name, each in parts.items()}) for pick in (_public, _secret))
    return public, secret


def join_file(public: bytes, secret: bytes, threshold: int) -> bytes:
    """Return the file that was split, without what it said beside its picture.

    Raises:
        ValueError: When these are no two parts of one file.
    """
    seen, hidden = coefficients(public), coefficients(secret)
    if {name: blocks.shape for name, blocks in seen.items()} != {name: each.shape for name, each in hidden.items()}:
        raise ValueError("these are no two parts of one picture: they differ in size")
    return _with(public, {name: join_coefficients(Parts(seen[name], hidden[name]), threshold) for name in seen})


def coefficients(content: bytes) -> dict[str, NDArray[np.int16]]:
    """Return the quantised coefficients of every component, each (rows, columns, 8, 8).

    Raises:
        ValueError: When it is no JPEG file, grey or in YCbCr.
    """
    jpeg = _opened(content)
    return {name: np.array(blocks) for name in COMPONENTS if (blocks := getattr(jpeg, name)) is not None}


def encoded(picture: NDArray[np.uint8], quality: int) -> bytes:
    """Return a (height, width, channels) picture as a JPEG file, its colours not subsampled; grey of one channel."""
    stream = BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(
        stream, "jpeg", quality=quality, subsampling=0
    )
    return stream.getvalue()


def decoded(content: bytes) -> NDArray[np.uint8]:
    """Return what a JPEG file shows, (height, width, channels)."""
    with Image.open(BytesIO(content)) as opened:
        shown = np.asarray(opened)
    return shown[..., None] if shown.ndim == 2 else shown


def _public(parts: Parts) -> NDArray[np.int16]:
    return parts.public


def _secret(parts: Parts) -> NDArray[np.int16]:
    return parts.secret


def _opened(content: bytes) -> Any:
    """Return a file as jpeglib has it; Pillow looks at it first."""
    try:
        with Image.open(BytesIO(content)) as opened:
            kind, mode = opened.format, opened.mode
            opened.load()
    except Exception as error:  # whatever a broken file makes of a decoder
        raise ValueError(f"this is no JPEG file: {error}") from None
    if kind not in ("JPEG", "MPO") or mode not in ("L", "RGB"):
        raise ValueError(f"P3 splits JPEG files, grey or in colour, and this is {kind} in {mode}")
    return _in_files(_loaded, content)


def _loaded(path: Path) -> Any:
    import jpeglib  # noqa: PLC0415  (an extra)

    jpeg = jpeglib.read_dct(str(path))
    jpeg.load()
    return jpeg


def _with(content: bytes, blocks: dict[str, NDArray[np.int16]]) -> bytes:
    """Return a file with other coefficients, and without its markers."""

    def written(path: Path) -> bytes:
        jpeg = _loaded(path)
        for name, values in blocks.items():
            setattr(jpeg, name, values)
        jpeg.markers = []
        jpeg.write_dct(str(path.with_name("out.jpg")))
        return path.with_name("out.jpg").read_bytes()

    found: bytes = _in_files(written, content)
    return found


def _in_files(work: Callable[[Path], Any], content: bytes) -> Any:
    """Work on a file that lives as long as that takes: jpeglib takes names of files."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "in.jpg"
        path.write_bytes(content)
        return work(path)
