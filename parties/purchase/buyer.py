"""The buyer: samples, a budget, and a folder for what it bought."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from parties.album import Pixels
from parties.party import Party, step
from parties.purchase.basket import MOST_REQUESTS, Basket, Purchased, Wish, Wishes
from parties.purchase.checks import features_under
from protocol.crypto.sealing import SealBroken, new_delivery_key, open_sealed
from protocol.crypto.signing import SigningKey, verify
from protocol.disputes.arbitration import Deal, find_fault, matches_receipt
from protocol.encoding.canonical import canonical, digest
from protocol.errors import ProtocolError
from protocol.messages.base import Acknowledgement, BlobReference
from protocol.messages.purchase import (
    Agents,
    Complaint,
    Confirmation,
    Invitation,
    Invoice,
    Kept,
    Order,
    Parcel,
    ParcelItem,
    Payment,
    PurchaseRequest,
    Quality,
    Release,
    SelectionResult,
    ShowCall,
    Shown,
    SignedConfirmation,
    SignedOrder,
    SignedPayment,
    SignedReceipt,
    SignedRequest,
    Statement,
    Terms,
    VerificationCall,
    VouchedRequest,
)
from protocol.storage.files import make_lasting
from strategies.features.featurizer import Featurizer

REFUSED = "refused"
"""The sub-folder of images that were not as promised."""


class Buyer(Party):
    """Asks for images like its samples, pays into escrow, checks what it gets.

    Steps:

    1. ``request`` (1): check who invites; samples S, budget B, quality Q, key Pk;
    2. ``notify`` (6): take note of the total;
    3. ``pay`` (7): check the invoice against bids and budget, place one order per image, each with
       its own one-time key, and release the money into escrow;
    4. ``receive`` (9): keep sealed images whose receipts fit;
    5. ``verify`` (10, 11): open the images whose releases come, check them, keep or complain about each;
    6. ``show`` (11): show a sealed image that the cloud has lost;
    7. ``settle`` (12): take note of payments and refunds, and open what was paid for and is not open yet.

    Args:
        secret: See `Party`.
        samples: Each (H, W, 3), pictures of what is wanted.
        budget: Minor units, commission included.
        quality: What to have most of.
        featurizer: The public model.
        store: Folder for sealed images (``sealed/``) and opened ones (``<n>.png``); made if missing.
        checked: Share of the images, 0 to 1, whose features are recomputed. All are opened and compared with their
            commitments.
        lasting: Whether to wait until images are on the disk before acknowledging them, so that they survive a power
            cut. Simulations need not.
        mechanism: Decides who wins, by name; None: the quality's default.
        agents: What bids.
        ceiling: The most that an image may be paid, minor units; of a bundle, on average. None: the budget.
    """

    role = "buyer"

    def __init__(
        self,
        secret: bytes,
        samples: Sequence[Pixels],
        budget: int,
        quality: Quality,
        featurizer: Featurizer,
        store: Path,
        checked: float = 1.0,
        lasting: bool = True,
        mechanism: str | None = None,
        agents: Agents = Agents.IMAGES,
        ceiling: int | None = None,
    ) -> None:
        super().__init__(secret)
        self.samples = samples
        self.budget = budget
        self.quality = quality
        self.featurizer = featurizer
        self.store = store
        self.checked = checked
        self.lasting = lasting
        self.mechanism = mechanism
        self.agents = agents
        self.ceiling = ceiling

    @step("request")
    def request(self, invitation: Invitation) -> VouchedRequest:
        """Step 1: (S, B, Q, Pk); of S only what the featurizer uses."""
        if invitation.terms.model_id != self.featurizer.model_id:
            raise ProtocolError(f"the cloud works with model {invitation.terms.model_id}, this buyer has another")
        self.check_holder(invitation.nonce, invitation.voucher, "cloud")
        key = self._key(invitation.nonce)
        request = PurchaseRequest(
            samples=tuple(self.featurizer.prepare(sample) for sample in self.samples),
            budget=self.budget,
            quality=self.quality,
            mechanism=self.mechanism,
            agents=self.agents,
            ceiling=self.ceiling,
            identity=key.public,
            nonce=invitation.nonce,
            terms=digest(invitation.terms),
        )
        signed = SignedRequest(request=request, signature=key.sign("request", canonical(request)))
        wish = Wish(
            request_id=digest(signed),
            terms=invitation.terms,
            nonce=invitation.nonce,
            budget=self.budget,
            agents=self.agents,
            ceiling=self.ceiling,
        )
        self._keep(wish)
        return VouchedRequest(signed=signed, voucher=self.voucher(key.public))

    @step("notify")
    def notify(self, result: SelectionResult) -> Acknowledgement:
        """Step 6: take note of the total."""
        return Acknowledgement()

    @step("pay")
    def pay(self, invoice: Invoice) -> SignedPayment:
        """Step 7: check the invoice, order each image to a key of its own, and pay into escrow.

        Asked again for the same, also after another invoice, as by a cloud that was restored from a backup, it orders
        to the same keys: images may already be sealed to them. Whatever it has ordered it takes.
        """
        wish, key = self.asked(invoice.request_id), self.key_of(invoice.request_id)
        amount = self._due(invoice, wish, key.public)
        basket = self.basket
        before = {_about(item.order.order): item for item in basket.items}
        items = []
        for item in invoice.items:
            delivery_key = new_delivery_key(wish.terms.suite)
            order = Order(
                request_id=invoice.request_id,
                bid=digest(item.bid),
                suite=wish.terms.suite,
                delivery_key=delivery_key.public,
                tolerance=wish.terms.tolerance,
                deliver_by=invoice.deliver_by,
            )
            signed = SignedOrder(order=order, signature=key.sign("order", canonical(order)))
            new = Purchased(bid=item.bid, order=signed, private_key=delivery_key.private, salt=invoice.salt)
            items.append(before.get(_about(order), new))
        added = tuple(item for item in items if _about(item.order.order) not in before)
        self.memory.keep("basket", Basket(items=basket.items + added))
        payment = Payment(request_id=invoice.request_id, amount=amount, orders=tuple(item.order for item in items))
        return SignedPayment(payment=payment, signature=key.sign("payment", canonical(payment)))

    @property
    def basket(self) -> Basket:
        """What it has ordered."""
        return self.memory.recall("basket", Basket) if self.memory.keeps("basket") else Basket()

    @step("receive")
    def receive(self, parcel: Parcel) -> Kept:
        """Step 9: keep each sealed image that matches its receipt, under the order's hash."""
        basket = self.basket.items
        ordered = {item.order.order.bid: item for item in basket}
        signed_for = {(item.order.order.bid, digest(item.order.order)): item for item in basket}
        sealed = self.store / "sealed"
        sealed.mkdir(parents=True, exist_ok=True)
        kept, refused = [], ""
        for item in parcel.items:
            meant = signed_for.get((item.bid, item.receipt.receipt.order), ordered.get(item.bid))
            why = self.refusal_of(item, meant)
            if why is not None:
                refused = why
                continue
            assert isinstance(item.blob, bytes)
            with _whole(sealed / item.bid.hex()) as file:
                file.write(item.blob)
            kept.append(item.bid)
            self.memory.keep(f"receipt-{item.bid.hex()}", item.receipt)
        if self.lasting:
            make_lasting([sealed / bid.hex() for bid in kept])
        return Kept(bids=tuple(kept), refused=refused)

    def refusal_of(self, item: ParcelItem, ordered: Purchased | None) -> str | None:
        """Return why an image of a parcel is not kept, None when it is the one that its seller signed for."""
        if ordered is None:
            return "the parcel holds an image that was not ordered"
        if isinstance(item.blob, BlobReference):
            return "the parcel refers to a sealed image instead of bringing it"
        receipt = item.receipt
        signed = verify(ordered.bid.bid.pseudonym, "receipt", canonical(receipt.receipt), receipt.signature)
        if not (signed and receipt.receipt.order == digest(ordered.order.order)):
            return "the parcel holds an image that its seller did not sign for"
        if not matches_receipt(item.blob, receipt.receipt):
            return "the parcel holds an image that is not the one its seller signed for"
        return None

    @step("verify")
    def verify(self, call: VerificationCall) -> SignedConfirmation:
        """Steps 10 and 11: open and check what arrived; accept it, or complain and reveal its one-time key."""
        wish = self.asked(call.request_id)
        accepted: list[bytes] = []
        complaints: list[Complaint] = []
        for number, item, fault in self.open(call.request_id, call.releases):
            bid = digest(item.bid)
            if fault is None:
                accepted.append(bid)
            else:
                image = self.evidence(number) if wish.terms.arbitration == "paper" else None
                complaints.append(Complaint(bid=bid, reason=fault, private_key=item.private_key, image=image))
        confirmation = Confirmation(request_id=call.request_id, accepted=tuple(accepted), complaints=tuple(complaints))
        signature = self.key_of(call.request_id).sign("confirmation", canonical(confirmation))
        return SignedConfirmation(confirmation=confirmation, signature=signature)

    def open(self, request_id: bytes, releases: Sequence[Release]) -> Iterator[tuple[int, Purchased, str | None]]:
        """Open sealed images, save each, and yield its number in the basket and what is wrong with it (None: nothing).

        One that this buyer has lost itself is left out: that is not the seller's fault.
        """
        basket = self.basket
        numbers = basket.numbers
        targets: dict[Terms, NDArray[np.int64]] = {}
        draws = self.generator("verify", request_id).random(len(basket.items))
        secrets = {release.bid: release.secret for release in releases}
        for item, draw in zip(basket.items, draws, strict=True):
            bid = item.order.order.bid
            if bid not in secrets or not self.memory.keeps(f"receipt-{bid.hex()}"):
                continue
            receipt = self.memory.recall(f"receipt-{bid.hex()}", SignedReceipt)
            blob = self.sealed(bid, receipt)
            if blob is not None and receipt.receipt.order == digest(item.order.order):
                number, terms = numbers[bid], self.asked(item.order.order.request_id).terms
                if terms not in targets:
                    targets[terms] = features_under(terms, self.featurizer, self.samples)
                deal = Deal(item.bid, item.order, receipt, terms, targets[terms], item.salt, secrets[bid])
                yield number, item, self.judge(number, deal, blob, item.private_key, check_feature=draw < self.checked)
        if self.lasting:
            make_lasting([*self.store.glob("*.png"), *self.store.glob(f"{REFUSED}/*.png")])

    def sealed(self, bid: bytes, receipt: SignedReceipt) -> bytes | None:
        """Return a sealed image as it arrived; None if it is lost or damaged here."""
        try:
            blob = (self.store / "sealed" / bid.hex()).read_bytes()
        except FileNotFoundError:
            return None
        return blob if matches_receipt(blob, receipt.receipt) else None

    def judge(self, number: int, deal: Deal, blob: bytes, private_key: bytes, *, check_feature: bool) -> str | None:
        """Open one image, return what is wrong with it (None: nothing), and save it."""
        try:
            opening = open_sealed(blob, private_key, deal.context, deal.order.order.suite, deal.dimensions)
        except SealBroken as broken:
            return f"the delivery does not open: {broken}"
        recomputed = features_under(deal.terms, self.featurizer, [opening.image])[0] if check_feature else None
        fault = find_fault(deal, opening, recomputed)
        kept = self.store if fault is None else self.store / REFUSED
        kept.mkdir(exist_ok=True)
        with _whole(kept / f"{number:05d}.png") as file:
            PillowImage.fromarray(np.asarray(opening.image)).save(file, "png")
        return fault

    @step("show")
    def show(self, call: ShowCall) -> Shown:
        """Step 11: show a sealed image that it complains about and the cloud has lost."""
        try:
            blob = self.sealed(call.bid, self.memory.recall(f"receipt-{call.bid.hex()}", SignedReceipt))
        except KeyError:
            blob = None
        if blob is None:
            raise ProtocolError("this buyer does not have the sealed image")
        return Shown(blob=blob)

    def evidence(self, number: int) -> Pixels | None:
        """Return the refused image, to go with a complaint under the paper's arbitration; None if it did not open."""
        path = self.store / REFUSED / f"{number:05d}.png"
        if not path.exists():
            return None
        with PillowImage.open(path) as image:
            return np.asarray(image)

    @step("settle")
    def settle(self, statement: Statement) -> Acknowledgement:
        """Step 12: take note of payments and refunds, and open what was paid for and is not open yet."""
        self.open_rest(statement.releases)
        return Acknowledgement()

    def open_rest(self, releases: Sequence[Release]) -> None:
        """Open images that were paid for, and whose call for verification this buyer has missed."""
        basket = self.basket
        opened = {bid for bid, number in basket.numbers.items() if self.file(number) is not None}
        missing = [release for release in releases if release.bid not in opened]
        if missing and basket.items:
            list(self.open(basket.items[0].order.order.request_id, missing))

    def file(self, number: int) -> str | None:
        """Return where in the folder an image is, by its number in the basket; None: it is not there."""
        names = (f"{number:05d}.png", f"{REFUSED}/{number:05d}.png")
        return next((name for name in names if (self.store / name).exists()), None)

    def _due(self, invoice: Invoice, wish: Wish, own: bytes) -> int:
        """Return the invoice's total, or refuse it."""
        amount = sum(item.payment + item.commission for item in invoice.items)
        if amount > wish.budget:
            raise ProtocolError(f"the invoice of {amount} is over the budget of {wish.budget}")
        if wish.ceiling is not None and _dearest(invoice, wish.agents) > wish.ceiling:
            raise ProtocolError(f"the invoice pays more than {wish.ceiling} for an image, the most that was agreed")
        if len({item.bid.bid.pseudonym for item in invoice.items}) < len(invoice.items):
            raise ProtocolError("the invoice names a bid twice")
        commission = sum(item.commission for item in invoice.items)
        if commission * 1_000_000 >= (amount - commission) * wish.terms.commission + 1_000_000:
            raise ProtocolError("the invoice takes more commission than was agreed")
        for item in invoice.items:
            bid = item.bid.bid
            signed = verify(bid.pseudonym, "bid", canonical(bid), item.bid.signature)
            if bid.request_id != invoice.request_id or not signed:
                raise ProtocolError("the invoice holds a bid that its seller did not sign for this request")
            if bid.buyer != own:
                raise ProtocolError("the invoice holds a bid that is for another buyer")
        return amount

    def asked(self, request_id: bytes) -> Wish:
        """Return a request of its own.

        Raises:
            ProtocolError: When it has made no such request.
        """
        for wish in self._wishes:
            if wish.request_id == request_id:
                return wish
        raise ProtocolError("this buyer has made no such request")

    def key_of(self, request_id: bytes) -> SigningKey:
        """Return the key under which it made a request, and orders."""
        return self._key(self.asked(request_id).nonce)

    @property
    def _wishes(self) -> tuple[Wish, ...]:
        return self.memory.recall("wishes", Wishes).items if self.memory.keeps("wishes") else ()

    def _keep(self, wish: Wish) -> None:
        if wish not in self._wishes:
            if len(self._wishes) == MOST_REQUESTS:
                raise ProtocolError(f"this buyer has made {MOST_REQUESTS} requests in this purchase, which is the most")
            self.memory.keep("wishes", Wishes(items=(*self._wishes, wish)))

    def _key(self, nonce: bytes) -> SigningKey:
        """Return the key of one purchase; keys differ so that sellers cannot link purchases."""
        return SigningKey.derive(self.derive("purchase", nonce), "buyer")


def _dearest(invoice: Invoice, agents: Agents) -> float:
    """Return the most that an image is paid; of bundles the mean of all, as the buyer cannot tell them apart."""
    payments = [item.payment for item in invoice.items]
    return max(payments) if agents is Agents.IMAGES else sum(payments) / len(payments)


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file atomically."""
    arriving = path.with_name(f".{path.name}.arriving")
    with arriving.open("wb") as file:
        yield file
    arriving.replace(path)


def _about(order: Order) -> tuple[bytes, bytes, int]:
    """Return what is the same in two orders if they are for one image of one invoice."""
    return order.request_id, order.bid, order.deliver_by
