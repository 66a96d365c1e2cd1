"""A cloud that names keys of its own on both sides, and opens every picture that passes."""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

from parties.adversaries.adversary import adversary
from parties.adversaries.meddling import MeddledExchange
from parties.purchase.cloud import Cloud
from parties.purchase.record import PurchaseRecord
from parties.purchase.workflow import Purchase
from parties.workflow import OnStep, any_step
from protocol.crypto.sealing import SealBroken, new_delivery_key, open_sealed, seal
from protocol.crypto.signing import SigningKey, derive
from protocol.disputes.arbitration import delivery_context
from protocol.disputes.refusal import pass_on
from protocol.encoding.canonical import canonical, digest
from protocol.exchange import Exchange
from protocol.messages.base import BlobReference, ProtocolMessage
from protocol.messages.purchase import (
    MAX_BLOB,
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
from protocol.storage.vault import Vault

R = TypeVar("R", bound=ProtocolMessage)


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


class KeySubstitution(MeddledExchange):
    """Stands between both sides: the buyer to the sellers, and each seller to the buyer.

    1. in the call for bids it names a key of its own as the buyer's, and takes over bids under pseudonyms of its own;
    2. it orders each image for itself, to a delivery key of its own;
    3. it opens each delivery, seals it again to the buyer's key, and signs for it as its seller.

    Commitments, features and prices are passed on as they are, so that every check of every party passes: nothing but
    certificates, which tie keys to parties, gives it away. Begun after the bids, it is refused, and hands each seller
    the proof (`convicts`).

    Args:
        inner: See `MeddledExchange`.
        secret: 32 bytes; the keys derive from it.
        identity: The cloud's own key, under which it passes on orders.
        vault: Where the grid has put what it streams.
        late: Begin with the orders, when sellers already know the buyer's key.

    Attributes:
        opened: Pictures that the cloud has opened.
    """

    def __init__(
        self, inner: Exchange, secret: bytes, identity: SigningKey, vault: Vault, *, late: bool = False
    ) -> None:
        super().__init__(inner)
        self._secret = secret
        self._identity = identity
        self._vault = vault
        self._buyer = b""
        self._late = late
        self._key = SigningKey.derive(derive(secret, "buyer"), "buyer")
        self._bids: dict[bytes, _Substituted] = {}
        self._orders: dict[bytes, _Opened] = {}
        self._sellers: set[int] = set()
        self.opened = 0

    def reveal(self, record: PurchaseRecord) -> None:
        """Put the sellers' own bids back into the cloud's record, so that it can be compared with the truth."""
        for offer in record.offers:
            if offer.bid_id in self._bids:
                offer.bid = self._bids[offer.bid_id].bid

    def question(self, node_id: int, question: ProtocolMessage) -> ProtocolMessage:
        """Name a key of the cloud's own as the buyer's."""
        match question:
            case CallForBids():
                self._sellers.add(node_id)
                return question if self._late else self._call(question)
            case DeliveryOrder():
                return self._order(question)
            case SelectionNotice() if not self._late:
                return self._notice(question)
            case Statement() if node_id in self._sellers and not self._late:
                return self._statement(question)
        return question

    def answer(self, node_id: int, answer: R) -> R:
        """Take over bids and deliveries."""
        changed: Any = answer
        match answer:
            case Bids() if not self._late:
                changed = self._bid(answer)
            case Delivery():
                changed = self._deliver(answer)
        return changed  # type: ignore[no-any-return]

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
        sealed = delivery.blob
        if isinstance(sealed, BlobReference):
            sealed = self._vault.read(sealed.digest.hex(), MAX_BLOB)
        asked = self._orders[delivery.receipt.receipt.order]
        buyers = asked.buyers
        dimensions = len(self._bids[buyers.bid].bid.bid.feature or (0, 0))
        try:
            context = delivery_context(asked.own, asked.release)
            opening = open_sealed(sealed, asked.private_key, context, buyers.suite, dimensions)
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


@adversary(
    "key-substituting-cloud",
    knowledge="nothing beyond its role",
    profit="every picture that is delivered, where no certificates tie keys to parties",
)
class KeySubstitutingCloud(Purchase):
    """Names a key of its own as the buyer's, opens every picture, and seals it again for the buyer."""

    def __init__(
        self, cloud: Cloud, exchange: Exchange, on_step: OnStep = any_step, *, buyer: int | None = None
    ) -> None:
        self.substitution = KeySubstitution(exchange, cloud.derive("substitution"), cloud.identity, cloud.vault)
        super().__init__(cloud, self.substitution, on_step, buyer=buyer)

    def run(self) -> PurchaseRecord:
        """Play all steps, and keep the sellers' own bids in the record."""
        record = super().run()
        self.substitution.reveal(record)
        return record
