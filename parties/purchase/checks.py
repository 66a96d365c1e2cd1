"""The cloud's checks of messages, before it acts on them."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from parties.album import Pixels
from parties.purchase.offer import Offer
from protocol.crypto.sealing import BadDeliveryKey, check_delivery_key
from protocol.crypto.signing import verify
from protocol.disputes.arbitration import matches_receipt
from protocol.encoding.bounds import Bound, bound_of
from protocol.encoding.canonical import canonical, digest
from protocol.messages.base import BlobReference
from protocol.messages.purchase import (
    Bids,
    CallForBids,
    Delivery,
    Invitation,
    Invoice,
    Privacy,
    PurchaseRequest,
    SignedBid,
    SignedConfirmation,
    SignedPayment,
    SignedRequest,
    Terms,
)
from protocol.storage.user_files import printable
from strategies.features.featurizer import Featurizer
from strategies.features.localisation import is_possible
from strategies.mechanisms import Mechanism
from strategies.mechanisms.selection import default_mechanism


def largest_bids(terms: Terms) -> Bound:
    """Return how large the bids of one seller may be: with twice the bytes that honest ones take."""
    features = 50_000 if terms.privacy is Privacy.BASIC else 200 * terms.signature_size
    one = Bound(2_000 + features, bound_of(SignedBid).values)
    whole = Bound(2_000 + terms.most_bids * one.structure, terms.most_bids * one.values)
    return whole.at_most(bound_of(Bids))


def stake(price: int, terms: Terms) -> int:
    """Return the stake on a bid: its share of the price, rounded up, and no less than the least stake, minor units."""
    return max(terms.least_stake, -(-price * terms.stake // 1_000_000))


def features_under(terms: Terms, featurizer: Featurizer, images: Iterable[Pixels]) -> NDArray[np.int64]:
    """Return the (n, D) features under these terms: fc8 vectors in the basic mode, else lattice points."""
    return featurizer.vectors(images) if terms.privacy is Privacy.BASIC else featurizer.features(images)


def request_refusal(
    signed: SignedRequest, invitation: Invitation, featurizer: Featurizer, mechanisms: Mapping[str, Mechanism]
) -> str | None:
    """Return why a request is refused, None when it is signed and shows no more than the featurizer uses.

    Args:
        mechanisms: Those that it may name.
    """
    request, nonce = signed.request, invitation.nonce
    if request.nonce != nonce or not verify(request.identity, "request", canonical(request), signed.signature):
        return "the buyer's request is not signed by the key in it"
    if request.terms != digest(invitation.terms):
        return "the buyer's request is not under the terms of its invitation"
    if request.mechanism is not None and request.mechanism not in mechanisms:
        return (
            f"the buyer's request names the mechanism {printable(request.mechanism)!r}, which this cloud does not play"
        )
    if refusal := rule_of(request, mechanisms).refusal(request.quality, request.agents):
        return f"the buyer's request cannot be met: {refusal}"
    wanted = featurizer.prepare(np.zeros((1, 1, 3), dtype=np.uint8)).shape
    for sample in request.samples:
        if sample.shape != wanted:
            sizes = [f"{height} x {width}" for height, width, _ in (sample.shape, wanted)]
            return f"the request shows a sample of {sizes[0]} pixels; the model uses {sizes[1]}"
    return None


def rule_of(request: PurchaseRequest, mechanisms: Mapping[str, Mechanism]) -> Mechanism:
    """Return the mechanism that a request names, or the default of its quality."""
    if request.mechanism is None:
        return default_mechanism(request.quality, request.agents)
    return mechanisms[request.mechanism]


def bid_refusal(signed: SignedBid, call: CallForBids, seen: set[bytes], dimensions: int = 2) -> str | None:
    """Return why a bid is refused, None when it is valid.

    Args:
        call: The call that it answers.
        seen: Pseudonyms and image commitments of earlier bids; none may come twice.
        dimensions: D, how many numbers a feature has.
    """
    bid, terms = signed.bid, call.terms
    if bid.request_id != call.request_id or bid.expires_at != call.expires_at:
        return "it answers another request"
    if bid.buyer != call.buyer:
        return "it is for another buyer"
    if not verify(bid.pseudonym, "bid", canonical(bid), signed.signature):
        return "it is not signed by its pseudonym"
    if bid.pseudonym in seen or bid.image_commitment in seen:
        return "it repeats another bid"
    if terms.privacy is not Privacy.LEVEL2 and bid.feature is None:
        return "it brings a signature where a feature is wanted"
    if bid.feature is not None and len(bid.feature) != dimensions:
        return f"its feature has {len(bid.feature)} numbers, not {dimensions}"
    if terms.privacy is Privacy.LEVEL2 and len(bid.signature_points or ()) != terms.signature_size:
        return f"it does not bring a signature of {terms.signature_size} points"
    if bid.stake != stake(bid.price, terms):
        return "its stake is not the one in the terms"
    return None


def forged_signatures(bids: Sequence[SignedBid], call: CallForBids) -> NDArray[np.bool_]:
    """Return which bids bring a signature that no feature can have; below level 2 there are no signatures.

    Args:
        bids: Valid ones (`bid_refusal`).
    """
    if call.terms.privacy is not Privacy.LEVEL2 or not bids:
        return np.zeros(len(bids), np.bool_)
    points = np.array([signed.bid.signature_points for signed in bids], dtype=np.int64)
    return ~is_possible(points, call.salt, call.terms.reach)


def payment_refusal(signed: SignedPayment, invoice: Invoice, call: CallForBids) -> str | None:
    """Return why a payment is refused, None when it is for the whole invoice and signed by the buyer."""
    payment, terms = signed.payment, call.terms
    if not verify(call.buyer, "payment", canonical(payment), signed.signature):
        return "the payment is not signed by the buyer"
    if payment.request_id != call.request_id:
        return "the payment is for another request"
    if payment.amount != sum(item.payment + item.commission for item in invoice.items):
        return "the payment is not the amount of the invoice"
    if [order.order.bid for order in payment.orders] != [digest(item.bid) for item in invoice.items]:
        return "the orders are not for the images of the invoice"
    if len({order.order.delivery_key for order in payment.orders}) < len(payment.orders):
        return "two orders name the same key: to complain about one image would open the other"
    for order in payment.orders:
        expected = (call.request_id, terms.suite, terms.tolerance, invoice.deliver_by)
        terms_of_order = (order.order.request_id, order.order.suite, order.order.tolerance, order.order.deliver_by)
        if terms_of_order != expected:
            return "an order is not under the agreed terms"
        if not verify(call.buyer, "order", canonical(order.order), order.signature):
            return "an order is not signed by the buyer"
        try:
            check_delivery_key(order.order.delivery_key, terms.suite)
        except BadDeliveryKey:
            return "an order names a key that images cannot be sealed to"
    return None


def confirmation_refusal(signed: SignedConfirmation, request_id: bytes, buyer: bytes) -> str | None:
    """Return why a confirmation is refused, None when the buyer (by its key) signed it for this request."""
    if not verify(buyer, "confirmation", canonical(signed.confirmation), signed.signature):
        return "the confirmation is not signed by the buyer"
    if signed.confirmation.request_id != request_id:
        return "the confirmation is for another request"
    return None


def delivery_refusal(delivery: Delivery, offer: Offer, *, streamed: bool) -> str | None:
    """Return why a delivery is refused, None when its receipt is signed and is for this blob and order.

    Only a grid that streams vouches for a reference: it has seen the blob arrive.
    """
    receipt = delivery.receipt
    if isinstance(delivery.blob, BlobReference) and not streamed:
        return "the delivery refers to a sealed image instead of bringing it"
    if not verify(offer.bid.bid.pseudonym, "receipt", canonical(receipt.receipt), receipt.signature):
        return "the receipt is not signed by the bid's pseudonym"
    if receipt.receipt.order != digest(offer.placed.order):
        return "the receipt is for another order"
    if not matches_receipt(delivery.blob, receipt.receipt):
        return "the receipt is for another blob"
    return None


def columns(
    offers: Sequence[Offer], terms: Terms, dimensions: int
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
    """Return what the cloud sees of offers: features (n, D), or signatures (n, k, 2)."""
    if terms.privacy is Privacy.LEVEL2:
        points = [offer.bid.bid.signature_points for offer in offers]
        return None, np.array(points, dtype=np.int64).reshape(len(offers), terms.signature_size, 2)
    features = [offer.bid.bid.feature for offer in offers]
    return np.array(features, dtype=np.int64).reshape(len(offers), dimensions), None
