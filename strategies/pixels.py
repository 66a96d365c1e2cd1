"""Between pictures as arrays of bytes, colours last, and the tensors that networks take, colours first."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return (n, height, width, channels) pictures as (n, channels, height, width), in memory as they were.

    Examples:
        >>> to_tensor(np.zeros((5, 2, 4, 3), np.uint8)).shape
        torch.Size([5, 3, 2, 4])
    """
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)


def to_pictures(images: Tensor) -> NDArray[np.uint8]:
    """Return (n, channels, height, width) uint8 images as (n, height, width, channels)."""
    pictures: NDArray[np.uint8] = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pictures


def network_inputs(pictures: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return (n, height, width, 3) pictures as (n, 3, height, width) float32 inputs in -1..1."""
    return centred(to_tensor(pictures))


def centred(pixels: Tensor) -> Tensor:
    """Map uint8 pixels to float32 in -1..1.

    Examples:
        >>> centred(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
        [-1.0, 1.0]
    """
    return pixels.float().div_(127.5).sub_(1)


def to_pixels(values: Tensor) -> Tensor:
    """Round values to uint8; those beyond 0..255 are cut off.

    Examples:
        >>> to_pixels(torch.tensor([-3.0, 90.4, 300.0])).tolist()
        [0, 90, 255]
    """
    return values.round().clamp_(0, 255).to(torch.uint8)
