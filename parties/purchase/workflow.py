"""The `purchase` workflow: CrowdBuy's twelve steps, as the cloud drives them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parties.broker import Play
from parties.purchase import settlement
from parties.purchase.auction import Auction
from parties.purchase.checks import bid_refusal, columns, features_under, payment_refusal
from parties.purchase.cloud import ABSENCE, COURTESY, MOMENT, Cloud
from parties.purchase.courier import Courier
from parties.purchase.offer import Offer
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import account, shares
from parties.purchase.waves import parcels
from parties.workflow import OnStep, Workflow, WorkflowFailed, any_step, roll_call
from protocol.crypto.signing import verify
from protocol.disputes.arbitration import Deal
from protocol.encoding.canonical import canonical, digest
from protocol.exchange import SILENT, Exchange
from protocol.journal import WorkflowRow
from protocol.messages.base import Acknowledgement, ProtocolMessage
from protocol.messages.purchase import (
    MAX_BLOB,
    Award,
    Bids,
    CallForBids,
    Invitation,
    Invoice,
    InvoiceItem,
    SelectionNotice,
    SelectionResult,
    SignedConfirmation,
    SignedPayment,
    SignedRequest,
    Statement,
    StatementLine,
    VerificationCall,
)
from strategies.mechanisms.selection import Offers, tie_ranks

M = TypeVar("M", bound=ProtocolMessage)


class Purchase(Workflow[PurchaseRecord]):
    """One purchase between one buyer and many sellers.

    1. the buyer states its request; 2. the cloud broadcasts the samples to all sellers, who 3. match
    their albums and 4. bid, each bid locking its stake; 5. the cloud decides which bids match and
    selects winners and payments; 6. it notifies everybody; 7. the buyer pays into escrow and places
    its orders, which 8. go to the winners, who 9. deliver sealed images through the cloud; 10. the
    buyer verifies and 11. confirms or complains, and the cloud arbitrates; 12. money moves.

    All input comes through its exchange and the ledger, and each effect happens once, under a key or a hash: so it
    can be replayed from the start (`protocol.journal`).

    Args:
        cloud: Terms, money and storage.
        exchange: Asks the parties.
        on_step: Called as each step begins.
        buyer: Node id of the buyer; needed when there are several.
    """

    STEPS = (
        "request",
        "broadcast",
        "local matching",
        "bids",
        "selection",
        "notification",
        "payment",
        "delivery orders",
        "sealed delivery",
        "verification",
        "confirmation and arbitration",
        "payout",
    )
    """CrowdBuy's twelve steps (section III.B)."""

    def __init__(
        self, cloud: Cloud, exchange: Exchange, on_step: OnStep = any_step, *, buyer: int | None = None
    ) -> None:
        roll = roll_call(exchange, cloud.patience)
        buyers = roll.present.get("buyer", []) if buyer is None else [buyer]
        if len(buyers) != 1:
            raise WorkflowFailed(f"a purchase needs one buyer, and there are {len(buyers)}")
        sellers = [node_id for node_id in roll.present.get("seller", []) if node_id != buyers[0]]
        record = PurchaseRecord(buyer=buyers[0], sellers=sellers)
        record.fail("introduce", roll.impostors)
        super().__init__(exchange, record, cloud.patience, on_step)
        self.cloud = cloud

    def run(self) -> PurchaseRecord:
        """Play all steps; those that need a winner are skipped without one."""
        self._open_accounts()
        self.begin(1)
        self._request()
        self.begin(2)
        self._call_for_bids()
        self.begin(5)
        self._select()
        self.begin(6)
        self._notify()
        if self.record.winners:
            self.begin(7)
            if self._pay():
                self.begin(8)
                self._deliver()
                self.begin(10)
                self._verify()
                self.begin(11)
                self._arbitrate()
        self.begin(12)
        self._settle()
        self.exchange.close(self.cloud.vault, [offer.blob for offer in self.record.winners if offer.blob])
        return self.record

    @property
    def _buyer_account(self) -> str:
        return account("buyer", self.record.buyer)

    @property
    def _id(self) -> bytes:
        assert self.record.call is not None
        return self.record.call.request_id

    def _open_accounts(self) -> None:
        record, deposits = self.record, self.cloud.deposits
        names = {self._buyer_account: deposits["buyer"]}
        names |= {account("seller", node_id): deposits["seller"] for node_id in record.sellers}
        settlement.open_accounts(self.cloud.ledger, names)

    def _ask_buyer(self, step: str, question: ProtocolMessage, answer: type[M], deadline: float) -> M | None:
        """Ask the buyer; None, and a recorded failure, when it does not answer in time."""
        return self.ask(step, {self.record.buyer: question}, answer, deadline).get(self.record.buyer)

    def _tell(self, step: str, notes: Mapping[int, ProtocolMessage]) -> set[int]:
        """Send notices, and wait briefly for acknowledgements; return the silent parties."""
        replies = self.exchange.ask(step, notes, Acknowledgement, self.exchange.now() + COURTESY, MOMENT)
        self.record.fail(step, replies.failures)
        return {node_id for node_id, why in replies.failures.items() if why == SILENT}

    def _request(self) -> None:
        nonce = self.cloud.derive("nonce", length=16)
        invitation = Invitation(terms=self.cloud.terms, nonce=nonce)
        signed = self._ask_buyer("request", invitation, SignedRequest, self.deadline())
        if signed is None:
            raise WorkflowFailed(f"the buyer made no request: {self.record.failures[-1].sentence}")
        request = signed.request
        if request.nonce != nonce or not verify(request.identity, "request", canonical(request), signed.signature):
            raise WorkflowFailed("the buyer's request is not signed by the key in it")
        request_id = digest(signed)
        self.record.request = request
        self.record.call = CallForBids(
            request_id=request_id,
            cloud=self.cloud.identity.public,
            buyer=request.identity,
            terms=self.cloud.terms,
            samples=request.samples,
            salt=self.cloud.derive("salt", request_id, length=16),
            tie_commitment=hashlib.sha256(self._tie_seed(request_id)).digest(),
            expires_at=int(self.deadline()),
        )
        self.record.targets = features_under(self.cloud.terms, self.cloud.featurizer, request.samples)

    def _tie_seed(self, request_id: bytes) -> bytes:
        return self.cloud.derive("ties", request_id)

    def _call_for_bids(self) -> None:
        call, record = self.record.call, self.record
        assert call is not None
        self.begin(3)
        answers = self.ask("bid", dict.fromkeys(record.sellers, call), Bids, call.expires_at, ABSENCE)
        self.begin(4)
        seen: set[bytes] = set()
        offers: list[Offer] = []
        for seller, bids in answers.items():
            record.unreadable += bids.unreadable
            for index, bid in enumerate(bids.bids):
                refusal = bid_refusal(bid, call, seen, record.targets.shape[1])
                if refusal is not None:
                    record.rejected.append((seller, refusal))
                    continue
                seen |= {bid.bid.pseudonym, bid.bid.image_commitment}
                offers.append(Offer(seller, index, bid, digest(bid)))
        locked = settlement.lock_stakes(self.cloud.ledger, self._id.hex(), offers)
        for offer, stands in zip(offers, locked, strict=True):
            if stands:
                record.offers.append(offer)
            else:
                record.rejected.append((offer.seller, "the seller cannot afford its stake"))

    def _select(self) -> None:
        record, terms = self.record, self.cloud.terms
        assert record.request is not None
        offers = record.offers
        prices = np.array([offer.bid.bid.price for offer in offers], dtype=np.int64)
        keys = [f"{offer.seller}/{offer.index}".encode() for offer in offers]
        funds = self.exchange.read("funds", lambda: self.cloud.ledger.balance(self._buyer_account))
        budget = min(record.request.budget, funds)
        auction = Auction(
            sellers=np.array([offer.seller for offer in offers], dtype=np.int64),
            offers=Offers(*columns(offers, terms, record.targets.shape[1]), prices),
            targets=record.targets,
            quality=record.request.quality,
            budget=budget * 1_000_000 // (1_000_000 + terms.commission),
            radius=terms.radius,
            reach=terms.reach,
            ranks=tie_ranks(self._tie_seed(self._id), keys),
        )
        selection = self.cloud.auctioneer(auction)
        for index in selection.candidates:
            offers[index].candidate = True
        for index, payment in zip(selection.winners, selection.payments, strict=True):
            offers[index].won = True
            offers[index].payment = int(payment)
        winners = record.winners
        commissions = shares([offer.payment for offer in winners], terms.commission)
        for offer, commission in zip(winners, commissions, strict=True):
            offer.commission = commission

    def _notify(self) -> None:
        record = self.record
        awards: dict[int, list[Award]] = {offer.seller: [] for offer in record.offers}
        for offer in record.winners:
            awards[offer.seller].append(Award(bid=offer.bid_id, payment=offer.payment))
        tie_seed = self._tie_seed(self._id)
        notices: dict[int, ProtocolMessage] = {
            seller: SelectionNotice(request_id=self._id, awards=tuple(won), tie_seed=tie_seed)
            for seller, won in awards.items()
        }
        notices[record.buyer] = SelectionResult(
            request_id=self._id,
            images=len(record.winners),
            payments=sum(offer.payment for offer in record.winners),
            commission=sum(offer.commission for offer in record.winners),
        )
        self._tell("notify", notices)
        losers = [offer for offer in record.offers if not offer.won]
        settlement.release_stakes(self.cloud.ledger, self._id.hex(), losers, "declined")

    def _pay(self) -> bool:
        """Step 7; False when the buyer does not pay, which ends the purchase."""
        record, call = self.record, self.record.call
        assert call is not None
        invoice = Invoice(
            request_id=self._id,
            salt=call.salt,
            deliver_by=int(self.deadline()),
            items=tuple(
                InvoiceItem(bid=offer.bid, payment=offer.payment, commission=offer.commission)
                for offer in record.winners
            ),
        )
        signed = self._ask_buyer("pay", invoice, SignedPayment, invoice.deliver_by)
        refusal = "" if signed is None else payment_refusal(signed, invoice, call)
        ledger, buyer = self.cloud.ledger, self._buyer_account
        if signed and not refusal and not settlement.take_payment(ledger, self._id.hex(), buyer, record.winners):
            refusal = "the buyer cannot afford the amount any more"
        if signed is None or refusal:
            if refusal:
                self.record.fail("pay", {record.buyer: refusal})
            settlement.release_stakes(self.cloud.ledger, self._id.hex(), record.winners, "unpaid")
            return False
        orders = {order.order.bid: order for order in signed.payment.orders}
        for offer in record.winners:
            offer.order = orders[offer.bid_id]
        return True

    def _deliver(self) -> None:
        """Steps 8 and 9; silent sellers are asked once more, as an order or a delivery may have been lost.

        Nothing goes to the buyer before everything is there: the waves would reveal which images cannot be from one
        seller.
        """
        courier = Courier(self.cloud, self.exchange, self.record.fail, lambda: self.begin(9))
        silent = courier.collect(self.record.winners, last=False)
        courier.collect(silent, last=True)
        deadline = self.deadline()
        for offers in parcels([offer for offer in self.record.winners if offer.receipt is not None]):
            self._ask_buyer("receive", courier.parcel(self._id, offers), Acknowledgement, deadline)

    def _verify(self) -> None:
        """Steps 10 and 11; a buyer that is silent after delivery, or too late, has accepted."""
        record = self.record
        assert record.request is not None
        undelivered = tuple(offer.bid_id for offer in record.winners if offer.receipt is None)
        call = VerificationCall(request_id=self._id, undelivered=undelivered)
        signed = self._ask_buyer("verify", call, SignedConfirmation, self.deadline())
        if signed is None:
            return
        confirmation = signed.confirmation
        if not verify(record.request.identity, "confirmation", canonical(confirmation), signed.signature):
            self.record.fail("verify", {record.buyer: "the confirmation is not signed by the buyer"})
            return
        complaints = {complaint.bid: complaint for complaint in confirmation.complaints}
        for offer in record.winners:
            if offer.receipt is not None:
                offer.complaint = complaints.get(offer.bid_id)

    def _arbitrate(self) -> None:
        """Step 11: lock a bond for each complaint that the buyer can afford, then look at the image."""
        record, cloud = self.record, self.cloud
        call = record.call
        assert call is not None
        disputed = [offer for offer in record.winners if offer.complaint is not None]
        paid_up = settlement.lock_bonds(cloud.ledger, self._id.hex(), self._buyer_account, disputed, cloud.terms.bond)
        if paid_up < len(disputed):
            self.record.fail("verify", {record.buyer: "the buyer cannot afford the bond on a complaint"})
        for offer in disputed[:paid_up]:
            assert offer.receipt is not None
            assert offer.blob is not None
            assert offer.complaint is not None
            deal = Deal(offer.bid, offer.placed, offer.receipt, cloud.terms, record.targets, call.salt)
            blob = cloud.vault.read(offer.blob, MAX_BLOB)
            offer.verdict = cloud.arbiter(deal, blob, offer.complaint, self._featurize)

    def _featurize(self, image: NDArray[np.uint8]) -> NDArray[np.int64]:
        feature: NDArray[np.int64] = features_under(self.cloud.terms, self.cloud.featurizer, [image])[0]
        return feature

    def _settle(self) -> None:
        """Step 12: move the money and send statements; an absent buyer has time to come back for its own.

        What was paid is in the ledger; no purchase waits for absent sellers.
        """
        record, cloud = self.record, self.cloud
        dealt = [offer for offer in record.winners if offer.order is not None]
        lines: dict[int, list[StatementLine]] = {offer.seller: [] for offer in record.offers}
        for offer in record.offers:
            amount = offer.payment if offer.paid else 0
            lines[offer.seller].append(line(offer, amount))
        names = {seller: account("seller", seller) for seller in lines} | {record.buyer: self._buyer_account}
        lines[record.buyer] = [
            line(offer, -(offer.payment + offer.commission) if offer.paid else 0) for offer in record.winners
        ]
        balances = settlement.settle(
            cloud.ledger, self._id.hex(), self._buyer_account, dealt, cloud.terms.bond, list(names.values())
        )
        statements = {
            node_id: Statement(request_id=self._id, lines=tuple(lines[node_id]), balance=balances[name])
            for node_id, name in names.items()
        }
        if record.buyer in self._tell("settle", statements):
            self._ask_buyer("settle", statements[record.buyer], Acknowledgement, self.deadline())


def played_by(cloud: Cloud, on_settled: Callable[[str, PurchaseRecord], None] = lambda name, record: None) -> Play:
    """Return how a broker plays purchases: the cloud's random draws for each derive from its name.

    Args:
        cloud: Terms, money and storage.
        on_settled: Called with the name and the record of each settled purchase.
    """

    def play(row: WorkflowRow, exchange: Exchange, on_step: OnStep) -> None:
        record = Purchase(replace(cloud, purchase=row.name), exchange, on_step, buyer=row.opener).run()
        on_settled(row.name, record)

    return play


def line(offer: Offer, amount: int) -> StatementLine:
    """Return one offer's line of a statement."""
    return StatementLine(bid=offer.bid_id, outcome=str(offer.outcome), amount=amount)
