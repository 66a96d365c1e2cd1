"""Contact sheets: small copies of pictures of any size, inside the page."""

import base64
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from parties.album import Pixels

SHEET = 60
"""Pictures on a sheet, at most; a sheet of pairs holds half as many."""
SHEET_PIXELS = 200_000_000
"""Pixels that a sheet opens, about: it holds fewer pictures where they are enormous."""
THUMBNAIL = 96
"""Longest side of a thumbnail, pixels."""

_SMALLEST = 48


@dataclass(frozen=True)
class Shot:
    """One picture of a sheet.

    Attributes:
        image: Data URI; empty where there is no picture.
        caption: What is written under it.
        wrong: Whether it shows what was not asked for.
        beside: Data URI of what was delivered instead; empty where that is lost, None for a picture that stands alone.
        beside_caption: What is written under that.
    """

    image: str
    caption: str
    wrong: bool = False
    beside: str | None = None
    beside_caption: str = ""


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: the first of `total` pictures."""

    shots: list[Shot]
    total: int

    @property
    def more(self) -> int:
        """Pictures that did not fit."""
        return self.total - len(self.shots)


def thumbnail(picture: Pixels) -> str:
    """Return a picture as the data URI of a JPEG of at most `THUMBNAIL` pixels a side; tiny ones are enlarged.

    Args:
        picture: (height, width, 3)

    Examples:
        >>> thumbnail(np.zeros((3000, 2000, 3), dtype=np.uint8))[:23]
        'data:image/jpeg;base64,'
    """
    step = max(1, max(picture.shape[:2]) // (4 * THUMBNAIL))
    image = Image.fromarray(np.ascontiguousarray(picture[::step, ::step]))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    if max(image.size) < _SMALLEST:
        factor = THUMBNAIL // max(image.size)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def affordable(pictures: Iterable[Pixels], most: int) -> Iterator[Pixels]:
    """Yield pictures, `most` at most and until their pixels add up to `SHEET_PIXELS`."""
    pixels = 0
    for picture in islice(pictures, most):
        yield picture
        pixels += picture.shape[0] * picture.shape[1]
        if pixels > SHEET_PIXELS:
            return
