"""What a cheat cost the others, measured in the run itself."""

import numpy as np

from parties.purchase.offer import Outcome
from simulations.purchase.delivered import delivered_picture, file_numbers
from simulations.purchase.scoring import ScoredPurchase
from strategies.near_duplicates import distinct


def damage_by_sellers(scored: ScoredPurchase, adversary: str) -> int:
    """Add up what the buyer paid such sellers, commission included, for pictures that are of no use to it.

    These are pictures that show nothing it asked for, that did not come or are not what was offered, and
    near-duplicates of pictures that it bought from sellers who play the same cheat. What false prices cost is not in
    it: that takes another run, without the cheat.
    """
    place = file_numbers(scored.record.winners)
    bought = [trade for trade in scored.trades if trade.offer.paid and trade.held.adversary == adversary]
    first = set(distinct([scored.featurizer.prepare(trade.picture) for trade in bought]))
    total = 0
    for index, trade in enumerate(bought):
        came = delivered_picture(scored.world, place[trade.offer.bid_id])
        useless = trade.wanted is False or came is None or not np.array_equal(came, trade.picture) or index not in first
        total += useless * (trade.offer.payment + trade.offer.commission)
    return total


def damage_by_buyer(scored: ScoredPurchase) -> int:
    """Add up what honest sellers were promised and not paid for what they delivered, and the stakes they lost."""
    honest = [trade.offer for trade in scored.trades if trade.held.adversary is None]
    refunded = [offer for offer in honest if offer.outcome is Outcome.REFUNDED]
    return sum(offer.payment + offer.bid.bid.stake for offer in refunded)
