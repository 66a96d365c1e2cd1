"""P3: a picture split into a public part, and a secret part that is small (Ra, Govindan and Ortega 2013).

JPEG's coefficients are split at a threshold T. Public are those of at most T in magnitude, and T instead of larger
ones, without their sign; secret are the mean of each block (DC), and what is beyond T with its sign. Here the
coefficients are those of the 8 x 8 cosine transform of RGB channels, quantised with JPEG's luminance table: the split
is P3's, the file format is not JPEG. `p3_files` splits JPEG files.

The public part is no differentially private picture: it hides the light and strong edges, and shows where edges are.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

BLOCK = 8
QUANTISATION = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""JPEG's luminance table for quality 50 (ITU-T T.81, table K.1)."""

Coefficients = NDArray[np.int16]
"""(blocks down, blocks across, 8, 8, channels), the mean of a block first."""


@dataclass(frozen=True)
class Parts:
    """A picture in two.

    Attributes:
        public: (rows, columns, 8, 8, channels), what everybody may have.
        secret: The same shape; what is encrypted for friends: mostly zeros.
    """

    public: Coefficients
    secret: Coefficients


def split(picture: NDArray[np.uint8], threshold: int) -> Parts:
    """Split a picture.

    Args:
        picture: (height, width, channels), both sides multiples of 8.
        threshold: T, at least 1; the paper takes 10 to 20.

    Raises:
        ValueError: When blocks do not tile the picture, or the threshold is below 1.
    """
    height, width, channels = picture.shape
    if height % BLOCK or width % BLOCK or not picture.size:
        raise ValueError(f"blocks of {BLOCK} pixels do not tile a picture of {width}x{height}")
    blocks = picture.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels).swapaxes(1, 2)
    transformed = dctn(blocks.astype(np.float64) - 128, axes=(2, 3), norm="ortho")
    coefficients = np.rint(transformed / QUANTISATION[:, :, None]).astype(np.int16)
    return split_coefficients(coefficients, threshold)


def split_coefficients(coefficients: NDArray[np.int16], threshold: int) -> Parts:
    """Split quantised coefficients, (rows, columns, 8, 8, ...).

    Raises:
        ValueError: When the threshold is below 1.
    """
    if threshold < 1:
        raise ValueError(f"a threshold is at least 1, not {threshold}")
    large = np.abs(coefficients) > threshold
    public = np.where(large, threshold, coefficients).astype(np.int16)
    secret = np.where(large, np.sign(coefficients) * (np.abs(coefficients) - threshold), 0).astype(np.int16)
    public[:, :, 0, 0], secret[:, :, 0, 0] = 0, coefficients[:, :, 0, 0]
    return Parts(public, secret)


def join_coefficients(parts: Parts, threshold: int) -> NDArray[np.int16]:
    """Return the coefficients that were split."""
    sign = np.sign(parts.secret)
    # Where there is a secret, the public part holds T without its sign.
    coefficients = np.where(sign == 0, parts.public, sign * threshold + parts.secret).astype(np.int16)
    coefficients[:, :, 0, 0] = parts.secret[:, :, 0, 0]
    return coefficients


def join(parts: Parts, threshold: int) -> NDArray[np.uint8]:
    """Return the picture, as JPEG would: exactly what a quantised picture was before the split.

    Examples:
        >>> picture = np.full((8, 16, 3), 90, dtype=np.uint8)
        >>> int(np.abs(join(split(picture, 10), 10).astype(int) - picture).max()) <= 1
        True
    """
    return render(join_coefficients(parts, threshold))


def render(coefficients: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Return the picture that coefficients show: of the public part alone, what a stranger sees."""
    blocks = idctn(coefficients * QUANTISATION[:, :, None], axes=(2, 3), norm="ortho") + 128
    rows, columns, _, _, channels = blocks.shape
    picture = blocks.swapaxes(1, 2).reshape(rows * BLOCK, columns * BLOCK, channels)
    pixels: NDArray[np.uint8] = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
    return pixels
