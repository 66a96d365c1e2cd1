"""The `purchase` workflow: CrowdBuy's twelve steps, as the cloud drives them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from parties import settlement
from parties.auction import Auction
from parties.checks import bid_refusal, columns, delivery_refusal, features_under, payment_refusal
from parties.cloud import GRACE, Cloud
from parties.delivery import FIRST_WAVE, next_size, next_wave, parcels, waves_left
from parties.offer import Offer
from parties.record import PurchaseFailed, PurchaseRecord
from parties.settlement import account, shares
from protocol.arbitration import Deal
from protocol.canonical import canonical, digest
from protocol.exchange import SILENT, Replies, ask
from protocol.messages.base import ProtocolMessage
from protocol.messages.purchase import (
    MAX_BLOB,
    Acknowledgement,
    Award,
    Bids,
    CallForBids,
    Delivery,
    Invitation,
    Invoice,
    InvoiceItem,
    Parcel,
    ParcelItem,
    Refusal,
    SelectionNotice,
    SelectionResult,
    SignedConfirmation,
    SignedPayment,
    SignedRequest,
    Statement,
    StatementLine,
    VerificationCall,
)
from protocol.refusal import convicts, pass_on
from protocol.signing import verify
from strategies.selection import Offers, tie_ranks

M = TypeVar("M", bound=ProtocolMessage)

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
"""CrowdBuy's twelve steps (section III.B), in order; step n is ``STEPS[n - 1]``."""


class Purchase:
    """One purchase between one buyer and many sellers.

    1. the buyer states its request; 2. the cloud broadcasts the samples to all sellers, who 3. match
    their albums and 4. bid, each bid locking its stake; 5. the cloud decides which bids match and
    selects winners and payments; 6. it notifies everybody; 7. the buyer pays into escrow and places
    its orders, which 8. go to the winners, who 9. deliver sealed images through the cloud; 10. the
    buyer verifies and 11. confirms or complains, and the cloud arbitrates; 12. money moves.

    Parameters
    ----------
    cloud : Cloud
        Terms, money and storage.
    grid : Grid
        Carries every message.
    on_step : callable
        Told the number of each step as it begins.
    """

    def __init__(self, cloud: Cloud, grid: Grid, on_step: Callable[[int], None] = lambda number: None) -> None:
        self.cloud = cloud
        self.grid = grid
        self.on_step = on_step
        present = cloud.roll_call(grid)
        if len(present.get("buyer", [])) != 1:
            raise PurchaseFailed(f"a purchase needs one buyer, and there are {len(present.get('buyer', []))}")
        self.record = PurchaseRecord(buyer=present["buyer"][0], sellers=present.get("seller", []))

    def run(self) -> PurchaseRecord:
        """Play all steps; those that need a winner are left out where nothing was selected."""
        self._open_accounts()
        self.on_step(1)
        self._request()
        self.on_step(2)
        self._call_for_bids()
        self.on_step(5)
        self._select()
        self.on_step(6)
        self._notify()
        if self.record.winners:
            self.on_step(7)
            if self._pay():
                self.on_step(8)
                self._deliver()
                self.on_step(10)
                self._verify()
                self.on_step(11)
                self._arbitrate()
        self.on_step(12)
        self._settle()
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

    def _ask_buyer(
        self, step: str, question: ProtocolMessage, answer: type[M], deadline: float | None = None
    ) -> M | None:
        """Ask the buyer; None, and a failure on record, when it does not answer, or not in time."""
        return self._ask(step, {self.record.buyer: question}, answer, deadline).answers.get(self.record.buyer)

    def _ask(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: type[M] | tuple[type[M], ...],
        deadline: float | None = None,
        waiting: int = 0,
    ) -> Replies[M]:
        """Ask parties; no answer counts that comes after the deadline (Unix seconds).

        `waiting` others have to be asked before the deadline too, one after the other: each is left its part of the
        time, and what an earlier one does not use.
        """
        clock = self.cloud.clock
        timeout = None if deadline is None else max(0.0, deadline - clock()) / (1 + waiting)
        replies = ask(self.grid, step, questions, answer, timeout)
        self._note(step, replies.failures)
        if deadline is not None and clock() > deadline + GRACE:
            self._note(step, dict.fromkeys(replies.answers, "the answer came after the deadline"))
            return Replies({}, replies.failures)
        return replies

    def _note(self, step: str, failures: Mapping[int, str]) -> None:
        self.record.failures += [(step, node_id, why) for node_id, why in failures.items()]

    def _request(self) -> None:
        nonce = self.cloud.derive("nonce", length=16)
        signed = self._ask_buyer("request", Invitation(terms=self.cloud.terms, nonce=nonce), SignedRequest)
        if signed is None:
            raise PurchaseFailed(f"the buyer made no request: {self.record.failures[-1][2].strip().splitlines()[-1]}")
        request = signed.request
        if request.nonce != nonce or not verify(request.identity, "request", canonical(request), signed.signature):
            raise PurchaseFailed("the buyer's request is not signed by the key in it")
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
            expires_at=int(self.cloud.clock() + self.cloud.patience),
        )
        self.record.targets = features_under(self.cloud.terms, self.cloud.featurizer, request.samples)

    def _tie_seed(self, request_id: bytes) -> bytes:
        return self.cloud.derive("ties", request_id)

    def _call_for_bids(self) -> None:
        call, record = self.record.call, self.record
        assert call is not None
        self.on_step(3)
        answers = self._ask("bid", dict.fromkeys(record.sellers, call), Bids, call.expires_at).answers
        self.on_step(4)
        seen: set[bytes] = set()
        balances = self.cloud.ledger.balances()
        for seller, bids in answers.items():
            record.unreadable += bids.unreadable
            funds = balances[account("seller", seller)]
            for index, bid in enumerate(bids.bids):
                refusal = bid_refusal(bid, call, funds, seen, record.targets.shape[1])
                if refusal is not None:
                    record.rejected.append((seller, refusal))
                    continue
                seen |= {bid.bid.pseudonym, bid.bid.image_commitment}
                funds -= bid.bid.stake
                record.offers.append(Offer(seller, index, bid, digest(bid)))
        settlement.lock_stakes(self.cloud.ledger, self._id.hex(), record.offers)

    def _select(self) -> None:
        record, terms = self.record, self.cloud.terms
        assert record.request is not None
        offers = record.offers
        prices = np.array([offer.bid.bid.price for offer in offers], dtype=np.int64)
        keys = [f"{offer.seller}/{offer.index}".encode() for offer in offers]
        budget = min(record.request.budget, self.cloud.ledger.balance(self._buyer_account))
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
        notices = {
            seller: SelectionNotice(request_id=self._id, awards=tuple(won), tie_seed=tie_seed)
            for seller, won in awards.items()
        }
        self._note("notify", ask(self.grid, "notify", notices, Acknowledgement).failures)
        result = SelectionResult(
            request_id=self._id,
            images=len(record.winners),
            payments=sum(offer.payment for offer in record.winners),
            commission=sum(offer.commission for offer in record.winners),
        )
        self._ask_buyer("notify", result, Acknowledgement)
        losers = [offer for offer in record.offers if not offer.won]
        settlement.release_stakes(self.cloud.ledger, self._id.hex(), losers, "declined")

    def _pay(self) -> bool:
        """Step 7; False when the buyer does not pay, which ends the purchase."""
        record, call = self.record, self.record.call
        assert call is not None
        invoice = Invoice(
            request_id=self._id,
            salt=call.salt,
            deliver_by=int(self.cloud.clock() + self.cloud.patience),
            items=tuple(
                InvoiceItem(bid=offer.bid, payment=offer.payment, commission=offer.commission)
                for offer in record.winners
            ),
        )
        signed = self._ask_buyer("pay", invoice, SignedPayment, invoice.deliver_by)
        refusal = "" if signed is None else payment_refusal(signed, invoice, call)
        if signed is None or refusal:
            if refusal:
                self._note("pay", {record.buyer: refusal})
            settlement.release_stakes(self.cloud.ledger, self._id.hex(), record.winners, "unpaid")
            return False
        settlement.take_payment(self.cloud.ledger, self._id.hex(), self._buyer_account, record.winners)
        orders = {order.order.bid: order for order in signed.payment.orders}
        for offer in record.winners:
            offer.order = orders[offer.bid_id]
        return True

    def _deliver(self) -> None:
        """Steps 8 and 9; a seller that is not heard of is asked once more, as its order or its delivery may be lost.

        Nothing goes on to the buyer before everything is there, or it could tell from the waves which images cannot
        have come from one seller.
        """
        silent = self._order(self.record.winners, last=False)
        self._order(silent, last=True)
        for parcel in parcels(self._parcel_items()):
            self._ask_buyer("receive", Parcel(request_id=self._id, items=parcel), Acknowledgement)

    def _order(self, pending: Sequence[Offer], *, last: bool) -> list[Offer]:
        """Order images in waves of at most one per seller and about `WAVE_BYTES`; return those not heard of.

        Waves share the time that is left, so that a seller that stays away does not use up that of the others.
        """
        delivered, total, wave = 0, 0, FIRST_WAVE
        silent: list[Offer] = []
        while pending:
            batch = next_wave(pending, wave)
            deadline = min(offer.placed.order.deliver_by for offer in batch.values())
            if self.cloud.clock() + GRACE > deadline:
                break
            for offer in batch.values():
                offer.asked = True
            cloud = self.cloud.identity
            questions = {seller: pass_on(offer.placed, cloud) for seller, offer in batch.items()}
            waiting = waves_left(pending, wave) - last
            pending = [offer for offer in pending if batch.get(offer.seller) is not offer]
            replies: Replies[Delivery | Refusal] = self._ask(
                "deliver", questions, (Delivery, Refusal), deadline, waiting
            )
            self.on_step(9)
            silent += [batch[seller] for seller, why in replies.failures.items() if why == SILENT]
            for seller, answer in replies.answers.items():
                offer = batch[seller]
                problem = self._hear(offer, answer) if isinstance(answer, Refusal) else delivery_refusal(answer, offer)
                if problem is not None:
                    self._note("deliver", {seller: problem})
                elif isinstance(answer, Delivery):
                    offer.blob = self.cloud.vault.put([answer.blob], MAX_BLOB).digest
                    offer.receipt = answer.receipt
                    delivered, total = delivered + 1, total + len(answer.blob)
            wave = next_size(wave, delivered, total)
        return silent

    def _hear(self, offer: Offer, refusal: Refusal) -> str:
        """Say what a seller's refusal to deliver comes to; one with proof keeps its stake."""
        if digest(refusal.bid) != offer.bid_id or not convicts(refusal, self.cloud.identity.public):
            return "the seller refused, and what it shows proves nothing"
        offer.refusal = refusal
        return "the order that reached the seller is not signed by the buyer, and is by the cloud"

    def _parcel_items(self) -> Iterator[ParcelItem]:
        """Read what was delivered from the vault, an image at a time."""
        for offer in self.record.winners:
            if offer.receipt is not None and offer.blob is not None:
                yield ParcelItem(
                    bid=offer.bid_id, receipt=offer.receipt, blob=self.cloud.vault.read(offer.blob, MAX_BLOB)
                )

    def _verify(self) -> None:
        """Steps 10 and 11; a buyer that stays silent after delivery, or speaks too late, has accepted."""
        record = self.record
        assert record.request is not None
        undelivered = tuple(offer.bid_id for offer in record.winners if offer.receipt is None)
        call = VerificationCall(request_id=self._id, undelivered=undelivered)
        deadline = self.cloud.clock() + self.cloud.patience
        signed = self._ask_buyer("verify", call, SignedConfirmation, deadline)
        if signed is None:
            return
        confirmation = signed.confirmation
        if not verify(record.request.identity, "confirmation", canonical(confirmation), signed.signature):
            self._note("verify", {record.buyer: "the confirmation is not signed by the buyer"})
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
        funds = cloud.ledger.balance(self._buyer_account)
        affordable = []
        for offer in disputed:
            funds -= settlement.bond(offer, cloud.terms.bond)
            if funds < 0:
                self._note("verify", {record.buyer: "the buyer cannot afford the bond on a complaint"})
                break
            affordable.append(offer)
        settlement.lock_bonds(cloud.ledger, self._id.hex(), self._buyer_account, affordable, cloud.terms.bond)
        for offer in affordable:
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
        """Step 12: move the money, send everybody its statement, drop the sealed images."""
        record, cloud = self.record, self.cloud
        dealt = [offer for offer in record.winners if offer.order is not None]
        settlement.settle(cloud.ledger, self._id.hex(), self._buyer_account, dealt, cloud.terms.bond)
        statements: dict[int, list[StatementLine]] = {offer.seller: [] for offer in record.offers}
        for offer in record.offers:
            amount = offer.payment if offer.paid else 0
            statements[offer.seller].append(line(offer, amount))
        bought = [line(offer, -(offer.payment + offer.commission) if offer.paid else 0) for offer in record.winners]
        balances = cloud.ledger.balances()
        messages = {
            seller: self._statement(lines, balances[account("seller", seller)]) for seller, lines in statements.items()
        }
        messages[record.buyer] = self._statement(bought, balances[self._buyer_account])
        self._note("settle", ask(self.grid, "settle", messages, Acknowledgement).failures)
        for offer in dealt:
            if offer.blob is not None:
                cloud.vault.delete(offer.blob)

    def _statement(self, lines: Sequence[StatementLine], balance: int) -> Statement:
        return Statement(request_id=self._id, lines=tuple(lines), balance=balance)


def line(offer: Offer, amount: int) -> StatementLine:
    """Write one offer's line of a statement."""
    return StatementLine(bid=offer.bid_id, outcome=str(offer.outcome), amount=amount)
