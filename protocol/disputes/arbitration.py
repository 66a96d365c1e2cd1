"""Arbitration when a buyer complains (CrowdBuy, step 11, made sound).

The paper lets the buyer send the image and the cloud compare hashes. Here the buyer reveals the
one-time private key instead, and the arbiter opens the blob that the
seller signed for, so that neither side can present another image.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from protocol.crypto.commitments import commit_feature, commit_image
from protocol.crypto.sealing import BadDeliveryKey, Opening, SealBroken, delivery_public_key, open_sealed
from protocol.encoding.canonical import digest
from protocol.messages.base import BlobReference
from protocol.messages.purchase import Bid, Complaint, Order, Receipt, SignedBid, SignedOrder, SignedReceipt, Terms
from strategies.features.signatures import on_lattice, signature_table

_CONTEXT = b"parley/delivery/context/1"

Featurize = Callable[[NDArray[np.uint8]], NDArray[np.int64]]
"""From one image to its feature under the deal's terms, shape (D,)."""


@dataclass(frozen=True)
class Deal:
    """All that was promised and signed about one image.

    `targets` are the features of the buyer's samples, (m, D); `salt` is the request's. `release` is the cloud's secret
    in the order that went to the seller.
    """

    bid: SignedBid
    order: SignedOrder
    receipt: SignedReceipt
    terms: Terms
    targets: NDArray[np.int64]
    salt: bytes
    release: bytes

    @property
    def context(self) -> bytes:
        """What the image is sealed in; see `delivery_context`."""
        return delivery_context(self.order.order, self.release)

    @property
    def dimensions(self) -> int:
        """D: how many numbers a feature has."""
        return int(self.targets.shape[1])


class Fault(StrEnum):
    """Who is at fault."""

    SELLER = "seller"
    BUYER = "buyer"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Verdict:
    """The arbiter's decision on one complaint."""

    fault: Fault
    reason: str


def arbitrate(deal: Deal, blob: bytes, private_key: bytes, featurize: Featurize) -> Verdict:
    """Decide one complaint.

    1. the revealed key must belong to the public key in the order, which the buyer signed;
    2. the blob must be the one that the seller signed for;
    3. the arbiter opens it and checks it against the bid, as the buyer should have (`find_fault`).

    Args:
        deal: Bid, order and receipt; the caller has checked their signatures when they came in.
        blob: The sealed image from the vault.
        private_key: The one-time key that the buyer reveals.
        featurize: The featurizer of `deal.terms.model_id`.
    """
    order = deal.order.order
    try:
        public_key = delivery_public_key(private_key, order.suite)
    except BadDeliveryKey:
        public_key = b""
    if public_key != order.delivery_key:
        return Verdict(Fault.BUYER, "the buyer revealed a key that is not the one in its order")
    if not matches_receipt(blob, deal.receipt.receipt):
        return Verdict(Fault.SELLER, "the stored blob is not the one that was signed for")
    try:
        opening = open_sealed(blob, private_key, deal.context, order.suite, deal.dimensions)
    except SealBroken as broken:
        return Verdict(Fault.SELLER, f"the delivery does not open: {broken}")
    fault = find_fault(deal, opening, featurize(opening.image))
    if fault is not None:
        return Verdict(Fault.SELLER, fault)
    return Verdict(Fault.BUYER, "the image is the one that was offered")


def find_fault(deal: Deal, opening: Opening, recomputed: NDArray[np.int64] | None) -> str | None:
    """Return what is wrong with an opened image, None when it is as its bid promised.

    Both the buyer and the arbiter use this. Committed features are compared with what the bid
    published exactly, and with recomputed ones within the tolerance (floats differ across devices).

    Args:
        deal: What was promised.
        opening: What was in the box.
        recomputed: (D,), the feature computed from the opened image; None skips that comparison.
    """
    bid = deal.bid.bid
    if commit_image(opening.image_salt, opening.image) != bid.image_commitment:
        return "another image was delivered than the one that was offered"
    if commit_feature(opening.feature_salt, opening.feature, deal.terms.model_id) != bid.feature_commitment:
        return "the opened feature is not the one that was committed to"
    if not _published(bid, opening.feature, deal):
        return "the feature that was bid with is not the one that was committed to"
    if not np.abs(deal.targets - np.array(opening.feature)).any(axis=1).all():
        return "the image is one of the buyer's own samples"
    if recomputed is not None and np.abs(recomputed - np.array(opening.feature)).max() > deal.order.order.tolerance:
        return "the image's feature is not the one that was bid with"
    return None


def delivery_context(order: Order, release: bytes) -> bytes:
    """Return the context, 32 bytes, that an image is sealed in: without the cloud's release nobody can open it.

    Args:
        order: The buyer's.
        release: 32 bytes.
    """
    return hashlib.sha256(_CONTEXT + digest(order) + release).digest()


def matches_receipt(blob: bytes | BlobReference, receipt: Receipt) -> bool:
    """Whether a blob is the one a receipt speaks of."""
    found = blob.digest if isinstance(blob, BlobReference) else hashlib.sha256(blob).digest()
    return len(blob) == receipt.length and found == receipt.blob


def _published(bid: Bid, feature: tuple[int, ...], deal: Deal) -> bool:
    if bid.feature is not None:
        return bid.feature == feature
    point = np.array([feature], dtype=np.int64)
    if not on_lattice(point).all():
        return False
    if deal.terms.displacement:  # it is some feature's (`is_possible`), and of one near enough
        farthest = np.abs(np.array(bid.signature_points, dtype=np.int64) - point).max()
        return bool(farthest <= deal.terms.reach + deal.terms.displacement)
    table = signature_table(deal.salt, deal.terms.reach, deal.terms.signature_size)
    expected = table.sign(point)[0]
    return bid.signature_points == tuple((int(x), int(y)) for x, y in expected)


def arbitrate_paper(deal: Deal, blob: bytes, complaint: Complaint, featurize: Featurize) -> Verdict:
    """Decide one complaint by the image that the buyer sends.

    Args:
        deal: Bid, order and receipt; the caller has checked their signatures when they came in.
        blob: The ciphertext, as the cloud stored it: the buyer can always show the right one.
        complaint: With the image that the buyer says it got.
        featurize: The featurizer of `deal.terms.model_id`.
    """
    if complaint.image is None:
        return Verdict(Fault.BUYER, "the buyer sent no image")
    if not matches_receipt(blob, deal.receipt.receipt):
        return Verdict(Fault.BUYER, "the ciphertext is not the one that was stored")
    if _has_promised_feature(deal, featurize(complaint.image)):
        return Verdict(Fault.BUYER, "the image that the buyer sent has the feature that was bid with")
    return Verdict(Fault.SELLER, "the image that the buyer sent does not have the feature that was bid with")


def _has_promised_feature(deal: Deal, feature: NDArray[np.int64]) -> bool:
    """Whether the published feature, or a feature with the published signature, lies within the tolerance."""
    bid, tolerance = deal.bid.bid, deal.order.order.tolerance
    if bid.feature is not None:
        return bool(np.abs(feature - np.array(bid.feature)).max() <= tolerance)
    steps = np.arange(-tolerance, tolerance + 1)
    near = feature + np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    table = signature_table(deal.salt, deal.terms.reach, deal.terms.signature_size)
    signatures = table.sign(near[on_lattice(near)])
    return bool((signatures == np.array(bid.signature_points)).all(axis=(1, 2)).any())
