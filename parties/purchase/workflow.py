"""The `purchase` workflow: CrowdBuy's twelve steps, as the cloud drives them."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from parties.broker import Play
from parties.purchase import settlement
from parties.purchase.agreement import agreed
from parties.purchase.auction import Auction
from parties.purchase.checks import (
    bid_refusal,
    columns,
    confirmation_refusal,
    features_under,
    forged_signatures,
    largest_bids,
    payment_refusal,
    request_refusal,
    rule_of,
)
from parties.purchase.cloud import ABSENCE, COURTESY, MOMENT, Cloud
from parties.purchase.courier import Courier
from parties.purchase.disputes import checking_time, decided, read_verdict
from parties.purchase.offer import Offer
from parties.purchase.record import PurchaseRecord
from parties.purchase.settlement import MILLION, Books, payable, shares, wanted_reserve
from parties.purchase.statements import releases, statements
from parties.purchase.waves import parcels
from parties.workflow import OnStep, Workflow, WorkflowFailed, any_step, roll_call
from protocol.encoding.canonical import digest
from protocol.exchange import SILENT, Exchange
from protocol.journal import WorkflowRow
from protocol.messages.base import Acknowledgement, ProtocolMessage
from protocol.messages.purchase import (
    Agents,
    Award,
    Bids,
    CallForBids,
    Invitation,
    Invoice,
    InvoiceItem,
    Kept,
    SelectionNotice,
    SelectionResult,
    ShowCall,
    Shown,
    SignedConfirmation,
    SignedPayment,
    VerificationCall,
    VouchedRequest,
)
from strategies.mechanisms import BrokenAward
from strategies.mechanisms.selection import Offers, tie_ranks

M = TypeVar("M", bound=ProtocolMessage)


class Purchase(Workflow[PurchaseRecord]):
    """One purchase between one buyer and many sellers.

    1. the buyer states its request, and sets its budget aside; 2. the cloud broadcasts the samples to all sellers, who
    3. match their albums and 4. bid, each bid locking its stake; 5. the cloud decides which bids match and
    selects winners and payments; 6. it notifies everybody; 7. the buyer pays into escrow and places
    its orders, which 8. go to the winners, who 9. deliver sealed images through the cloud; 10. the
    buyer opens and verifies those that it has acknowledged and 11. confirms or complains, and the cloud arbitrates;
    12. money moves.

    All input comes through its exchange and the ledger, and each effect happens once, under a key or a hash: so it
    can be replayed from the start (`protocol.journal`). What is held bears its name, and goes back if it fails.

    Args:
        cloud: Terms, money and storage.
        exchange: Asks the parties.
        on_step: Called as each step begins.
        buyer: Node id of the buyer; needed when there are several.
    """

    role = "cloud"
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
        self.cloud = agreed(cloud, exchange)
        roll = roll_call(exchange, self.cloud.patience)
        buyers = roll.present.get("buyer", []) if buyer is None else [buyer]
        if len(buyers) != 1:
            raise WorkflowFailed(f"a purchase needs one buyer, and there are {len(buyers)}")
        sellers = [node_id for node_id in roll.present.get("seller", []) if node_id != buyers[0]]
        record = PurchaseRecord(buyer=buyers[0], sellers=sellers)
        record.fail("introduce", roll.impostors)
        super().__init__(exchange, record, self.cloud.patience, on_step)
        self._courier = Courier(self.cloud, exchange, record.buyer, record.fail, lambda: self.begin(9))

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
        return self.cloud.accounts("buyer", self.record.buyer)

    @property
    def _id(self) -> bytes:
        assert self.record.call is not None
        return self.record.call.request_id

    @property
    def _books(self) -> Books:
        sellers = {node_id: self.cloud.accounts("seller", node_id) for node_id in self.record.sellers}
        return Books(self.cloud.ledger, self.cloud.purchase, self._id.hex(), self._buyer_account, sellers)

    def _open_accounts(self) -> None:
        record, deposits = self.record, self.cloud.deposits
        names = {self._buyer_account: deposits["buyer"]}
        names |= {self.cloud.accounts("seller", node_id): deposits["seller"] for node_id in record.sellers}
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
        terms = self.cloud.terms
        invitation = Invitation(terms=terms, nonce=nonce, voucher=self.cloud.voucher(nonce))
        vouched = self._ask_buyer("request", invitation, VouchedRequest, self.deadline())
        if vouched is None:
            raise WorkflowFailed(f"the buyer made no request: {self.record.failures[-1].sentence}")
        signed = vouched.signed
        request = signed.request
        if refusal := request_refusal(signed, invitation, self.cloud.featurizer, self.cloud.mechanisms):
            raise WorkflowFailed(refusal)
        request_id = digest(signed)
        self.record.request = request
        self.record.call = CallForBids(
            request_id=request_id,
            cloud=self.cloud.identity.public,
            buyer=request.identity,
            terms=terms,
            mechanism=rule_of(request, self.cloud.mechanisms).name,
            agents=request.agents,
            samples=request.samples,
            salt=self.cloud.derive("salt", request_id, length=16),
            tie_commitment=hashlib.sha256(self._tie_seed(request_id)).digest(),
            expires_at=int(self.deadline()),
            voucher=vouched.voucher,
            cloud_voucher=self.cloud.voucher(self.cloud.identity.public),
        )
        self.record.targets = features_under(terms, self.cloud.featurizer, request.samples)
        wanted = wanted_reserve(request.budget, terms.commission, terms.bond)
        self.record.reserve = settlement.reserve(self._books, wanted)

    def _tie_seed(self, request_id: bytes) -> bytes:
        return self.cloud.derive("ties", request_id)

    def _call_for_bids(self) -> None:
        call, record = self.record.call, self.record
        assert call is not None
        self.begin(3)
        most = largest_bids(call.terms)
        answers = self.ask("bid", dict.fromkeys(record.sellers, call), Bids, call.expires_at, ABSENCE, most)
        self.begin(4)
        seen: set[bytes] = set()
        offers: list[Offer] = []
        for seller, bids in answers.items():
            record.unreadable += bids.unreadable
            if len(bids.bids) > call.terms.most_bids:
                record.rejected.append((seller, f"the seller made more than {call.terms.most_bids} bids"))
            for index, bid in enumerate(bids.bids[: call.terms.most_bids]):
                refusal = bid_refusal(bid, call, seen, record.targets.shape[1])
                if refusal is not None:
                    record.rejected.append((seller, refusal))
                    continue
                seen |= {bid.bid.pseudonym, bid.bid.image_commitment}
                offers.append(Offer(seller, index, bid, digest(bid)))
        forged = forged_signatures([offer.bid for offer in offers], call)
        forgers = [offer.seller for offer, is_forged in zip(offers, forged, strict=True) if is_forged]
        record.rejected += [(seller, "its signature is one that no feature has") for seller in forgers]
        offers = [offer for offer, is_forged in zip(offers, forged, strict=True) if not is_forged]
        locked = settlement.lock_stakes(self._books, offers)
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
        auction = Auction(
            sellers=np.array([offer.seller for offer in offers], dtype=np.int64),
            offers=Offers(*columns(offers, terms, record.targets.shape[1]), prices),
            targets=record.targets,
            quality=record.request.quality,
            mechanism=rule_of(record.request, self.cloud.mechanisms),
            bundles=record.request.agents is Agents.SELLERS,
            ceiling=record.request.ceiling,
            budget=min(
                payable(record.request.budget, terms.commission), payable(record.reserve, terms.commission, terms.bond)
            ),
            radius=terms.radius,
            reach=terms.reach,
            ranks=tie_ranks(self._tie_seed(self._id), keys),
        )
        record.auction = auction
        try:
            selection = self.cloud.auctioneer(auction)
        except BrokenAward as broken:
            raise WorkflowFailed(f"the auction was void: {broken}") from None
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
        settlement.release_stakes(self._books, [offer for offer in record.offers if not offer.won])
        if not record.winners:
            settlement.release_reserve(self._books, record.reserve)

    def _pay(self) -> bool:
        """Step 7; False when the buyer does not pay, which costs it its deposit and ends the purchase."""
        record, call, terms = self.record, self.record.call, self.cloud.terms
        assert call is not None
        assert record.request is not None
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
        if signed is None or refusal:
            if refusal:
                self.record.fail("pay", {record.buyer: refusal})
            deposit = -(-record.request.budget * terms.deposit // MILLION)
            each = settlement.forfeit_deposit(self._books, record.reserve, deposit, record.winners)
            for offer, share in zip(record.winners, each, strict=True):
                offer.compensation = share
            return False
        settlement.take_payment(self._books, record.reserve, record.winners, terms.bond)
        orders = {order.order.bid: order for order in signed.payment.orders}
        for offer in record.winners:
            offer.order = orders[offer.bid_id]
        return True

    def _deliver(self) -> None:
        """Steps 8 and 9; silent sellers are asked once more, as an order or a delivery may have been lost.

        Nothing goes to the buyer before everything is there: the waves would reveal which images cannot be from one
        seller. What it does not acknowledge it cannot open, and does not pay; it loses the bond on it, unless the
        cloud has lost it.
        """
        courier = self._courier
        silent = courier.collect(self.record.winners, last=False)
        courier.collect(silent, last=True)
        delivered = [offer for offer in self.record.winners if offer.receipt is not None]
        deadline = self.deadline() + checking_time(delivered)
        courier.hand_over(self._id, delivered, lambda parcel: self._ask_buyer("receive", parcel, Kept, deadline))
        for offer in courier.found([offer for offer in delivered if not offer.kept], courier.is_whole):
            offer.unclaimed = True

    def _verify(self) -> None:
        """Steps 10 and 11, part by part; a buyer that is silent after delivery, or too late, has accepted.

        The time for all grows with what there is to check.
        """
        record, request = self.record, self.record.request
        assert request is not None
        kept = [offer for offer in record.winners if offer.kept]
        deadline = self.deadline() + checking_time(kept)
        for offers in parcels(kept):
            call = VerificationCall(
                request_id=self._id, releases=releases(self.cloud, [offer.bid_id for offer in offers])
            )
            signed = self._ask_buyer("verify", call, SignedConfirmation, deadline)
            if signed is None:
                continue
            if refusal := confirmation_refusal(signed, self._id, request.identity):
                record.fail("verify", {record.buyer: refusal})
                continue
            complaints = {complaint.bid: complaint for complaint in signed.confirmation.complaints}
            for offer in offers:
                offer.complaint = complaints.get(offer.bid_id)

    def _arbitrate(self) -> None:
        """Step 11: look at the images that the buyer complains about, while it is there to show what the vault lost.

        Each verdict is written down: a cloud that is started again has it, also if the image is lost meanwhile.
        """
        disputed = [offer for offer in self.record.winners if offer.complaint is not None]
        deadline = self.deadline() + checking_time(disputed)

        def show(offer: Offer) -> Shown | None:
            return self._ask_buyer("show", ShowCall(bid=offer.bid_id), Shown, deadline)

        for offer in disputed:
            lost = not self._courier.found([offer], self._courier.is_whole)
            shown = show(offer) if lost else None
            said = self.exchange.read("verdict", partial(decided, offer, lost, shown, self.cloud, self.record))
            offer.verdict = read_verdict(said)
            if offer.verdict is None:
                self.record.fail(
                    "show", {self.record.buyer: "the buyer does not show an image that it complains about"}
                )

    def _settle(self) -> None:
        """Step 12: move the money and send statements; an absent buyer has time to come back for its own.

        What was paid is in the ledger; no purchase waits for absent sellers.
        """
        record, cloud = self.record, self.cloud
        dealt = [offer for offer in record.winners if offer.order is not None]
        names = {offer.seller: cloud.accounts("seller", offer.seller) for offer in record.offers}
        names[record.buyer] = self._buyer_account
        balances = settlement.settle(self._books, dealt, cloud.terms.bond, list(names.values()))
        told = statements(record, cloud, {node_id: balances[name] for node_id, name in names.items()})
        if record.buyer in self._tell("settle", told):
            self._ask_buyer("settle", told[record.buyer], Acknowledgement, self.deadline())


def played_by(
    cloud: Cloud,
    on_settled: Callable[[str, PurchaseRecord], None] = lambda name, record: None,
    kind: type[Purchase] = Purchase,
) -> Play:
    """Return how a broker plays purchases: the cloud's random draws for each derive from its name.

    Args:
        cloud: Terms, money and storage.
        on_settled: Called with the name and the record of each settled purchase.
        kind: The workflow, which may cheat.
    """

    def play(row: WorkflowRow, exchange: Exchange, on_step: OnStep) -> None:
        record = kind(replace(cloud, purchase=row.name), exchange, on_step, buyer=row.opener).run()
        on_settled(row.name, record)

    return play
