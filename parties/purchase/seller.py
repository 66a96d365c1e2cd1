"""The seller: a phone with an album."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, MaxLen
from numpy.typing import NDArray

from parties.album import Album, Pixels, readable
from parties.party import Party, step, together
from parties.purchase.checks import features_under, stake
from protocol.crypto.commitments import commit_feature, commit_image
from protocol.crypto.sealing import Opening, seal
from protocol.crypto.signing import SigningKey
from protocol.disputes.arbitration import delivery_context
from protocol.disputes.refusal import is_buyers, is_from_cloud
from protocol.encoding.canonical import canonical, digest
from protocol.errors import ProtocolError
from protocol.messages.base import MAX_ITEMS, Acknowledgement, Digest, ProtocolMessage, PublicKey
from protocol.messages.purchase import (
    Bid,
    Bids,
    CallForBids,
    Delivery,
    DeliveryOrder,
    Feature,
    Order,
    Point,
    Privacy,
    Receipt,
    Refusal,
    SelectionNotice,
    SignedBid,
    SignedReceipt,
    Statement,
    Vector,
)
from strategies.features.featurizer import Featurizer
from strategies.features.matching import is_candidate
from strategies.features.near_duplicates import distinct
from strategies.features.planar_laplace import noise_reach, noisy_point
from strategies.features.signatures import signature_table
from strategies.privacy.stream import Stream


class OpenBid(ProtocolMessage):
    """What the seller must remember of a bid to deliver on it."""

    bid: SignedBid
    image: Annotated[int, Ge(0)]
    feature: Point | Vector


class Joined(ProtocolMessage):
    """What the seller remembers of a request on which it has bid, to check the cloud."""

    cloud: PublicKey
    tie_commitment: Digest


class OpenBids(ProtocolMessage):
    """All bids of one request."""

    bids: Annotated[tuple[OpenBid, ...], MaxLen(MAX_ITEMS)]


class Look(NamedTuple):
    """A seller's view of its album: positions of pictures, their features, and how many could not be opened."""

    positions: list[int]
    features: NDArray[np.int64]
    unreadable: int


class Seller(Party):
    """Offers the pictures of an album that match a request, and delivers those that win.

    Steps:

    1. ``bid`` (3, 4): check that Pk is a buyer's and the cloud's key the cloud's; open the album picture by picture,
       drop near-duplicates, extract features, keep those within R of a sample and not at distance zero, and bid each
       at its price;
    2. ``notify`` (6): take note of the winning bids;
    3. ``deliver`` (8, 9): check that the order is the buyer's, seal the picture to its key, sign the receipt; refuse
       an order that is not, and keep the proof against the cloud;
    4. ``settle`` (12): take note of payments.

    Args:
        secret: See `Party`.
        costs: True cost of each picture, minor units; private.
        featurizer: The public model.
    """

    role = "seller"

    most_bids = MAX_ITEMS
    """Bids on one request, at most, whatever the terms allow; its policy sets that."""

    noise: float | None = None
    """Epsilon per lattice step of the noise on features before they are hashed into signatures; None: no noise."""

    def __init__(self, secret: bytes, album: Album, costs: Sequence[int], featurizer: Featurizer) -> None:
        super().__init__(secret)
        self.album = album
        self.costs = costs
        self.featurizer = featurizer

    @step("bid")
    def bid(self, call: CallForBids) -> Bids:
        """Steps 3 and 4: match the album against the samples and bid on what matches.

        Bids of earlier calls stand: a cloud that was restored from a backup may order by any of them.
        """
        if call.terms.model_id != self.featurizer.model_id:
            raise ProtocolError(f"the cloud wants features of model {call.terms.model_id}, this phone has another")
        self.check_holder(call.cloud, call.cloud_voucher, "cloud")
        self.check_holder(call.buyer, call.voucher, "buyer")
        positions, features, unreadable = self.look(call)
        offered = self.choose(call, features)[: min(call.terms.most_bids, self.most_bids)]
        bids = tuple(
            self._bid(call, positions[index], self.claim(call, _numbers(features[index]))) for index in offered
        )
        name = call.request_id.hex()
        self.memory.keep(f"request-{name}", Joined(cloud=call.cloud, tie_commitment=call.tie_commitment))
        earlier = self.memory.recall(f"bids-{name}", OpenBids).bids if self.memory.keeps(f"bids-{name}") else ()
        standing = bids + tuple(each for each in earlier if each not in bids)
        self.memory.keep(f"bids-{name}", OpenBids(bids=standing[:MAX_ITEMS]))
        return Bids(bids=tuple(open_bid.bid for open_bid in bids), unreadable=unreadable)

    @together("bid")
    def look(sellers: Sequence["Seller"], call: CallForBids) -> list[Look]:  # noqa: N805
        """Open the albums, drop near-duplicates and extract features: where many sellers are, in full batches."""
        looks, pictures = [], []
        if any(seller.featurizer is not sellers[0].featurizer for seller in sellers):
            raise ValueError("sellers with different models cannot compute together")
        for seller in sellers:
            opened = [(position, seller.featurizer.prepare(picture)) for position, picture in readable(seller.album)]
            kept = seller.unrepeated([thumbnail for _, thumbnail in opened])
            looks.append(([opened[index][0] for index in kept], len(seller.album) - len(opened)))
            pictures += [opened[index][1] for index in kept]
        features = features_under(call.terms, sellers[0].featurizer, pictures)
        parts = np.split(features, np.cumsum([len(positions) for positions, _ in looks])[:-1])
        return [Look(positions, part, failed) for (positions, failed), part in zip(looks, parts, strict=True)]

    @together("bid")
    def targets(sellers: Sequence["Seller"], call: CallForBids) -> list[NDArray[np.int64]]:  # noqa: N805
        """Return the features of the samples, shape (m, D)."""
        return [features_under(call.terms, sellers[0].featurizer, call.samples)] * len(sellers)

    def unrepeated(self, thumbnails: Sequence[Pixels]) -> list[int]:
        """Leave out near-duplicates of earlier pictures; returns the positions to keep, ascending."""
        return distinct(thumbnails)

    def choose(self, call: CallForBids, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pick what to offer: features on the lattice, within R of a sample, at distance zero from none."""
        return np.flatnonzero(is_candidate(features, self.targets(call), call.terms.radius)).astype(np.int64)

    def claim(self, call: CallForBids, feature: Feature) -> Feature:
        """Return the feature to bid with; an honest seller's is the true one."""
        return feature

    def price(self, image: int) -> int:
        """Return the price to declare; the default mechanisms are truthful."""
        return self.costs[image]

    def picture(self, image: int) -> Pixels:
        """Return the picture to deliver."""
        return self.album[image]

    def seal(self, opening: Opening, order: Order, release: bytes) -> bytes:
        """Return the picture and what opens its commitments, sealed to the order's key under the cloud's release."""
        return seal(opening, order.delivery_key, delivery_context(order, release), order.suite)

    @step("notify")
    def notify(self, notice: SelectionNotice) -> Acknowledgement:
        """Step 6: check that ties were broken by the seed that was fixed before bidding."""
        if hashlib.sha256(notice.tie_seed).digest() != self._joined(notice.request_id).tie_commitment:
            raise ProtocolError("ties were not broken by the seed that was fixed before bidding")
        return Acknowledgement()

    @step("deliver")
    def deliver(self, asked: DeliveryOrder) -> Delivery | Refusal:
        """Steps 8 and 9: seal one picture to the one-time key in the buyer's order; refuse other orders with proof."""
        order = asked.order.order
        if not is_from_cloud(asked, self._joined(order.request_id).cloud):
            raise ProtocolError("the order does not come from the cloud of this request")
        bids = self.memory.recall(f"bids-{order.request_id.hex()}", OpenBids).bids
        opened = next((open_bid for open_bid in bids if digest(open_bid.bid) == order.bid), None)
        if opened is None:
            raise ProtocolError("the order is for a bid that this seller did not make")
        if not is_buyers(asked.order, opened.bid.bid):
            refusal = Refusal(bid=opened.bid, asked=asked)
            self.memory.keep(f"refusal-{order.bid.hex()}", refusal)
            return refusal
        pseudonym = self.pseudonym(order.request_id, opened.image)
        image_salt, feature_salt = self._salts(order.request_id, opened.image)
        opening = Opening(image_salt, feature_salt, opened.feature, self.picture(opened.image))
        blob = self.seal(opening, order, asked.release)
        receipt = Receipt(order=digest(order), blob=hashlib.sha256(blob).digest(), length=len(blob))
        signature = pseudonym.sign("receipt", canonical(receipt))
        return Delivery(receipt=SignedReceipt(receipt=receipt, signature=signature), blob=blob)

    @step("settle")
    def settle(self, statement: Statement) -> Acknowledgement:
        """Step 12: take note of payments."""
        return Acknowledgement()

    def _bid(self, call: CallForBids, image: int, feature: Feature) -> OpenBid:
        pseudonym = self.pseudonym(call.request_id, image)
        image_salt, feature_salt = self._salts(call.request_id, image)
        terms = call.terms
        price = self.price(image)
        points: tuple[Point, ...] | None = None
        if terms.privacy is Privacy.LEVEL2:
            table = signature_table(call.salt, terms.reach, terms.signature_size)
            if self.noise is not None and noise_reach(self.noise) > terms.displacement:
                raise ProtocolError("the cloud's terms leave no room for the noise that this seller adds to features")
            hashed = self.hashed(image, feature)
            points = tuple(_point(point) for point in table.sign(np.array([hashed], dtype=np.int64))[0])
        bid = Bid(
            request_id=call.request_id,
            buyer=call.buyer,
            pseudonym=pseudonym.public,
            image_commitment=commit_image(image_salt, self.album[image]),
            feature_commitment=commit_feature(feature_salt, feature, terms.model_id),
            feature=None if terms.privacy is Privacy.LEVEL2 else feature,
            signature_points=points,
            price=price,
            stake=stake(price, terms),
            expires_at=call.expires_at,
        )
        signed = SignedBid(bid=bid, signature=pseudonym.sign("bid", canonical(bid)))
        return OpenBid(bid=signed, image=image, feature=feature)

    def hashed(self, image: int, feature: Feature) -> Feature:
        """Return the point to hash into a signature: with noise, where it wants some, that is drawn once per image."""
        if self.noise is None:
            return feature
        picture = hashlib.sha256(np.ascontiguousarray(self.album[image]).tobytes()).digest()
        return noisy_point(feature, self.noise, Stream(self.derive("noise", picture, repr(self.noise))))

    def pseudonym(self, request_id: bytes, image: int) -> SigningKey:
        """Return the key under which one picture is offered: another one for each request and picture."""
        return SigningKey.derive(self.derive("pseudonym", request_id, str(image)), "bid")

    def _salts(self, request_id: bytes, image: int) -> tuple[bytes, bytes]:
        salts = self.derive("salts", request_id, str(image))
        return salts[:16], salts[16:]

    def _joined(self, request_id: bytes) -> Joined:
        try:
            return self.memory.recall(f"request-{request_id.hex()}", Joined)
        except KeyError:
            raise ProtocolError("this seller has not bid on that request") from None


def _point(pair: NDArray[np.integer]) -> Point:
    return int(pair[0]), int(pair[1])


def _numbers(feature: NDArray[np.integer]) -> Feature:
    return tuple(feature.tolist())
