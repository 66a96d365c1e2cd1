"""A cloud that names keys of its own on both sides, and opens every picture that passes."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from flwr.app import Message
from flwr.serverapp import Grid

from parties.purchase.record import PurchaseRecord
from protocol.crypto.sealing import SealBroken, new_delivery_key, open_sealed, seal
from protocol.crypto.signing import SigningKey, derive
from protocol.disputes.arbitration import delivery_context
from protocol.disputes.refusal import pass_on
from protocol.encoding.canonical import canonical, digest
from protocol.encoding.codec import decode, encode
from protocol.flower import with_content
from protocol.grids import ObservedGrid
from protocol.messages.base import BlobReference, ProtocolMessage
from protocol.messages.purchase import (
    Bids,
    CallForBids,
    Delivery,
    DeliveryOrder,
    Order,
    Receipt,
    SelectionNotice,
    SignedBid,
    SignedOrder,
    SignedReceipt,
    Statement,
)
from simulations.reports.model import Learned
from simulations.reports.words import count

M = TypeVar("M", bound=ProtocolMessage)


@dataclass(frozen=True)
class _Substituted:
    """A bid, and the key under which the cloud passed it on."""

    bid: SignedBid
    key: SigningKey


@dataclass(frozen=True)
class _Opened:
    """An order in two forms: the buyer's, and the cloud's own that went to the seller, with what opens its image."""

    buyers: Order
    own: Order
    release: bytes
    private_key: bytes


class KeySubstitution(ObservedGrid):
    """A cloud that stands between both sides: the buyer to the sellers, and each seller to the buyer.

    1. in the call for bids it names a key of its own as the buyer's, and takes over bids under pseudonyms of its own;
    2. it orders each image for itself, to a delivery key of its own;
    3. it opens each delivery, seals it again to the buyer's key, and signs for it as its seller.

    Commitments, features and prices are passed on as they are, so that every check of every party passes: nothing but
    certificates, which tie keys to parties, gives it away. Begun after the bids, it is refused, and hands each seller
    the proof (`convicts`).

    Args:
        secret: 32 bytes; the keys derive from it.
        identity: The cloud's own key, under which it passes on orders.
        late: Begin with the orders, when sellers already know the buyer's key.

    Attributes:
        opened: Pictures that the cloud has opened.
    """

    def __init__(self, secret: bytes, identity: SigningKey, *, late: bool = False) -> None:
        self._secret = secret
        self._identity = identity
        self._buyer = b""
        self._late = late
        self._key = SigningKey.derive(derive(secret, "buyer"), "buyer")
        self._bids: dict[bytes, _Substituted] = {}
        self._orders: dict[bytes, _Opened] = {}
        self._sellers: set[int] = set()
        self.opened = 0

    def around(self, grid: Grid) -> Grid:
        """Stand before a grid."""
        super().__init__(grid, lambda envelope: None)
        return self

    def reveal(self, record: PurchaseRecord) -> None:
        """Put the sellers' own bids back into the cloud's record, so that it can be compared with the truth."""
        for offer in record.offers:
            if offer.bid_id in self._bids:
                offer.bid = self._bids[offer.bid_id].bid

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Change what is said in either direction."""
        questions = [self._change(message, message.metadata.dst_node_id) for message in messages]
        replies = self._grid.send_and_receive(questions, timeout=timeout)
        return [self._change(reply, reply.metadata.src_node_id) for reply in replies]

    def _change(self, message: Message, party: int) -> Message:
        kind = str(message.content["message"]["kind"]) if message.has_content() else ""
        if kind == "CallForBids":
            self._sellers.add(party)
        if party not in self._sellers:
            return message
        changes = {
            "CallForBids": _changed(CallForBids, self._call),
            "Bids": _changed(Bids, self._bid),
            "SelectionNotice": _changed(SelectionNotice, self._notice),
            "DeliveryOrder": _changed(DeliveryOrder, self._order),
            "Delivery": _changed(Delivery, self._deliver),
            "Statement": _changed(Statement, self._statement),
        }
        if kind not in changes or (self._late and not kind.startswith("Delivery")):
            return message
        return with_content(message.metadata, encode(changes[kind](message)))

    def _call(self, call: CallForBids) -> CallForBids:
        self._buyer = call.buyer
        return call.model_copy(update={"buyer": self._key.public})

    def _bid(self, bids: Bids) -> Bids:
        taken_over = []
        for signed in bids.bids:
            key = SigningKey.derive(derive(self._secret, "pseudonym", signed.bid.pseudonym), "bid")
            bid = signed.bid.model_copy(update={"pseudonym": key.public, "buyer": self._buyer})
            own = SignedBid(bid=bid, signature=key.sign("bid", canonical(bid)))
            self._bids[digest(own)] = _Substituted(signed, key)
            taken_over.append(own)
        return bids.model_copy(update={"bids": tuple(taken_over)})

    def _notice(self, notice: SelectionNotice) -> SelectionNotice:
        awards = tuple(award.model_copy(update={"bid": self._original(award.bid)}) for award in notice.awards)
        return notice.model_copy(update={"awards": awards})

    def _order(self, asked: DeliveryOrder) -> DeliveryOrder:
        buyers = asked.order.order
        delivery_key = new_delivery_key(buyers.suite)
        own = buyers.model_copy(update={"bid": self._original(buyers.bid), "delivery_key": delivery_key.public})
        self._orders[digest(own)] = _Opened(buyers, own, asked.release, delivery_key.private)
        signed = SignedOrder(order=own, signature=self._key.sign("order", canonical(own)))
        return pass_on(signed, asked.release, self._identity)

    def _deliver(self, delivery: Delivery) -> Delivery:
        if isinstance(delivery.blob, BlobReference):
            return delivery
        asked = self._orders[delivery.receipt.receipt.order]
        buyers = asked.buyers
        dimensions = len(self._bids[buyers.bid].bid.bid.feature or (0, 0))
        try:
            context = delivery_context(asked.own, asked.release)
            opening = open_sealed(delivery.blob, asked.private_key, context, buyers.suite, dimensions)
        except SealBroken:
            return delivery
        self.opened += 1
        blob = seal(opening, buyers.delivery_key, delivery_context(buyers, asked.release), buyers.suite)
        receipt = Receipt(order=digest(buyers), blob=hashlib.sha256(blob).digest(), length=len(blob))
        signature = self._bids[buyers.bid].key.sign("receipt", canonical(receipt))
        return Delivery(receipt=SignedReceipt(receipt=receipt, signature=signature), blob=blob)

    def _statement(self, statement: Statement) -> Statement:
        lines = tuple(line.model_copy(update={"bid": self._original(line.bid)}) for line in statement.lines)
        return statement.model_copy(update={"lines": lines})

    def _original(self, bid: bytes) -> bytes:
        return digest(self._bids[bid].bid) if bid in self._bids else bid


def _changed(kind: type[M], change: Callable[[M], M]) -> Callable[[Message], ProtocolMessage]:
    return lambda message: change(decode(message.content, kind))


def substituted(substitution: KeySubstitution, record: PurchaseRecord) -> Learned:
    """Write down what a key substitution gained, and who noticed."""
    delivered = sum(offer.receipt is not None for offer in record.winners)
    complaints = sum(offer.complaint is not None for offer in record.winners)
    return Learned(
        observer="cloud",
        what="images",
        detail=(
            f"{substitution.opened} of the {delivered} that were delivered, opened by substituting keys of its own: "
            "sellers sealed to these, and it sealed again to the buyer's. Noticed: "
            f"{count(len(record.failures), 'step')} refused, {count(complaints, 'complaint')}. Certificates that bind "
            "keys to parties would reveal it."
        ),
    )
