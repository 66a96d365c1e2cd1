"""Diversity as coverage: how much of the feature plane a set of images covers.

At level 1 an image covers the square of side 2 d around its feature and a set is worth the area of the union (CrowdBuy,
definition 2); at level 2 it covers the points of its signature and a set is worth the distinct points (section V.C).
Both values are monotone and submodular.

Compiled code works on the mutable form of a coverage, `CoveredSquares` or `CoveredPoints`, through three functions that
do the right thing for either: `marginal`, `cover` and `uncover`. `additive` and `bundles` add other values.
Numba stores compiled code by the file that calls it: after changing these, delete the `__pycache__` of their callers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from strategies.compiled import compiled
from strategies.features.signatures import LATTICE, on_lattice, require_lattice

Whole = int | np.integer[Any]
Indices = NDArray[np.int64] | Sequence[int]


class CoveredSquares(NamedTuple):
    """Which squares of a set are covering the plane so far; a grid finds those near a point."""

    centres: NDArray[np.int64]
    side: int
    cells: NDArray[np.int64]  # each square's cell, in a grid with an empty border
    columns: int
    newest: NDArray[np.int64]  # per cell: the square covered last, or -1
    older: NDArray[np.int64]  # per square: the one covered before it in its cell, or -1
    breaks: NDArray[np.int64]  # scratch of `free_area`
    depths: NDArray[np.int64]  # scratch of `free_area`


class CoveredPoints(NamedTuple):
    """Which points of a set of signatures are covered so far."""

    signatures: NDArray[np.int64]  # (n, k) numbers of points; -1 where a signature repeats a point
    covered_in: NDArray[np.int64]  # per point: the last epoch in which it was covered
    epoch: NDArray[np.int64]  # (1,): counts the calls of `uncover`
    weights: NDArray[np.int64]  # per point: what it is worth


Covered = Any
"""The mutable form of a value: `CoveredSquares`, `CoveredPoints`, or that of another module."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Equal squares around features: what images cover at privacy level 1.

    Attributes:
        centres: (n, 2), features on the lattice.
        reach: d, half the side, at least 1 lattice step. Squares are not clipped at the lattice's edge.

    Raises:
        ValueError: When a centre lies off the lattice, or the reach is not 1 to 65535.

    Examples:
        >>> squares = Squares(np.array([[100, 100], [110, 100], [500, 500]]), reach=10)
        >>> squares.union_area(), squares.union_area([0, 1])
        (1000, 600)
    """

    centres: NDArray[np.int64]
    reach: int

    def __post_init__(self) -> None:
        if not 1 <= self.reach < LATTICE:
            raise ValueError(f"reach is {self.reach}: half a square's side must be 1 to {LATTICE - 1} lattice steps")
        object.__setattr__(self, "centres", require_lattice(self.centres))

    def __len__(self) -> int:
        return len(self.centres)

    @property
    def largest_value(self) -> int:
        """The most that one bid can be worth."""
        return (2 * self.reach) ** 2

    @property
    def total_value(self) -> int:
        """The most that all bids together can be worth."""
        return min(len(self) * self.largest_value, (LATTICE + 2 * self.reach) ** 2)

    def union_area(self, indices: Indices | None = None) -> int:
        """Return the exact area of the union of all squares, or of some of them, in square lattice steps."""
        chosen = self if indices is None else self.subset(indices)
        return int(_union_area(chosen.uncovered()))

    def value(self, selected: Indices) -> int:
        """Return what a set of bids is worth: the area of their union."""
        return self.union_area(selected)

    def subset(self, indices: Indices) -> "Squares":
        """Return the squares with the given indices, in that order."""
        return replace(self, centres=self.centres[np.asarray(indices, np.int64)])

    def uncovered(self) -> CoveredSquares:
        """Return the form that compiled code works on, nothing covered yet."""
        side = 2 * self.reach
        width = max(side, LATTICE // (isqrt(len(self)) + 1))  # no more cells than about one per square
        columns = LATTICE // width + 3
        column, row = self.centres.T // width + 1
        return CoveredSquares(
            centres=self.centres,
            side=side,
            cells=column * columns + row,
            columns=columns,
            newest=np.full(columns**2, -1, np.int64),
            older=np.full(len(self), -1, np.int64),
            breaks=np.empty(side + 1, np.int64),
            depths=np.empty((side + 1, 4), np.int64),
        )


@dataclass(frozen=True, eq=False)
class SignaturePoints:
    """MinHash signatures: what images cover at privacy level 2.

    Attributes:
        signatures: (n, k, 2), lattice points; one that a signature repeats counts once.
        weights: (n, k), what each point is worth, >= 0; equal points are worth equally much. None: 1 each.

    Raises:
        ValueError: When the array is not (n, k, 2) integers, or a point lies off the lattice.

    Examples:
        >>> points = SignaturePoints(np.array([[[1, 1], [2, 2]], [[2, 2], [3, 3]]]))
        >>> points.distinct(), points.distinct([0])
        (3, 2)
    """

    signatures: NDArray[Any]
    weights: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        shape, kind = self.signatures.shape, self.signatures.dtype
        if len(shape) != 3 or shape[2] != 2 or not np.issubdtype(kind, np.integer):
            raise ValueError(f"signatures must be integers of shape (n, k, 2), k points per image; got {kind} {shape}")
        inside = on_lattice(self.signatures).all(axis=1)
        if not inside.all():
            raise ValueError(
                f"signature {np.argmin(inside)} has a point off the lattice: coordinates must be 0 to {LATTICE - 1}"
            )

    def __len__(self) -> int:
        return len(self.signatures)

    @property
    def largest_value(self) -> int:
        """The most that one bid can be worth."""
        if self.weights is not None:
            return int(self.weights.sum(axis=1).max(initial=0))
        return int(self.signatures.shape[1])

    @property
    def total_value(self) -> int:
        """The most that all bids together can be worth."""
        return len(self) * self.largest_value

    def distinct(self, indices: Indices | None = None) -> int:
        """Return how many distinct points all signatures hold, or some of them."""
        chosen = self if indices is None else self.subset(indices)
        return len(np.unique(chosen._keys()))

    def value(self, selected: Indices) -> int:
        """Return what a set of bids is worth: its distinct points, or their weights."""
        if self.weights is None:
            return self.distinct(selected)
        chosen = self.subset(selected)
        _, first = np.unique(chosen._keys(), return_index=True)
        return 0 if chosen.weights is None else int(chosen.weights.ravel()[first].sum())

    def subset(self, indices: Indices) -> "SignaturePoints":
        """Return the signatures with the given indices, in that order."""
        chosen = np.asarray(indices, np.int64)
        weights = None if self.weights is None else self.weights[chosen]
        return SignaturePoints(self.signatures[chosen], weights)

    def uncovered(self) -> CoveredPoints:
        """Return the form that compiled code works on, nothing covered yet."""
        points, first, numbers = np.unique(self._keys(), return_index=True, return_inverse=True)
        numbers = np.sort(numbers.reshape(self.signatures.shape[:2]), axis=1)
        numbers[:, 1:][numbers[:, 1:] == numbers[:, :-1]] = -1
        return CoveredPoints(
            signatures=numbers,
            covered_in=np.full(len(points), -1, np.int64),
            epoch=np.zeros(1, np.int64),
            weights=np.ones(len(points), np.int64) if self.weights is None else self.weights.ravel()[first],
        )

    def _keys(self) -> NDArray[np.int64]:
        """Number every lattice point, so that equal points have equal numbers."""
        x, y = np.moveaxis(self.signatures.astype(np.int64), 2, 0)
        return np.asarray(x << 32 | y)


def marginal(covered: Covered, bid: Whole) -> int:
    """Return what a bid would add to the value covered so far (compiled code only)."""
    raise NotImplementedError


def cover(covered: Covered, bid: Whole) -> None:
    """Cover what a bid covers (compiled code only)."""
    raise NotImplementedError


def uncover(covered: Covered) -> None:
    """Cover nothing again (compiled code only)."""
    raise NotImplementedError


def withdraw(covered: Covered, bid: Whole) -> None:
    """Undo the last `cover`, which was of this square (compiled code only)."""
    raise NotImplementedError


def _marginal_square(covered: CoveredSquares, bid: Whole) -> int:
    side, count = covered.side, 0
    for column in range(-1, 2):
        for row in range(-1, 2):
            other = covered.newest[covered.cells[bid] + column * covered.columns + row]
            while other >= 0:
                right = covered.centres[other, 0] - covered.centres[bid, 0]
                up = covered.centres[other, 1] - covered.centres[bid, 1]
                if right == 0 and up == 0:
                    return 0
                if -side < right < side and -side < up < side:
                    count = add_step(covered, count, right, up)
                other = covered.older[other]
    return free_area(covered, count)


def _cover_square(covered: CoveredSquares, bid: Whole) -> None:
    cell = covered.cells[bid]
    covered.older[bid] = covered.newest[cell]
    covered.newest[cell] = bid


def _uncover_squares(covered: CoveredSquares) -> None:
    covered.newest[:] = -1


def _withdraw_square(covered: CoveredSquares, bid: Whole) -> None:
    covered.newest[covered.cells[bid]] = covered.older[bid]


def _marginal_points(covered: CoveredPoints, bid: Whole) -> int:
    added = 0
    for point in covered.signatures[bid]:
        if point >= 0 and covered.covered_in[point] != covered.epoch[0]:
            added += covered.weights[point]
    return added


def _cover_points(covered: CoveredPoints, bid: Whole) -> None:
    for point in covered.signatures[bid]:
        if point >= 0:
            covered.covered_in[point] = covered.epoch[0]


def _uncover_points(covered: CoveredPoints) -> None:
    covered.epoch[0] += 1


_FUNCTIONS: dict[Callable[..., Any], dict[type, Callable[..., Any]]] = {
    marginal: {CoveredSquares: _marginal_square, CoveredPoints: _marginal_points},
    cover: {CoveredSquares: _cover_square, CoveredPoints: _cover_points},
    uncover: {CoveredSquares: _uncover_squares, CoveredPoints: _uncover_points},
    withdraw: {CoveredSquares: _withdraw_square},
}


@overload(marginal, strict=False)
def _compile_marginal(covered: Any, bid: Any) -> Callable[..., int] | None:
    return _FUNCTIONS[marginal].get(covered.instance_class)


@overload(cover, strict=False)
def _compile_cover(covered: Any, bid: Any) -> Callable[..., None] | None:
    return _FUNCTIONS[cover].get(covered.instance_class)


@overload(uncover, strict=False)
def _compile_uncover(covered: Any) -> Callable[..., None] | None:
    return _FUNCTIONS[uncover].get(covered.instance_class)


@overload(withdraw, strict=False)
def _compile_withdraw(covered: Any, bid: Any) -> Callable[..., None] | None:
    return _FUNCTIONS[withdraw].get(covered.instance_class)


# The free area of a square Q = [0, side]^2. An equal square shifted by (right, up) that overlaps Q contains one of its
# corners: along x it starts at a break and reaches Q's right edge (right >= 0) or its left one, and along y it covers Q
# down from the top (up >= 0) or up from the bottom. `breaks` ascend; `depths[j]` holds how deep the squares with break
# `breaks[j]` cover Q: to the right of the break from the top and from the bottom, to its left from the top and from the
# bottom.


@compiled
def add_step(covered: CoveredSquares, count: int, right: Whole, up: Whole) -> int:
    """Add an overlapping square to the breaks; return how many breaks there are now."""
    breaks, depths = covered.breaks, covered.depths
    position = right if right >= 0 else covered.side + right
    corner = (0 if right >= 0 else 2) + (0 if up >= 0 else 1)
    place = count
    while place > 0 and breaks[place - 1] >= position:
        place -= 1
    if place == count or breaks[place] != position:
        for later in range(count, place, -1):
            breaks[later] = breaks[later - 1]
            depths[later] = depths[later - 1]
        breaks[place] = position
        depths[place] = 0
        count += 1
    depths[place, corner] = max(depths[place, corner], covered.side - max(up, -up))
    return count


@compiled
def free_area(covered: CoveredSquares, count: int) -> int:
    """Sweep Q from left to right and return the area that no square covers."""
    side, breaks, depths = covered.side, covered.breaks, covered.depths
    for place in range(count - 2, -1, -1):
        depths[place, 2] = max(depths[place, 2], depths[place + 1, 2])
        depths[place, 3] = max(depths[place, 3], depths[place + 1, 3])
    area, left, top, bottom = 0, 0, 0, 0
    for place in range(count):
        depth = max(top, depths[place, 2]) + max(bottom, depths[place, 3])
        area += max(0, side - depth) * (breaks[place] - left)
        left, top, bottom = breaks[place], max(top, depths[place, 0]), max(bottom, depths[place, 1])
    return area + max(0, side - top - bottom) * (side - left)


@compiled
def _union_area(covered: CoveredSquares) -> int:
    """Return the area of all squares together."""
    area = 0
    for bid in range(len(covered.older)):
        added = marginal(covered, bid)
        if added > 0:
            cover(covered, bid)
        area += added
    return area
