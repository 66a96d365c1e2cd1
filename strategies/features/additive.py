"""Values that add up: each bid is worth the same whatever else is bought, as with quantity and matching degree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from strategies.features.coverage import Indices, Whole, cover, marginal, uncover


class CoveredValues(NamedTuple):
    """The form that compiled code works on: nothing that is bought changes what the rest is worth."""

    values: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Additive:
    """A whole value >= 0 for each bid; a set is worth their sum.

    Attributes:
        values: (n,)

    Examples:
        >>> Additive(np.array([3, 1, 4])).value([0, 2])
        7
    """

    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def largest_value(self) -> int:
        """The most that one bid is worth."""
        return int(self.values.max(initial=0))

    @property
    def total_value(self) -> int:
        """What all bids together are worth."""
        return int(self.values.sum())

    def value(self, selected: Indices) -> int:
        """Return what a set of bids is worth."""
        return int(self.values[np.asarray(selected, np.int64)].sum())

    def subset(self, indices: Indices) -> "Additive":
        """Return the bids with the given indices, in that order."""
        return Additive(self.values[np.asarray(indices, np.int64)])

    def bundled(self, owners: NDArray[np.int64], count: int) -> "Additive":
        """Return the values of bundles: `owners` names the bundle of each bid, 0 to `count` - 1."""
        totals = np.zeros(count, np.int64)
        np.add.at(totals, owners, self.values)
        return Additive(totals)

    def uncovered(self) -> CoveredValues:
        """Return the form that compiled code works on."""
        return CoveredValues(self.values)


def _marginal_value(covered: CoveredValues, bid: Whole) -> int:
    value: int = covered.values[bid]
    return value


def _nothing_to_do(covered: CoveredValues, bid: Whole) -> None:
    pass


def _nothing_to_undo(covered: CoveredValues) -> None:
    pass


@overload(marginal, strict=False)
def _compile_marginal(covered: Any, bid: Any) -> Callable[..., int] | None:
    return _marginal_value if covered.instance_class is CoveredValues else None


@overload(cover, strict=False)
def _compile_cover(covered: Any, bid: Any) -> Callable[..., None] | None:
    return _nothing_to_do if covered.instance_class is CoveredValues else None


@overload(uncover, strict=False)
def _compile_uncover(covered: Any) -> Callable[..., None] | None:
    return _nothing_to_undo if covered.instance_class is CoveredValues else None
