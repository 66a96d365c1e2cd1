"""BEACON's greedy without its single best item: the faithful mechanism for images of equal coverage."""

import numpy as np

from strategies.mechanisms.award import Award, no_winner
from strategies.mechanisms.critical_payments import critical_payments
from strategies.mechanisms.density_greedy import require_exact
from strategies.mechanisms.market import Market


def beacon(market: Market) -> Award:
    """Buy the bids that add most value per cost, each while it asks no more than its share of half the budget.

    1. The bid with the highest marginal value m per cost c is bought while c <= (budget / 2) m / (V + m), V what the
       set bought so far is worth; the first bid that asks more ends the auction.
    2. A winner is paid its critical price: the most that it could have asked and won (Myerson).
    3. Where every bid asks more than half the budget, the cheapest wins and is paid what the second asks, at most the
       budget; where exactly one asks less, its critical price counts that.

    Truthful, individually rational and within the budget for bids that are worth equally much alone, such as squares of
    one size. There is no comparison with the single best bid: between equals it would never be better, and with it the
    rule is not monotone. All comparisons are exact.

    Args:
        market: Bids worth equally much alone.

    Raises:
        ValueError: When budget and values are too large for exact arithmetic.

    References:
        Zheng et al., "A budget feasible incentive mechanism for weighted coverage maximization in mobile crowdsensing",
        IEEE TMC 2016 (BEACON); CrowdBuy, section IV.C.

    Examples:
        >>> from strategies.features.coverage import Squares
        >>> squares = Squares(np.array([[100, 100], [101, 100], [900, 900]]), reach=50)
        >>> award = beacon(Market(squares, np.array([10, 11, 12]), 60, np.arange(3)))
        >>> award.winners, award.payments
        (array([0, 2]), array([11, 15]))
    """
    require_exact(market)
    if not len(market):
        return no_winner()
    order = market.order
    costs, covered = market.costs[order], market.value.subset(order).uncovered()
    if np.count_nonzero(2 * costs <= market.budget) > 1:
        chosen, payments = critical_payments(covered, costs, market.budget)
    else:
        cheapest = np.argsort(costs, kind="stable")
        chosen = cheapest[:1]
        second = int(costs[cheapest[1]]) if len(costs) > 1 else market.budget
        payments = np.array([min(market.budget, second)])
    upward = np.argsort(order[chosen])
    return Award(order[chosen][upward], payments[upward])
