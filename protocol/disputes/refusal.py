"""Proof that a cloud passed on an order that the buyer did not sign.

Each bid names the key of the buyer that it is for, and the cloud signs every order that it passes on. A
cloud that accepts only bids for the current buyer, and passes on only orders that this buyer signed,
cannot be accused; one that makes up an order signs the evidence against itself. A seller can make up an
order, but not the cloud's signature under it.
"""

from protocol.crypto.signing import SigningKey, verify
from protocol.encoding.canonical import canonical, digest
from protocol.messages.purchase import Bid, DeliveryOrder, Refusal, SignedOrder

_DOMAIN = "delivery order"


def pass_on(order: SignedOrder, release: bytes, cloud: SigningKey) -> DeliveryOrder:
    """Sign an order, and the release that its image is sealed under, as what goes to the seller."""
    return DeliveryOrder(order=order, release=release, signature=cloud.sign(_DOMAIN, canonical(order) + release))


def is_from_cloud(asked: DeliveryOrder, cloud: bytes) -> bool:
    """Whether the cloud of this public key passed on this order."""
    return verify(cloud, _DOMAIN, canonical(asked.order) + asked.release, asked.signature)


def is_buyers(order: SignedOrder, bid: Bid) -> bool:
    """Whether an order is signed by the buyer that a bid was for."""
    return verify(bid.buyer, "order", canonical(order.order), order.signature)


def convicts(refusal: Refusal, cloud: bytes) -> bool:
    """Whether a refusal proves that the cloud passed on an order that the buyer did not sign.

    Args:
        refusal: The bid and the order that its seller got.
        cloud: The cloud's public key, 32 bytes.
    """
    bid, order = refusal.bid, refusal.asked.order
    return is_from_cloud(refusal.asked, cloud) and order.order.bid == digest(bid) and not is_buyers(order, bid.bid)
