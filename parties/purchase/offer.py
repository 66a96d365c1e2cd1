"""One image on offer, through a purchase."""

from dataclasses import dataclass
from enum import StrEnum

from protocol.disputes.arbitration import Fault, Verdict
from protocol.messages.purchase import Complaint, Refusal, SignedBid, SignedOrder, SignedReceipt


class Outcome(StrEnum):
    """The outcome of an offer; `LOST`: the cloud has lost the sealed image, `UNCLAIMED`: the buyer did not take it."""

    DECLINED = "declined"
    UNPAID = "unpaid"
    UNDELIVERED = "undelivered"
    LOST = "lost"
    UNCLAIMED = "unclaimed"
    ACCEPTED = "accepted"
    REFUNDED = "refunded"
    UPHELD = "upheld"


_DECIDED = {Fault.SELLER: Outcome.REFUNDED, Fault.BUYER: Outcome.UPHELD, Fault.NOBODY: Outcome.LOST}


@dataclass
class Offer:
    """One valid bid and its later state.

    Attributes:
        seller: Node id; the buyer never learns it.
        index: Position among the seller's bids.
        bid_id: Its hash, by which all refer to it.
        candidate: Whether it matched the request.
        payment, commission: What the buyer pays for it, minor units; 0 unless it won.
        compensation: What its seller gets of the deposit of a buyer that did not pay, minor units.
        asked: Whether the seller was asked to deliver while there was time.
        refusal: The seller's proof that its order is not the buyer's.
        order, receipt, blob: What was signed for it, and the vault's name of the sealed image.
        kept: Whether the buyer has acknowledged the sealed image.
        unclaimed: Whether it has not, although the cloud had it.
        complaint, verdict: The buyer's complaint and the arbiter's decision.
    """

    seller: int
    index: int
    bid: SignedBid
    bid_id: bytes
    candidate: bool = False
    won: bool = False
    payment: int = 0
    commission: int = 0
    compensation: int = 0
    asked: bool = False
    refusal: Refusal | None = None
    order: SignedOrder | None = None
    receipt: SignedReceipt | None = None
    blob: str | None = None
    kept: bool = False
    unclaimed: bool = False
    complaint: Complaint | None = None
    verdict: Verdict | None = None

    @property
    def outcome(self) -> Outcome:
        """The outcome."""
        if not self.won:
            return Outcome.DECLINED
        if self.order is None:
            return Outcome.UNPAID
        if self.receipt is None:
            return Outcome.UNDELIVERED
        if not self.kept:
            return Outcome.UNCLAIMED if self.unclaimed else Outcome.LOST
        return Outcome.ACCEPTED if self.verdict is None else _DECIDED[self.verdict.fault]

    @property
    def placed(self) -> SignedOrder:
        """The order; there is one from the payment on."""
        assert self.order is not None
        return self.order

    @property
    def paid(self) -> bool:
        """Whether the seller got its payment."""
        return self.outcome in (Outcome.ACCEPTED, Outcome.UPHELD)

    @property
    def forfeited(self) -> bool:
        """Whether its seller loses the stake: it was asked to deliver and did not, or delivered something else.

        A proof that the order is not the buyer's saves the stake, and so does a failure of the cloud's (`asked` is
        then false).
        """
        return self.asked and self.refusal is None and self.outcome in (Outcome.UNDELIVERED, Outcome.REFUNDED)
