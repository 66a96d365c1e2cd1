"""Nothing that the buyer receives says who a seller is, or which pictures come from the same one."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import Play, Played, small
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import Mod
from PIL import Image
from test_canaries import bytes_of

from parties.purchase.buyer import Buyer
from protocol.encoding.codec import decode
from protocol.flower import SERVER_NODE_ID
from protocol.messages.purchase import Invoice, Parcel, SignedBid, Statement, VerificationCall
from simulations.data import pets
from simulations.runs.seeding import torch_generator

NUMBERS = {
    "radius", "reach", "signature_size", "tolerance", "commission", "stake", "bond", "deposit", "least_stake",
    "most_bids", "displacement", "images", "payments",
    "deliver_by", "price", "expires_at", "payment", "length", "amount", "balance", "feature", "signature_points", "#",
}  # fmt: skip
"""Names of the fields with numbers in them; none of them is a seller's."""


class Watched(Buyer):
    """Remembers every message as it arrives, metadata and all."""

    received: list[Message]

    def client_app(self, mods: list[Mod] | None = None) -> ClientApp:
        self.received = []

        def watch(message: Message, context: Context, call_next: ClientApp) -> Message:
            self.received.append(message)
            return call_next(message, context)

        return super().client_app([watch])


def messages(played: Played) -> list[Message]:
    assert isinstance(played.world.buyer, Watched)
    return played.world.buyer.received


def all_bytes(received: Iterable[Message]) -> bytes:
    return b"\0".join(
        part
        for message in received
        for part in (*bytes_of(message.content), repr(vars(message.metadata)).encode(), repr(message).encode())
    )


def winners_seen(played: Played) -> list[SignedBid]:
    """The bids in the invoice, in the order in which the buyer saw them."""
    (invoice,) = (decode(m.content, Invoice) for m in messages(played) if m.metadata.message_type == "query.pay")
    return [item.bid for item in invoice.items]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Real files with names, folders and EXIF that would give their owner away."""
    for folder, count in (("CanaryFolder", 12), ("wanted", 4)):
        for breed in (2, 11):
            sub = tmp_path / folder / pets.BREEDS[breed]
            sub.mkdir(parents=True)
            exif = Image.Exif()
            exif[0x010E], exif[0x8298] = "CanaryExif", "CanaryExif of the Owner"
            drawn = pets.draw(np.full(count, breed), 96, torch_generator(1, folder, breed))
            for index, picture in enumerate(drawn):
                Image.fromarray(picture).save(sub / f"CanaryName{index}.jpg", quality=95, exif=exif)
    return tmp_path


@pytest.mark.parametrize("suite", ["x25519", "mlkem768-x25519"])
def test_no_byte_of_a_seller_reaches_the_buyer(play_purchase: Play, photos: Path, suite: str) -> None:
    played = play_purchase(
        small(
            cloud={"suite": suite},
            buyer={"quality": "quantity", "budget": 9.0, "samples": {"folder": str(photos / "wanted")}},
            sellers={"album": {"folder": str(photos / "CanaryFolder")}},
        ),
        buyer=Watched,
    )
    record = played.record
    assert record.call is not None
    assert 3 < len(record.winners) < len(record.offers)
    seen = all_bytes(messages(played))
    assert record.winners[0].bid.bid.pseudonym in seen  # what is there is found
    for held in played.world.sellers:
        party = held.party
        assert party.secret not in seen
        assert party.identity.public not in seen
        for image in range(len(party.album)):
            # the salts of what was bought travel inside the seal, so these are in no message at all
            assert not any(salt in seen for salt in party._salts(record.call.request_id, image))
    for offer in record.offers:
        if not offer.won:
            bid = offer.bid.bid
            assert not any(s in seen for s in (offer.bid_id, bid.pseudonym, bid.image_commitment, offer.bid.signature))
    for word in (b"CanaryName", b"CanaryFolder", b"CanaryExif", b"Exif", str(photos).encode(), b"seller-"):
        assert word not in seen
    for path in played.world.buyer.store.glob("*.png"):
        assert b"Canary" not in path.read_bytes()
    assert {bid.bid.price for bid in winners_seen(played)} == {offer.bid.bid.price for offer in record.winners}


def test_metadata_and_numbers_are_the_clouds(play_purchase: Play) -> None:
    """The buyer only ever talks to the cloud, and no field that holds a number is a seller's."""
    played = play_purchase(small(), buyer=Watched)
    for message in messages(played):
        metadata = message.metadata
        assert (metadata.src_node_id, metadata.dst_node_id) == (SERVER_NODE_ID, played.record.buyer)
        assert metadata.message_type == f"query.{metadata.group_id}"
        assert metadata.reply_to_message_id == ""
        assert metadata.message_id.isdigit()  # a serial number: it tells how many messages there were, not whose
        for path, value in message.content["fields"].items():
            if isinstance(value, int | list) and not isinstance(value, bool):
                names = [part for part in path.split("/") if not part.isdigit()]
                assert names[-1] in NUMBERS, path


def neighbours(owners: list[int]) -> int:
    """How often two pictures of one seller follow each other."""
    return sum(one == other for one, other in pairwise(owners))


def looks_shuffled(owners: list[int]) -> bool:
    """Whether so many neighbours of one seller come about by chance: within 4 standard deviations of shuffling."""
    generator = np.random.default_rng(0)
    chance = [neighbours(generator.permutation(owners).tolist()) for _ in range(500)]
    return abs(neighbours(owners) - np.mean(chance)) <= 4 * np.std(chance)


def test_pictures_of_one_seller_cannot_be_linked(play_purchase: Play) -> None:
    played = play_purchase(
        small(
            buyer={"quality": "quantity", "budget": 90.0},
            sellers={"count": 14, "noise": 0.0, "album": {"images": [6, 9]}},
        ),
        buyer=Watched,
    )
    owner = {offer.bid_id: offer.seller for offer in played.record.winners}
    seen = winners_seen(played)
    assert len(seen) > 40
    assert len({bid.bid.pseudonym for bid in seen}) == len({bid.bid.feature_commitment for bid in seen}) == len(seen)
    by_pseudonym = {offer.bid.bid.pseudonym: offer.seller for offer in played.record.winners}
    orders = [[by_pseudonym[bid.bid.pseudonym] for bid in seen]]
    orders.append([])
    for message in messages(played):
        kind = message.metadata.group_id
        if kind == "receive":
            orders[-1] += [owner[item.bid] for item in decode(message.content, Parcel).items]
        elif kind == "settle":
            orders.append([owner[line.bid] for line in decode(message.content, Statement).lines])
        elif kind == "verify":
            orders.append([owner[release.bid] for release in decode(message.content, VerificationCall).releases])
    assert [len(order) for order in orders] == [len(seen)] * 4
    assert all(looks_shuffled(order) for order in orders)
    assert not looks_shuffled(sorted(owner.values()))  # as they were once listed: by seller


def test_pseudonyms_do_not_come_back(play_purchase: Play) -> None:
    """Same sellers, same albums, two requests: nothing in a bid repeats."""
    first, second = (
        {
            part
            for offer in play_purchase(small(buyer={"budget": budget})).record.offers
            for part in (offer.bid.bid.pseudonym, offer.bid.bid.image_commitment, offer.bid.bid.feature_commitment)
        }
        for budget in (12.0, 11.0)
    )
    assert len(first) == len(second) > 20
    assert not first & second
