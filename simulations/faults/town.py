"""A town under faults: a cloud and parties, honest and not, in virtual time and from one seed."""

import hashlib
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from flwr.app import Error, RecordDict

from parties.adversaries import ADVERSARIES, Adversary
from parties.party import Party
from protocol.encoding.codec import UnreadableMessage
from protocol.grids.grpc.frames import parse, read_content
from protocol.wire import parley_pb2 as wire
from simulations.faults.cloud import CloudMachine
from simulations.faults.entropy import from_seed
from simulations.faults.logs import read_logs
from simulations.faults.machine import Machine, watched_files
from simulations.faults.network import Link
from simulations.faults.parties import PartyMachine
from simulations.faults.schedule import Fault, Schedule
from simulations.faults.secrecy import Secrecy
from simulations.faults.virtual import Agenda
from simulations.runs.seeding import secret

PATIENCE = 1_800.0
"""Seconds that parties have for a step."""


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


class Town(ABC):
    """Everybody, and all that happens to them.

    Each workflow has a kind of its own, which makes its cloud and its parties, and knows what must be true at the end.

    Args:
        seed: Everything follows from it.
        folder: In memory, empty.
        schedule: What goes wrong.
        without: Names of parties that are left out.

    Attributes:
        closed: Why the cloud does not start any more, if its disk is no longer as it was written.
    """

    RATE: ClassVar[float] = 1.0
    """How often something goes wrong, next to `Schedule.RATES`."""
    AIM: ClassVar[str]
    """The outcome without which a run shows little."""
    LEAST: ClassVar[Mapping[str, int]]
    """Roles of which so many parties are needed."""
    CHEATS: ClassVar[Mapping[str, Adversary]] = ADVERSARIES
    UNPLAYABLE: ClassVar[frozenset[str]] = frozenset()
    """Cheats by name, and those of them that cannot be played here."""

    cloud: CloudMachine

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
        self.parties: dict[int, PartyMachine] = {}

    @abstractmethod
    def settled(self) -> bool:
        """Whether all that was begun is over."""

    @abstractmethod
    def check(self) -> None:
        """Note every promise that was broken."""

    @abstractmethod
    def outcomes(self) -> Counter[str]:
        """Count what became of what was begun."""

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Replace what programs find around them, while the town plays."""
        with (
            watched_files(self.machines, self.folder),
            from_seed(self.seed, self.secrecy.draws, self.secrecy.wraps),
            read_logs(self.secrecy.in_log),
        ):
            yield

    def play(self) -> None:
        """Let everything happen until it is over, or nothing can be waited for any longer; and look at the end."""
        with self.surroundings():
            for machine in self.machines.values():
                machine.boot()
            while not (self.closed or (self.settled() and all(each.alive for each in self.machines.values()))):
                if self.agenda.now > self.last_fault + 12 * PATIENCE:
                    self.violated("settling", "not everything settles after the last fault")
                    break
                if not self.agenda.step():
                    self.violated("settling", "nothing happens any more")
                    break
            self.schedule.over = True
            for machine in self.machines.values():
                machine.disk.make_room()
            if not self.closed:
                self.check()

    def close(self) -> None:
        """Stop everything."""
        for machine in self.machines.values():
            machine.alive = False
            machine.end()
        for machine in self.machines.values():
            machine.disk.close()

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

    def carries(self, link: Link, way: str, frame: bytes) -> None:
        """Look at a frame that is sent."""
        self.secrecy.on_wire(link.party.name, way, frame)

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

    def settle(self, machine: PartyMachine) -> None:
        """Let a party live here."""
        if machine.name in self._without:
            machine.disk.close()
            return
        self.machines[machine.name] = machine
        self.parties[machine.node] = machine
        machine.link = Link(self, machine, self.cloud)
        self.cloud.links[machine.node] = machine.link

    def cheat(self, draw: random.Random, role: str, chance: float) -> str | None:
        """Draw whether a party cheats, and how."""
        names = sorted(name for name, each in self.CHEATS.items() if each.role == role and name not in self.UNPLAYABLE)
        chosen = draw.choice([*names, "mutation", "mutation"])
        return chosen if draw.random() < chance else None

    def secret(self, *whose: object) -> bytes:
        """Return a secret of somebody, which nobody else may learn."""
        made = self.secrecy.secrets[" ".join(map(str, whose))] = secret(0, self.seed, *whose)
        return made


def played(cheat: str | None, honest: type[Party], cheats: Mapping[str, Adversary] = ADVERSARIES) -> Any:
    """Return the class of a party that plays a cheat, or none; who mutates bytes is honest inside."""
    return cheats[cheat].cast() if cheat is not None and cheat in cheats else honest
