"""What a procurement mechanism answers: which bids win, and what each is paid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Award:
    """The winning bids and their payments.

    Attributes:
        winners: (w,); indices of the winning bids, ascending.
        payments: (w,); what each winner is paid, in minor units: rounded down, never below the cost it declared.
    """

    winners: NDArray[np.int64]
    payments: NDArray[np.int64]

    @property
    def total(self) -> int:
        """The sum of all payments, in minor units: never above the budget."""
        return int(self.payments.sum())


def no_winner() -> Award:
    """Return the award in which no bid wins."""
    return Award(np.empty(0, np.int64), np.empty(0, np.int64))


def whole_numbers(name: str, numbers: ArrayLike, bids: int | None = None) -> NDArray[np.int64]:
    """Check one whole number >= 0 per bid, and return them as a fresh int64 array.

    Args:
        name: What the numbers are, for the error's sentence.
        numbers: (n,)
        bids: How many there have to be; any number where omitted.

    Raises:
        ValueError: When they are not one-dimensional, not integers, negative, or not as many as the bids.
    """
    array = np.asarray(numbers)
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, one number per bid; got shape {array.shape}")
    if bids is not None and len(array) != bids:
        raise ValueError(f"{name} has {len(array)} entries, but there are {bids} bids: give one per bid")
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers (costs in minor units, such as cents); got {array.dtype}")
    if array.size and array.min() < 0:
        raise ValueError(f"{name}[{array.argmin()}] is {array.min()}: it must not be negative")
    return np.array(array, dtype=np.int64)


def whole_budget(budget: int) -> int:
    """Check a budget in minor units.

    Raises:
        ValueError: When it is not a whole number, or is negative.
    """
    if int(budget) != budget or budget < 0:
        raise ValueError(f"the budget must be a whole number of minor units >= 0; got {budget}")
    return int(budget)
