"""The privacy ledger: what has left a party of which subject, and how much of each budget that took.

Entries are chained by hashes, in the party's own database, and committed before the answer leaves. The same question
about the same subject is one entry however often and under whatever name it is asked, as noise derives from the whole
question and the answer is the same. Another question costs anew.
"""

import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, Row, delete, insert, select

from parties.policy.settings import Budgets
from parties.store import PARTY, shown, spent
from protocol.errors import PolicyRefusal
from protocol.storage.database import Database
from strategies.privacy.composition import ORDERS, Loss

Kind = Literal["image", "person", "life", "round", "adopted"]
EVERYBODY = b""
"""The subject of an entry about all subjects of its kind."""
NAMES = {"image": "an image", "person": "a person", "life": "this party's life"}
"""Kinds of subjects that have budgets."""
_LABEL = b"parley privacy ledger 1\0"
_NUMBERS = struct.Struct(">qdd")
START = hashlib.sha256(_LABEL).digest()
"""What the first entry is chained to."""


@dataclass(frozen=True)
class Release:
    """What an answer tells of one subject.

    Attributes:
        kind, subject: Of which: an image by the hash of its pixels, a person, the party (`EVERYBODY`: all of the kind);
            or the round of a training that was answered.
        question: Hash of the whole question: mechanism, parameters, and what it was asked about.
        what: Mechanism and parameters, as text.
        loss: None: nothing is promised, and nothing is counted.
    """

    kind: Kind
    subject: bytes
    question: bytes
    what: str
    loss: Loss | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the ledger."""

    number: int
    at: float
    release: Release
    hash: bytes


@dataclass
class _Read:
    """What has been read of a ledger: its last entry, the number of rounds, and what is lost and known of subjects."""

    count: int = 0
    hash: bytes = START
    rounds: int = 0
    totals: dict[tuple[Kind, bytes], Loss] = field(default_factory=dict)
    known: dict[tuple[Kind, bytes], set[bytes]] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        release = entry.release
        key = (release.kind, release.subject)
        self.count, self.hash = entry.number, entry.hash
        self.rounds += release.kind == "round"
        self.known.setdefault(key, set()).add(release.question)
        if release.loss is not None:
            self.totals[key] = self.totals.get(key, Loss.none()) + release.loss


class Ledger:
    """What has left one party.

    Args:
        database: The party's; None: one in memory, which is made when something is spent. Only then it can be pickled.
        clock: Unix time.
    """

    def __init__(self, database: Database | None = None, clock: Callable[[], float] = time.time) -> None:
        self._own, self._clock = database, clock
        self._made: Database | None = None
        self._turn = threading.RLock()
        self._read = _Read()

    def __getstate__(self) -> dict[str, Any]:
        if self._own is not None or self._read.count:
            raise TypeError("a privacy ledger that was written to stays where it is")
        return {"clock": self._clock}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(None, state["clock"])  # type: ignore[misc]

    def spend(self, releases: Sequence[Release], budgets: Budgets, most_rounds: int = 2**62) -> None:
        """Write down what an answer tells, unless that is more than budgets allow; then nothing is.

        Raises:
            PolicyRefusal: When it is, or the ledger is older than the cloud was told.
        """
        with self._open() as connection:
            self._check(connection, releases, budgets, most_rounds)
            for release in list(self._new(releases)):
                self._append(connection, release)

    def check(self, releases: Sequence[Release], budgets: Budgets, most_rounds: int = 2**62) -> None:
        """Refuse what `spend` would, and write nothing."""
        with self._open() as connection:
            self._check(connection, releases, budgets, most_rounds)

    def head(self) -> tuple[int, bytes]:
        """Return the number and the hash of the last entry; (0, `START`) when there is none."""
        if self._own is None and self._made is None:
            return 0, START
        with self._open():
            return self._read.count, self._read.hash

    def saw(self, count: int, head: bytes) -> None:
        """Take note of a head of this ledger, signed by this party, that the cloud has shown."""
        with self._open() as connection:
            if count > (self._seen(connection) or (0, b""))[0]:
                connection.execute(delete(shown))
                connection.execute(insert(shown), [{"reached": count, "head": head}])

    def behind(self) -> str | None:
        """Say why this ledger is not the one that the cloud has shown, None if it is."""
        with self._open() as connection:
            return self._behind(connection)

    def adopt(self) -> None:
        """Go on with this ledger although it is not the one that the cloud has shown: what it lacks is not counted."""
        with self._open() as connection:
            seen = self._seen(connection)
            if seen is not None and self._behind(connection) is not None:
                self._read.count = max(self._read.count, seen[0])
                self._append(connection, Release("adopted", EVERYBODY, seen[1], "an older ledger was adopted"))

    def entries(self, last: int | None = None) -> list[Entry]:
        """Return the last entries, in order; None: all."""
        query = select(spent).order_by(spent.c.number.desc()).limit(last)
        return [_entry(row) for row in reversed(self._database().read(query))]

    def losses(self) -> dict[tuple[Kind, bytes], Loss]:
        """Return what has been lost of each subject, by kind and subject."""
        self.head()
        return {(kind, subject): self._total(kind, subject) for kind, subject in self._read.totals}

    @contextmanager
    def _open(self) -> Iterator[Connection]:
        """Begin a transaction that has read all entries; what it does not commit is forgotten."""
        with self._turn:
            try:
                with self._database().transaction() as connection:
                    self._catch_up(connection)
                    yield connection
            except PolicyRefusal:
                raise
            except BaseException:
                self._read = _Read()
                raise

    def _database(self) -> Database:
        if self._own is not None:
            return self._own
        if self._made is None:
            self._made = Database("sqlite://", PARTY)
        return self._made

    def _catch_up(self, connection: Connection) -> None:
        """Read what was written since, by this process or another, and check its chain."""
        query = select(spent).where(spent.c.number > self._read.count).order_by(spent.c.number)
        for row in connection.execute(query):
            entry = _entry(row)
            if entry.hash != _chained(self._read.hash, entry.number, entry.at, entry.release):
                raise PolicyRefusal(f"entry {entry.number} of this party's privacy ledger is not as it was written")
            self._read.take(entry)

    def _append(self, connection: Connection, release: Release) -> None:
        number, at = self._read.count + 1, self._clock()
        entry = Entry(number, at, release, _chained(self._read.hash, number, at, release))
        connection.execute(insert(spent), [_row(entry)])
        self._read.take(entry)

    def _new(self, releases: Iterable[Release]) -> Iterator[Release]:
        return (each for each in releases if each.question not in self._read.known.get((each.kind, each.subject), ()))

    def _check(self, connection: Connection, releases: Sequence[Release], budgets: Budgets, rounds: int) -> None:
        new = list(self._new(releases))
        if not new:
            return
        if (why := self._behind(connection)) is not None:
            raise PolicyRefusal(why)
        asked: dict[tuple[Kind, bytes], Loss] = {}
        for each in new:
            key = (each.kind, each.subject)
            if each.kind == "round":
                self._check_round(each, rounds)
            if each.loss is not None:
                asked[key] = asked.get(key, Loss.none()) + each.loss
        for (kind, subject), loss in asked.items():
            budget: float | None = getattr(budgets, kind)
            if budget is None:
                continue
            others = asked.get((kind, EVERYBODY), Loss.none()) if subject != EVERYBODY else Loss.none()
            whom = [subject] if subject != EVERYBODY else self._subjects(kind)
            most = max((self._total(kind, each) + loss + others).epsilon(budgets.delta) for each in whom)
            if most > budget * (1 + 1e-9):
                before = max(self._total(kind, each).epsilon(budgets.delta) for each in whom)
                raise PolicyRefusal(
                    f"{new[0].what} would bring the epsilon of {NAMES[kind]} from {before:.4g} to {most:.4g}, and its"
                    f" budget is {budget:g} at delta {budgets.delta:g}"
                )

    def _check_round(self, asked: Release, most: int) -> None:
        if self._read.known.get((asked.kind, asked.subject)):
            raise PolicyRefusal(f"this round was answered already, and not as {asked.what}: each gets one answer")
        if self._read.rounds >= most:
            raise PolicyRefusal(f"{self._read.rounds} rounds of training were answered, and {most} are allowed")

    def _subjects(self, kind: Kind) -> list[bytes]:
        return [EVERYBODY, *(subject for other, subject in self._read.totals if other == kind and subject != EVERYBODY)]

    def _total(self, kind: Kind, subject: bytes) -> Loss:
        total = self._read.totals.get((kind, EVERYBODY), Loss.none())
        return total if subject == EVERYBODY else total + self._read.totals.get((kind, subject), Loss.none())

    def _seen(self, connection: Connection) -> tuple[int, bytes] | None:
        row = connection.execute(select(shown)).one_or_none()
        return None if row is None else (row.reached, bytes(row.head))

    def _behind(self, connection: Connection) -> str | None:
        seen = self._seen(connection)
        if seen is None or self._read.known.get(("adopted", EVERYBODY), set()) & {seen[1]}:
            return None
        count, head = seen
        found = connection.scalar(select(spent.c.hash).where(spent.c.number == count))
        if found is not None and bytes(found) == head:
            return None
        return (
            f"this party's privacy ledger has {self._read.count} entries, and the cloud was told of another one with"
            f" {count}: restore the latest copy of its state, or go on without by `parley privacy --kit KIT --adopt`"
        )


def _chained(previous: bytes, number: int, at: float, release: Release) -> bytes:
    loss = release.loss
    parts = (
        release.kind.encode(),
        release.subject,
        release.question,
        release.what.encode(),
        b"" if loss is None else _written(loss),
    )
    numbers = _NUMBERS.pack(number, at, 0.0 if loss is None else loss.delta)
    sized = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.sha256(_LABEL + previous + numbers + sized).digest()


def _written(loss: Loss) -> bytes:
    return loss.divergences.astype("<f8").tobytes()


def _row(entry: Entry) -> dict[str, Any]:
    release = entry.release
    return {
        "number": entry.number,
        "at": entry.at,
        "kind": release.kind,
        "subject": release.subject,
        "question": release.question,
        "what": release.what,
        "divergences": None if release.loss is None else _written(release.loss),
        "delta": 0.0 if release.loss is None else release.loss.delta,
        "hash": entry.hash,
    }


def _entry(row: Row[Any]) -> Entry:
    loss = None
    if row.divergences is not None:
        divergences = np.frombuffer(row.divergences, "<f8")
        if len(divergences) != len(ORDERS):
            raise PolicyRefusal(f"entry {row.number} of this party's privacy ledger is not as it was written")
        loss = Loss(divergences.astype(np.float64), row.delta)
    release = Release(row.kind, bytes(row.subject), bytes(row.question), row.what, loss)
    return Entry(row.number, row.at, release, bytes(row.hash))
