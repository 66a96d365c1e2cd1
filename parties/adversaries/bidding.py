"""Sellers that offer what they should not."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le, MaxLen
from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable
from numpy.typing import NDArray

from parties.adversaries.adversary import adversary
from parties.adversaries.collusion import Blackboard
from parties.adversaries.copies import Copies
from parties.album import Album, Pixels, readable
from parties.party import Memory
from parties.purchase.seller import Seller
from protocol.encoding.codec import decode, encode
from protocol.messages.base import MAX_ITEMS, Image, ProtocolMessage
from protocol.messages.purchase import Bids, CallForBids, Feature, Privacy
from strategies.attacks.feature_collision import collide
from strategies.features.signatures import LATTICE, on_lattice


@adversary(
    "irrelevant-images",
    knowledge="nothing beyond its role",
    profit="payment for unwanted pictures, unless the cloud itself decides what matches",
)
class IrrelevantImages(Seller):
    """Bids every picture it has, whether it matches the request or not (CrowdBuy, section II.C)."""

    def choose(self, call: CallForBids, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offer everything that can be bid."""
        if call.terms.privacy is Privacy.BASIC:
            return np.arange(len(features))
        return np.flatnonzero(on_lattice(features)).astype(np.int64)


@adversary(
    "forged-features",
    knowledge="nothing beyond its role",
    profit="payment for unwanted pictures, unless the buyer recomputes features",
)
class ForgedFeatures(Seller):
    """Bids every picture it has with a feature beside a sample's."""

    def choose(self, call: CallForBids, features: NDArray[np.int64]) -> NDArray[np.int64]:
        """Offer everything."""
        return np.arange(len(features))

    def claim(self, call: CallForBids, feature: Feature) -> Feature:
        """Claim a feature beside a sample, another one for each picture."""
        targets = self.targets(call)
        generator = self.generator("claim", call.request_id, repr(feature))
        claimed = targets[generator.integers(len(targets))].copy()
        claimed[:2] += _beside(generator, call.terms.radius, 1)[0]
        if call.terms.privacy is not Privacy.BASIC:
            claimed = claimed.clip(0, LATTICE - 1)
        return tuple(claimed.tolist())


class Pictures(ProtocolMessage):
    """Pictures that a seller has made and must not lose before it delivers."""

    images: Annotated[tuple[Image, ...], MaxLen(MAX_ITEMS)]


@adversary(
    "feature-collision",
    knowledge="nothing beyond its role: the model is public",
    profit="payment for unwanted pictures, with true features; verification cannot detect it",
)
class FeatureCollision(Seller):
    """Perturbs its pictures by a few grey levels until they have features like a sample's.

    Commitments do not help against it: it delivers the picture that it bids, with the true feature. They do
    stop another use of collisions, to deliver one in place of the picture that was bid. What is offered is
    the featurizer's thumbnail of the picture.
    """

    levels: Annotated[int, Ge(1), Le(255)] = 4

    def bid(self, call: CallForBids) -> Bids:
        """Make the pictures, then bid as an honest seller would."""
        pictures = [self.featurizer.prepare(picture) for _, picture in readable(self._album)]
        targets = self.featurizer.features(call.samples)
        generator = self.generator("collide", call.request_id)
        away = np.linalg.norm(self.featurizer.features(pictures)[:, None] - targets, axis=2)
        goals = targets[away.argmin(axis=1)] + _beside(generator, self.featurizer.calibration.radius, len(pictures))
        made = collide(self.featurizer, pictures, goals, levels=self.levels)
        self.memory.keep("collisions", Pictures(images=tuple(made)))
        return super().bid(call)

    @property
    def album(self) -> Album:
        """The pictures of its last bid; before that, its own."""
        try:
            return self.memory.recall("collisions", Pictures).images
        except KeyError:
            return self._album

    @album.setter
    def album(self, album: Album) -> None:
        self._album = album


class _Unfiltered(Seller):
    """Does not leave out near-duplicates of its own pictures."""

    def unrepeated(self, thumbnails: Sequence[Pixels]) -> list[int]:
        """Keep all."""
        return list(range(len(thumbnails)))


@adversary(
    "cloning",
    knowledge="nothing beyond its role",
    profit="several payments for one picture, where quality is quantity or matching: neither detects copies",
)
class Cloning(_Unfiltered):
    """Bids several slightly changed copies of each picture that it has.

    Near-duplicates are filtered on the seller's own phone, so a cheat can skip that. The report charges
    it the cost of each copy: its profit is a lower bound.
    """

    copies: Annotated[int, Ge(1), Le(1000)] = 3

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.album = Copies(self.album, self.copies, self.derive("copies"))
        self.costs = list(self.costs) * self.copies


@adversary(
    "flooding",
    knowledge="nothing beyond its role",
    profit="none; the cloud has to check, store and rank thousands of bids, where bids cost nothing",
)
class Flooding(Cloning):
    """Bids a hundred copies of each picture that it has."""

    copies: Annotated[int, Ge(1), Le(1000)] = 100


@adversary(
    "sybil",
    knowledge="the album and the prices of the one seller behind all of its names",
    profit="several payments for one picture, under unlinkable names",
)
class Sybil(_Unfiltered):
    """Is one seller under several names; each offers its own slightly changed copy of the same album."""

    def join(self, board: Blackboard) -> None:
        """Take the album of the first."""
        board.post("seller", self)
        first = board.read("seller")[0]
        if isinstance(first, Sybil) and first is not self:
            assert isinstance(first.album, Copies)
            self.album, self.costs = first.album.original, first.costs
        self.album = Copies(self.album, 1, self.derive("copies"))


@adversary(
    "replayed-bids",
    role="seller",
    knowledge="nothing beyond its role",
    profit="none; it breaks the purchase of a cloud that takes any signed bid for a new one",
)
def replayed_bids(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Sends each of its bids twice, and the same ones again at later requests."""
    reply = call_next(message, context)
    if message.metadata.message_type != "query.bid":
        return reply
    memory = Memory(context.state)
    try:
        bids = memory.recall("replayed", Bids)
    except KeyError:
        honest = decode(reply.content, Bids)
        bids = honest.model_copy(update={"bids": honest.bids * 2})
        memory.keep("replayed", bids)
    return Message(encode(bids), reply_to=message)


def _beside(generator: np.random.Generator, radius: int, count: int) -> NDArray[np.int64]:
    """Draw offsets from a sample, well within R and not zero, (count, 2)."""
    angle = generator.uniform(0, 2 * np.pi, count)
    length = generator.uniform(radius / 8, radius / 2, count)
    steps: NDArray[np.int64] = np.rint(np.stack([np.cos(angle), np.sin(angle)], axis=1) * length[:, None]).astype(int)
    return steps
