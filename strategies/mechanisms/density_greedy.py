"""Greedy by marginal value per cost, in exact arithmetic and without looking at every bid again after each choice.

Bids are numbered in their public order; between equal densities the lower number goes first. A marginal value only
falls as more is bought, so a bid whose fresh density still tops the heap is the best.
"""

import numpy as np
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.coverage import Covered, cover, marginal, uncover
from strategies.mechanisms.market import Market


def require_exact(market: Market) -> None:
    """Check that products of money and value fit into 64 bits.

    Raises:
        ValueError: When they may not.
    """
    worth = market.value.total_value
    if 2 * market.budget * worth >= 2**63:
        raise ValueError(
            f"twice the budget {market.budget} times the value of all bids, at most {worth}, must stay below 2**63 for"
            " the arithmetic to be exact; use coarser units of value or money"
        )


@compiled
def denser(gains: NDArray[np.int64], costs: NDArray[np.int64], one: int, other: int) -> bool:
    """Return whether one bid goes before another: more value per cost, or as much and earlier in the order."""
    left, right = gains[one] * costs[other], gains[other] * costs[one]
    return left > right or (left == right and one < other)


@compiled
def sift_down(
    heap: NDArray[np.int64], size: int, place: int, gains: NDArray[np.int64], costs: NDArray[np.int64]
) -> None:
    """Move the bid at a place down to where it belongs in a heap, whose top is the densest."""
    bid = heap[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and denser(gains, costs, heap[child + 1], heap[child]):
            child += 1
        if not denser(gains, costs, heap[child], bid):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = bid


@compiled
def freshest(
    covered: Covered, heap: NDArray[np.int64], size: int, gains: NDArray[np.int64], costs: NDArray[np.int64]
) -> int:
    """Bring the densest bid to the top, gains up to date; return how many bids still add anything."""
    while size > 0:
        top = heap[0]
        added = marginal(covered, top)
        if added == gains[top] and added > 0:
            return size
        gains[top] = added
        if added == 0:
            size -= 1
            heap[0] = heap[size]
        sift_down(heap, size, 0, gains, costs)
    return 0


@compiled
def start(
    covered: Covered, costs: NDArray[np.int64], left_out: int
) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Cover nothing, and return a heap of all bids but one, its size, and each bid's value alone."""
    uncover(covered)
    gains = np.empty(len(costs), np.int64)
    heap = np.empty(len(costs), np.int64)
    size = 0
    for bid in range(len(costs)):
        gains[bid] = marginal(covered, bid)
        if bid != left_out and gains[bid] > 0:
            heap[size] = bid
            size += 1
    for place in range(size // 2 - 1, -1, -1):
        sift_down(heap, size, place, gains, costs)
    return heap, size, gains


@compiled
def marginal_values(covered: Covered, bought: NDArray[np.int64], bids: int) -> NDArray[np.int64]:
    """Return what each bid would add to those bought, (n,); alone where nothing is."""
    uncover(covered)
    for bid in bought:
        cover(covered, bid)
    values = np.empty(bids, np.int64)
    for bid in range(bids):
        values[bid] = marginal(covered, bid)
    values[bought] = 0
    return values


@compiled
def within_budget(
    covered: Covered, costs: NDArray[np.int64], budget: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Buy the densest bid that still fits the budget, again and again; return the bids and what each added."""
    heap, size, gains = start(covered, costs, -1)
    chosen, added = np.empty(len(costs), np.int64), np.empty(len(costs), np.int64)
    count, spent = 0, 0
    while True:
        size = freshest(covered, heap, size, gains, costs)
        if size == 0:
            return chosen[:count], added[:count]
        top = heap[0]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, size, 0, gains, costs)
        if spent + costs[top] <= budget:
            cover(covered, top)
            chosen[count], added[count] = top, gains[top]
            count += 1
            spent += costs[top]


@compiled
def proportional_share(
    covered: Covered, costs: NDArray[np.int64], budget: int, left_out: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Buy the densest bid while it asks no more than half the budget in proportion to what it adds.

    A bid of cost c that adds m to a set of value V is bought while c <= (budget / 2) m / (V + m); the first one that
    asks more ends it.

    Args:
        left_out: A bid that does not take part; -1: all do.

    Returns:
        The bids, what each added, and the most, rounded down, that the bid left out could have asked and been bought.
    """
    heap, size, gains = start(covered, costs, left_out)
    chosen, added = np.empty(len(costs), np.int64), np.empty(len(costs), np.int64)
    count, value, most = 0, 0, 0
    while True:
        size = freshest(covered, heap, size, gains, costs)
        top = heap[0] if size > 0 else -1
        if left_out >= 0:
            own = marginal(covered, left_out)
            if own == 0:
                break
            affordable = budget * own // (2 * (value + own))
            most = max(most, affordable if top < 0 else min(affordable, own * costs[top] // gains[top]))
        if top < 0 or 2 * costs[top] * (value + gains[top]) > budget * gains[top]:
            break
        cover(covered, top)
        chosen[count], added[count] = top, gains[top]
        count += 1
        value += gains[top]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, size, 0, gains, costs)
    return chosen[:count], added[:count], most
