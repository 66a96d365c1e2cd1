"""What DP images are compared with: pictures as they are, and large pixels without noise. Neither promises anything."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from strategies.dp_images.guarantee import Guarantee
from strategies.dp_images.mechanisms import cell_means, enlarged

_NOTHING = Guarantee(math.inf, 0.0, "any two pictures", "nothing", "everything")


@dataclass(frozen=True)
class Plain:
    """Pictures as they are."""

    description: ClassVar[str] = "pictures as they are"

    def publish(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
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

    Parameters
    ----------
    cell : int
        Width of a cell in pixels.
    """

    description: ClassVar[str] = "means of square cells, without noise"

    cell: int = 8

    def __post_init__(self) -> None:
        if self.cell < 1:
            raise ValueError(f"a cell is at least 1 pixel wide, not {self.cell}")

    def publish(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """Return the means, each spread over its cell."""
        return enlarged(cell_means(pictures, self.cell), self.cell)

    def guarantee(self) -> Guarantee:
        """State that it promises nothing: cells that differ by a level of grey are told apart with certainty."""
        return _NOTHING

    def any_picture(self, height: int, width: int) -> Guarantee:
        """State that it promises nothing."""
        return _NOTHING
