"""What a mechanism decides on: bids of public value, what they ask, and a budget."""

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strategies.features.coverage import Indices
from strategies.mechanisms.award import whole_budget, whole_numbers


class Value(Protocol):
    """What sets of n bids are worth to the buyer: whole numbers, monotone and submodular.

    `Additive` values add up, `Squares` and `SignaturePoints` are worth what they cover, bundles what their images do.
    """

    def __len__(self) -> int:
        """Return n."""
        ...

    @property
    def largest_value(self) -> int:
        """The most that one bid can be worth."""
        ...

    @property
    def total_value(self) -> int:
        """The most that all bids together can be worth."""
        ...

    def value(self, selected: Indices) -> int:
        """Return what a set of bids is worth."""
        ...

    def subset(self, indices: Indices) -> "Value":
        """Return the bids with the given indices, in that order."""
        ...

    def uncovered(self) -> Any:
        """Return the form that compiled code works on (`strategies.features.coverage`)."""
        ...


@dataclass(frozen=True, eq=False)
class Market:
    """The input of a mechanism: n bids that match the request.

    Attributes:
        value: What sets of bids are worth; public.
        costs: (n,); what each bid asks, minor units.
        budget: What all payments together may reach, minor units.
        ranks: (n,); a public order of the bids, fixed before bidding: between equals the lower rank goes first.
        ceilings: (n,); the most that each bid may be paid, at most the budget; public and fixed before bidding.

    Raises:
        ValueError: When an array is not of n whole numbers >= 0, or the budget is not one.
    """

    value: Value
    costs: NDArray[np.int64]
    budget: int
    ranks: NDArray[np.int64]
    ceilings: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        bids = len(self.value)
        object.__setattr__(self, "costs", whole_numbers("costs", self.costs, bids))
        object.__setattr__(self, "ranks", whole_numbers("ranks", self.ranks, bids))
        object.__setattr__(self, "budget", whole_budget(self.budget))
        ceilings = self.ceilings if len(self.ceilings) else np.full(bids, self.budget)
        ceilings = np.minimum(whole_numbers("ceilings", ceilings, bids), self.budget)
        object.__setattr__(self, "ceilings", ceilings)

    def __len__(self) -> int:
        return len(self.costs)

    @property
    def order(self) -> NDArray[np.int64]:
        """(n,); the bids in their public order."""
        return np.argsort(self.ranks, kind="stable").astype(np.int64)

    def among(self, bids: NDArray[np.int64]) -> "Market":
        """Return the same market as if only these bids, by their indices, had come."""
        return replace(
            self,
            value=self.value.subset(bids),
            costs=self.costs[bids],
            ranks=self.ranks[bids],
            ceilings=self.ceilings[bids],
        )

    def asking(self, costs: NDArray[np.int64]) -> "Market":
        """Return the same market with other declared costs."""
        return replace(self, costs=costs)
