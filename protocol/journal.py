"""The journal: the input of workflows, from which they are replayed after a crash.

A workflow is a function of its secret, of the answers it gets and of its readings (the clock,
settings). These are recorded as they come in. After a crash the cloud replays its unfinished workflows:
what is on record is not asked again. Effects have a key (in the ledger) or a hash (in the vault), and
happen once however often they are repeated.

A workflow's time stands still while the cloud is down: it counts the seconds for which the cloud has listened, and is
on record with the answers. So no party is late by an outage of the cloud, or by a jump of its clock.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, func, insert, select, update

from protocol.errors import ProtocolError
from protocol.exchange import LOST
from protocol.messages.base import ProtocolMessage
from protocol.storage.database import Database
from protocol.storage.ledger import Posting
from protocol.storage.tables import blobs, journal, workflows
from protocol.storage.vault import Vault

R = TypeVar("R", bound=ProtocolMessage)

_OF: BindParameter[Any] = bindparam("of")
_NOW: BindParameter[Any] = bindparam("now")
_WORKFLOW = select(workflows).where(workflows.c.name == _OF)
_STATE = select(workflows.c.state).where(workflows.c.name == _OF)
_ENTRIES = select(journal).where(journal.c.workflow == _OF).order_by(journal.c.number, journal.c.node)
_REACH = update(workflows).where(workflows.c.name == _OF, workflows.c.step < _NOW).values(step=_NOW)
_HEAR = update(workflows).where(workflows.c.name == _OF, workflows.c.heard_at < _NOW).values(heard_at=_NOW)
_OWNER = select(blobs.c.workflow).where(blobs.c.digest == _OF)
_BLOBS = select(blobs.c.digest).where(blobs.c.workflow == _OF)
_BEGIN, _RECORD, _OWN = insert(workflows), insert(journal), insert(blobs)
_FORGET, _DISOWN = delete(journal).where(journal.c.workflow == _OF), delete(blobs).where(blobs.c.workflow == _OF)

_log = logging.getLogger(__name__)


class JournalMismatch(ProtocolError):
    """The journal is of another workflow than the one that is replayed."""


class Interrupted(Exception):
    """The program is stopping; the workflow resumes here after a restart."""


class WorkflowState(StrEnum):
    """The state of a workflow; it leaves `OPEN` once, for good."""

    OPEN = "open"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkflowRow:
    """A workflow that was begun: its name, which one it is, for which node, its step, when it began, why it failed.

    `heard_at` is the workflow's own time.
    """

    name: str
    workflow: str
    opener: int
    state: WorkflowState
    step: int
    begun_at: float
    heard_at: float
    note: str


@dataclass(frozen=True)
class Entry:
    """What one party answered to one question, packed, or why it did not; or a reading.

    `blobs` are the vault's names of values that were too large to be packed.
    """

    failure: str | None
    content: bytes | None
    blobs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Recorded:
    """What is on record of one question or reading: its kind, and entries by node."""

    kind: str
    entries: dict[int, Entry]


OPENING, _ATTACHED, _NOTHING = 0, "attached", Entry(None, None)
"""The number and kind of the entries that a workflow is opened with, those of the nodes that were there then.

Its questions and readings have higher numbers.
"""


class Journal:
    """All workflows that a cloud has begun, and the entries of those that are open.

    Args:
        database: The cloud's, with its ledger.
        vault: Where large values are; each belongs to one workflow, and goes when that has ended.

    Examples:
        >>> from protocol.storage.ledger import Ledger
        >>> journal = Journal(Ledger().database, Vault("memory://journal"))
        >>> journal.begin("p1", "purchase", opener=7, now=1000.0), journal.begin("p1", "purchase", opener=7, now=2000.0)
        (True, False)
        >>> journal.end("p1", WorkflowState.ENDED)
        True
        >>> [(row.name, str(row.state)) for row in journal.workflows()]
        [('p1', 'ended')]
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self.vault = vault
        self._database = database

    def begin(self, name: str, workflow: str, opener: int, now: float, attached: Collection[int] = ()) -> bool:
        """Open a workflow; False when one of this name was begun before.

        Args:
            attached: Node ids of who is there, whom the workflow waits for if the cloud is restarted at once.
        """
        with self._database.transaction() as connection:
            if connection.scalar(_STATE, {"of": name}) is not None:
                return False
            row = WorkflowRow(name, workflow, opener, WorkflowState.OPEN, step=0, begun_at=now, heard_at=now, note="")
            connection.execute(_BEGIN, [vars(row)])
            if attached:
                connection.execute(_RECORD, [_row(name, OPENING, _ATTACHED, node) for node in attached])
            return True

    def workflows(self, state: WorkflowState | None = None) -> list[WorkflowRow]:
        """Return the workflows, or those in one state, in the order they were begun."""
        query = select(workflows).order_by(workflows.c.begun_at, workflows.c.name)
        rows = self._database.read(query if state is None else query.where(workflows.c.state == state))
        return [_workflow(row) for row in rows]

    def latest(self, most: int, without: int = 0) -> list[WorkflowRow]:
        """Return the workflows that are open and then the latest others, at most so many, without the first of them."""
        is_open = workflows.c.state == WorkflowState.OPEN
        order = (is_open.desc(), workflows.c.begun_at.desc(), workflows.c.name)
        return [
            _workflow(row)
            for row in self._database.read(select(workflows).order_by(*order).limit(most).offset(without))
        ]

    def counts(self) -> dict[WorkflowState, int]:
        """Count the workflows by their state."""
        count = func.count().label("number")
        rows = self._database.read(select(workflows.c.state, count).group_by(workflows.c.state))
        return {WorkflowState(row.state): row.number for row in rows}

    def begun(self, name: str) -> bool:
        """Whether a workflow of this name was ever begun."""
        return bool(self._database.read(_STATE, of=name))

    def workflow(self, name: str) -> WorkflowRow:
        """Return one workflow; KeyError when there is none of this name."""
        rows = self._database.read(_WORKFLOW, of=name)
        if not rows:
            raise KeyError(f"there is no workflow {name}")
        return _workflow(rows[0])

    def reach(self, name: str, step: int) -> None:
        """Note a workflow's step; replays do not go back."""
        with self._database.transaction() as connection:
            connection.execute(_REACH, {"of": name, "now": step})

    def end(self, name: str, state: WorkflowState, note: str = "", through: int | None = None) -> bool:
        """Close an open workflow, give back what it still holds, and delete its entries, all at once.

        Args:
            through: The last step in which it may be closed; None: in any.

        Returns:
            Whether it was open, and no further.
        """
        with self._database.transaction() as connection:
            closing = (workflows.c.name == name) & (workflows.c.state == WorkflowState.OPEN)
            if through is not None:
                closing &= workflows.c.step <= through
            if not connection.execute(update(workflows).where(closing).values(state=state, note=note)).rowcount:
                return False
            posting = Posting(connection)
            if held := posting.pending(name):
                if state is WorkflowState.ENDED:
                    _log.error("workflow %s has ended with %d escrows unresolved; they go back", name, len(held))
                posting.void(held)
            connection.execute(_FORGET, {"of": name})
        self._drop_blobs(name)
        return True

    def hear(self, name: str, now: float) -> None:
        """Record the time of a workflow; it never goes back."""
        with self._database.transaction() as connection:
            _hear(connection, name, now)

    def tidy(self, before: float) -> int:
        """Remove blobs of no open workflow that are older than `before` (Unix seconds); return how many."""
        ended = select(blobs.c.workflow).distinct().join(workflows).where(workflows.c.state != WorkflowState.OPEN)
        for row in self._database.read(ended):
            self._drop_blobs(row.workflow)
        return self.vault.sweep({row.digest for row in self._database.read(select(blobs.c.digest))}, before)

    def recorded(self, name: str) -> dict[int, Recorded]:
        """Return all that is on record of a workflow, by number."""
        record: dict[int, Recorded] = {}
        for row in self._database.read(_ENTRIES, of=name):
            of = record.setdefault(row.number, Recorded(row.kind, {}))
            of.entries[row.node] = Entry(row.failure, None if row.content is None else bytes(row.content))
        return record

    def write(self, name: str, number: int, kind: str, entries: Mapping[int, Entry], now: float) -> dict[int, Entry]:
        """Record answers to a question, or a reading, and the workflow's time; all are committed when this returns.

        An answer that brings a blob of another workflow is no answer: no two honest ones are the same,
        and a blob goes when the workflow that it belongs to ends.

        Returns:
            What was written.

        Raises:
            Interrupted: When the workflow has ended meanwhile, as by an operator.
        """
        with self._database.transaction() as connection:
            if connection.scalar(_STATE, {"of": name}) != WorkflowState.OPEN:
                raise Interrupted
            written = {node: self._claimed(connection, name, entry) for node, entry in entries.items()}
            rows = [_row(name, number, kind, node, entry) for node, entry in written.items()]
            connection.execute(_RECORD, rows)
            _hear(connection, name, now)
        return written

    def _claimed(self, connection: Connection, name: str, entry: Entry) -> Entry:
        for digest in sorted(entry.blobs):
            owner = connection.scalar(_OWNER, {"of": digest})
            if owner not in (None, name):
                return Entry("it brings a blob that belongs to another workflow", None)
            if digest not in self.vault:
                return Entry(LOST, None)
            if owner is None:
                connection.execute(_OWN, [{"digest": digest, "workflow": name}])
        return entry

    def _drop_blobs(self, name: str) -> None:
        """Delete files before rows, both before another workflow can claim them."""
        with self._database.transaction() as connection:
            for digest in connection.scalars(_BLOBS, {"of": name}).all():
                self.vault.delete(digest)
            connection.execute(_DISOWN, {"of": name})


def _row(name: str, number: int, kind: str, node: int, entry: Entry = _NOTHING) -> dict[str, Any]:
    return {
        "workflow": name,
        "number": number,
        "node": node,
        "kind": kind,
        "failure": entry.failure,
        "content": entry.content,
    }


def _hear(connection: Connection, name: str, now: float) -> None:
    connection.execute(_HEAR, {"of": name, "now": now})


def _workflow(row: Row[Any]) -> WorkflowRow:
    state = WorkflowState(row.state)
    return WorkflowRow(row.name, row.workflow, row.opener, state, row.step, row.begun_at, row.heard_at, row.note)
