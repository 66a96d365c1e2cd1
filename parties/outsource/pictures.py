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
    if height == width == side:
        return picture
    edge = min(height, width)
    left, top = (width - edge) // 2, (height - edge) // 2
    cut = Image.fromarray(picture[top : top + edge, left : left + edge])
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))
