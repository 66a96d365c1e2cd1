r"""The messages of a purchase (CrowdBuy, sections III to V), in order.

Parties only reply, so each exchange is a question by the cloud and an answer:

====  ==========  ==================================  =============================
step  asked       the cloud says                      the party answers
====  ==========  ==================================  =============================
\     everyone    `Hello`                             `Introduction`
1     buyer       `Invitation`                        `VouchedRequest`
2-4   sellers     `CallForBids`                       `Bids`
6     all         `SelectionNotice`, `SelectionResult`  `Acknowledgement`
7     buyer       `Invoice`                           `SignedPayment`
8-9   sellers     `DeliveryOrder`                     `Delivery`
9     buyer       `Parcel`                            `Kept`
10-11 buyer       `VerificationCall`                  `SignedConfirmation`
11    buyer       `ShowCall`                          `Shown`
12    all         `Statement`                         `Acknowledgement`
====  ==========  ==================================  =============================

Money is in integer minor units (cents). Features are points of the 2^16 x 2^16 lattice, or, in the paper's basic mode,
fc8 vectors in units of 1 / 256.
"""

from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Gt, Le, Len, MaxLen
from pydantic import Field, model_validator

from protocol.messages.base import (
    MAX_ITEMS,
    BlobReference,
    Digest,
    Image,
    Name,
    ProtocolMessage,
    PublicKey,
    Salt,
    Signature,
    Voucher,
)

Amount = Annotated[int, Ge(0), Le(10**12)]
Price = Annotated[int, Gt(0), Le(10**9)]
Rate = Annotated[int, Ge(0), Le(1_000_000)]
Coordinate = Annotated[int, Ge(0), Le(65_535)]
Point = tuple[Coordinate, Coordinate]
Component = Annotated[int, Ge(-(2**20)), Le(2**20)]
"""One number of an fc8 vector, to 4096 in absolute value; sums of their squares stay exact in 64 bits."""
Vector = Annotated[tuple[Component, ...], Len(3, 4096)]
Feature = tuple[int, ...]
"""A point or a vector."""

MAX_BLOB = 80_000_000
"""Bytes of the largest sealed image: 25 megapixels of RGB, padded, with its envelope."""

SealedImage = Annotated[bytes, Len(1, MAX_BLOB)] | BlobReference
"""A sealed image; where the grid streams, the cloud's messages have a reference to it in the vault instead."""


class Privacy(StrEnum):
    """What the cloud sees of an image: its fc8 vector (III.B), its 2-d feature, or a MinHash signature (II.D)."""

    BASIC = "basic"
    LEVEL1 = "level1"
    LEVEL2 = "level2"


class Quality(StrEnum):
    """What the buyer wants most of (section IV.B); the last is the third, where area counts by how well it matches."""

    QUANTITY = "quantity"
    MATCHING = "matching"
    DIVERSITY = "diversity"
    WEIGHTED = "diversity-weighted"


class Agents(StrEnum):
    """What bids: each image for itself, as in the paper, or each seller with all that match as one bundle."""

    IMAGES = "images"
    SELLERS = "sellers"


class Terms(ProtocolMessage):
    """The conditions of trade, the same for everybody and fixed before the first bid.

    Rates are in parts per million. `radius`, `reach` and `signature_size` are the paper's R, d and k; `tolerance` is
    how far (L-infinity, in the features' units) a recomputed feature may lie from a committed one. A bid locks `stake`
    of its price, and `least_stake` minor units or more; a seller may make `most_bids`. A buyer that does not pay its
    invoice loses `deposit` of its budget to the winners. `arbitration` names the rule by which complaints are decided.
    A signature may be of a point up to `displacement` steps (L-infinity) from the committed feature, where sellers add
    noise before hashing.
    """

    later = frozenset({"displacement"})

    privacy: Annotated[Privacy, Field(strict=False)]
    model_id: Name
    radius: Annotated[int, Gt(0), Le(2**24)]
    reach: Annotated[int, Gt(0), Le(32_767)]
    signature_size: Annotated[int, Gt(0), Le(64)]
    tolerance: Annotated[int, Ge(0), Le(2**24)]
    suite: Name
    commission: Rate
    stake: Rate
    bond: Rate
    deposit: Rate = 0
    least_stake: Annotated[int, Ge(0), Le(10**9)] = 0
    most_bids: Annotated[int, Gt(0), Le(MAX_ITEMS)] = MAX_ITEMS
    arbitration: Name = "sound"
    displacement: Annotated[int, Ge(0), Le(65_535)] = 0


class Invitation(ProtocolMessage):
    """The cloud invites the buyer to state its wish under these terms; `voucher` is for the nonce, as for a key."""

    terms: Terms
    nonce: Salt
    voucher: Voucher | None = None


class PurchaseRequest(ProtocolMessage):
    """Step 1: (S, B, Q, Pk), under the `terms` with this hash. `identity` is Pk: it signs orders and their keys.

    `mechanism` decides who wins among the `agents`, none: the quality's default; no image is paid more than `ceiling`,
    none: than the budget.
    """

    later = frozenset({"mechanism", "agents", "ceiling"})

    samples: Annotated[tuple[Image, ...], Len(1, 1000)]
    budget: Amount
    quality: Annotated[Quality, Field(strict=False)]
    mechanism: Name | None = None
    agents: Annotated[Agents, Field(strict=False)] = Agents.IMAGES
    ceiling: Amount | None = None
    identity: PublicKey
    nonce: Salt
    terms: Digest


class SignedRequest(ProtocolMessage):
    """A request under the buyer's signature."""

    request: PurchaseRequest
    signature: Signature


class VouchedRequest(ProtocolMessage):
    """A signed request, and what shows whose Pk is; None where there are no certificates."""

    signed: SignedRequest
    voucher: Voucher | None = None


class CallForBids(ProtocolMessage):
    """Step 2: the call to all sellers, without the budget.

    `mechanism` and `agents` say by which rule winners and payments are decided: where it is truthful, a seller does
    best to ask its cost.

    `buyer` is Pk, under which orders will come, and `cloud` the key under which they are passed on. `voucher` shows
    that Pk is a buyer's: its certificate names it. `cloud_voucher` shows whose the cloud's key is. `salt` keys the
    MinHash permutation of this request. `tie_commitment` is SHA-256 of the seed that breaks ties; the seed itself
    follows with the result, which shows that it was fixed before bidding.
    """

    request_id: Digest
    cloud: PublicKey
    buyer: PublicKey
    terms: Terms
    mechanism: Name
    agents: Annotated[Agents, Field(strict=False)] = Agents.IMAGES
    samples: Annotated[tuple[Image, ...], Len(1, 1000)]
    salt: Salt
    tie_commitment: Digest
    expires_at: Annotated[int, Ge(0)]
    voucher: Voucher | None = None
    cloud_voucher: Voucher | None = None


class Bid(ProtocolMessage):
    """Step 4: one image on offer. Exactly one of `feature` and `signature_points` is given.

    `pseudonym` is a key made for this bid alone, so that a buyer can link it neither to the seller nor
    to other images of the same seller. `buyer` is Pk: the bid is for orders under that key.
    """

    request_id: Digest
    buyer: PublicKey
    pseudonym: PublicKey
    image_commitment: Digest
    feature_commitment: Digest
    feature: Point | Vector | None = None
    signature_points: Annotated[tuple[Point, ...], Len(1, 64)] | None = None
    price: Price
    stake: Amount
    expires_at: Annotated[int, Ge(0)]

    @model_validator(mode="after")
    def _one_level(self) -> "Bid":
        if (self.feature is None) == (self.signature_points is None):
            raise ValueError("a bid gives either its feature or (level 2) its signature")
        return self


class SignedBid(ProtocolMessage):
    """A bid under its pseudonym's signature."""

    bid: Bid
    signature: Signature


class Bids(ProtocolMessage):
    """Step 4: all that one seller offers, and how many of its pictures could not be opened."""

    bids: Annotated[tuple[SignedBid, ...], MaxLen(MAX_ITEMS)]
    unreadable: Annotated[int, Ge(0)]


class Award(ProtocolMessage):
    """A bid that won, by its hash, and what it will be paid."""

    bid: Digest
    payment: Amount


class SelectionNotice(ProtocolMessage):
    """Step 6, to a seller: which of its bids won; the seed that broke ties is now open."""

    request_id: Digest
    awards: Annotated[tuple[Award, ...], MaxLen(MAX_ITEMS)]
    tie_seed: Digest


class SelectionResult(ProtocolMessage):
    """Step 6, to the buyer: how much it will have to pay."""

    request_id: Digest
    images: Annotated[int, Ge(0)]
    payments: Amount
    commission: Amount


class InvoiceItem(ProtocolMessage):
    """One image the buyer is about to pay for."""

    bid: SignedBid
    payment: Amount
    commission: Amount


class Invoice(ProtocolMessage):
    """Step 7: what is due, the salt of the signatures, and by when (Unix seconds) sellers must deliver."""

    request_id: Digest
    salt: Salt
    deliver_by: Annotated[int, Ge(0)]
    items: Annotated[tuple[InvoiceItem, ...], Len(1, MAX_ITEMS)]


class Order(ProtocolMessage):
    """Step 8: the buyer's order for one image; its hash is the context the image is sealed in."""

    request_id: Digest
    bid: Digest
    suite: Name
    delivery_key: Annotated[bytes, Len(32, 4096)]
    tolerance: Annotated[int, Ge(0), Le(2**24)]
    deliver_by: Annotated[int, Ge(0)]


class SignedOrder(ProtocolMessage):
    """An order under the buyer's signature."""

    order: Order
    signature: Signature


class Payment(ProtocolMessage):
    """Step 7: the buyer lets the cloud take the amount into escrow, and places its orders."""

    request_id: Digest
    amount: Amount
    orders: Annotated[tuple[SignedOrder, ...], Len(1, MAX_ITEMS)]


class SignedPayment(ProtocolMessage):
    """A payment under the buyer's signature."""

    payment: Payment
    signature: Signature


class DeliveryOrder(ProtocolMessage):
    """Step 8: the money is in escrow; deliver this image, sealed to the order's key. Signed by the cloud.

    `release` is a secret of the cloud's that the image is sealed under as well. The buyer gets it when it has
    acknowledged the sealed image: it can open what it pays for, and nothing else.
    """

    order: SignedOrder
    release: Digest
    signature: Signature


class Receipt(ProtocolMessage):
    """What a seller commits to have delivered: the order's hash, the blob's hash and length."""

    order: Digest
    blob: Digest
    length: Annotated[int, Gt(0), Le(MAX_BLOB)]


class SignedReceipt(ProtocolMessage):
    """A receipt under the bid's pseudonym."""

    receipt: Receipt
    signature: Signature


class Delivery(ProtocolMessage):
    """Step 9: the sealed image."""

    receipt: SignedReceipt
    blob: SealedImage


class Refusal(ProtocolMessage):
    """Step 9, instead: the order is not signed by the buyer that the bid was for, as the cloud's signature proves."""

    bid: SignedBid
    asked: DeliveryOrder


class ParcelItem(ProtocolMessage):
    """A sealed image on its way to the buyer."""

    bid: Digest
    receipt: SignedReceipt
    blob: SealedImage


class Parcel(ProtocolMessage):
    """Step 9: some of the sealed images; a large purchase arrives in several parcels."""

    request_id: Digest
    items: Annotated[tuple[ParcelItem, ...], Len(1, MAX_ITEMS)]


class Kept(ProtocolMessage):
    """Step 9: the sealed images that the buyer has stored, by the hashes of their bids, and why not the others."""

    bids: Annotated[tuple[Digest, ...], MaxLen(MAX_ITEMS)]
    refused: Name = ""


class Release(ProtocolMessage):
    """The cloud's secret that one sealed image opens with, beside the buyer's key."""

    bid: Digest
    secret: Digest


class VerificationCall(ProtocolMessage):
    """Step 10: open and verify these images; a purchase of many is verified in parts."""

    request_id: Digest
    releases: Annotated[tuple[Release, ...], Len(1, MAX_ITEMS)]


class Complaint(ProtocolMessage):
    """Step 11: an image is not what its bid promised. The one-time key lets the arbiter open it.

    `image` is what the buyer claims to have received; only the paper's arbitration uses it.
    """

    bid: Digest
    reason: Name
    private_key: Annotated[bytes, Len(1, 8192)]
    image: Image | None = None


class Confirmation(ProtocolMessage):
    """Step 11: the images accepted and those complained about."""

    request_id: Digest
    accepted: Annotated[tuple[Digest, ...], MaxLen(MAX_ITEMS)]
    complaints: Annotated[tuple[Complaint, ...], MaxLen(MAX_ITEMS)]


class SignedConfirmation(ProtocolMessage):
    """A confirmation under the buyer's signature."""

    confirmation: Confirmation
    signature: Signature


class ShowCall(ProtocolMessage):
    """Step 11: the cloud has lost this sealed image, about which the buyer complains; show it."""

    bid: Digest


class Shown(ProtocolMessage):
    """Step 11: the sealed image as it arrived."""

    blob: SealedImage


class StatementLine(ProtocolMessage):
    """The outcome of one image: `delivered`, `refunded`, ... and the money that moved for this party."""

    bid: Digest
    outcome: Name
    amount: int


class Statement(ProtocolMessage):
    """Step 12: a party's account after all payments; the buyer's brings the releases of the images that it paid for."""

    lines: Annotated[tuple[StatementLine, ...], MaxLen(MAX_ITEMS)]
    balance: int
    releases: Annotated[tuple[Release, ...], MaxLen(MAX_ITEMS)] = ()
