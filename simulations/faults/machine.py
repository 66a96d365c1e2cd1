"""A machine: a program with a disk, a clock and links, which may die and comes back."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from protocol.storage.files import disk_failure
from simulations.faults.disk import Disk, Image
from simulations.faults.schedule import Fault, Kind
from simulations.faults.virtual import START, Killed

if TYPE_CHECKING:
    from simulations.faults.town import Town

DOWNTIME, FULL, JUMP = (0.5, 15.0), (1.0, 20.0), 7_200.0
"""Seconds for which a machine is down, and a disk full, at least and at most; the farthest that a clock is set."""
BACKUPS = 25
"""Commits after which an image of a disk is taken, for a rollback."""


class Machine:
    """A machine of the town; what runs on it is made anew at each boot, from its disk alone.

    Attributes:
        name: As in the places of faults.
        alive: Whether its program runs.
        lost: Kinds of faults that took away what it had committed, or changed its disk.
        down: Seconds for which it was not there, or could not write.
    """

    def __init__(self, town: "Town", name: str) -> None:
        self.town = town
        self.name = name
        self.alive = False
        self.skew = 0.0
        self.lost: set[Kind] = set()
        self.down = 0.0
        self.disk = Disk(town.folder / name, self.point)
        self._commits = 0
        self._backups: list[Image] = []
        self._lie: tuple[Fault, Image] | None = None
        self._harm: Fault | None = None

    def clock(self) -> float:
        """Return the time that its clock shows, Unix seconds."""
        return START + self.town.agenda.now + self.skew

    def boot(self) -> None:
        """Start its program."""
        self.alive = True
        self.town.note(self.name, "starts")
        try:
            self.begin()
            if not self._backups:
                self.back_up()
        except Killed:
            return
        except Exception as error:
            self.unbootable(error)

    def begin(self) -> None:
        """Make the program from the disk, and run it."""
        raise NotImplementedError

    def end(self) -> None:
        """Unwind what is left of a program that has died, or stop one that runs."""

    def leave(self) -> None:
        """Break its connections."""

    def harmed(self) -> None:
        """Called before a bit of the disk flips."""

    def set_back(self) -> None:
        """Called when the disk has become what it was earlier."""

    def unbootable(self, error: Exception) -> None:
        """Try again while the disk is full; its operator restores the last backup, where the disk was harmed."""
        if disk_failure(error) is not None:
            return self.die(5.0)
        if not self.lost or not self._backups:
            self.town.violated("exception", f"{self.name} does not start: {type(error).__name__}: {error}")
        self.town.note(self.name, f"does not start: {type(error).__name__}")
        self._harm = Fault(self.name, 0, Kind.ROLLBACK, 1.0) if self._backups else None
        return self.die(5.0)

    def point(self, kind: str) -> None:
        """Pass a point of the program; raises `Killed` when it dies there, or has died before."""
        if not self.alive:
            raise Killed(self.name)
        if kind == "commit":
            self._commits += 1
            if self._commits % BACKUPS == 0:
                self.town.agenda.after(0.0, self.back_up)
        fault = self.town.schedule.at(f"{self.name}/{kind}")
        if fault is not None:
            self.suffer(fault)
            if not self.alive:
                raise Killed(self.name)

    def back_up(self) -> None:
        """Keep an image of the disk."""
        if self.alive and self._lie is None:
            self._backups.append(self.disk.image())

    def suffer(self, fault: Fault) -> None:
        """Let a fault take effect."""
        amount, agenda = fault.amount, self.town.agenda
        low, high = DOWNTIME
        match fault.kind:
            case Kind.CRASH:
                self.town.strike(fault, self.name)
                self.die(low + amount * (high - low))
            case Kind.STOP:
                self.town.strike(fault, self.name)
                agenda.after(0.0, self.stop)
            case Kind.FULL if not self.disk.full:
                self.town.strike(fault, self.name)
                self.disk.fill()
                seconds = FULL[0] + amount * (FULL[1] - FULL[0])
                self.down += seconds
                agenda.after(seconds, self.disk.make_room)
            case Kind.JUMP:
                self.town.strike(fault, self.name)
                self.skew += (2 * amount - 1) * JUMP
            case Kind.UNSYNCED if self._lie is None:
                agenda.after(0.0, lambda: self._begin_lie(fault))
            case Kind.ROLLBACK | Kind.ROT if self._backups:
                self.town.strike(fault, self.name)
                self._harm = fault
                self.die(low + amount * (high - low))

    def die(self, downtime: float) -> None:
        """Stop at once."""
        if not self.alive:
            return
        self.alive = False
        self.down += downtime
        self.leave()
        self.town.agenda.after(0.0, lambda: self._bury(downtime))

    def stop(self) -> None:
        """Stop the program as its operator does, and start it again."""
        if self.alive:
            self.end()
            self.die(1.0)

    def _begin_lie(self, fault: Fault) -> None:
        if self.alive and self._lie is None:
            self._lie = fault, self.disk.image()

    def _bury(self, downtime: float) -> None:
        self.end()
        self.disk.crash()
        if self._lie is not None:
            fault, image = self._lie
            self._lie = None
            self.town.strike(fault, self.name)
            self.lost.add(Kind.UNSYNCED)
            self.disk.restore(image)
            self.set_back()
        if self._harm is not None:
            self.lost.add(self._harm.kind)
            if self._harm.kind is Kind.ROLLBACK:
                self.disk.restore(
                    self._backups[min(int(self._harm.amount * len(self._backups)), len(self._backups) - 1)]
                )
                self.set_back()
            else:
                self.harmed()
                self.disk.restore(rotten(self.disk.image(), self._harm.amount))
            self._harm = None
        self.town.agenda.after(downtime, self.boot)


def rotten(image: Image, amount: float) -> Image:
    """Return a disk's image with one bit flipped, in the database or in one of the files, or without one of these."""
    files, choice = list(image.files.items()), int(amount * 10_000)
    name, content = files[choice // 4 % len(files)] if files and choice % 2 else ("", image.database)
    if name and choice % 4 == 1:
        return Image(image.database, {path: each for path, each in files if path != name})
    if not content:
        return image
    damaged = bytearray(content)
    bit = int(amount * 8 * len(content))
    damaged[bit // 8] ^= 1 << bit % 8
    if not name:
        return Image(bytes(damaged), image.files)
    return Image(image.database, image.files | {name: bytes(damaged)})


@contextmanager
def watched_files(machines: dict[str, Machine], root: Path) -> Iterator[None]:
    """Let each file call of a machine's program be a point, and fail where its disk is full."""
    prefix = f"{root}/"

    def visit(path: object, writes: bool) -> None:
        text = str(path)
        if not text.startswith(prefix):
            return
        machine = machines[text[len(prefix) :].partition("/")[0]]
        machine.point("file")
        if writes and machine.disk.full:
            raise OSError(errno.ENOSPC, "No space left on device", text)

    def opening(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            path, mode = (
                (args[0], args[1] if len(args) > 1 else kwargs.get("mode", "rb"))
                if isinstance(first, LocalFileSystem)
                else (first, args[0] if args else kwargs.get("mode", "r"))
            )
            if any(letter in mode for letter in "wax+"):
                visit(path, True)
            return original(first, *args, **kwargs)

        return call

    def changing(original: Callable[..., Any], writes: bool) -> Callable[..., Any]:
        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            visit(args[0] if isinstance(first, LocalFileSystem) else first, writes)
            return original(first, *args, **kwargs)

        return call

    patches: list[tuple[Any, str, Any]] = [
        (LocalFileSystem, "open", opening(LocalFileSystem.open)),
        (LocalFileSystem, "mv", changing(LocalFileSystem.mv, True)),
        (LocalFileSystem, "rm_file", changing(LocalFileSystem.rm_file, False)),
        (Path, "open", opening(Path.open)),
        (Path, "replace", changing(Path.replace, True)),
    ]
    originals = [(owner, name, owner.__dict__.get(name)) for owner, name, _ in patches]
    for owner, name, patch in patches:
        setattr(owner, name, patch)
    try:
        yield
    finally:
        for owner, name, original in originals:
            delattr(owner, name) if original is None else setattr(owner, name, original)
