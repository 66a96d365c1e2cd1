"""The pictures of a purchase, on contact sheets."""

from collections.abc import Iterable, Sequence

import numpy as np

from parties.purchase.offer import Offer, Outcome
from simulations.purchase.attacks import invert_bids, known_to_attackers, sampled
from simulations.purchase.delivered import delivered_picture, file_numbers
from simulations.purchase.report.compile import coins
from simulations.purchase.scoring import ScoredPurchase, Trade
from simulations.purchase.world import World
from simulations.report.sheets import SHEET, Sheet, Shot, affordable, thumbnail
from simulations.report.words import party_name

INVERTED = 8
"""Pictures that are shown beside what an attack makes of them."""

_REFUSED = {
    Outcome.REFUNDED: "delivered",
    Outcome.UNDELIVERED: "never delivered",
    Outcome.UNPAID: "never ordered",
}


def wanted_sheet(world: World) -> Sheet:
    """Show the buyer's samples."""
    shots = (Shot(thumbnail(picture), "") for picture in affordable(world.samples, SHEET))
    return Sheet(list(shots), len(world.samples))


def bought_sheet(world: World, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
    """Show the pictures that were paid for, as they were delivered."""
    numbers = file_numbers(winners)
    bought = [trade for trade in traded if trade.offer.paid]
    pictures = (delivered_picture(world, numbers[trade.offer.bid_id]) for trade in bought)
    received = (trade.picture if picture is None else picture for trade, picture in zip(bought, pictures, strict=True))
    shots = [
        Shot(thumbnail(picture), _caption(world, trade), wrong=trade.wanted is False)
        for trade, picture in zip(bought, affordable(received, SHEET), strict=False)
    ]
    return Sheet(shots, len(bought))


def refused_sheet(world: World, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
    """Show the pictures that won and were not paid for: what was offered beside what came."""
    numbers = file_numbers(winners)
    refused = [trade for trade in traded if trade.offer.won and not trade.offer.paid]
    shots = []
    for trade, offered in zip(refused, affordable((trade.picture for trade in refused), SHEET // 2), strict=False):
        delivered = delivered_picture(world, numbers[trade.offer.bid_id])
        shots.append(
            Shot(
                thumbnail(offered),
                f"by {party_name(trade.offer.seller)}",
                beside="" if delivered is None else thumbnail(delivered),
                beside_caption=_REFUSED[trade.offer.outcome],
            )
        )
    return Sheet(shots, len(refused))


def inverted_sheet(scored: ScoredPurchase) -> Sheet | None:
    """Show pictures on offer beside what the cloud's inversion attack makes of them; None where it cannot attack."""
    world, record = scored.world, scored.record
    public = known_to_attackers(scored)
    known = sampled(scored.trades, world.class_names)
    if record.call is None or public is None or not known:
        return None
    shown = [known[index] for index in np.linspace(0, len(known) - 1, min(len(known), INVERTED)).astype(int)]
    guesses = invert_bids([trade.offer.bid.bid for trade in shown], record.call, public)
    shots = [
        Shot(
            thumbnail(trade.picture),
            world.class_names[trade.held.labels[trade.image]],
            beside=thumbnail(picture),
            beside_caption=f"“{public.class_names[label]}”",
        )
        for trade, label, picture in zip(shown, *guesses, strict=True)
    ]
    return Sheet(shots, len(scored.trades))


def _caption(world: World, trade: Trade) -> str:
    label = int(trade.held.labels[trade.image])
    name = world.class_names[label] if label >= 0 and world.class_names else ""
    price = coins(trade.offer.payment)
    return f"{name}\n{price}" if name else price
