"""What proves that a cloud passed on an order which is not the buyer's, and what does not."""

from typing import Any

from protocol.crypto.signing import SigningKey
from protocol.disputes.refusal import convicts, is_from_cloud, pass_on
from protocol.encoding.canonical import canonical, digest
from protocol.messages.purchase import Bid, Order, Refusal, SignedBid, SignedOrder

BUYER, CLOUD, OTHER = (SigningKey(bytes([number]) * 32) for number in range(3))

RELEASE = bytes(32)


def bid(**changes: Any) -> SignedBid:
    fields: dict[str, Any] = {
        "request_id": bytes(32),
        "buyer": BUYER.public,
        "pseudonym": bytes(32),
        "image_commitment": bytes(32),
        "feature_commitment": bytes(32),
        "feature": (1, 2),
        "price": 5,
        "stake": 1,
        "expires_at": 9,
    }
    return SignedBid(bid=Bid.model_validate(fields | changes), signature=bytes(64))


def order(of: SignedBid, signer: SigningKey) -> SignedOrder:
    plain = Order(
        request_id=bytes(32), bid=digest(of), suite="x25519", delivery_key=bytes(32), tolerance=8, deliver_by=99
    )
    return SignedOrder(order=plain, signature=signer.sign("order", canonical(plain)))


def test_an_order_of_the_buyers_convicts_nobody() -> None:
    assert not convicts(Refusal(bid=bid(), asked=pass_on(order(bid(), BUYER), RELEASE, CLOUD)), CLOUD.public)


def test_another_order_under_the_clouds_signature_convicts_it() -> None:
    assert convicts(Refusal(bid=bid(), asked=pass_on(order(bid(), OTHER), RELEASE, CLOUD)), CLOUD.public)
    assert convicts(Refusal(bid=bid(), asked=pass_on(order(bid(), CLOUD), RELEASE, CLOUD)), CLOUD.public)


def test_an_order_that_the_cloud_did_not_sign_is_no_proof() -> None:
    made_up = pass_on(order(bid(), OTHER), RELEASE, OTHER)
    assert not is_from_cloud(made_up, CLOUD.public)
    assert not convicts(Refusal(bid=bid(), asked=made_up), CLOUD.public)
    signed_for_another = pass_on(order(bid(), BUYER), RELEASE, CLOUD).model_copy(update={"order": order(bid(), OTHER)})
    assert not convicts(Refusal(bid=bid(), asked=signed_for_another), CLOUD.public)


def test_a_bid_for_another_buyer_is_no_proof_unless_the_order_is_for_that_bid() -> None:
    asked = pass_on(order(bid(), BUYER), RELEASE, CLOUD)
    assert not convicts(Refusal(bid=bid(buyer=OTHER.public), asked=asked), CLOUD.public)
    passed_on = pass_on(order(bid(buyer=OTHER.public), BUYER), RELEASE, CLOUD)
    assert convicts(Refusal(bid=bid(buyer=OTHER.public), asked=passed_on), CLOUD.public)
