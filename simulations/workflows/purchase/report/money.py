"""Who paid whom: the movements of money in a purchase, their picture, and what parties made of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from parties.purchase.offer import Outcome
from parties.purchase.record import PurchaseRecord
from parties.purchase.terms import COIN
from simulations.evaluation import with_effects
from simulations.workflows.purchase.report.model import CheatAccount, PartyAccount, PurchaseReport
from simulations.workflows.purchase.world import PurchaseWorld

_BONDS = "bonds lost on unfounded complaints, and on images not taken"


@dataclass(frozen=True)
class Movement:
    """Money that moved for one reason, minor units, and for how many pictures."""

    source: str
    target: str
    reason: str
    pictures: int
    amount: int


def movements(report: PurchaseReport, record: PurchaseRecord) -> list[Movement]:
    """List what moved, in the order in which it did; nothing that is zero."""
    outcome = report.outcome
    ordered = [offer for offer in record.winners if offer.order is not None]
    back = [offer for offer in ordered if not offer.paid]
    forfeited = [offer for offer in back if offer.forfeited]
    unclaimed = sum(offer.outcome is Outcome.UNCLAIMED for offer in record.winners)
    unpaid = [offer for offer in record.winners if offer.compensation]
    escrow = sum(offer.payment + offer.commission for offer in ordered)
    moved = [
        Movement("buyer", "escrow", "payments and commission, before delivery", len(ordered), escrow),
        Movement("escrow", "sellers", "payments for images as promised", outcome.verified, outcome.paid_total),
        Movement("escrow", "cloud", "commission on them", outcome.verified, outcome.commission),
        Movement("escrow", "buyer", "refunds for other images", len(back), outcome.refunded_total),
        Movement("sellers", "buyer", "stakes lost with them", len(forfeited), lost_stakes(record)),
        Movement("buyer", "sellers", _BONDS, outcome.upheld + unclaimed, lost_bonds(report, record)),
        Movement("buyer", "sellers", "deposit lost for not paying", len(unpaid), compensation(record)),
    ]
    return [movement for movement in moved if movement.amount]


def lost_stakes(record: PurchaseRecord) -> int:
    """Add up the stakes that sellers lost."""
    return sum(offer.bid.bid.stake for offer in record.winners if offer.forfeited)


def lost_bonds(report: PurchaseReport, record: PurchaseRecord) -> int:
    """Add up the bonds that the buyer lost: the penalties that are neither stakes nor a deposit."""
    return report.outcome.penalties - lost_stakes(record) - compensation(record)


def compensation(record: PurchaseRecord) -> int:
    """Add up what winners got of the deposit of a buyer that did not pay."""
    return sum(offer.compensation for offer in record.winners)


@dataclass(frozen=True)
class Band:
    """Money flowing through the picture: from (x0, y0) to (x1, y1), `height` thick."""

    role: str
    x0: float
    y0: float
    x1: float
    y1: float
    height: float

    @property
    def path(self) -> str:
        """The band's outline as an SVG path."""
        x0, y0, x1, y1, height = self.x0, self.y0, self.x1, self.y1, self.height
        middle = (x0 + x1) / 2
        return (
            f"M{x0:.1f},{y0:.1f} C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f} v{height:.1f} "
            f"C{middle:.1f},{y1 + height:.1f} {middle:.1f},{y0 + height:.1f} {x0:.1f},{y0 + height:.1f} z"
        )


@dataclass(frozen=True)
class Node:
    """A place where money is, with its label beside it."""

    role: str
    label: str
    amount: int
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class FlowChart:
    """Where the budget went, to be drawn in a box of `width` by `height`."""

    nodes: list[Node]
    bands: list[Band]
    height: float
    width: float = 480


_TALL, _TOP, _SLOT = 170.0, 34.0, 38.0
_BUDGET_X, _ESCROW_X, _END_X, _NODE = 4.0, 170.0, 340.0, 10.0


def flow_chart(report: PurchaseReport) -> FlowChart | None:
    """Draw where the budget went; None where nothing went anywhere."""
    outcome = report.outcome
    escrow = outcome.paid_total + outcome.commission + outcome.refunded_total
    if not escrow:
        return None
    ends = [
        ("seller", "to sellers", outcome.paid_total),
        ("cloud", "to the cloud", outcome.commission),
        ("buyer", "back to the buyer", outcome.refunded_total),
        ("unspent", "never spent", outcome.budget - escrow),
    ]
    scale = _TALL / outcome.budget
    nodes = [
        Node("buyer", "budget", outcome.budget, _BUDGET_X, _TOP, _TALL),
        Node("escrow", "escrow", escrow, _ESCROW_X, _TOP, escrow * scale),
    ]
    bands = [Band("escrow", _BUDGET_X + _NODE, _TOP, _ESCROW_X, _TOP, escrow * scale)]
    start, y = _TOP, _TOP
    for role, label, amount in ends:
        if not amount:
            continue
        height = max(1.5, amount * scale)
        x = _BUDGET_X if role == "unspent" else _ESCROW_X
        nodes.append(Node(role, label, amount, _END_X, y, height))
        bands.append(Band(role, x + _NODE, start, _END_X, y, height))
        start += amount * scale
        y += max(height, _SLOT) + 8
    return FlowChart(nodes, bands, max(y, _TOP + _TALL + 4))


HONEST = "honest sellers"


def profit(party: PartyAccount) -> int:
    """Return what a party gained: its balance over its deposit, less the true cost of what it sold."""
    return party.balance - party.deposit - party.cost


def cheat_account(group: Sequence[PartyAccount], parties: int, damage: int) -> CheatAccount:
    """Add up the accounts of parties that have something in common.

    Args:
        group: Those of them who have an account.
        damage: What they cost others, minor units.
    """
    return CheatAccount(
        parties=parties,
        active=sum(party.bids > 0 or party.party == "buyer" for party in group),
        selected=sum(party.selected for party in group),
        sold=sum(party.sold for party in group),
        profit=sum(map(profit, group)),
        ahead=sum(profit(party) > 0 for party in group),
        damage=damage,
    )


def sellers_by_cheat(report: PurchaseReport, world: PurchaseWorld) -> dict[str, CheatAccount]:
    """Return sellers' accounts by the cheat they played; the honest ones come first, to compare with."""
    honest = [seller for seller in sellers(report) if seller.adversary is None]
    number = sum(held.adversary is None for held in world.sellers)
    played = {held.adversary for held in world.sellers}
    cheats = {name: account for name, account in sorted(report.adversaries.items()) if name in played}
    return {HONEST: cheat_account(honest, number, 0), **cheats}


def compared(report: PurchaseReport, twins: Mapping[str, PurchaseReport]) -> PurchaseReport:
    """Say what the cheats of a purchase changed, beside the same world without them; money is what a party gained."""
    return with_effects(report, twins, {name: _gains(report, twin) for name, twin in twins.items()})


def _gains(report: PurchaseReport, twin: PurchaseReport) -> dict[str, tuple[float, float]]:
    """Return what parties gained in the twin, and with the cheats, by who they are."""
    honest = {party.party: profit(party) / COIN for party in twin.parties}
    money: dict[str, tuple[float, float]] = {}
    for party in report.parties:
        whose = f"sellers that play {party.adversary}" if party.adversary else HONEST
        whose = f"the {party.party}" if party.party in ("buyer", "cloud") else whose
        before, after = money.get(whose, (0.0, 0.0))
        money[whose] = before + honest.get(party.party, 0.0), after + profit(party) / COIN
    return money


def sellers(report: PurchaseReport) -> Iterator[PartyAccount]:
    """Yield the sellers' accounts."""
    return (party for party in report.parties if party.party not in ("buyer", "cloud"))


def top_sellers(report: PurchaseReport, most: int) -> Sequence[PartyAccount]:
    """Return those who sold for the most money."""
    ranked = sorted(sellers(report), key=lambda seller: (seller.balance - seller.deposit, seller.sold), reverse=True)
    return [seller for seller in ranked if seller.sold][:most]


def undelivered(record: PurchaseRecord) -> int:
    """Count pictures that were ordered and never came."""
    return sum(offer.outcome is Outcome.UNDELIVERED for offer in record.winners)
