"""The cloud's record of a purchase."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from parties.purchase.auction import Auction
from parties.purchase.offer import Offer
from parties.workflow import Record
from protocol.messages.purchase import CallForBids, PurchaseRequest


@dataclass
class PurchaseRecord(Record):
    """What happened in a purchase, as the cloud saw it.

    Attributes:
        buyer: Node id.
        sellers: Node ids of those who were called.
        call: The call for bids.
        offers: All valid bids, by seller and position.
        auction: What the selection was among.
        reserve: What the buyer has set aside, minor units.
        rejected: Bids that were refused: the seller, and why.
        unreadable: Pictures that sellers could not open.
    """

    buyer: int
    sellers: list[int]
    request: PurchaseRequest | None = None
    call: CallForBids | None = None
    targets: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    offers: list[Offer] = field(default_factory=list)
    rejected: list[tuple[int, str]] = field(default_factory=list)
    unreadable: int = 0
    reserve: int = 0
    auction: Auction | None = None

    @property
    def winners(self) -> list[Offer]:
        """The selected offers, by pseudonym: their order must not reveal to the buyer which share a seller."""
        return sorted((offer for offer in self.offers if offer.won), key=lambda offer: offer.bid.bid.pseudonym)
