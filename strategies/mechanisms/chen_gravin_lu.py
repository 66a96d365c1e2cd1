"""The highest total matching degree that the budget buys: a truthful mechanism for additive values."""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from strategies.mechanisms.award import Award, no_winner, whole_budget, whole_numbers

# Below this, the float64 quotients of two different ratios differ and equal ratios have equal quotients.
_EXACT = 2**51


def chen_gravin_lu(values: NDArray[np.int64], costs: NDArray[np.int64], budget: int, tie: NDArray[np.int64]) -> Award:
    """Buy the bids that offer most value per cost, or the single most valuable bid.

    Bids that cost more than the budget or are worth nothing are out. The star is the most valuable bid, F the
    optimum of the fractional knapsack over the others, rounded down to a whole unit of value.

    1. If F < (1 + sqrt 2) v_star, the star alone wins and is paid the whole budget.
    2. Otherwise bids are sorted by cost per value; the longest prefix with c_k / v_k * V_k <= budget wins, V_k its
       total value. A winner is paid v_i * min(budget / V_k, c_(k+1) / v_(k+1)), but, the star aside, no more than
       the highest cost that would have kept F >= (1 + sqrt 2) v_star: above it the bid would have lost in step 1.

    Truthful, individually rational, within the budget, and worth at least 1 / (2 + sqrt 2) of the best set that a
    buyer who knew the costs could buy. All comparisons are exact.

    Args:
        values: (n,); public values, such as matching degrees in fixed point.
        costs: (n,); declared costs, minor units.
        budget: What all payments together may reach, minor units.
        tie: (n,); public ranks, fixed before bidding: between equals the lower rank goes first.

    Raises:
        ValueError: When an input has the wrong shape, is not whole or is negative, or when the product of two of
            budget, largest value and number of bids reaches 2**51.

    References:
        Chen, Gravin and Lu, "On the approximability of budget feasible mechanisms", SODA 2011, section 3.

    Examples:
        >>> award = chen_gravin_lu(np.array([6, 5, 5, 4, 3]), np.array([2, 2, 3, 4, 9]), budget=16, tie=np.arange(5))
        >>> award.winners, award.payments
        (array([0, 1, 2]), array([6, 5, 5]))
    """
    values = whole_numbers("values", values)
    costs = whole_numbers("costs", costs, bids=len(values))
    tie = whole_numbers("tie", tie, bids=len(values))
    budget = whole_budget(budget)

    eligible = np.flatnonzero((costs <= budget) & (values > 0))
    if not len(eligible):
        return no_winner()
    values, costs, tie = values[eligible], costs[eligible], tie[eligible]
    most = int(values.max())
    if max(budget * most, budget * len(values), most * len(values)) >= _EXACT:
        raise ValueError(
            f"budget {budget}, largest value {most}, {len(values)} bids: the product of any two must stay below 2**51 "
            "for the arithmetic to be exact; use coarser units of value or money"
        )

    ascending, count = _affordable_prefix(values, costs, budget, tie)
    best = np.flatnonzero(values == most)
    star = int(np.flatnonzero(ascending == best[np.argmin(tie[best])])[0])
    others = np.delete(ascending, star)
    market = _Market(values[others], costs[others])
    optimum = int(market.worth(np.array([budget]))[0])
    gate = most + isqrt(2 * most * most) + 1  # the least integer above (1 + sqrt 2) v_star
    if optimum < gate:
        return Award(eligible[ascending[[star]]], np.array([budget]))

    winners = ascending[:count]
    payments = values[winners] * budget // values[winners].sum()
    if count < len(ascending):
        following = ascending[count]
        payments = np.minimum(payments, values[winners] * costs[following] // values[following])

    # Losing one bid lowers the optimum by no more than its value: only these can fall below the gate.
    place = np.arange(count)
    pressed = np.flatnonzero((optimum - values[winners] < gate) & (place != star))
    payments[pressed] = market.dearest(pressed - (pressed > star), payments[pressed], budget, gate)

    upward = np.argsort(eligible[winners])
    return Award(eligible[winners[upward]], payments[upward])


def _affordable_prefix(
    values: NDArray[np.int64], costs: NDArray[np.int64], budget: int, tie: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Return the bids by ascending cost per value, and how many of them satisfy c_k / v_k * V_k <= budget.

    Ties are put in order only where they matter: among the bids with the ratio at which the prefix ends.
    """
    ratios = costs / values
    ascending = np.argsort(ratios)
    ratios, sorted_values = ratios[ascending], values[ascending]
    # c V <= B v  <=>  V <= floor(B v / c), and a free bid always fits.
    sorted_costs = costs[ascending]
    limits = np.where(sorted_costs > 0, budget * sorted_values // np.maximum(sorted_costs, 1), np.iinfo(np.int64).max)
    totals = np.cumsum(sorted_values)
    count = int(np.count_nonzero(totals <= limits))
    if count == len(ascending):
        return ascending, count
    first, last = np.searchsorted(ratios, ratios[count], "left"), np.searchsorted(ratios, ratios[count], "right")
    equals = ascending[first:last]
    ascending[first:last] = equals = equals[np.argsort(tie[equals], kind="stable")]
    before = totals[first] - sorted_values[first]
    return ascending, int(first + np.count_nonzero(before + np.cumsum(values[equals]) <= limits[count]))


class _Market:
    """A fractional knapsack over bids in ascending order of cost per value; every optimum is rounded down."""

    def __init__(self, values: NDArray[np.int64], costs: NDArray[np.int64]) -> None:
        self._ratios = costs / values
        # One worthless bid at the end stands for having bought everything.
        self._values = np.append(values, 0)
        self._costs = np.append(costs, 1)
        self._value_before = np.concatenate([[0], np.cumsum(values)])
        self._cost_before = np.concatenate([[0], np.cumsum(costs)])

    def worth(self, money: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the optimum that each sum of money buys."""
        whole = np.searchsorted(self._cost_before, money, side="right") - 1
        rest = money - self._cost_before[whole]
        part = self._values[whole] * rest // np.maximum(self._costs[whole], 1)
        return np.asarray(self._value_before[whole] + part)

    def _worth_without(self, bid: NDArray[np.int64], money: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the optimum that each sum of money buys where one bid is missing."""
        reached = money >= self._cost_before[bid]
        return self.worth(money + np.where(reached, self._costs[bid], 0)) - np.where(reached, self._values[bid], 0)

    def _worth_asking(self, bid: NDArray[np.int64], asked: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
        """Return the optimum where one bid asks `asked`, at least its cost, instead."""
        ahead = np.searchsorted(self._ratios, asked / self._values[bid])
        counted_itself = ahead > bid
        rest = budget - self._cost_before[ahead] + np.where(counted_itself, self._costs[bid], 0)
        value_ahead = self._value_before[ahead] - np.where(counted_itself, self._values[bid], 0)
        bought_in_part = value_ahead + self._values[bid] * rest // np.maximum(asked, 1)
        bought_whole = self._values[bid] + self._worth_without(bid, budget - asked)
        not_bought = self._worth_without(bid, np.full_like(asked, budget))
        return np.where(rest <= 0, not_bought, np.where(asked >= rest, bought_in_part, bought_whole))

    def dearest(self, bid: NDArray[np.int64], ceiling: NDArray[np.int64], budget: int, gate: int) -> NDArray[np.int64]:
        """Return the highest cost, from its own up to the ceiling, with which each bid keeps the optimum >= gate."""
        low, high = self._costs[bid], ceiling
        while np.any(low < high):
            middle = (low + high + 1) // 2
            holds = self._worth_asking(bid, middle, budget) >= gate
            low, high = np.where(holds, middle, low), np.where(holds, high, middle - 1)
        return low
