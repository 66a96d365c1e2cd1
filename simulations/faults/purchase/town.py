"""A market under faults: a cloud that sells pictures, buyers and sellers."""

import random
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

from flwr.app import Error, RecordDict

from parties.album import Pixels
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.seller import Seller
from parties.purchase.terms import CloudSection, terms_of
from protocol.encoding.canonical import digest
from protocol.encoding.codec import UnreadableMessage, decode
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import Bids, Invoice, Quality, SignedBid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.faults.network import Link
from simulations.faults.parties import PartyMachine
from simulations.faults.purchase.cloud import PurchaseCloud
from simulations.faults.purchase.goods import MODEL, paint
from simulations.faults.purchase.oracles import check, outcomes
from simulations.faults.purchase.parties import BuyerMachine, SellerMachine
from simulations.faults.schedule import Schedule
from simulations.faults.town import PATIENCE, Town, played


class PurchaseTown(Town):
    """A cloud, buyers and sellers."""

    AIM = "pictures sold"
    LEAST: ClassVar[Mapping[str, int]] = {"buyer": 1}
    UNPLAYABLE = frozenset({"feature-collision", "flooding"})
    """Cheats of sellers that need a real network, or thousands of bids."""

    cloud: PurchaseCloud

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        super().__init__(seed, folder, schedule, without)
        self.albums: dict[int, list[Pixels]] = {}
        self.bids: dict[bytes, tuple[int, SignedBid]] = {}
        self.invoices: dict[int, list[tuple[bytes, int, int]]] = {}
        draw = random.Random(f"{seed}/town")
        self.budget = draw.choice([60, 120, 200])
        self.deposits = {"buyer": self.budget * draw.choice([1, 2]), "seller": 100}
        section = CloudSection(privacy="level1", commission=draw.choice([0.0, 0.05]), stake=0.2, bond=0.1)
        self.terms = terms_of(section, MODEL)
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
            self.settle(SellerMachine(self, f"seller-{node}", node, cheat, make))

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
                self.invoices[party.node] = [(digest(item.bid), item.payment, item.commission) for item in items]
        except UnreadableMessage:
            pass  # of a cheat

    def carries(self, link: Link, way: str, frame: bytes) -> None:
        """Look at a frame that is sent, and for sellers' names on their way to a buyer."""
        super().carries(link, way, frame)
        if way == "down" and isinstance(link.party, BuyerMachine):
            for seller in self.sellers:
                if seller.name.encode() in frame:
                    self.violated("secrecy", f"{link.party.name} is told of {seller.name}")

    def _cloud(self, ledger: Ledger, vault: Vault) -> Cloud:
        return Cloud(self.secret("cloud"), self.terms, MODEL, ledger, vault, self.deposits, PATIENCE)

    def _buyer(self, draw: random.Random, index: int, cheat: str | None, samples: list[Pixels]) -> Any:
        role = played(cheat, Buyer)
        quality = draw.choice(list(Quality))
        own, budget = self.secret("buyer", index), self.budget
        return lambda store: role(own, samples, budget, quality, MODEL, store, lasting=False)

    def _seller(self, draw: random.Random, index: int, cheat: str | None, album: list[Pixels]) -> Any:
        role = played(cheat, Seller)
        costs = [draw.randrange(10, 40) for _ in album]
        own = self.secret("seller", index)
        return lambda: role(own, album, costs, MODEL)
