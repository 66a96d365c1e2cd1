"""One run: a town, its faults, and which promises were broken."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from simulations.faults.oracles import check, outcomes
from simulations.faults.schedule import Fault, Schedule
from simulations.faults.town import Event, Town, Violation

_REPLAY = re.compile(r"seed=(?P<seed>[^,\s]+)[,\s]+faults=(?P<faults>\S*)")


@dataclass(frozen=True)
class Replay:
    """What makes a run happen again: its seed, and the faults that strike in it."""

    seed: str
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        return f"seed={self.seed}, faults={','.join(map(str, self.faults))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; ValueError when it is none."""
        found = _REPLAY.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text[:80]!r} is no replay; it begins with seed=..., faults=...")
        return cls(found["seed"], tuple(Fault.parse(each) for each in found["faults"].split(",") if each))


@dataclass(frozen=True)
class Result:
    """A run's outcome.

    Attributes:
        replay: The faults that took effect, in order.
        digest: A hash of all that happened.
        outcomes: What became of purchases and pictures.
    """

    replay: Replay
    digest: str
    violations: tuple[Violation, ...]
    outcomes: Counter[str]
    events: tuple[Event, ...]

    @property
    def kinds(self) -> Counter[str]:
        """How many faults of each kind took effect."""
        return Counter(str(fault.kind) for fault in self.replay.faults)


def run(seed: str, faults: Iterable[Fault] | None = None, most: int = 60) -> Result:
    """Play a town once.

    Args:
        seed: Everything follows from it.
        faults: Those to replay; None draws them from the seed.
        most: Faults that are drawn at most.
    """
    schedule = Schedule(seed, faults, most)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        town = Town(seed, Path(folder), schedule)
        try:
            town.play()
            check(town)
            became = outcomes(town)
        finally:
            town.close()
    violations = tuple(town.violations)
    return Result(
        Replay(seed, tuple(schedule.struck)),
        town.digest(),
        violations,
        became,
        tuple(town.events) if violations or faults is not None else (),
    )
