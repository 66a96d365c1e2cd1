"""What DP images are compared with: plain pictures, large pixels, and P3's public parts. None promises anything."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from strategies.dp_images import p3_files
from strategies.dp_images.guarantee import Guarantee
from strategies.dp_images.mechanisms import cell_means, enlarged
from strategies.dp_images.p3 import BLOCK, render, split
from strategies.pixels import to_pictures, to_tensor
from strategies.privacy.stream import Stream

_NOTHING = Guarantee(math.inf, 0.0, "any two images", "nothing", "everything")


@dataclass(frozen=True)
class Plain:
    """Pictures as they are."""

    description: ClassVar[str] = "images as they are"

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return the pictures."""
        return pictures

    def guarantee(self) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING


@dataclass(frozen=True)
class Pixelize:
    """Means of square cells.

    Args:
        cell: Width of a cell in pixels.
    """

    description: ClassVar[str] = "means of square cells, without noise"

    cell: int = 8

    def __post_init__(self) -> None:
        if self.cell < 1:
            raise ValueError(f"a cell is at least 1 pixel wide, not {self.cell}")

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return the means, each spread over its cell."""
        return enlarged(cell_means(pictures, self.cell), self.cell)

    def guarantee(self) -> Guarantee:
        """State that it promises nothing: cells that differ by a level of grey are told apart with certainty."""
        return _NOTHING

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING


@dataclass(frozen=True)
class P3:
    """The public part of P3; the secret part goes to friends, encrypted (see `strategies.dp_images.p3`).

    Args:
        threshold: T.
    """

    description: ClassVar[str] = "P3's public part, its secret part sealed for friends (Ra et al. 2013)"
    cell: ClassVar[int] = BLOCK

    threshold: int = 15

    def __post_init__(self) -> None:
        if self.threshold < 1:
            raise ValueError(f"a threshold is at least 1, not {self.threshold}")

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return what a stranger sees."""
        rows = [render(split(picture, self.threshold).public) for picture in to_pictures(pictures)]
        return to_tensor(rows).contiguous()

    def secret(self, picture: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the secret part of a (height, width, channels) picture."""
        return split(picture, self.threshold).secret

    def guarantee(self) -> Guarantee:
        """State that it promises nothing to strangers: the public part depends on the picture without noise."""
        return _NOTHING

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING


@dataclass(frozen=True)
class P3JPEG:
    """The public part of P3 of a JPEG file, its own coefficients split (see `strategies.dp_images.p3_files`).

    Args:
        threshold: T.
        quality: Of the file.
    """

    description: ClassVar[str] = "P3's public part of a JPEG file (extra jpeg), its secret part sealed for friends"

    threshold: int = 15
    quality: int = 90

    def __post_init__(self) -> None:
        if self.threshold < 1:
            raise ValueError(f"a threshold is at least 1, not {self.threshold}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"the quality of a JPEG file is 1 to 100, not {self.quality}")
        if not p3_files.available():
            raise ValueError("p3-jpeg needs jpeglib: install the extra, pip install 'parley[jpeg]'")

    def publish(self, pictures: Tensor, stream: Stream) -> Tensor:
        """Return what a stranger sees in the public files."""
        rows = [
            p3_files.decoded(p3_files.split_file(p3_files.encoded(picture, self.quality), self.threshold)[0])
            for picture in to_pictures(pictures)
        ]
        return to_tensor(rows).contiguous()

    def secret(self, picture: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Return the secret part's coefficients, component after component, (n,)."""
        _, hidden = p3_files.split_file(p3_files.encoded(picture, self.quality), self.threshold)
        return np.concatenate([blocks.ravel() for blocks in p3_files.coefficients(hidden).values()])

    def guarantee(self) -> Guarantee:
        """State that it promises nothing to strangers: the public part depends on the picture without noise."""
        return _NOTHING

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING
