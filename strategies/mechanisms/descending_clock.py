"""The most diverse images that the budget buys: a descending clock auction for monotone submodular values."""

import heapq

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.coverage import Covered, cover, marginal, uncover
from strategies.mechanisms.award import Award, no_winner, whole_budget, whole_numbers
from strategies.mechanisms.market import Value


def descending_clock(
    coverage: Value,
    costs: NDArray[np.int64],
    budget: int,
    order: NDArray[np.int64],
    alpha: float = 1.15,
    *,
    reserve: int | NDArray[np.int64] | None = None,
) -> Award:
    """Post falling prices until the bids that still accept them are worth their cost.

    1. Every bid is offered the whole budget; the first most valuable one that accepts is the current set, and the
       target rho its value.
    2. Each round multiplies rho by alpha, makes the current set the previous one and starts an empty one. In the
       public order, every remaining bid outside the previous set is offered the lower of its last price and
       budget * m / rho, m its marginal value to the current set. It drops out for good if it declines or m = 0;
       otherwise it joins the current set, unless that would take the set's value above rho: then the next round starts.
    3. The rounds end when one has passed all bids. The previous set, the current set and the empty set are each filled
       up from the other remaining bids, most marginal value per posted price first, while prices fit the budget. The
       most valuable of the three wins, at posted prices.

    A cost is only ever compared with a price that does not depend on it, so the auction is obviously strategyproof,
    individually rational and within the budget. The winners are worth at least (alpha - 1) / (alpha^2 + 2 alpha - 1)
    of the best set that a buyer who knew the costs could buy: 0.146 at alpha = 1 + sqrt 2; smaller steps have a worse
    guarantee and, in large markets, a better outcome.

    Args:
        coverage: What sets of n bids are worth.
        costs: (n,); declared costs, minor units.
        budget: What all payments together may reach, minor units.
        order: (n,); a public permutation of the bids, fixed before bidding.
        alpha: Growth of the target per round, > 1. Public and fixed before bidding.
        reserve: The highest price ever posted, to all or to each of n, public and fixed before bidding; the budget
            where omitted. The clock
            spends nearly the whole budget even where more images hardly cover more: a buyer who would rather keep the
            rest sets a reserve. The guarantee on the value then holds against the bids that cost no more than the
            reserve.

    Raises:
        ValueError: When an input has the wrong shape, is not whole or is negative, the order is not a permutation,
            alpha is not above 1, or the budget is too large for exact arithmetic.

    References:
        Cui et al., "BFM-VM", 2026, monotone case. Balkanski, Garimidi, Gkatzelis, Schoepflin and Tan, "Deterministic
        budget-feasible clock auctions", SODA 2022.

    Examples:
        >>> from strategies.features.coverage import Squares
        >>> squares = Squares(np.array([[100, 100], [101, 100], [900, 900]]), reach=50)
        >>> award = descending_clock(squares, np.array([10, 10, 10]), budget=50, order=np.arange(3))
        >>> award.winners, award.payments
        (array([1, 2]), array([24, 24]))
    """
    costs = whole_numbers("costs", costs, bids=len(coverage))
    order = whole_numbers("order", order, bids=len(coverage))
    budget = whole_budget(budget)
    ceilings = np.full(len(coverage), budget)
    if reserve is not None:
        most = whole_numbers("reserve", np.broadcast_to(reserve, costs.shape), bids=len(coverage))
        ceilings = np.minimum(ceilings, most)
    if not np.array_equal(np.sort(order), np.arange(len(order))):
        raise ValueError(f"order must be a permutation of the bids 0 to {len(order) - 1}")
    if not 1 < alpha < np.inf:
        raise ValueError(f"alpha is {alpha}: the target must grow in every round, so alpha must be a number above 1")
    if budget * coverage.largest_value >= 2**63:
        raise ValueError(
            f"budget {budget} times the largest value of one bid, {coverage.largest_value}, must stay below 2**63"
        )

    bidders = order[costs[order] <= ceilings[order]]
    covered = coverage.subset(bidders).uncovered()
    prices, joined, rounds = _run_clock(covered, costs[bidders], budget, ceilings[bidders], float(alpha))
    previous, current = np.flatnonzero(joined == rounds - 1), np.flatnonzero(joined == rounds)
    remaining = np.concatenate([previous, current])
    filled = [_fill_up(covered, prices, base, remaining, budget) for base in (previous, current, remaining[:0])]
    value, chosen = max(filled, key=lambda outcome: outcome[0])
    if value == 0:
        return no_winner()
    upward = chosen[np.argsort(bidders[chosen])]
    return Award(bidders[upward], prices[upward])


@compiled
def _run_clock(
    covered: Covered, costs: NDArray[np.int64], budget: int, ceilings: NDArray[np.int64], alpha: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the posted prices, the round in which each bid last joined (-1: never or dropped) and the last round."""
    prices = ceilings.copy()
    joined = np.full(len(costs), -1)
    active = np.ones(len(costs), np.bool_)
    first, best = 0, 0
    for bid in range(len(costs)):
        value = marginal(covered, bid)
        if value > best:
            first, best = bid, value
    if best == 0:
        return prices, joined, 0
    joined[first] = 0

    rho, rounds, passed_everybody = float(best), 0, False
    while not passed_everybody:
        rho *= alpha
        rounds += 1
        # Values are whole, so a set is worth at most rho exactly if at most this.
        target = int(rho)
        uncover(covered)
        value, passed_everybody = 0, True
        for bid in range(len(costs)):
            if not active[bid] or joined[bid] == rounds - 1:
                continue
            added = marginal(covered, bid)
            prices[bid] = min(prices[bid], added * budget // target)
            if added == 0 or costs[bid] > prices[bid]:
                active[bid] = False
                joined[bid] = -1
            elif value + added > target:
                passed_everybody = False
                break
            else:
                cover(covered, bid)
                joined[bid] = rounds
                value += added
    return prices, joined, rounds


@compiled
def _fill_up(
    covered: Covered, prices: NDArray[np.int64], base: NDArray[np.int64], others: NDArray[np.int64], budget: int
) -> tuple[int, NDArray[np.int64]]:
    """Add other bids to a base, most marginal value per price first, while they fit; return the value and the bids.

    A marginal value only falls as more is covered, so a bid whose fresh density still tops the heap is the best.
    """
    uncover(covered)
    value, spent = 0, 0
    chosen = [np.int64(bid) for bid in base]
    for bid in chosen:
        value += marginal(covered, bid)
        spent += prices[bid]
        cover(covered, bid)
    heap = [(-_density(marginal(covered, bid), prices[bid]), bid) for bid in others]
    heapq.heapify(heap)
    while len(heap) > 0:
        stale, bid = heap[0]
        added = marginal(covered, bid)
        if added == 0 or spent + prices[bid] > budget:
            heapq.heappop(heap)
        elif -_density(added, prices[bid]) > stale:
            heapq.heapreplace(heap, (-_density(added, prices[bid]), bid))
        else:
            heapq.heappop(heap)
            chosen.append(bid)
            value += added
            spent += prices[bid]
            cover(covered, bid)
    return value, np.array(chosen, np.int64)


@compiled
def _density(value: int, price: int) -> float:
    return value / price if price > 0 else np.inf
