"""One run: a town, its faults, and which promises were broken."""

import re
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from simulations.faults.federate import FederateTown
from simulations.faults.pool import PoolTown
from simulations.faults.purchase.town import PurchaseTown
from simulations.faults.schedule import MOST, Fault, Schedule
from simulations.faults.town import Event, Town, Violation

TOWNS: dict[str, type[Town]] = {"purchase": PurchaseTown, "federate": FederateTown, "pool": PoolTown}
"""The town of each workflow."""

_REPLAY = re.compile(r"seed=(?P<seed>[^,\s]+), (without=(?P<without>[^,\s]+), )?faults=(?P<faults>\S*)")


@dataclass(frozen=True)
class Replay:
    """What makes a run happen again: its seed, who is left out, and the faults that strike in it."""

    seed: str
    faults: tuple[Fault, ...]
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        without = f"without={'+'.join(self.without)}, " if self.without else ""
        return f"seed={self.seed}, {without}faults={','.join(map(str, self.faults))}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote; ValueError when it is none."""
        found = _REPLAY.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text[:80]!r} is no replay, which reads seed=..., faults=...")
        faults = tuple(Fault.parse(each) for each in found["faults"].split(",") if each)
        return cls(found["seed"], faults, tuple((found["without"] or "").split("+")) if found["without"] else ())


@dataclass(frozen=True)
class Result:
    """A run's outcome.

    Attributes:
        replay: The faults that took effect, in order.
        digest: A hash of all that happened.
        outcomes: What became of what was begun.
        parties: Who was there.
        events: All that happened, where a promise was broken, or the run was a replay.
    """

    workflow: str
    replay: Replay
    digest: str
    violations: tuple[Violation, ...]
    outcomes: Counter[str]
    parties: tuple[str, ...]
    events: tuple[Event, ...]

    @property
    def kinds(self) -> Counter[str]:
        """How many faults of each kind took effect."""
        return Counter(str(fault.kind) for fault in self.replay.faults)


def run(
    workflow: str,
    seed: str,
    faults: Iterable[Fault] | None = None,
    without: Collection[str] = (),
    most: int = MOST,
) -> Result:
    """Play a town once.

    Args:
        workflow: A key of `TOWNS`.
        seed: Everything follows from it.
        faults: Those to replay; None draws them from the seed.
        without: Names of parties that are left out.
        most: Faults that are drawn at most.
    """
    kind = TOWNS[workflow]
    schedule = Schedule(seed, faults, most, kind.RATE)
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None, ignore_cleanup_errors=True) as folder,
        ExitStack() as closing,
    ):
        town = kind(seed, Path(folder), schedule, without)
        closing.callback(town.close)
        try:
            town.play()
            became = town.outcomes()
        except KeyboardInterrupt:
            closing.pop_all()  # it may be a task's turn, which nobody can take back: tasks end with this process
            raise
    return Result(
        workflow,
        Replay(seed, tuple(schedule.struck), tuple(without)),
        town.digest(),
        tuple(town.violations),
        became,
        tuple(machine.name for machine in town.parties.values()),
        tuple(town.events) if town.violations or faults is not None else (),
    )
