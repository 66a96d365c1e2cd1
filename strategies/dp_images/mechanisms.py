"""Three ways to publish a picture with a differentially private guarantee (the survey's section 3.1).

Pictures are (n, channels, height, width) uint8 tensors on the CPU. With three channels a changed pixel may change in
all three; the papers use grey pictures, which take a third of the noise. What is published is a whole number of units
before and after noise, so that the low bits of a sum tell nothing (Mironov 2012).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from strategies.dp_images.guarantee import Guarantee
from strategies.pixels import to_pixels
from strategies.privacy.discrete_noise import LAPLACE_BITS, discrete_laplace
from strategies.privacy.stream import Stream

RANGE = 255
SNOW = 127
"""The grey of a pixel that was removed."""
_KEPT_BITS = 62
"""Of the probability that a pixel is kept."""
_SVD_BITS = 20
"""Of the units in the scale of DP-SVD's noise."""
_FINEST, _LARGEST = 2**40, 2**62
"""Units of the finest grid in a level of grey, and in the largest sum of a cell."""


class Mechanism(Protocol):
    """A way to publish pictures."""

    description: ClassVar[str]

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return pictures of the same shape and type that may be published."""

    def guarantee(self) -> Guarantee:
        """State what one publication of one picture promises."""

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State what it promises when any other picture of that size is a neighbour: what protects all of it."""


@dataclass(frozen=True)
class DPPix:
    r"""Means of square cells with Laplace noise of scale 255 m c / (b^2 epsilon) (Fan 2018, theorem 1).

    m pixels of c channels that change by 255 each move the sums of all cells together by 255 m c in L1, wherever they
    lie. Sums are integers, and get discrete Laplace noise on a grid so fine that a picture's noise is at most a
    millionth more than the formula says.

    Args:
        epsilon: Of the whole picture, positive.
        cell: b, the width of a cell in pixels.
        changed: m, how many pixels neighbours may differ in.

    Raises:
        ValueError: When a parameter is not positive.

    Examples:
        >>> black = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
        >>> published = DPPix(epsilon=1000.0, cell=8, changed=16).publish(black, Stream(bytes(32)))
        >>> published.shape == black.shape, int(published.max()) < 5
        (True, True)
    """

    description: ClassVar[str] = "means of square cells with Laplace noise (DP-Pix, Fan 2018)"

    epsilon: float
    cell: int = 8
    changed: int = 16

    def __post_init__(self) -> None:
        _check_epsilon(self.epsilon)
        if self.cell < 1 or self.changed < 1:
            raise ValueError(
                f"a cell is at least 1 pixel wide and at least 1 pixel changes, not {self.cell} and {self.changed}"
            )

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return the noisy means, each spread over its cell.

        Raises:
            ValueError: When pictures are smaller than a cell, or cells do not tile them, or epsilon is too small.
        """
        sums = cell_sums(pictures, self.cell)
        moved = RANGE * self.changed * pictures.shape[1]
        finest = min(_FINEST, _LARGEST // (RANGE * self.cell**2))
        bits = min(LAPLACE_BITS, max(0, math.floor(math.log2(finest * moved / self.epsilon))))
        grid = min(math.floor(self.epsilon * 2.0**bits / moved), finest)
        if grid < 1:
            raise ValueError(f"an epsilon of {self.epsilon} is too small: {moved / 2**LAPLACE_BITS:.2g} is the least")
        noise = torch.from_numpy(discrete_laplace(bits, sums.numel(), stream)).reshape(sums.shape)
        return enlarged((grid * sums + noise).double() / (grid * self.cell**2), self.cell)

    def guarantee(self) -> Guarantee:
        """State what one publication of one picture promises."""
        return Guarantee(
            self.epsilon,
            0.0,
            f"two images of one size that differ in at most {self.changed} pixels, anywhere and by any amount "
            "(m-neighbourhood)",
            f"the values of any {self.changed} pixels: a mark, the pupils, a letter",
            "what takes more pixels to change: a face, an identity, the light; and the size of the image",
        )

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State what it promises when all pixels may differ: epsilon for every m of them."""
        return _any_picture(self.epsilon * height * width / self.changed, 0.0)


@dataclass(frozen=True)
class DPSVD:
    r"""Each channel's k largest singular values with noise of density ~ exp(-epsilon |v|_2) (Fan 2019, section 3).

    The radius is Gamma(k, 1 / epsilon), the direction uniform. Values and noise are rounded to units of
    2^-20 / epsilon, which may add sqrt(k) / 2^20 to what is promised. The singular *vectors* are published as they are,
    and the smaller values are left out: so the promise is metric differential privacy of the values alone.

    Args:
        epsilon: Per unit of distance between singular values: a level of grey in each of N x N pixels is a distance of
            N.
        values: k, how many singular values of each channel are published.

    Raises:
        ValueError: When a parameter is not positive.
    """

    description: ClassVar[str] = "singular values with noise under metric privacy (DP-SVD, Fan 2019)"

    epsilon: float
    values: int = 4

    def __post_init__(self) -> None:
        _check_epsilon(self.epsilon)
        if self.values < 1:
            raise ValueError(f"at least 1 singular value is published, not {self.values}")

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return pictures of the noisy singular values and the true vectors.

        Raises:
            ValueError: When pictures have fewer singular values.
        """
        left, values, right = singular_values(pictures, self.values)
        unit = 2.0**-_SVD_BITS / self.epsilon
        noise = metric_laplace(values.shape, self.epsilon, stream)
        return composed(left, ((values / unit).round() + (noise / unit).round()) * unit, right)

    def guarantee(self) -> Guarantee:
        """State what one publication of one picture promises."""
        return Guarantee(
            self.epsilon,
            0.0,
            f"two images of equal singular vectors whose {self.values} largest singular values are at distance d "
            "(Euclidean, added over channels): epsilon x d, so epsilon for d = 1",
            "the strength of each published pattern, more so for images that are close",
            "the patterns themselves: singular vectors are published without noise and reveal the identity",
        )

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing: pictures of other singular vectors can be told apart with certainty."""
        return _any_picture(math.inf, 0.0)


@dataclass(frozen=True)
class Snow:
    """Each pixel is kept with probability delta, or becomes grey (John, Liu, Xia, Koppal and Jain 2020).

    If one pixel differs, the two published pictures differ only if it was kept: (0, delta).

    Args:
        delta: Between 0 and 1.

    Raises:
        ValueError: When it is not.
    """

    description: ClassVar[str] = "each pixel kept with probability delta, else grey (Snow, John et al. 2020)"

    delta: float

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta lies between 0 and 1, not at {self.delta}")

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return the snowed pictures."""
        _check(pictures)
        shape = (len(pictures), 1, *pictures.shape[2:])
        drawn = torch.from_numpy(stream.bits(_KEPT_BITS, math.prod(shape))).reshape(shape)
        kept = drawn < math.floor(self.delta * 2.0**_KEPT_BITS)
        return torch.where(kept, pictures, torch.tensor(SNOW, dtype=torch.uint8))

    def guarantee(self) -> Guarantee:
        """State what one publication of one picture promises."""
        return Guarantee(
            0.0,
            self.delta,
            "two images of one size that differ in one pixel",
            f"one pixel: it is removed with probability {1 - self.delta:.3g}",
            "what neighbouring pixels reveal about a pixel, which is nearly everything (the survey's Fig. 1)",
        )

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State what it promises when all pixels may differ: nothing unless none is kept."""
        return _any_picture(0.0, 1 - (1 - self.delta) ** (height * width))


def cell_means(pictures: Tensor, cell: int) -> Tensor:
    """Return the means of square cells, (n, channels, height / cell, width / cell) float64.

    Raises:
        ValueError: When pictures are smaller than a cell, or cells do not tile them.

    Examples:
        >>> cell_means(torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4), 2).flatten().tolist()
        [2.5, 4.5, 10.5, 12.5]
    """
    return cell_sums(pictures, cell).double() / cell**2


def cell_sums(pictures: Tensor, cell: int) -> Tensor:
    """Return the sums of square cells, (n, channels, height / cell, width / cell) int64; errors as in `cell_means`."""
    _check(pictures)
    height, width = pictures.shape[2:]
    if min(height, width) < cell:
        raise ValueError(f"a picture of {width}x{height} is smaller than one cell of {cell}x{cell} pixels")
    if height % cell or width % cell:
        raise ValueError(f"cells of {cell} pixels do not tile pictures of {width}x{height}")
    count, channels = pictures.shape[:2]
    return pictures.long().reshape(count, channels, height // cell, cell, width // cell, cell).sum(dim=(3, 5))


def enlarged(cells: Tensor, cell: int) -> Tensor:
    """Return pictures of which each cell has one colour, uint8."""
    return to_pixels(cells).repeat_interleave(cell, 2).repeat_interleave(cell, 3)


def singular_values(pictures: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decompose each channel: left vectors (n, c, height, k), values (n, c, k) and right vectors (n, c, k, width).

    Raises:
        ValueError: When pictures have fewer singular values.
    """
    _check(pictures)
    smallest = min(pictures.shape[2:])
    if smallest < count:
        raise ValueError(
            f"a picture of {pictures.shape[3]}x{pictures.shape[2]} has {smallest} singular values, not {count}"
        )
    left, values, right = torch.linalg.svd(pictures.double(), full_matrices=False)
    return left[..., :count], values[..., :count], right[..., :count, :]


def composed(left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    """Return the pictures with these singular values and vectors, uint8."""
    return to_pixels(left * values[..., None, :] @ right)


def metric_laplace(shape: torch.Size, epsilon: float, stream: Stream) -> Tensor:
    """Draw noise of density ~ exp(-epsilon |v|_2) along the last axis, float64 (Chatzikokolakis et al. 2013)."""
    first, second = 1 - stream.uniform(2 * math.prod(shape)).reshape(2, *shape)  # in (0, 1]
    direction = torch.from_numpy(ndtri(np.minimum(first, 1 - 2.0**-53)))
    waits = torch.from_numpy(-np.log(second) / epsilon)
    noise: Tensor = direction / direction.norm(dim=-1, keepdim=True) * waits.sum(dim=-1, keepdim=True)
    return noise


def _any_picture(epsilon: float, delta: float) -> Guarantee:
    return Guarantee(epsilon, delta, "any two images of one size", "all that an image shows", "its size")


def _check_epsilon(epsilon: float) -> None:
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon is a positive number, not {epsilon}")


def _check(pictures: Tensor) -> None:
    if pictures.dtype != torch.uint8 or pictures.dim() != 4:
        raise ValueError(
            f"pictures are (n, channels, height, width) uint8, not {tuple(pictures.shape)} {pictures.dtype}"
        )
