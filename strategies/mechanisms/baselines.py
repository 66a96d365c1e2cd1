"""What truthful mechanisms are compared with: rules that sellers can exploit, and bounds that nobody can reach."""

import numpy as np
from numpy.typing import NDArray

from strategies.mechanisms.award import Award, no_winner
from strategies.mechanisms.density_greedy import marginal_values, require_exact, within_budget
from strategies.mechanisms.market import Market

_LOOKS = 16
"""Sets of the greedy from which the optimum is bounded."""


def first_price(market: Market) -> Award:
    """Buy what adds most value per price asked while the budget lasts, and pay what is asked.

    Raises:
        ValueError: When budget and values are too large for exact arithmetic.
    """
    require_exact(market)
    order = market.order
    chosen, _ = within_budget(market.value.subset(order).uncovered(), market.costs[order], market.budget)
    won = np.sort(order[chosen])
    return Award(won, market.costs[won])


def random_order(market: Market) -> Award:
    """Buy in the public order, which nobody can choose, whatever still fits the budget, and pay what is asked."""
    taken, spent = [], 0
    for bid in market.order.tolist():
        if spent + market.costs[bid] <= market.budget:
            spent += int(market.costs[bid])
            taken.append(bid)
    won = np.sort(np.array(taken, np.int64))
    return Award(won, market.costs[won])


def public_cost(market: Market) -> Award:
    """Buy what a buyer that knows all costs would: the better of greedy within the budget and the best single bid.

    Worth at least (1 - 1/e) / 2 of the best set. Sellers would not tell their costs under it: a bound, no mechanism.

    Raises:
        ValueError: When budget and values are too large for exact arithmetic.

    References:
        Khuller, Moss and Naor, "The budgeted maximum coverage problem", Information Processing Letters 1999.
    """
    award = first_price(market)
    if not len(market):
        return award
    alone = marginal_values(market.value.uncovered(), np.empty(0, np.int64), len(market))
    alone[market.costs > market.budget] = 0
    best = int(alone.argmax())
    if alone[best] > market.value.value(award.winners):
        return Award(np.array([best]), market.costs[[best]])
    return award if alone[best] else no_winner()


def upper_bound(market: Market) -> float:
    """Return a value that no set of bids within the budget exceeds, if their costs are what they ask.

    For every set S that greedy passes through, the best set T is worth at most v(S) plus what the marginal values of
    the others to S, taken in part where they must, add up to within the budget. The least of these bounds is returned;
    for values that add up it is the fractional knapsack.

    Raises:
        ValueError: When budget and values are too large for exact arithmetic.

    References:
        Leskovec, Krause, Guestrin, Faloutsos, VanBriesen and Glance, "Cost-effective outbreak detection in networks",
        KDD 2007, section 3.2.
    """
    require_exact(market)
    market = market.among(np.flatnonzero(market.costs <= market.budget))
    if not len(market):
        return 0.0
    order = market.order
    value, costs = market.value.subset(order), market.costs[order]
    chosen, added = within_budget(value.uncovered(), costs, market.budget)
    sizes = np.unique(np.linspace(0, len(chosen), min(len(chosen) + 1, _LOOKS)).astype(np.int64))
    bounds = []
    for size in sizes:
        gains = marginal_values(value.uncovered(), chosen[:size], len(costs)).astype(np.float64)
        bounds.append(float(added[:size].sum()) + _fractional(gains, costs.astype(np.float64), market.budget))
    return min(bounds)


def _fractional(gains: NDArray[np.float64], costs: NDArray[np.float64], budget: int) -> float:
    """Return the optimum of the fractional knapsack."""
    useful = np.flatnonzero(gains > 0)
    densest = useful[np.argsort(costs[useful] / gains[useful], kind="stable")]
    before = np.concatenate([[0.0], np.cumsum(costs[densest])])
    whole = int(np.searchsorted(before, budget, side="right")) - 1
    worth = float(gains[densest[:whole]].sum())
    if whole < len(densest):
        worth += float(gains[densest[whole]] * (budget - before[whole]) / costs[densest[whole]])
    return worth
