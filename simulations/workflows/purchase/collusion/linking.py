"""Cloud and buyer together: who sold which picture."""

from protocol.encoding.canonical import digest
from protocol.messages.purchase import Bids, Invoice, VerificationCall
from simulations.reports.model import Learned
from simulations.reports.words import count
from simulations.runs.views import View


def link(cloud_view: View, buyer_view: View) -> dict[bytes, int]:
    """Say who sold each picture that the buyer got, from what cloud and buyer received.

    Args:
        cloud_view: Of `Bids`.
        buyer_view: Of `Invoice` and `VerificationCall`.

    Returns:
        The seller's node id by the hash of the bid; the cloud's record of who holds that node names the person.
    """
    sellers = {
        bid.bid.image_commitment: node_id
        for node_id, message in cloud_view.received()
        if isinstance(message, Bids)
        for bid in message.bids
    }
    ordered: dict[bytes, int] = {}
    opened: set[bytes] = set()
    for _, message in buyer_view.received():
        if isinstance(message, Invoice):
            ordered |= {digest(item.bid): sellers[item.bid.bid.image_commitment] for item in message.items}
        elif isinstance(message, VerificationCall):
            opened |= {release.bid for release in message.releases}
    return {bid: seller for bid, seller in ordered.items() if bid in opened}


def linked(sellers: dict[bytes, int]) -> Learned:
    """Write down what `link` found."""
    owners = list(sellers.values())
    shared = sum(owners.count(owner) > 1 for owner in owners)
    return Learned(
        observer="cloud and buyer together",
        what="who sold which image",
        detail=(
            f"the seller of each of the {count(len(owners), 'image')} delivered, {len(set(owners))} sellers in all, "
            f"and which {shared} of the images share a seller with another. Alone, the buyer knows none of this and "
            "the cloud no image."
        ),
    )
