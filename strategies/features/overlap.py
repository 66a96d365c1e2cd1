"""Which bids may overlap, and what a bid adds to a few others: for code that looks at neighbourhoods alone.

Bids live in blocks: a square in the cell of its centre, a signature in each of its points. A bid overlaps only bids
that live in the blocks around it: nine cells, or its points. Values that add up overlap nowhere.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.additive import CoveredValues
from strategies.features.coverage import (
    Covered,
    CoveredPoints,
    CoveredSquares,
    Whole,
    add_step,
    cover,
    free_area,
    marginal,
    uncover,
)

Implementation = Callable[..., Any]


def blocks(covered: Covered) -> int:
    """Return how many blocks there are (compiled code only)."""
    raise NotImplementedError


def homes(covered: Covered) -> int:
    """Return in how many blocks a bid lives, at most (compiled code only)."""
    raise NotImplementedError


def home(covered: Covered, bid: Whole, place: int) -> int:
    """Return one of the blocks in which a bid lives, -1: none (compiled code only)."""
    raise NotImplementedError


def around(covered: Covered) -> int:
    """Return how many blocks are around a bid, at most (compiled code only)."""
    raise NotImplementedError


def near(covered: Covered, bid: Whole, place: int) -> int:
    """Return one of the blocks around a bid, -1: none (compiled code only)."""
    raise NotImplementedError


def overlap(covered: Covered, bid: Whole, other: Whole) -> bool:
    """Return whether two bids cover anything together (compiled code only)."""
    raise NotImplementedError


def marginal_to(covered: Covered, bid: Whole, others: NDArray[np.int64], count: int) -> int:
    """Return what a bid adds to the first of some others; what was covered before may be lost (compiled code only)."""
    raise NotImplementedError


@compiled
def members_by_block(covered: Covered, bids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the bids in each block, in the order given: where each block's begin, and the bids."""
    first = np.zeros(blocks(covered) + 1, np.int64)
    for bid in bids:
        for place in range(homes(covered)):
            block = home(covered, bid, place)
            if block >= 0:
                first[block + 1] += 1
    for block in range(len(first) - 1):
        first[block + 1] += first[block]
    members = np.empty(first[-1], np.int64)
    filled = first[:-1].copy()
    for bid in bids:
        for place in range(homes(covered)):
            block = home(covered, bid, place)
            if block >= 0:
                members[filled[block]] = bid
                filled[block] += 1
    return first, members


def _marginal_square_to(covered: CoveredSquares, bid: Whole, others: NDArray[np.int64], count: int) -> int:
    side, steps = covered.side, 0
    for place in range(count):
        right = covered.centres[others[place], 0] - covered.centres[bid, 0]
        up = covered.centres[others[place], 1] - covered.centres[bid, 1]
        if right == 0 and up == 0:
            return 0
        if -side < right < side and -side < up < side:
            steps = add_step(covered, steps, right, up)
    return free_area(covered, steps)


def _marginal_points_to(covered: CoveredPoints, bid: Whole, others: NDArray[np.int64], count: int) -> int:
    uncover(covered)
    for place in range(count):
        cover(covered, others[place])
    return marginal(covered, bid)


def _squares_overlap(covered: CoveredSquares, bid: Whole, other: Whole) -> bool:
    right = covered.centres[other, 0] - covered.centres[bid, 0]
    up = covered.centres[other, 1] - covered.centres[bid, 1]
    side = covered.side
    return bool(-side < right < side and -side < up < side)


def _points_overlap(covered: CoveredPoints, bid: Whole, other: Whole) -> bool:
    for point in covered.signatures[bid]:
        for another in covered.signatures[other]:
            if point == another and point >= 0:
                return True
    return False


def _cell_near(covered: CoveredSquares, bid: Whole, place: int) -> int:
    cell: int = covered.cells[bid] + (place // 3 - 1) * covered.columns + place % 3 - 1
    return cell


def _cell(covered: CoveredSquares, bid: Whole, place: int) -> int:
    cell: int = covered.cells[bid]
    return cell


def _point(covered: CoveredPoints, bid: Whole, place: int) -> int:
    point: int = covered.signatures[bid, place]
    return point


def _nine(covered: CoveredSquares) -> int:
    return 9


def _one(covered: CoveredSquares) -> int:
    return 1


def _size(covered: CoveredPoints) -> int:
    size: int = covered.signatures.shape[1]
    return size


def _cells(covered: CoveredSquares) -> int:
    return len(covered.newest)


def _points(covered: CoveredPoints) -> int:
    return len(covered.covered_in)


def _value_to(covered: CoveredValues, bid: Whole, others: NDArray[np.int64], count: int) -> int:
    value: int = covered.values[bid]
    return value


def _never(covered: CoveredValues, bid: Whole, other: Whole) -> bool:
    return False


def _nowhere(covered: CoveredValues, bid: Whole, place: int) -> int:
    return -1


def _none(covered: CoveredValues) -> int:
    return 0


def _of(covered: Any, squares: Implementation, points: Implementation, values: Implementation) -> Implementation | None:
    """Return the implementation for a kind of value."""
    return {CoveredSquares: squares, CoveredPoints: points, CoveredValues: values}.get(covered.instance_class)


@overload(blocks, strict=False)
def _compile_blocks(covered: Any) -> Implementation | None:
    return _of(covered, _cells, _points, _none)


@overload(homes, strict=False)
def _compile_homes(covered: Any) -> Implementation | None:
    return _of(covered, _one, _size, _none)


@overload(home, strict=False)
def _compile_home(covered: Any, bid: Any, place: Any) -> Implementation | None:
    return _of(covered, _cell, _point, _nowhere)


@overload(around, strict=False)
def _compile_around(covered: Any) -> Implementation | None:
    return _of(covered, _nine, _size, _none)


@overload(near, strict=False)
def _compile_near(covered: Any, bid: Any, place: Any) -> Implementation | None:
    return _of(covered, _cell_near, _point, _nowhere)


@overload(overlap, strict=False)
def _compile_overlap(covered: Any, bid: Any, other: Any) -> Implementation | None:
    return _of(covered, _squares_overlap, _points_overlap, _never)


@overload(marginal_to, strict=False)
def _compile_marginal_to(covered: Any, bid: Any, others: Any, count: Any) -> Implementation | None:
    return _of(covered, _marginal_square_to, _marginal_points_to, _value_to)
