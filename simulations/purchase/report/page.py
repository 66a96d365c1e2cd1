"""``report.html``: what happened in a purchase, for people; one file that needs nothing else."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Privacy
from simulations.phones.population import Phones
from simulations.purchase.report.compile import coins
from simulations.purchase.report.model import Report
from simulations.purchase.report.money import (
    flow_chart,
    lost_bonds,
    movements,
    profit,
    sellers_by_cheat,
    top_sellers,
    undelivered,
)
from simulations.purchase.report.phone_plots import duration, spending, time_line
from simulations.purchase.report.phones import STEP_NAMES, usage
from simulations.purchase.report.pictures import bought_sheet, inverted_sheet, refused_sheet, wanted_sheet
from simulations.purchase.report.plots import close_up, feature_plane, payments
from simulations.purchase.report.sequence import sequence
from simulations.purchase.scoring import ScoredPurchase, Trade, located
from simulations.report.model import Learned
from simulations.report.page import write_page
from simulations.report.plot import Plot
from strategies.featurizer import Calibration
from strategies.matching import nearest_distance
from strategies.selection import DEFAULT_MECHANISMS
from strategies.signatures import centroids

ROWS = 200
"""Rows of a long table that is folded away."""


def write_purchase_page(path: Path, report: Report, scored: ScoredPurchase, phones: Phones | None = None) -> None:
    """Write the page of a finished purchase.

    Parameters
    ----------
    path : Path
        The file.
    report : Report
        What is said in numbers.
    scored : ScoredPurchase
        Offers, pictures and the truth about them. What was delivered is read from the buyer's store.
    phones : Phones or None
        What the purchase was played on, where the report has a word on that.
    """
    world, record, traded, featurizer = scored.world, scored.record, scored.trades, scored.featurizer
    mapped = located(traded)
    write_page(
        path,
        "purchase/report/page.html",
        report,
        {"coins": coins, "profit": profit, "duration": duration},
        outcome=report.outcome,
        quality=report.scenario["buyer"]["quality"],
        mechanism=DEFAULT_MECHANISMS[report.scenario["buyer"]["quality"]],
        buyer=next(party for party in report.parties if party.party == "buyer"),
        calibration=featurizer.calibration,
        steps=sequence(report),
        refusals=_counted(why for _, why in record.rejected),
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
        learned=_by_observer(report.learned),
        inverted=inverted_sheet(scored),
        time_line=time_line(phones.grid.exchanges) if phones and phones.names else None,
        spending=spending(usage(phones), phones.names) if phones and phones.names else None,
        step_names=STEP_NAMES,
        rows=ROWS,
    )


@dataclass(frozen=True)
class CloudView:
    """How the cloud's picture of the feature plane differs from the truth.

    Attributes
    ----------
    error, share : float
        Median distance between a picture and where the cloud takes it to be, lattice units, and as a share of R.
    strangers, missed : int
        Pictures taken for candidates that lie beyond R, and the other way round.
    plot : Plot
        A few pictures, close up.
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


def _counted(texts: Iterable[str]) -> list[tuple[str, int]]:
    """Count equal texts, the most frequent first."""
    return Counter(texts).most_common()


@dataclass(frozen=True)
class DisputeGroup:
    """Disputes with the same complaint and the same end."""

    complaint: str
    fault: str
    reason: str
    count: int
    payment: int


def _dispute_groups(report: Report) -> list[DisputeGroup]:
    counts = Counter[tuple[str, str, str]]()
    payment = Counter[tuple[str, str, str]]()
    for dispute in report.disputes:
        key = (dispute.complaint, dispute.fault, dispute.reason)
        counts[key] += 1
        payment[key] += dispute.payment
    return [DisputeGroup(*key, count, payment[key]) for key, count in counts.most_common()]


def _by_observer(learned: Sequence[Learned]) -> dict[str, list[Learned]]:
    groups: dict[str, list[Learned]] = {}
    for line in learned:
        groups.setdefault(line.observer, []).append(line)
    return groups
