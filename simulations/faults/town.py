"""A town under faults: a cloud, buyers and sellers, honest and not, in virtual time and from one seed."""

import hashlib
import random
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flwr.app import Error, RecordDict

from parties.adversaries import ADVERSARIES
from parties.album import Pixels
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.seller import Seller
from parties.purchase.terms import CloudSection, terms_of
from protocol.encoding.canonical import digest
from protocol.encoding.codec import UnreadableMessage, decode
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc.frames import parse, read_content
from protocol.messages.purchase import Bids, Invoice, Quality, SignedBid
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire
from simulations.faults.cloud import CloudMachine
from simulations.faults.entropy import from_seed
from simulations.faults.goods import MODEL, paint
from simulations.faults.logs import read_logs
from simulations.faults.machine import Machine, watched_files
from simulations.faults.network import Link
from simulations.faults.parties import BuyerMachine, PartyMachine, SellerMachine
from simulations.faults.schedule import Fault, Schedule
from simulations.faults.secrecy import Secrecy
from simulations.faults.virtual import Agenda
from simulations.runs.seeding import secret

PATIENCE = 1_800.0
UNPLAYABLE = {"feature-collision", "flooding"}
"""Cheats of sellers that need a real network, or thousands of bids."""


@dataclass
class Violation:
    """A promise that was broken."""

    promise: str
    text: str
    at: float


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    at: float
    who: str
    what: str


class Town:
    """Everybody, and all that happens to them.

    Args:
        seed: Everything follows from it.
        folder: In memory, empty.
        schedule: What goes wrong.
        without: Names of parties that are left out.

    Attributes:
        closed: Why the cloud does not start any more, if its disk is no longer as it was written.
    """

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        self.seed = seed
        self.folder = folder
        self.schedule = schedule
        self._without = without
        self.agenda = Agenda()
        self.events: list[Event] = []
        self.violations: list[Violation] = []
        self.last_fault = 0.0
        self.closed = ""
        self.secrecy = Secrecy(self)
        self._turns = random.Random(f"{seed}/turns")
        self.machines: dict[str, Machine] = {}
        self.albums: dict[int, list[Pixels]] = {}
        self.bids: dict[bytes, tuple[int, SignedBid]] = {}
        self.invoices: dict[int, list[tuple[bytes, int, int]]] = {}
        draw = random.Random(f"{seed}/town")
        self.budget = draw.choice([60, 120, 200])
        self.deposits = {"buyer": self.budget * draw.choice([1, 2]), "seller": 100}
        section = CloudSection(privacy="level1", commission=draw.choice([0.0, 0.05]), stake=0.2, bond=0.1)
        self.terms = terms_of(section, MODEL)
        self.cloud = CloudMachine(self, self._cloud)
        self.machines["cloud"] = self.cloud
        buyers, sellers = draw.choice([2, 2, 3, 4]), draw.choice([2, 3])
        spots = [(draw.randrange(10_000, 50_000), draw.randrange(10_000, 50_000)) for _ in range(2)]
        samples = [paint(draw, x, y, marked=False) for x, y in spots]
        self.parties: dict[int, PartyMachine] = {}
        for index in range(buyers):
            node = FIRST_NODE_ID + index
            name = f"buyer-{node}"
            cheat = self._cheat(draw, "buyer", 0.15)
            make = self._buyer(draw, index, cheat, samples)
            self._settle(BuyerMachine(self, name, node, cheat, make, starts=6.0 + draw.uniform(0.0, 20.0)))
        for index in range(sellers):
            node = FIRST_NODE_ID + buyers + index
            cheat = self._cheat(draw, "seller", 0.25)
            album = []
            for _ in range(draw.choice([1, 1, 2])):
                x, y = draw.choice(spots)
                album.append(paint(draw, x + draw.randrange(1, 3000), y + draw.randrange(-3000, 3000), marked=True))
            self.albums[node] = album
            make = self._seller(draw, index, cheat, album)
            self._settle(SellerMachine(self, f"seller-{node}", node, cheat, make))

    @property
    def buyers(self) -> list[BuyerMachine]:
        """The machines of buyers."""
        return [each for each in self.parties.values() if isinstance(each, BuyerMachine)]

    @property
    def sellers(self) -> list[SellerMachine]:
        """The machines of sellers."""
        return [each for each in self.parties.values() if isinstance(each, SellerMachine)]

    def play(self) -> None:
        """Let everything happen until all purchases are over, or nothing can be waited for any longer."""
        with (
            watched_files(self.machines, self.folder),
            from_seed(self.seed, self.secrecy.draws, self.secrecy.wraps),
            read_logs(self.secrecy.in_log),
        ):
            for machine in self.machines.values():
                machine.boot()
            while not self._settled():
                if self.agenda.now > self.last_fault + 12 * PATIENCE:
                    self.violated("settling", "not everything settles after the last fault")
                    break
                if not self.agenda.step():
                    self.violated("settling", "nothing happens any more")
                    break
            self.schedule.over = True
            for machine in self.machines.values():
                machine.disk.make_room()

    def close(self) -> None:
        """Stop everything."""
        for machine in self.machines.values():
            machine.alive = False
            machine.end()
        for machine in self.machines.values():
            machine.disk.close()

    def _settled(self) -> bool:
        if self.closed:
            return True
        over = all(buyer.over is not None for buyer in self.buyers)
        return over and all(machine.alive for machine in self.machines.values()) and self.cloud.idle()

    def note(self, who: str, what: str) -> None:
        """Remember what happened."""
        self.events.append(Event(self.agenda.now, who, what))

    def strike(self, fault: Fault, who: str) -> None:
        """Remember that a fault took effect."""
        self.schedule.strike(fault)
        self.last_fault = self.agenda.now
        self.note(who, f"! {fault}")

    def violated(self, promise: str, text: str) -> None:
        """Remember that a promise was broken, once."""
        text = text.partition("\n")[0]
        if any((each.promise, each.text) == (promise, text) for each in self.violations):
            return
        self.violations.append(Violation(promise, text, self.agenda.now))
        self.note("!", f"{promise}: {text}")

    def broken(self, error: BaseException) -> None:
        """A task ended in what nothing caught."""
        self.violated("exception", f"a workflow's thread ended: {type(error).__name__}: {error}")

    def close_down(self, why: str) -> None:
        """Leave the cloud to its operator: it has found that its disk is not as it was written, and does not start."""
        self.closed = why
        self.note("cloud", f"does not start: {why}")

    def interleaves(self) -> bool:
        """Whether another task may run now."""
        return self._turns.random() < 0.05

    def saw(self, party: PartyMachine, kind: str, question: RecordDict, answer: RecordDict | Error) -> None:
        """Remember what a party was asked and answered, as far as promises are about it."""
        self.note(party.name, kind)
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

    def fuzz(self, way: str, frame: bytes) -> None:
        """Read a damaged frame, which must not raise anything but a refusal."""
        kind: Any = wire.Answer if way == "up" else wire.Question
        try:
            read_content(parse(kind, frame).content)
        except UnreadableMessage:
            pass
        except Exception as error:
            self.violated("exception", f"a damaged frame raises {type(error).__name__}: {error}")

    def digest(self) -> str:
        """Return a hash of all that happened."""
        return hashlib.sha256(repr([(e.at, e.who, e.what) for e in self.events]).encode()).hexdigest()

    def _settle(self, machine: PartyMachine) -> None:
        if machine.name in self._without:
            machine.disk.close()
            return
        self.machines[machine.name] = machine
        self.parties[machine.node] = machine
        machine.link = Link(self, machine, self.cloud)
        self.cloud.links[machine.node] = machine.link

    def _cheat(self, draw: random.Random, role: str, chance: float) -> str | None:
        names = sorted(name for name, each in ADVERSARIES.items() if each.role == role and name not in UNPLAYABLE)
        chosen = draw.choice([*names, "mutation", "mutation"])
        return chosen if draw.random() < chance else None

    def _secret(self, *whose: object) -> bytes:
        made = self.secrecy.secrets[" ".join(map(str, whose))] = secret(0, self.seed, *whose)
        return made

    def _cloud(self, ledger: Ledger, vault: Vault) -> Cloud:
        return Cloud(self._secret("cloud"), self.terms, MODEL, ledger, vault, self.deposits, PATIENCE)

    def _buyer(self, draw: random.Random, index: int, cheat: str | None, samples: list[Pixels]) -> Any:
        role = cast(type[Buyer], ADVERSARIES[cheat].cast() if cheat in ADVERSARIES else Buyer)
        quality = draw.choice(list(Quality))
        own, budget = self._secret("buyer", index), self.budget
        return lambda store: role(own, samples, budget, quality, MODEL, store, lasting=False)

    def _seller(self, draw: random.Random, index: int, cheat: str | None, album: list[Pixels]) -> Any:
        role = cast(type[Seller], ADVERSARIES[cheat].cast() if cheat in ADVERSARIES else Seller)
        costs = [draw.randrange(10, 40) for _ in album]
        own = self._secret("seller", index)
        return lambda: role(own, album, costs, MODEL)
