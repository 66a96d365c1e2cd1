"""Representations as bytes: a quarter of the room that single precision takes, and less than the picture took."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEVELS = 255


class Quantised(NamedTuple):
    """Representations on 256 levels.

    Attributes:
        codes: (n, channels, h, w)
        highest: (n,), what code 255 stands for in each; code 0 stands for 0.
    """

    codes: NDArray[np.uint8]
    highest: NDArray[np.float32]


def quantise(representations: Tensor) -> Quantised:
    """Round representations, which are never negative, to 256 levels from 0 to the largest of each.

    Raises:
        ValueError: When one is negative or not finite.

    Examples:
        >>> quantised = quantise(torch.tensor([0.0, 1.0, 2.0]).reshape(1, 1, 1, 3))
        >>> quantised.codes.ravel().tolist(), restored(quantised).ravel().round(decimals=2).tolist()
        ([0, 128, 255], [0.0, 1.0, 2.0])
    """
    values = representations.detach().cpu().numpy().astype(np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("representations are finite and not negative: an extractor ends with ReLU and pooling")
    highest = values.max(axis=(1, 2, 3))
    scale = np.where(highest > 0, highest, 1)[:, None, None, None]
    return Quantised(np.rint(values / scale * LEVELS).astype(np.uint8), highest)


def restored(quantised: Quantised) -> Tensor:
    """Return the representations, (n, channels, h, w) float32, each within half a level of what it was."""
    scale = quantised.highest[:, None, None, None] / np.float32(LEVELS)
    return torch.from_numpy(quantised.codes.astype(np.float32) * scale)
