"""Every refusal of the cloud is reached: one forgery for each, signed again by whoever may sign it."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parties.featurizers import load_featurizer
from parties.purchase import checks
from parties.purchase.offer import Offer
from protocol.crypto.sealing import new_delivery_key
from protocol.crypto.signing import SigningKey
from protocol.encoding.canonical import canonical, digest
from protocol.messages.base import BlobReference
from protocol.messages.purchase import (
    Bid,
    CallForBids,
    Confirmation,
    Delivery,
    Invitation,
    Invoice,
    InvoiceItem,
    Order,
    Payment,
    PurchaseRequest,
    Quality,
    Receipt,
    SignedBid,
    SignedConfirmation,
    SignedOrder,
    SignedPayment,
    SignedReceipt,
    SignedRequest,
    Terms,
)
from strategies.mechanisms import MECHANISMS

BUYER, OTHER, SELLER = (SigningKey.derive(bytes([number]) * 32, "test") for number in range(3))
NONCE, BLOB = bytes(16), b"sealed"
FEATURIZER = load_featurizer("small")
TERMS = Terms(
    privacy="level2",
    model_id=FEATURIZER.model_id,
    radius=1000,
    reach=100,
    signature_size=4,
    tolerance=8,
    suite="x25519",
    commission=50_000,
    stake=100_000,
    bond=100_000,
    least_stake=5,
)
CALL = CallForBids(
    request_id=bytes(32),
    cloud=OTHER.public,
    buyer=BUYER.public,
    terms=TERMS,
    mechanism="singer",
    samples=(np.zeros((64, 64, 3), np.uint8),),
    salt=bytes(16),
    tie_commitment=bytes(32),
    expires_at=9,
)
INVITATION = Invitation(terms=CALL.terms, nonce=NONCE)


def signed_request(key: SigningKey = BUYER, **changes: Any) -> SignedRequest:
    fields = {"samples": CALL.samples, "budget": 5, "quality": Quality.QUANTITY, "mechanism": "singer"}
    fields |= {"identity": BUYER.public}
    request = PurchaseRequest.model_validate(fields | {"nonce": NONCE, "terms": digest(INVITATION.terms)} | changes)
    return SignedRequest(request=request, signature=key.sign("request", canonical(request)))


def signed_bid(key: SigningKey = SELLER, **changes: Any) -> SignedBid:
    fields = {
        "request_id": CALL.request_id,
        "buyer": BUYER.public,
        "pseudonym": key.public,
        "image_commitment": bytes(32),
        "feature_commitment": bytes(32),
        "signature_points": ((1, 2),) * 4,
        "price": 100,
        "stake": 10,
        "expires_at": 9,
    }
    bid = Bid.model_validate({**fields, **changes})
    return SignedBid(bid=bid, signature=key.sign("bid", canonical(bid)))


BIDS = (signed_bid(), signed_bid(OTHER, image_commitment=b"1" * 32))
INVOICE = Invoice(
    request_id=CALL.request_id,
    salt=CALL.salt,
    deliver_by=99,
    items=tuple(InvoiceItem(bid=bid, payment=100, commission=5) for bid in BIDS),
)
KEYS = [new_delivery_key("x25519").public for _ in BIDS]


def signed_order(index: int, key: SigningKey = BUYER, **changes: Any) -> SignedOrder:
    fields = {"request_id": CALL.request_id, "bid": digest(BIDS[index]), "suite": "x25519", "deliver_by": 99}
    order = Order.model_validate({**fields, "delivery_key": KEYS[index], "tolerance": 8, **changes})
    return SignedOrder(order=order, signature=key.sign("order", canonical(order)))


ORDERS = (signed_order(0), signed_order(1))


def signed_payment(key: SigningKey = BUYER, **changes: Any) -> SignedPayment:
    payment = Payment.model_validate({"request_id": CALL.request_id, "amount": 210, "orders": ORDERS} | changes)
    return SignedPayment(payment=payment, signature=key.sign("payment", canonical(payment)))


def offer() -> Offer:
    return Offer(2, 0, BIDS[0], digest(BIDS[0]), order=ORDERS[0])


def delivery(key: SigningKey = SELLER, blob: bytes | BlobReference = BLOB, **changes: Any) -> Delivery:
    fields = {"order": digest(ORDERS[0].order), "blob": hashlib.sha256(BLOB).digest(), "length": len(BLOB)}
    receipt = Receipt.model_validate(fields | changes)
    return Delivery(
        receipt=SignedReceipt(receipt=receipt, signature=key.sign("receipt", canonical(receipt))), blob=blob
    )


def signed_confirmation(key: SigningKey = BUYER, **changes: Any) -> SignedConfirmation:
    confirmation = Confirmation.model_validate(
        {"request_id": CALL.request_id, "accepted": (), "complaints": ()} | changes
    )
    return SignedConfirmation(confirmation=confirmation, signature=key.sign("confirmation", canonical(confirmation)))


def test_what_is_right_is_not_refused() -> None:
    assert checks.request_refusal(signed_request(), INVITATION, FEATURIZER, MECHANISMS) is None
    assert checks.bid_refusal(BIDS[0], CALL, set()) is None
    assert checks.payment_refusal(signed_payment(), INVOICE, CALL) is None
    assert checks.delivery_refusal(delivery(), offer(), streamed=False) is None
    assert checks.confirmation_refusal(signed_confirmation(), CALL.request_id, BUYER.public) is None


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (signed_request(OTHER), "is not signed by the key in it"),
        (signed_request(nonce=b"1" * 16), "is not signed by the key in it"),
        (signed_request(mechanism="mine"), "names the mechanism 'mine', which this cloud does not play"),
        (signed_request(mechanism="beacon"), "beacon does not serve the quality quantity: it is for diversity"),
        (signed_request(agents="sellers"), "singer does not serve sellers as agents: it is for images"),
        (signed_request(mechanism="public-cost"), "public-cost is a bound, not a mechanism"),
        (signed_request(terms=bytes(32)), "is not under the terms of its invitation"),
        (signed_request(samples=(np.zeros((64, 65, 3), np.uint8),)), "a sample of 64 x 65 pixels; the model uses 64 x"),
    ],
)
def test_a_request(request_: SignedRequest, why: str) -> None:
    assert why in str(checks.request_refusal(request_, INVITATION, FEATURIZER, MECHANISMS))


@pytest.mark.parametrize(
    ("bid", "why"),
    [
        (signed_bid(request_id=b"1" * 32), "it answers another request"),
        (signed_bid(expires_at=8), "it answers another request"),
        (signed_bid(buyer=OTHER.public), "it is for another buyer"),
        (signed_bid(pseudonym=OTHER.public), "it is not signed by its pseudonym"),
        (signed_bid(signature_points=((1, 2),) * 3), "it does not bring a signature of 4 points"),
        (signed_bid(signature_points=None, feature=(1, 2, 3)), "its feature has 3 numbers, not 2"),
        (signed_bid(signature_points=None, feature=(1, 2)), "it does not bring a signature of 4 points"),
        (signed_bid(stake=9), "its stake is not the one in the terms"),
        (signed_bid(stake=11), "its stake is not the one in the terms"),
        (signed_bid(price=1, stake=1), "its stake is not the one in the terms"),
    ],
)
def test_a_bid(bid: SignedBid, why: str) -> None:
    assert checks.bid_refusal(bid, CALL, set()) == why


def test_a_bid_where_features_are_wanted() -> None:
    call = CALL.model_copy(update={"terms": TERMS.model_copy(update={"privacy": "level1"})})
    assert checks.bid_refusal(BIDS[0], call, set()) == "it brings a signature where a feature is wanted"


@pytest.mark.parametrize("seen", [SELLER.public, bytes(32)])
def test_a_bid_that_repeats_another(seen: bytes) -> None:
    assert checks.bid_refusal(BIDS[0], CALL, {seen}) == "it repeats another bid"


AMISS = "an order is not under the agreed terms"


@pytest.mark.parametrize(
    ("payment", "why"),
    [
        (signed_payment(OTHER), "the payment is not signed by the buyer"),
        (signed_payment(request_id=b"1" * 32), "the payment is for another request"),
        (signed_payment(amount=209), "the payment is not the amount of the invoice"),
        (signed_payment(amount=211), "the payment is not the amount of the invoice"),
        (signed_payment(orders=ORDERS[:1]), "the orders are not for the images of the invoice"),
        (signed_payment(orders=ORDERS[::-1]), "the orders are not for the images of the invoice"),
        (signed_payment(orders=(ORDERS[0], signed_order(1, delivery_key=KEYS[0]))), "two orders name the same key"),
        (signed_payment(orders=(ORDERS[0], signed_order(1, request_id=b"1" * 32))), AMISS),
        (signed_payment(orders=(ORDERS[0], signed_order(1, suite="mlkem768-x25519"))), AMISS),
        (signed_payment(orders=(ORDERS[0], signed_order(1, tolerance=9))), AMISS),
        (signed_payment(orders=(ORDERS[0], signed_order(1, deliver_by=98))), AMISS),
        (signed_payment(orders=(ORDERS[0], signed_order(1, OTHER))), "an order is not signed by the buyer"),
        (
            signed_payment(orders=(ORDERS[0], signed_order(1, delivery_key=bytes(32)))),
            "an order names a key that images cannot be sealed to",
        ),
    ],
)
def test_a_payment(payment: SignedPayment, why: str) -> None:
    assert str(checks.payment_refusal(payment, INVOICE, CALL)).startswith(why)


REFERENCE = BlobReference(digest=hashlib.sha256(BLOB).digest(), length=len(BLOB))


@pytest.mark.parametrize(
    ("delivered", "why"),
    [
        (delivery(blob=REFERENCE), "the delivery refers to a sealed image instead of bringing it"),
        (delivery(OTHER), "the receipt is not signed by the bid's pseudonym"),
        (delivery(order=digest(ORDERS[1].order)), "the receipt is for another order"),
        (delivery(blob=b"sealeD"), "the receipt is for another blob"),
        (delivery(length=7), "the receipt is for another blob"),
    ],
)
def test_a_delivery(delivered: Delivery, why: str) -> None:
    assert checks.delivery_refusal(delivered, offer(), streamed=False) == why


def test_a_grid_that_streams_vouches_for_what_it_refers_to() -> None:
    assert checks.delivery_refusal(delivery(blob=REFERENCE), offer(), streamed=True) is None
    wrong = replace(offer(), order=ORDERS[1])
    assert checks.delivery_refusal(delivery(blob=REFERENCE), wrong, streamed=True) == "the receipt is for another order"


@pytest.mark.parametrize(
    ("confirmation", "why"),
    [
        (signed_confirmation(OTHER), "the confirmation is not signed by the buyer"),
        (signed_confirmation(request_id=b"1" * 32), "the confirmation is for another request"),
    ],
)
def test_a_confirmation(confirmation: SignedConfirmation, why: str) -> None:
    assert checks.confirmation_refusal(confirmation, CALL.request_id, BUYER.public) == why


def test_the_stake_on_a_cheap_bid_is_the_least_one() -> None:
    assert [checks.stake(price, TERMS) for price in (1, 50, 51, 101)] == [5, 5, 6, 11]
