"""Pictures of one size out of an album's pictures of any size."""

import numpy as np
from PIL import Image

from parties.album import Pixels


def square(picture: Pixels, side: int) -> Pixels:
    """Cut the central square out of a picture and resize it.

    Examples
    --------
    >>> square(np.zeros((30, 50, 3), np.uint8), 16).shape
    (16, 16, 3)
    """
    height, width = picture.shape[:2]
    edge = min(height, width)
    left, top = (width - edge) // 2, (height - edge) // 2
    return resized(picture[top : top + edge, left : left + edge], side, side)


def resized(picture: Pixels, height: int, width: int) -> Pixels:
    """Bring a picture to a size; one that has it stays as it is."""
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
