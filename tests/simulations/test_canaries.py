"""Every picture carries bytes that occur nowhere else; after a run they are looked for everywhere."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import recast, small
from flwr.app import RecordDict
from PIL import Image

from parties.adversaries.buyers import FalseComplaint
from parties.purchase.buyer import Buyer
from parties.purchase.record import PurchaseRecord
from parties.purchase.seller import OpenBids, Seller
from protocol.encoding.canonical import canonical, digest
from protocol.grids import Envelope
from protocol.messages.purchase import Delivery, DeliveryOrder, Receipt, SignedReceipt
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.data import pets
from simulations.runs.runner import run
from simulations.runs.seeding import torch_generator
from simulations.workflows.purchase.play import make_cloud, play
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer

BREEDS = (2, 11)
PER_BREED = 14


def canary(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def marked(picture: np.ndarray, mark: bytes) -> np.ndarray:
    """The picture with a canary in its first row."""
    copy = picture.copy()
    copy.reshape(-1)[: len(mark)] = np.frombuffer(mark, np.uint8)
    return copy


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Folders ``album`` and ``wanted`` of real files; the canary of each picture in the album, by file."""
    root, canaries = tmp_path_factory.mktemp("photos"), {}
    for folder, count in (("album", PER_BREED), ("wanted", 3)):
        for breed in BREEDS:
            name = pets.BREEDS[breed]
            (root / folder / name).mkdir(parents=True)
            drawn = pets.draw(np.full(count, breed), 64, torch_generator(0, folder, breed))
            for index, picture in enumerate(drawn):
                path = root / folder / name / f"{index}.png"
                canaries[str(path)] = canary(str(index) + name)
                Image.fromarray(marked(picture, canaries[str(path)]) if folder == "album" else picture).save(path)
    return root, {path: mark for path, mark in canaries.items() if "/album/" in path}


def scenario(photos: Path) -> PurchaseScenario:
    return small(
        buyer={"quality": "quantity", "budget": 14.0, "samples": {"folder": str(photos / "wanted")}},
        sellers={"album": {"folder": str(photos / "album")}},
    )


def bytes_of(content: RecordDict) -> Iterator[bytes]:
    """All that is in a message: names and values."""
    for name, record in content.items():
        yield name.encode()
        for key, value in record.items():
            yield key.encode()
            if hasattr(value, "data"):
                yield value.data
            else:
                yield from (each if isinstance(each, bytes) else repr(each).encode() for each in np.atleast_1d(value))


def contents(path: Path) -> bytes:
    """A file as it is and, of a picture, as it is seen."""
    raw = path.read_bytes()
    if path.suffix == ".png":
        with Image.open(path) as image:
            raw += np.asarray(image.convert("RGB")).tobytes()
    return raw


@dataclass
class Trail:
    """Where canaries turned up: file or message, and whose."""

    canaries: dict[str, bytes]
    found: dict[str, set[str]] = field(default_factory=dict)

    def look(self, where: str, content: bytes) -> None:
        for name, mark in self.canaries.items():
            if mark in content:
                self.found.setdefault(where, set()).add(name)

    def look_in_folder(self, folder: Path) -> int:
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in files:
            self.look(str(path.relative_to(folder)), contents(path))
        return len(files)


Hunt = Callable[..., tuple[Trail, PurchaseRecord, Path]]


@pytest.fixture
def hunt(tmp_path: Path, featurizer: Featurizer, photos: tuple[Path, dict[str, bytes]]) -> Hunt:
    """Play with everything kept that is ever written, and look at every message and every file."""

    def go(seller: type[Seller] = Seller, buyer: type[Buyer] = Buyer) -> tuple[Trail, PurchaseRecord, Path]:
        root, canaries = photos
        folder, trail = tmp_path / "run", Trail(canaries)
        folder.mkdir()
        chosen = scenario(root)
        world = build(chosen, featurizer, folder / "bought")
        world = replace(
            world,
            buyer=recast(world.buyer, buyer),
            sellers=[replace(held, party=recast(held.party, seller)) for held in world.sellers],
        )

        def observe(envelope: Envelope) -> None:
            if envelope.content is not None:
                trail.look(f"message {envelope.kind}", b"".join(bytes_of(envelope.content)))

        def keep(step: int, name: str) -> None:
            """Copy what is there now and may be gone later: sealed images in the vault, the ledger's journal."""
            for part in folder.glob("vault/*"):
                (folder / "kept").mkdir(exist_ok=True)
                shutil.copy(part, folder / "kept" / part.name)
            for part in folder.glob("ledger.sqlite*"):
                shutil.copy(part, folder / f"kept-{step}-{part.name}")

        with closing(Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")) as ledger:
            cloud = make_cloud(chosen, featurizer, ledger, Vault(str(folder / "vault")))
            record = play(world, cloud, observe, keep)
            trail.look_in_folder(folder)
        return trail, record, folder

    return go


def bought(record: PurchaseRecord) -> set[str]:
    """Names of the files into which the buyer opens what it gets."""
    return {f"bought/{number:05d}.png" for number, _ in enumerate(record.winners)}


def test_pictures_are_seen_by_their_seller_and_the_paying_buyer_only(hunt: Hunt) -> None:
    trail, record, folder = hunt()
    assert len(record.winners) > 5
    assert len(list((folder / "kept").iterdir())) == len(list((folder / "bought" / "sealed").iterdir())) > 5
    assert trail.found.keys() == bought(record)
    assert all(len(names) == 1 for names in trail.found.values())


def test_a_disputed_picture_is_opened_by_the_arbiter_in_memory_only(hunt: Hunt) -> None:
    trail, record, _ = hunt(buyer=FalseComplaint)
    assert all(offer.verdict is not None for offer in record.winners)
    assert trail.found.keys() == bought(record)


def test_a_seller_that_forgets_to_seal_is_found_out(hunt: Hunt) -> None:
    """The hunt can fail: were pictures sent in the open, it would find them wherever they came by."""

    class Forgets(Seller):
        def deliver(self, asked: DeliveryOrder) -> Delivery:
            super().deliver(asked)
            order = asked.order.order
            bids = self.memory.recall(f"bids-{order.request_id.hex()}", OpenBids).bids
            (own,) = (own for own in bids if digest(own.bid) == order.bid)
            blob = self.picture(own.image).tobytes()
            receipt = Receipt(order=digest(order), blob=hashlib.sha256(blob).digest(), length=len(blob))
            signature = self.pseudonym(order.request_id, own.image).sign("receipt", canonical(receipt))
            return Delivery(receipt=SignedReceipt(receipt=receipt, signature=signature), blob=blob)

    trail, record, _ = hunt(seller=Forgets)
    places = {where.partition("/")[0] for where in trail.found}
    assert places == {"message Delivery", "message Parcel", "kept", "bought"}
    assert sum(where.startswith("bought/sealed/") for where in trail.found) == len(record.winners)


def test_a_run_writes_no_picture_but_those_that_were_bought(
    tmp_path: Path, photos: tuple[Path, dict[str, bytes]]
) -> None:
    """``report.html`` is the experimenter's view, who sees everything; its thumbnails are lossy, and are no leak."""
    root, canaries = photos
    report = run(scenario(root), tmp_path / "run")
    trail = Trail(canaries)
    assert trail.look_in_folder(tmp_path / "run") == 4 + report.outcome.verified
    assert trail.found.keys() == {f"bought/{number:05d}.png" for number in range(report.outcome.verified)}
    assert set().union(*trail.found.values()) < canaries.keys()
