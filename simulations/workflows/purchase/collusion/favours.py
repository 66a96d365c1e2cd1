"""Cloud and sellers together: it favours its friends, and the buyer pays."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from parties.purchase.auction import Auction, by_the_rules
from protocol.flower import FIRST_NODE_ID
from simulations.reports.model import Learned
from simulations.reports.words import count
from simulations.runs.seeding import numpy_generator
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import ScoredPurchase, quality_scores, true_points
from simulations.workflows.purchase.words import coins
from simulations.workflows.purchase.world import PurchaseWorld
from strategies.mechanisms.selection import Selection

OBSERVER = "cloud and its friends together"


def friends(scenario: PurchaseScenario, world: PurchaseWorld) -> frozenset[int]:
    """Choose the sellers whom the cloud favours, by node id: the share that the scenario sets, to whole ones."""
    number = len(world.sellers)
    chosen = numpy_generator(scenario.seed, "friends").permutation(number)[: round(scenario.cloud.friends * number)]
    return frozenset(FIRST_NODE_ID + 1 + int(index) for index in chosen)


class Favouring:
    """A cloud that holds the auction among its friends: bids of others are left out, as if they had never come.

    The rest is by the rules, which need not be bent: with less to choose from, a mechanism that may spend the budget
    pays the few more. Buyer and sellers can check nothing but that payments cover prices and fit the budget, as a
    buyer sees the bids that won and a seller its own. Where no friend wins anything, nobody is left out.

    Args:
        favoured: Node ids of its friends.

    Attributes:
        auction: What came before it.
        awarded: What it made of that.
    """

    def __init__(self, favoured: Collection[int]) -> None:
        self.favoured = sorted(favoured)
        self.auction: Auction | None = None
        self.awarded: Selection | None = None

    def __call__(self, auction: Auction) -> Selection:
        """Decide the auction."""
        honest = by_the_rules(auction)
        own = np.flatnonzero(np.isin(auction.sellers, self.favoured)).astype(np.int64)
        among = by_the_rules(auction.among(own))
        self.auction, self.awarded = auction, honest
        if len(among.winners):
            self.awarded = replace(honest, winners=own[among.winners], payments=among.payments)
        return self.awarded

    def to_friends(self, selection: Selection) -> NDArray[np.bool_]:
        """Say which winners of this auction are friends, shape (w,)."""
        assert self.auction is not None
        return np.isin(self.auction.sellers[selection.winners], self.favoured)


def favoured(favouring: Favouring, scored: ScoredPurchase) -> list[Learned]:
    """Write down what friendship moved, what it cost the buyer, and who could tell."""
    if favouring.auction is None or favouring.awarded is None:
        return []
    awarded, honest = favouring.awarded, by_the_rules(favouring.auction)
    return [
        Learned(observer=OBSERVER, what=what, detail=detail)
        for what, detail in (
            (
                "coins moved",
                f"{_earned(favouring, awarded)} were awarded to the {count(len(favouring.favoured), 'friend')} of the "
                f"cloud; an honest cloud would have awarded {_earned(favouring, honest)}",
            ),
            (
                "what the buyer lost",
                f"it was sold {_bought(scored, awarded)}; an honest cloud would have sold {_bought(scored, honest)}",
            ),
            (
                "who can tell",
                "no party: the buyer sees only the selected bids, each seller only its own. If all bids were revealed, "
                "with the seed of the ties, the buyer could repeat the selection, provided that every seller checks "
                "that its own bids are included. It would cost losers the privacy of their prices and features",
            ),
            (
                "the buyer's budget and quality, and the bids of all",
                "the cloud can pass them on to its friends; the other sellers learn nothing of them. Images are not "
                "exposed: they are sealed to keys of the buyer",
            ),
        )
    ]


def _earned(favouring: Favouring, selection: Selection) -> str:
    theirs = favouring.to_friends(selection)
    total = int(selection.payments[theirs].sum())
    return f"{coins(total)} coins for {count(int(theirs.sum()), 'image')}"


def _bought(scored: ScoredPurchase, selection: Selection) -> str:
    trades = [scored.trades[index] for index in selection.winners]
    points = true_points(trades, scored.featurizer)
    quality = quality_scores(points, scored.targets, scored.featurizer.calibration)
    degree = "" if quality.matching_degree is None else f", at a mean matching degree of {quality.matching_degree:.2f}"
    return (
        f"{count(len(trades), 'image')} for {coins(int(selection.payments.sum()))} coins, which cover "
        f"{quality.diversity:.1f} squares{degree}"
    )
