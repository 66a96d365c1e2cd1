"""Markets to audit on: small adversarial ones, in which bounds are met often, and larger ones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.features.additive import Additive
from strategies.features.bundles import bundled
from strategies.features.coverage import SignaturePoints, Squares
from strategies.mechanisms.market import Market, Value

LARGE = 200
"""Bids of a large market."""


@dataclass(frozen=True)
class Stakes:
    """What bids lock, and what sellers have for that.

    Attributes:
        of: From the price of a bid to its stake, minor units.
        deposit: What each seller has.
    """

    of: Callable[[int], int]
    deposit: int

    def admitted(self, prices: NDArray[np.int64], owners: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which bids stand: in their order, as long as their sellers can afford the stakes."""
        left: dict[int, int] = {}
        stands = np.zeros(len(prices), np.bool_)
        for bid, (price, owner) in enumerate(zip(prices.tolist(), owners.tolist(), strict=True)):
            stake = self.of(price)
            stands[bid] = stake <= left.setdefault(owner, self.deposit)
            left[owner] -= stake if stands[bid] else 0
        return stands


@dataclass(frozen=True, eq=False)
class Case:
    """A market in which everybody tells the truth.

    Attributes:
        market: Its costs are true.
        owners: (n,); the seller of each bid.
        stakes: None: bids lock nothing.
    """

    market: Market
    owners: NDArray[np.int64]
    stakes: Stakes | None = None

    def among(self, bids: NDArray[np.int64]) -> "Case":
        """Return the same case with these bids alone."""
        return Case(self.market.among(bids), self.owners[bids], self.stakes)


def draw_case(quality: str, agents: str, generator: np.random.Generator, *, large: bool = False) -> Case:
    """Draw a market with equal bids, duplicates, bids of half the budget and above it, and sellers of several images.

    Args:
        quality: What sets are worth: their number, sums of skewed values, or what they cover.
        agents: ``images`` or ``sellers``, whose bundles are worth unequally much.
        large: Of `LARGE` bids, instead of 1 to 7.
    """
    bids = LARGE if large else int(generator.integers(1, 8))
    budget = int(generator.integers(2, 40)) * (bids if large else 1)
    dearest = int(generator.choice([3, 8, budget // 2 + 1, budget + 2]))
    costs = generator.integers(1, dearest + 1, bids)
    value = _value(quality, agents, bids, generator)
    owners = np.arange(bids) if agents == "sellers" else generator.integers(0, max(1, bids // 2), bids)
    return Case(Market(value, costs, budget, generator.permutation(bids)), owners.astype(np.int64))


def _value(quality: str, agents: str, bids: int, generator: np.random.Generator) -> Value:
    if quality == "quantity":
        return Additive(np.ones(bids, np.int64) if agents == "images" else generator.integers(1, 6, bids))
    if quality == "matching":
        values = generator.integers(0, generator.choice([2, 3, 6, 20]) + 1, bids)
        if generator.random() < 0.4:  # one bid is worth about as much as all others: there comparisons bind
            values[generator.integers(bids)] = max(1, int(values.sum()) // int(generator.integers(1, 5)))
        return Additive(values)
    images = bids if agents == "images" else 3 * bids
    coverage: Squares | SignaturePoints
    if generator.random() < 0.5:
        reach = int(generator.integers(1, 4))
        coverage = Squares(generator.integers(reach, 2 * reach + 3 + int(3 * images**0.5), (images, 2)), reach)
    else:
        # Each signature has one point of each of three columns, so that all are worth equally much alone.
        points = generator.integers(0, 3 + images // 20, (images, 3, 2))
        points[:, :, 0] = np.arange(3)
        coverage = SignaturePoints(points)
    if quality == "diversity-weighted":
        points = coverage.signatures if isinstance(coverage, SignaturePoints) else coverage.centres[:, None]
        coverage = SignaturePoints(points, (points.sum(axis=2) * 7 + 3) % 5)
    if agents == "images":
        return coverage
    return bundled(coverage, np.concatenate([np.arange(bids), generator.integers(0, bids, images - bids)]), bids)
