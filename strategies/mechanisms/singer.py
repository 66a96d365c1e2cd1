"""As many images as the budget buys: the proportional-share mechanism for equal values."""

import numpy as np
from numpy.typing import NDArray

from strategies.mechanisms.award import Award, no_winner, whole_budget, whole_numbers


def singer(costs: NDArray[np.int64], budget: int, tie: NDArray[np.int64]) -> Award:
    """Buy the k cheapest images, all at one price.

    With costs in ascending order, k is the largest number with k * c_k <= budget, and every winner is paid
    min(budget / k, c_(k+1)). Truthful, individually rational, within the budget; buys at least half as many
    images as a buyer who knew the costs could.

    Args:
        costs: (n,); declared costs, minor units.
        budget: What all payments together may reach, minor units.
        tie: (n,); public ranks, fixed before bidding: of two equal costs the lower rank goes first.

    Raises:
        ValueError: When an input has the wrong shape, is not whole or is negative.

    References:
        Singer, "Budget feasible mechanisms", FOCS 2010, section 3; CrowdBuy, section IV.C, theorem 1.

    Examples:
        >>> award = singer(np.array([3, 1, 2, 9]), budget=9, tie=np.arange(4))
        >>> award.winners, award.payments
        (array([0, 1, 2]), array([3, 3, 3]))
    """
    costs = whole_numbers("costs", costs)
    tie = whole_numbers("tie", tie, bids=len(costs))
    budget = whole_budget(budget)

    ascending = np.sort(costs[costs <= budget])
    # j * c_j never falls as j grows, so the affordable counts are a prefix.
    k = int(np.count_nonzero(ascending <= budget // np.arange(1, len(ascending) + 1)))
    if k == 0:
        return no_winner()
    price = budget // k
    if k < len(ascending):
        price = min(price, int(ascending[k]))

    dearest = ascending[k - 1]
    cheaper = np.flatnonzero(costs < dearest)
    tied = np.flatnonzero(costs == dearest)
    tied = tied[np.argsort(tie[tied], kind="stable")][: k - len(cheaper)]
    return Award(winners=np.sort(np.concatenate([cheaper, tied])), payments=np.full(k, price, np.int64))
