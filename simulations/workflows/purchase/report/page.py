"""``report.html``: what happened in a purchase, for people; one file that needs nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parties.purchase.offer import Offer, Outcome
from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Privacy
from simulations.reports.page import write_page
from simulations.reports.plot import Plot
from simulations.reports.sheets import SHEET, Sheet, Shot, affordable, thumbnail
from simulations.reports.words import count, party_name
from simulations.workflows.purchase.attacks import attackable, invert_bids, known_to_attackers
from simulations.workflows.purchase.phones import Phones
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.report.money import (
    flow_chart,
    lost_bonds,
    movements,
    profit,
    sellers_by_cheat,
    top_sellers,
    undelivered,
)
from simulations.workflows.purchase.report.phones import STEP_NAMES, duration, spending, time_line, usage
from simulations.workflows.purchase.report.plots import close_up, feature_plane, payments
from simulations.workflows.purchase.report.sequence import sequence
from simulations.workflows.purchase.scoring import ScoredPurchase, Trade, delivered_picture, file_numbers, located
from simulations.workflows.purchase.words import coins
from simulations.workflows.purchase.world import PurchaseWorld
from strategies.features.featurizer import Calibration
from strategies.features.matching import nearest_distance
from strategies.features.signatures import centroids

INVERTED = 8
"""Pictures that are shown beside what an attack makes of them."""

_REFUSED = {
    Outcome.REFUNDED: "delivered",
    Outcome.UNDELIVERED: "never delivered",
    Outcome.LOST: "lost by the cloud",
    Outcome.UNCLAIMED: "never taken",
    Outcome.UNPAID: "never ordered",
}


def wanted_sheet(world: PurchaseWorld) -> Sheet:
    """Show the buyer's samples."""
    shots = (Shot(thumbnail(picture), "") for picture in affordable(world.samples, SHEET))
    return Sheet(list(shots), len(world.samples))


def bought_sheet(world: PurchaseWorld, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
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


def refused_sheet(world: PurchaseWorld, winners: Sequence[Offer], traded: Iterable[Trade]) -> Sheet:
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
    known = attackable(scored)
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


def _caption(world: PurchaseWorld, trade: Trade) -> str:
    label = int(trade.held.labels[trade.image])
    name = world.class_names[label] if label >= 0 and world.class_names else ""
    price = coins(trade.offer.payment)
    return f"{name}\n{price}" if name else price


ROWS = 200
"""Rows of a long table that is folded away."""
REFUSALS = 8
"""Reasons for refusing bids that are listed."""


def write_purchase_page(
    path: Path, report: PurchaseReport, scored: ScoredPurchase, phones: Phones | None = None
) -> None:
    """Write the page of a finished purchase.

    Args:
        report: The numbers.
        scored: Offers, pictures and the truth about them. What was delivered is read from the buyer's store.
        phones: What the purchase was played on, where the report has a word on that.
    """
    world, record, traded, featurizer = scored.world, scored.record, scored.trades, scored.featurizer
    mapped = located(traded)
    write_page(
        path,
        "workflows/purchase/report/page.html",
        report,
        {"coins": coins, "profit": profit, "duration": duration},
        outcome=report.outcome,
        quality=report.scenario["buyer"]["quality"],
        auction=report.auction,
        buyer=next(party for party in report.parties if party.party == "buyer"),
        calibration=featurizer.calibration,
        steps=sequence(report),
        remarks=_remarks(report, record),
        plane=feature_plane(mapped, scored.targets, featurizer.calibration),
        unmapped=len(traded) - len(mapped),
        view=_cloud_view(record, mapped, featurizer.calibration),
        payments=payments(traded) if record.winners else None,
        underpaid=sum(offer.payment < offer.bid.bid.price for offer in record.winners),
        wanted=wanted_sheet(world),
        bought=bought_sheet(world, record.winners, traded),
        refused=refused_sheet(world, record.winners, traded),
        known=sum(trade.wanted is not None for trade in traded if trade.offer.paid),
        right=sum(bool(trade.wanted) for trade in traded if trade.offer.paid),
        wishes=sorted(world.wanted or ()),
        chart=flow_chart(report),
        movements=movements(report, record),
        bonds=lost_bonds(report, record),
        stakes=sum(offer.bid.bid.stake for offer in record.offers),
        undelivered=undelivered(record),
        top=top_sellers(report, 8),
        cheats=sellers_by_cheat(report, world),
        disputes=_dispute_groups(report),
        inverted=inverted_sheet(scored),
        time_line=time_line(phones.grid.exchanges) if phones and phones.names else None,
        spending=spending(usage(phones), phones.names) if phones and phones.names else None,
        step_names=STEP_NAMES,
        rows=ROWS,
    )


@dataclass(frozen=True)
class CloudView:
    """How the cloud's picture of the feature plane differs from the truth.

    Attributes:
        error, share: Median distance between a picture and where the cloud takes it to be, lattice units, and as a
            share of R.
        strangers, missed: Pictures taken for candidates that lie beyond R, and the other way round.
        plot: A few pictures, close up.
    """

    error: float
    share: float
    strangers: int
    missed: int
    plot: Plot


def _cloud_view(record: PurchaseRecord, traded: Sequence[Trade], calibration: Calibration) -> CloudView | None:
    """Compare truth and signatures; None where the cloud sees the truth, below level 2, and where there is no offer."""
    if record.call is None or record.call.terms.privacy is not Privacy.LEVEL2 or not traded:
        return None
    signatures = np.array([trade.offer.bid.bid.signature_points for trade in traded], dtype=np.int64)
    seen = centroids(signatures)
    true = np.array([trade.feature for trade in traded], dtype=np.float64)
    error = float(np.median(np.linalg.norm(seen - true, axis=1)))
    inside = nearest_distance(true, record.targets) <= calibration.radius
    candidate = np.array([trade.offer.candidate for trade in traded])
    return CloudView(
        error=error,
        share=error / calibration.radius,
        strangers=int((candidate & ~inside).sum()),
        missed=int((inside & ~candidate).sum()),
        plot=close_up(traded, signatures, seen, calibration),
    )


def _remarks(report: PurchaseReport, record: PurchaseRecord) -> list[str]:
    """Say what was skipped and which bids were refused, the most frequent reasons first."""
    unreadable, refused = report.outcome.unreadable, Counter(why for _, why in record.rejected)
    skipped = [f"{count(unreadable, 'image')} in sellers' albums could not be opened."] if unreadable else []
    return skipped + [f"{count(number, 'bid')} refused: {why}" for why, number in refused.most_common(REFUSALS)]


@dataclass(frozen=True)
class DisputeGroup:
    """Disputes with the same complaint and the same end."""

    complaint: str
    fault: str
    reason: str
    count: int
    payment: int


def _dispute_groups(report: PurchaseReport) -> list[DisputeGroup]:
    counts = Counter[tuple[str, str, str]]()
    payment = Counter[tuple[str, str, str]]()
    for dispute in report.disputes:
        key = (dispute.complaint, dispute.fault, dispute.reason)
        counts[key] += 1
        payment[key] += dispute.payment
    return [DisputeGroup(*key, number, payment[key]) for key, number in counts.most_common()]
