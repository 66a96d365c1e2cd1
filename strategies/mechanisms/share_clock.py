"""Diversity in small markets: one falling price per new coverage, until everybody who accepts can be paid."""

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.coverage import Covered, cover, marginal, uncover
from strategies.mechanisms.award import Award
from strategies.mechanisms.density_greedy import marginal_values
from strategies.mechanisms.descending_clock import descending_clock
from strategies.mechanisms.market import Market

STEP = 0.99
"""By what the price falls from round to round."""
SMALL = 1000
"""Bids from which `clock` trusts in `descending_clock`."""
ALPHA = 1.3
"""The growth of its target then: of 1.1, 1.15, 1.3 and 1.5 it covered most in most markets of 1,500 to 3,000 bids."""


def clock(market: Market) -> Award:
    """Hold the clock auction that covers more in markets of this size: `share_clock`, or `descending_clock`.

    The first one where fewer than `SMALL` bids came and none is worth much beside the others: all are worth equally
    much alone, as images are, or none more than a quarter of all together. Neither what sets are worth nor the number
    of bids depends on what they ask, so no ask can choose the auction.
    """
    alone = marginal_values(market.value.uncovered(), np.empty(0, np.int64), len(market))
    if len(market) < SMALL and (
        len(np.unique(alone)) <= 1 or 4 * alone.max() <= market.value.value(np.arange(len(market)))
    ):
        return share_clock(market)
    return descending_clock(market.value, market.costs, market.budget, market.order, ALPHA, reserve=market.ceilings)


def share_clock(market: Market) -> Award:
    """Offer every bid the same price per value that it adds to those before it, and let the price fall.

    1. Every bid is offered the whole budget. The price per value starts where the most valuable bid is offered as
       much.
    2. In each round, every remaining bid is looked at in the public order: it adds m to those before it. Then, from the
       last to the first, each with m > 0 is offered m times the price, and never more than before. It drops out for
       good if it declines.
    3. As soon as what these bids were offered last fits the budget, they are paid that. After each round the price
       falls by 1 %.

    A cost is only ever compared with a price that does not depend on it, so the auction is obviously strategyproof,
    individually rational and within the budget. Where no two bids overlap it buys what `singer` does, but for the steps
    of the price. `descending_clock` has a guarantee on the value, for which it splits the bids in two sets, each of
    which has to reach its target without the other: in markets of hundreds of bids that costs more than it brings.

    Args:
        market: Bids of which none is worth much beside the others: there is no protection for one that is.

    Examples:
        >>> from strategies.features.coverage import Squares
        >>> squares = Squares(np.array([[100, 100], [101, 100], [900, 900]]), reach=50)
        >>> award = share_clock(Market(squares, np.array([10, 10, 10]), 50, np.arange(3)))
        >>> award.winners, award.payments
        (array([0, 2]), array([25, 25]))
    """
    order = market.order
    covered = market.value.subset(order).uncovered()
    prices, added = _lower(covered, market.costs[order], market.budget, market.ceilings[order])
    chosen = np.flatnonzero(added > 0)
    upward = np.argsort(order[chosen])
    return Award(order[chosen][upward], prices[chosen][upward])


@compiled
def _lower(
    covered: Covered, costs: NDArray[np.int64], budget: int, ceilings: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the last price offered to each bid, and what each adds to those before it in the last round."""
    prices = ceilings.copy()
    active = np.ones(len(costs), np.bool_)
    added = np.zeros(len(costs), np.int64)
    price = 0.0
    while True:
        uncover(covered)
        total = 0
        for bid in range(len(costs)):
            added[bid] = marginal(covered, bid) if active[bid] else 0
            if added[bid] > 0:
                cover(covered, bid)
                total += prices[bid]
        if total <= budget:
            return prices, added
        price = STEP * price if price > 0 else budget / added.max()
        for bid in range(len(costs) - 1, -1, -1):
            if added[bid] == 0 or int(price * added[bid]) >= prices[bid]:
                continue
            total -= prices[bid]
            prices[bid] = int(price * added[bid])
            if costs[bid] > prices[bid]:
                active[bid] = False
                added[bid] = 0
            else:
                total += prices[bid]
            if total <= budget:
                return prices, added
