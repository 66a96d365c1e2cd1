"""Step 12: statements of what became of each image and its money."""

from collections.abc import Iterable, Mapping

from parties.purchase import settlement
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Offer, Outcome
from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Release, Statement, StatementLine


def statements(record: PurchaseRecord, cloud: Cloud, balances: Mapping[int, int]) -> dict[int, Statement]:
    """Return the statement of the buyer and of each seller that made an offer, by node id; balances are by node id."""
    lines: dict[int, list[StatementLine]] = {node_id: [] for node_id in balances}
    for offer in record.offers:
        due = offer.payment if offer.paid else owed(offer, cloud.terms.bond)
        lines[offer.seller].append(line(offer, due))
    for offer in record.winners:
        due = offer.payment + offer.commission if offer.paid else owed(offer, cloud.terms.bond)
        lines[record.buyer].append(line(offer, -due))
    opened = releases(cloud, (offer.bid_id for offer in record.winners if offer.paid))
    return {
        node_id: Statement(
            lines=tuple(lines[node_id]), balance=balance, releases=opened if node_id == record.buyer else ()
        )
        for node_id, balance in balances.items()
    }


def statement(cloud: Cloud, buyer: str) -> Statement:
    """Return the buyer's statement of a purchase that has ended, by the ledger alone.

    Args:
        cloud: With the name of the purchase.
        buyer: The buyer's account.
    """
    lines = settlement.bought(cloud.ledger, cloud.purchase, buyer)
    opened = releases(cloud, (each.bid for each in lines if each.amount))
    return Statement(lines=tuple(lines), balance=cloud.ledger.balance(buyer), releases=opened)


def releases(cloud: Cloud, bids: Iterable[bytes]) -> tuple[Release, ...]:
    """Return what images open with, by the hashes of their bids."""
    return tuple(Release(bid=bid, secret=cloud.release(bid)) for bid in bids)


def owed(offer: Offer, bond_rate: int) -> int:
    """Return what the buyer owes the seller of an image that it has not paid: for not paying, or for not taking it."""
    unclaimed = offer.outcome is Outcome.UNCLAIMED
    return offer.compensation + (settlement.bond(offer.payment, bond_rate) if unclaimed else 0)


def line(offer: Offer, amount: int) -> StatementLine:
    """Return one offer's line of a statement."""
    return StatementLine(bid=offer.bid_id, outcome=str(offer.outcome), amount=amount)
