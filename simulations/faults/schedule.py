"""Faults: which ones there are, where they strike, and how they are drawn, written and replayed."""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Kind(StrEnum):
    """What may go wrong."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    DELAY = "delay"
    REORDER = "reorder"
    FLIP = "flip"
    PARTITION = "partition"
    CRASH = "crash"
    STOP = "stop"
    FULL = "full"
    UNSYNCED = "unsynced"
    ROLLBACK = "rollback"
    ROT = "rot"
    JUMP = "jump"
    ABORT = "abort"
    EDIT = "edit"
    TWIN = "twin"


MEANING: Mapping[Kind, str] = {
    Kind.DROP: "a frame is lost, and its connection breaks",
    Kind.DUPLICATE: "a frame arrives twice",
    Kind.DELAY: "a frame is late",
    Kind.REORDER: "a frame is overtaken by later ones",
    Kind.FLIP: "a bit of a frame flips; the receiver's transport finds it, and the connection breaks",
    Kind.PARTITION: "a link is down for a while",
    Kind.CRASH: "a machine dies, and what it had not committed is gone",
    Kind.STOP: "a program is stopped as by its operator, and started again",
    Kind.FULL: "a disk is full for a while",
    Kind.UNSYNCED: "a disk lies about what it has written: at the next crash that is gone",
    Kind.ROLLBACK: "a machine dies, and comes back with an older state of its disk",
    Kind.ROT: "a machine dies, and a bit of its disk has flipped, or a file is gone",
    Kind.JUMP: "a clock is set forwards or backwards",
    Kind.ABORT: "the cloud's operator ends a purchase",
    Kind.EDIT: "the cloud's operator changes its terms, and starts it again",
    Kind.TWIN: "a second cloud is started on the books of one that goes on, cut off from everybody",
}

ON_FRAMES = (Kind.DROP, Kind.DUPLICATE, Kind.DELAY, Kind.REORDER, Kind.FLIP, Kind.PARTITION)
ON_MACHINES = (Kind.CRASH, Kind.STOP, Kind.FULL, Kind.JUMP)
ON_DISKS = (Kind.UNSYNCED, Kind.ROLLBACK, Kind.ROT)
BY_OPERATORS = (Kind.ABORT, Kind.EDIT, Kind.TWIN)
"""Faults of links, of machines, those that take away what a machine had committed, and what an operator does."""


def strikes(kind: Kind, place: str) -> bool:
    """Whether a kind of fault can strike at a place: some only on links, and some only at the cloud."""
    if kind in BY_OPERATORS:
        return place.startswith("cloud/")
    return kind not in ON_FRAMES or place.endswith(("/question", "/answer", "/call"))


@dataclass(frozen=True)
class Fault:
    """One fault: what goes wrong at which point.

    A point is a place, such as ``cloud/sql`` or ``seller-4/answer``, and how often it was passed before.

    Attributes:
        amount: 0 to 1: how long, how far or where, each kind in its own units.
    """

    place: str
    number: int
    kind: Kind
    amount: float

    def __str__(self) -> str:
        return f"{self.place}:{self.number}:{self.kind}:{self.amount:.4f}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; ValueError when it is none."""
        place, number, kind, amount = text.split(":")
        return cls(place, int(number), Kind(kind), float(amount))


MOST = 200
"""Faults that are drawn in one run at most."""


class Schedule:
    """Decides at each point whether something goes wrong there, and remembers what did.

    Drawn: each place has a generator of its own, so that what happens in one place does not move what happens in
    another. Replayed: exactly the given faults.

    Args:
        seed: For drawing.
        replayed: Faults to replay instead.
        most: How many are drawn at most.
        rate: How often something goes wrong, next to `RATES`.

    Attributes:
        struck: What went wrong, in order.
    """

    RATES: Mapping[str, float] = {
        "question": 0.3,
        "answer": 0.3,
        "call": 0.3,
        "sql": 0.003,
        "commit": 0.02,
        "file": 0.08,
    }
    """How often something goes wrong, by the last part of the place."""

    def __init__(self, seed: str, replayed: Iterable[Fault] | None = None, most: int = MOST, rate: float = 1.0) -> None:
        self._seed = seed
        self._replayed = None if replayed is None else {(each.place, each.number): each for each in replayed}
        self._most, self._rate = most, rate
        self._passed: Counter[str] = Counter()
        self._generators: dict[str, random.Random] = {}
        weather = random.Random(f"{seed}/weather")
        chances = dict.fromkeys(ON_FRAMES, 0.8) | dict.fromkeys(ON_MACHINES, 0.7) | dict.fromkeys(ON_DISKS, 0.15)
        chances |= dict.fromkeys(BY_OPERATORS, 0.5)
        self._kinds = [kind for kind, chance in chances.items() if weather.random() < chance]
        self.struck: list[Fault] = []
        self.over = False

    def at(self, place: str) -> Fault | None:
        """Pass a point; returns what goes wrong there."""
        number = self._passed[place]
        self._passed[place] += 1
        fault = self._draw(place, number) if self._replayed is None else self._replayed.get((place, number))
        return None if self.over else fault

    def strike(self, fault: Fault) -> None:
        """Remember that a fault took effect."""
        self.struck.append(fault)

    def _draw(self, place: str, number: int) -> Fault | None:
        if place not in self._generators:
            self._generators[place] = random.Random(f"{self._seed}/{place}")
        generator = self._generators[place]
        drawn, amount, choice = generator.random(), generator.random(), generator.random()
        rate = self._rate * self.RATES[place.rpartition("/")[2]]
        if drawn >= rate or len(self.struck) >= self._most:
            return None
        kinds = [kind for kind in self._kinds if strikes(kind, place)]
        if not kinds:
            return None
        return Fault(place, number, kinds[int(choice * len(kinds))], int(10_000 * amount) / 10_000)
