"""Every refusal of buyers and sellers is reached: one forgery of the cloud's for each, signed again by whoever may."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Play, small

from parties.purchase.buyer import Buyer
from parties.purchase.seller import Seller
from protocol.crypto.signing import SigningKey
from protocol.disputes.refusal import pass_on
from protocol.encoding.canonical import canonical, digest
from protocol.messages.base import BlobReference, ProtocolMessage
from protocol.messages.purchase import (
    CallForBids,
    DeliveryOrder,
    Invitation,
    Invoice,
    InvoiceItem,
    Parcel,
    ParcelItem,
    SelectionNotice,
    ShowCall,
    SignedBid,
    SignedReceipt,
    VerificationCall,
)

OTHER = SigningKey.derive(bytes(32), "other")


def told(role: type[Any], step: str, forge: Callable[..., Any]) -> type[Any]:
    """A party that is told something else at one step than the cloud says; `forge` may take the party as well."""
    real = getattr(role, step)

    def method(self: Any, message: ProtocolMessage) -> Any:
        takes_party = forge.__code__.co_argcount == 2
        return real(self, forge(self, message) if takes_party else forge(message))

    method.__annotations__ = dict(real.__annotations__)
    return type("Told", (role,), {step: method})


def changed(message: Any, **fields: Any) -> Any:
    return message.model_copy(update=fields)


def signed_again(signed: SignedBid, **fields: Any) -> SignedBid:
    """Another bid, under a pseudonym of its own."""
    bid = changed(signed.bid, pseudonym=OTHER.public, **fields)
    return SignedBid(bid=bid, signature=OTHER.sign("bid", canonical(bid)))


def with_first(invoice: Invoice, item: InvoiceItem) -> Invoice:
    return changed(invoice, items=(item, *invoice.items[1:]))  # type: ignore[no-any-return]


def with_bid(change: Callable[[SignedBid], SignedBid]) -> Callable[[Invoice], Invoice]:
    def forge(invoice: Invoice) -> Invoice:
        return with_first(invoice, changed(invoice.items[0], bid=change(invoice.items[0].bid)))

    return forge


INVOICES: list[tuple[Callable[[Invoice], Invoice], str]] = [
    (lambda invoice: changed(invoice, request_id=bytes(32)), "this buyer has made no such request"),
    (lambda invoice: with_first(invoice, changed(invoice.items[0], payment=2000)), "is over the budget of 1200"),
    (lambda invoice: changed(invoice, items=(invoice.items[0],) * 2), "the invoice names a bid twice"),
    (
        lambda invoice: with_first(invoice, changed(invoice.items[0], commission=invoice.items[0].commission + 1)),
        "the invoice takes more commission than was agreed",
    ),
    (with_bid(lambda bid: changed(bid, signature=bytes(64))), "its seller did not sign for this request"),
    (
        with_bid(lambda bid: changed(bid, bid=changed(bid.bid, price=1))),
        "that its seller did not sign for this request",
    ),
    (with_bid(lambda bid: signed_again(bid, request_id=bytes(32))), "that its seller did not sign for this request"),
    (with_bid(lambda bid: signed_again(bid, buyer=OTHER.public)), "the invoice holds a bid that is for another buyer"),
]


@pytest.mark.parametrize(("forge", "why"), INVOICES)
def test_a_buyer_refuses_an_invoice(play_purchase: Play, forge: Callable[[Invoice], Invoice], why: str) -> None:
    played = play_purchase(small(), buyer=told(Buyer, "pay", forge))
    assert [(step, why in reason) for step, _, reason in played.record.failures] == [("pay", True)], why
    assert not played.outcome.paid_total


def test_commission_may_be_rounded_up_and_no_more(play_purchase: Play) -> None:
    """One unit on what is not a multiple of twenty; a forgery above adds another."""
    played = play_purchase(small())
    paid, commission = played.outcome.paid_total, played.outcome.commission
    assert commission == -(-paid // 20)


def with_blob(parcel: Parcel, item: ParcelItem) -> Parcel:
    return changed(parcel, items=(item, *parcel.items[1:]))  # type: ignore[no-any-return]


def receipt_for(item: ParcelItem, key: SigningKey | None, **fields: Any) -> SignedReceipt:
    receipt = changed(item.receipt.receipt, **fields)
    signature = item.receipt.signature if key is None else key.sign("receipt", canonical(receipt))
    return SignedReceipt(receipt=receipt, signature=signature)


PARCELS: list[tuple[Callable[[Parcel], Parcel], str]] = [
    (lambda p: with_blob(p, changed(p.items[0], bid=bytes(32))), "an image that was not ordered"),
    (
        lambda p: with_blob(p, changed(p.items[0], blob=BlobReference(digest=bytes(32), length=1))),
        "refers to a sealed image instead of bringing it",
    ),
    (
        lambda p: with_blob(p, changed(p.items[0], receipt=receipt_for(p.items[0], OTHER))),
        "an image that its seller did not sign for",
    ),
    (
        lambda p: with_blob(p, changed(p.items[0], receipt=p.items[1].receipt, blob=p.items[1].blob)),
        "an image that its seller did not sign for",
    ),
    (
        lambda p: with_blob(p, changed(p.items[0], blob=p.items[0].blob + b"x")),
        "an image that is not the one its seller signed for",
    ),
]


@pytest.mark.parametrize(("forge", "why"), PARCELS)
def test_a_buyer_keeps_no_such_image(play_purchase: Play, forge: Callable[[Parcel], Parcel], why: str) -> None:
    played = play_purchase(small(), buyer=told(Buyer, "receive", forge))
    first, again = played.record.failures  # the parcel is handed over twice
    assert (first.step, again.step) == ("receive", "receive")
    assert why in first.reason
    assert sum(offer.kept for offer in played.record.winners) == len(played.record.winners) - 1


def test_a_receipt_of_the_right_seller_for_another_order_is_none(play_purchase: Play) -> None:
    """The seller itself signs it: the cloud passes on what was sealed for another purchase."""
    keys: dict[bytes, SigningKey] = {}

    class Known(Seller):
        def pseudonym(self, request_id: bytes, image: int) -> SigningKey:
            key = super().pseudonym(request_id, image)
            keys[key.public] = key
            return key

    def forge(buyer: Buyer, parcel: Parcel) -> Parcel:
        item = parcel.items[0]
        known = next(key for key in keys.values() if receipt_for(item, key).signature == item.receipt.signature)
        return with_blob(parcel, changed(item, receipt=receipt_for(item, known, order=bytes(32))))

    played = play_purchase(small(), buyer=told(Buyer, "receive", forge), sellers=Known)
    assert len(played.record.failures) == 2  # the parcel is handed over twice
    assert all("an image that its seller did not sign for" in failure.reason for failure in played.record.failures)


def test_a_buyer_refuses_another_model(play_purchase: Play) -> None:
    def forge(invitation: Invitation) -> Invitation:
        return changed(invitation, terms=changed(invitation.terms, model_id="another"))  # type: ignore[no-any-return]

    with pytest.raises(Exception, match="the cloud works with model another, this buyer has another"):
        play_purchase(small(), buyer=told(Buyer, "request", forge))


def test_a_buyer_shows_what_it_was_sent_and_nothing_else(play_purchase: Play) -> None:
    class Asked(Buyer):
        def verify(self, call: VerificationCall) -> Any:
            with pytest.raises(Exception, match="this buyer does not have the sealed image"):
                self.show(ShowCall(bid=bytes(32)))
            bid = call.releases[0].bid
            assert self.show(ShowCall(bid=bid)).blob == (self.store / "sealed" / bid.hex()).read_bytes()
            return super().verify(call)

    played = play_purchase(small(), buyer=Asked)
    assert not played.record.failures


def other_order(asked: DeliveryOrder, **fields: Any) -> DeliveryOrder:
    return changed(asked, order=changed(asked.order, order=changed(asked.order.order, **fields)))  # type: ignore[no-any-return]


CLOUD: list[SigningKey] = []
"""The cloud's key, where it forges."""

ORDERS: list[tuple[str, Callable[[DeliveryOrder], DeliveryOrder], str]] = [
    ("deliver", lambda asked: changed(asked, signature=bytes(64)), "does not come from the cloud of this request"),
    ("deliver", lambda asked: changed(asked, release=bytes(32)), "does not come from the cloud of this request"),
    ("deliver", lambda asked: other_order(asked, deliver_by=1), "does not come from the cloud of this request"),
    ("deliver", lambda asked: other_order(asked, request_id=bytes(32)), "this seller has not bid on that request"),
    (
        "deliver",
        lambda asked: pass_on(other_order(asked, bid=bytes(32)).order, asked.release, CLOUD[-1]),
        "the order is for a bid that this seller did not make",
    ),
]


@pytest.mark.parametrize(("step", "forge", "why"), ORDERS)
def test_a_seller_refuses_an_order(
    play_purchase: Play, step: str, forge: Callable[[DeliveryOrder], DeliveryOrder], why: str
) -> None:
    def know(cloud: Any) -> Any:
        CLOUD.append(cloud.identity)
        return cloud

    played = play_purchase(small(), sellers=told(Seller, step, forge), change_cloud=know)
    assert played.record.failures
    assert all(why in reason for _, _, reason in played.record.failures)


def test_a_seller_refuses_another_model(play_purchase: Play) -> None:
    def forge(call: CallForBids) -> CallForBids:
        return changed(call, terms=changed(call.terms, model_id="another"))  # type: ignore[no-any-return]

    played = play_purchase(small(), sellers=told(Seller, "bid", forge))
    assert {"wants features of model another" in reason for _, _, reason in played.record.failures} == {True}


def test_a_seller_finds_out_that_ties_were_broken_by_another_seed(play_purchase: Play) -> None:
    def forge(notice: SelectionNotice) -> SelectionNotice:
        return changed(notice, tie_seed=hashlib.sha256(notice.tie_seed).digest())  # type: ignore[no-any-return]

    played = play_purchase(small(), sellers=told(Seller, "notify", forge))
    assert {"ties were not broken by the seed" in reason for _, _, reason in played.record.failures} == {True}


def test_a_notice_about_a_request_without_a_bid(play_purchase: Play) -> None:
    def forge(notice: SelectionNotice) -> SelectionNotice:
        return changed(notice, request_id=digest(notice))  # type: ignore[no-any-return]

    played = play_purchase(small(), sellers=told(Seller, "notify", forge))
    assert {"this seller has not bid on that request" in reason for _, _, reason in played.record.failures} == {True}
