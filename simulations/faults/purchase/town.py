"""A market under faults: a cloud that sells pictures, buyers and sellers."""

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from flwr.app import Error, RecordDict

import parties.purchase.disputes
import parties.purchase.waves
import protocol.storage.lease
from parties.adversaries import ADVERSARIES
from parties.album import Pixels
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import CHECKING, Cloud
from parties.purchase.seller import Seller
from parties.purchase.terms import CloudSection, terms_of
from parties.purchase.waves import PARCEL_BYTES
from protocol.encoding.canonical import digest
from protocol.encoding.codec import decode
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import Bids, Invoice, Privacy, Quality, SignedBid, Terms
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.faults.network import Link
from simulations.faults.parties import PartyMachine
from simulations.faults.purchase.cloud import PurchaseCloud
from simulations.faults.purchase.goods import MODEL, paint
from simulations.faults.purchase.oracles import check, outcomes
from simulations.faults.purchase.parties import BuyerMachine, SellerMachine
from simulations.faults.purchase.tricks import IMPOSTURE, TRICKS
from simulations.faults.schedule import Schedule
from simulations.faults.town import PATIENCE, Town, played

BIG = 700.0
"""Seconds that it may take to check a picture, where pictures are big.

All of them take longer than the patience for an answer, and one much less, as of real ones: a buyer has the time to go
through some that a cloud has asked about, and forgotten.
"""


class PurchaseTown(Town):
    """A cloud, buyers and sellers.

    Attributes:
        enrolled: The names in the certificates of all parties, also of those that are left out.
        looking: Seconds that buyers take to check a picture.
    """

    AIM = "pictures sold"
    LEAST: ClassVar[Mapping[str, int]] = {"buyer": 1}
    CHEATS = ADVERSARIES | TRICKS
    UNPLAYABLE = frozenset({"feature-collision", "flooding"})
    """Cheats of sellers that need a real network, or thousands of bids."""

    cloud: PurchaseCloud

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        super().__init__(seed, folder, schedule, without)
        self.enrolled: list[str] = []
        self.albums: dict[int, list[Pixels]] = {}
        self.bids: dict[bytes, tuple[int, SignedBid]] = {}
        self.invoices: dict[int, dict[bytes, set[tuple[int, int]]]] = {}
        draw = random.Random(f"{seed}/town")
        self.budget = draw.choice([60, 120, 200])
        self.deposits = {"buyer": self.budget * draw.choice([1, 2]), "seller": 100}
        self.terms = _terms(draw.choice([0.0, 0.05]))
        self.looking = draw.choice([0.75 * BIG] + 11 * [0.0])
        self.cloud = PurchaseCloud(self, self._cloud)
        self.machines["cloud"] = self.cloud
        buyers, sellers = draw.choice([2, 2, 3, 4]), draw.choice([2, 3])
        spots = [(draw.randrange(10_000, 50_000), draw.randrange(10_000, 50_000)) for _ in range(2)]
        samples = [paint(draw, x, y, marked=False) for x, y in spots]
        for index in range(buyers):
            node = FIRST_NODE_ID + index
            name = f"buyer-{node}"
            cheat = self.cheat(draw, "buyer", 0.15)
            make = self._buyer(draw, index, cheat, samples)
            self.settle(BuyerMachine(self, name, node, cheat, make, starts=6.0 + draw.uniform(0.0, 20.0)))
        for index in range(sellers):
            node = FIRST_NODE_ID + buyers + index
            cheat = self.cheat(draw, "seller", 0.25)
            album = []
            for _ in range(draw.choice([1, 1, 2])):
                x, y = draw.choice(spots)
                album.append(paint(draw, x + draw.randrange(1, 3000), y + draw.randrange(-3000, 3000), marked=True))
            self.albums[node] = album
            make = self._seller(draw, index, cheat, album)
            certificate = "buyer" if cheat == IMPOSTURE else "seller"
            self.settle(SellerMachine(self, f"{certificate}-{node}", node, cheat, make))

    def settle(self, machine: PartyMachine) -> None:
        """Let a party live here, and enrol it with the cloud."""
        self.enrolled.append(machine.urn)
        super().settle(machine)

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Give big pictures their time, and a part of the verification to each; and the lease its clock."""
        checking, part = (BIG, 1) if self.looking else (CHECKING, PARCEL_BYTES)
        with (
            super().surroundings(),
            patch.object(parties.purchase.disputes, "CHECKING", checking),
            patch.object(parties.purchase.waves, "PARCEL_BYTES", part),
            patch.object(protocol.storage.lease, "_now", lambda connection: self.cloud.clock()),
        ):
            yield

    @property
    def buyers(self) -> list[BuyerMachine]:
        """The machines of buyers."""
        return [each for each in self.parties.values() if isinstance(each, BuyerMachine)]

    @property
    def sellers(self) -> list[SellerMachine]:
        """The machines of sellers."""
        return [each for each in self.parties.values() if isinstance(each, SellerMachine)]

    def settled(self) -> bool:
        """Whether all purchases are over, and the buyers know it."""
        return all(buyer.over is not None for buyer in self.buyers) and self.cloud.idle()

    def check(self) -> None:
        """Note every promise that was broken."""
        check(self)

    def outcomes(self) -> Counter[str]:
        """Count what became of purchases and pictures."""
        return outcomes(self)

    def saw(self, party: PartyMachine, kind: str, question: RecordDict, answer: RecordDict | Error) -> None:
        """Remember what a party was asked and answered, as far as promises are about it."""
        super().saw(party, kind, question, answer)
        if isinstance(answer, Error):
            return
        try:
            if kind == "query.bid":
                self.bids |= {digest(each): (party.node, each) for each in decode(answer, Bids).bids}
            elif kind == "query.pay":
                items = decode(question, Invoice).items
                invoiced = self.invoices.setdefault(party.node, {})
                for item in items:
                    invoiced.setdefault(digest(item.bid), set()).add((item.payment, item.commission))
        except Exception:
            self.note(party.name, "answers what cannot be read")

    def carries(self, link: Link, way: str, frame: bytes) -> None:
        """Look at a frame that is sent, and for sellers' names on their way to a buyer."""
        super().carries(link, way, frame)
        if way == "down" and isinstance(link.party, BuyerMachine):
            for seller in self.sellers:
                if seller.name.encode() in frame:
                    self.violated("secrecy", f"{link.party.name} is told of {seller.name}")

    def edit(self, amount: float) -> None:
        """Change the terms under which the cloud trades from its next start on."""
        self.terms = _terms(commission=0.2 * amount, stake=0.5 * amount, bond=0.5 * (1 - amount))

    def _cloud(self, ledger: Ledger, vault: Vault) -> Cloud:
        return Cloud(self.secret("cloud"), self.terms, MODEL, ledger, vault, self.deposits, PATIENCE)

    def _buyer(self, draw: random.Random, index: int, cheat: str | None, samples: list[Pixels]) -> Any:
        role = played(cheat, Buyer, self.CHEATS)
        quality = draw.choice(list(Quality))
        own, budget = self.secret("buyer", index), self.budget
        return lambda store: role(own, samples, budget, quality, MODEL, store, lasting=False)

    def _seller(self, draw: random.Random, index: int, cheat: str | None, album: list[Pixels]) -> Any:
        role = played(cheat, Seller, self.CHEATS)
        costs = [draw.randrange(10, 40) for _ in album]
        own = self.secret("seller", index)
        return lambda: role(own, album, costs, MODEL)


def _terms(commission: float, stake: float = 0.2, bond: float = 0.1) -> Terms:
    return terms_of(CloudSection(privacy=Privacy.LEVEL1, commission=commission, stake=stake, bond=bond), MODEL)
