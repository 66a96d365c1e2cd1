"""Bundles: all images of one seller, bought together or not at all; what a bundle adds is still submodular."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from strategies.features.coverage import (
    CoveredSquares,
    Indices,
    SignaturePoints,
    Squares,
    Whole,
    cover,
    marginal,
    uncover,
    withdraw,
)


class CoveredBundles(NamedTuple):
    """The squares of all bundles, and which of them are whose."""

    squares: CoveredSquares
    first: NDArray[np.int64]  # (n + 1,): where the members of each bundle begin
    members: NDArray[np.int64]  # indices of squares
    tried: NDArray[np.bool_]  # scratch: which of them are covered for a moment


@dataclass(frozen=True, eq=False)
class SquareBundles:
    """Sets of equal squares, each bought as a whole.

    Attributes:
        squares: All squares.
        owners: (m,); the bundle that each square belongs to, 0 to n - 1.
        count: n, how many bundles there are.

    Examples:
        >>> squares = Squares(np.array([[100, 100], [110, 100], [500, 500]]), reach=10)
        >>> SquareBundles(squares, np.array([0, 0, 1]), 2).value([0])
        600
    """

    squares: Squares
    owners: NDArray[np.int64]
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def largest_value(self) -> int:
        """The most that one bundle can be worth."""
        return self.squares.largest_value * int(np.bincount(self.owners, minlength=1).max(initial=0))

    @property
    def total_value(self) -> int:
        """The most that all bundles together can be worth."""
        return self.squares.total_value

    def value(self, selected: Indices) -> int:
        """Return what some bundles are worth: the area that all their squares cover together."""
        return self.squares.union_area(np.flatnonzero(np.isin(self.owners, np.asarray(selected, np.int64))))

    def subset(self, indices: Indices) -> "SquareBundles":
        """Return the bundles with the given indices, in that order."""
        chosen = np.asarray(indices, np.int64)
        number = np.full(self.count, -1, np.int64)
        number[chosen] = np.arange(len(chosen))
        kept = np.flatnonzero(number[self.owners] >= 0)
        return SquareBundles(self.squares.subset(kept), number[self.owners[kept]], len(chosen))

    def uncovered(self) -> CoveredBundles:
        """Return the form that compiled code works on, nothing covered yet."""
        sizes = np.bincount(self.owners, minlength=self.count)
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        members = np.argsort(self.owners, kind="stable").astype(np.int64)
        return CoveredBundles(self.squares.uncovered(), first, members, np.zeros(len(members), np.bool_))


def bundled(coverage: Squares | SignaturePoints, owners: NDArray[np.int64], count: int) -> "Bundles":
    """Return bundles of images: those with the same owner are bought together.

    Args:
        owners: (n,); the bundle of each image, 0 to `count` - 1, each with one image at least.
    """
    if isinstance(coverage, Squares):
        return SquareBundles(coverage, owners, count)
    # A bundle of signatures is one long signature; short ones repeat their first point, which counts once.
    size = coverage.signatures.shape[1]
    places = np.zeros(len(owners), np.int64)
    order = np.argsort(owners, kind="stable")
    sizes = np.bincount(owners, minlength=count)
    places[order] = np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    heads = order[np.cumsum(sizes) - sizes]
    widest = int(sizes.max(initial=1)) * size
    columns = places[:, None] * size + np.arange(size)
    points = np.repeat(coverage.signatures[heads][:, :1], widest, axis=1)
    points[owners[:, None], columns] = coverage.signatures
    if coverage.weights is None:
        return SignaturePoints(points)
    weights = np.repeat(coverage.weights[heads][:, :1], widest, axis=1)
    weights[owners[:, None], columns] = coverage.weights
    return SignaturePoints(points, weights)


Bundles = SquareBundles | SignaturePoints


def _marginal_bundle(covered: CoveredBundles, bid: Whole) -> int:
    added = 0
    first, last = covered.first[bid], covered.first[bid + 1]
    for place in range(first, last):
        more = marginal(covered.squares, covered.members[place])
        covered.tried[place] = more > 0
        if more > 0:  # a square that is covered already must not be covered twice
            cover(covered.squares, covered.members[place])
        added += more
    for place in range(last - 1, first - 1, -1):
        if covered.tried[place]:
            withdraw(covered.squares, covered.members[place])
    return added


def _cover_bundle(covered: CoveredBundles, bid: Whole) -> None:
    for place in range(covered.first[bid], covered.first[bid + 1]):
        if marginal(covered.squares, covered.members[place]) > 0:
            cover(covered.squares, covered.members[place])


def _uncover_bundles(covered: CoveredBundles) -> None:
    uncover(covered.squares)


@overload(marginal, strict=False)
def _compile_marginal(covered: Any, bid: Any) -> Callable[..., int] | None:
    return _marginal_bundle if covered.instance_class is CoveredBundles else None


@overload(cover, strict=False)
def _compile_cover(covered: Any, bid: Any) -> Callable[..., None] | None:
    return _cover_bundle if covered.instance_class is CoveredBundles else None


@overload(uncover, strict=False)
def _compile_uncover(covered: Any) -> Callable[..., None] | None:
    return _uncover_bundles if covered.instance_class is CoveredBundles else None
