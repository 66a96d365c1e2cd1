"""The auction among bids (CrowdBuy, section IV.C), and auctioneers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategies.mechanisms import Mechanism
from strategies.mechanisms.selection import Offers, Selection, select


@dataclass(frozen=True)
class Auction:
    """The input of a selection; see `select`.

    Attributes:
        sellers: (n,), node id of each bid's seller. The rules ignore it unless sellers are the agents.
        targets: (m, D), features of the buyer's samples.
        quality: What the buyer wants most of.
        mechanism: Decides.
        bundles: Whether sellers are the agents, each with all its images.
        ceiling: The most that an image may be paid, minor units; None: the budget.
        budget: What payments may add up to, minor units.
        radius, reach: The paper's R and d.
        ranks: (n,); public order of the bids, fixed before bidding.
    """

    sellers: NDArray[np.int64]
    offers: Offers
    targets: NDArray[np.int64]
    quality: str
    mechanism: Mechanism
    bundles: bool
    ceiling: int | None
    budget: int
    radius: int
    reach: int
    ranks: NDArray[np.int64]

    def among(self, bids: NDArray[np.int64]) -> "Auction":
        """Return the same auction as if only these bids, by their indices, had come."""
        offers = self.offers
        features = None if offers.features is None else offers.features[bids]
        signatures = None if offers.signatures is None else offers.signatures[bids]
        fewer = Offers(features, signatures, offers.prices[bids])
        return replace(self, sellers=self.sellers[bids], offers=fewer, ranks=self.ranks[bids])


Auctioneer = Callable[[Auction], Selection]
"""Decides winners and payments."""


def by_the_rules(auction: Auction) -> Selection:
    """Hold an auction by the mechanism that the buyer named."""
    return select(
        auction.offers,
        auction.targets,
        quality=auction.quality,
        budget=auction.budget,
        radius=auction.radius,
        reach=auction.reach,
        ranks=auction.ranks,
        mechanism=auction.mechanism,
        owners=auction.sellers if auction.bundles else None,
        ceiling=auction.ceiling,
    )
