"""The 1,797 handwritten digits that ship with scikit-learn (UCI Optical Recognition): real scans without a download.

A fixed split makes every second scan public (for training and calibrating featurizers) and the rest traded (for
albums).
"""

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simulations.data.scene import Split

CLASSES: tuple[str, ...] = tuple(str(digit) for digit in range(10))
SIZE = 32

_FIRST: dict[Split, int] = {"public": 0, "traded": 1}
_INK_LEVELS = 16


@functools.cache
def _scans() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all scans as dark ink on white paper, enlarged from 8 x 8 pixels, and their digits."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  (takes half a second)

    scans = load_digits()
    paper = np.rint(255 * (1 - scans.images / _INK_LEVELS)).astype(np.uint8)
    enlarged = np.stack(
        [np.asarray(Image.fromarray(scan).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for scan in paper]
    )
    return np.repeat(enlarged[..., None], 3, axis=-1), scans.target.astype(np.int64)


def read(split: Split = "traded") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the scans of one split, in the data set's own order.

    Args:
        split: 898 traded or 899 public scans; no scan is in both.

    Returns:
        images: (n, 32, 32, 3), RGB, 0..255: dark ink on white paper.
        labels: (n,); the digit, 0..9.

    Examples:
        >>> images, labels = read("public")
        >>> images.shape, labels[:5].tolist()
        ((899, 32, 32, 3), [0, 2, 4, 6, 8])
    """
    images, labels = _scans()
    own = slice(_FIRST[split], None, 2)
    return images[own].copy(), labels[own].copy()
