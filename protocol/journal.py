"""The journal: the input of workflows, from which they are replayed after a crash.

A workflow is a function of its secret, of the answers it gets and of its readings (the clock, a
balance). These are recorded as they come in. After a crash the cloud replays its unfinished workflows:
what is on record is not asked again. Effects have a key (in the ledger) or a hash (in the vault), and
happen once however often they are repeated.
"""

import json
import math
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from sqlalchemy import Connection, Row, delete, insert, select, update

from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage, reading
from protocol.encoding.records import parts, unpack
from protocol.encoding.streaming import blobs_of, give_up, streams
from protocol.errors import ProtocolError
from protocol.exchange import GRACE, LATE, LOST, SILENT, Exchange, Expected, Failed, messages_for, opened, read_reply
from protocol.messages.base import BlobReference, ProtocolMessage
from protocol.storage.database import Database
from protocol.storage.tables import blobs, journal, workflows
from protocol.storage.vault import BlobDamaged, BlobMissing, Vault

R = TypeVar("R", bound=ProtocolMessage)

_LARGE, _HASH = 65_536, 32
"""Bytes from which any value goes to the vault, and over which one that is called ``blob`` does."""
_AT_ONCE = 16_000_000
"""Bytes of answers that are recorded together, beside the last of them."""
_COUNT, _GAP = struct.Struct(">I"), struct.Struct(">Q32s")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_READING = 0
"""The node under which readings are recorded; parties have higher numbers."""


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
    """A workflow that was begun: its name, which one it is, for which node, its step, when it began, why it failed."""

    name: str
    workflow: str
    opener: int
    state: WorkflowState
    step: int
    begun_at: float
    note: str


@dataclass(frozen=True)
class Entry:
    """What one party answered to one question, packed, or why it did not; or a reading.

    `blobs` are the vault's names of values that were too large to be packed.
    """

    failure: str | None
    content: bytes | None
    blobs: frozenset[str] = frozenset()


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
        >>> [(row.name, str(row.state)) for row in journal.workflows()]
        [('p1', 'ended')]
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self.vault = vault
        self._database = database

    def begin(self, name: str, workflow: str, opener: int, now: float) -> bool:
        """Open a workflow; False when one of this name was begun before."""
        with self._database.transaction() as connection:
            if connection.execute(select(workflows.c.name).where(workflows.c.name == name)).first() is not None:
                return False
            row = WorkflowRow(name, workflow, opener, WorkflowState.OPEN, step=0, begun_at=now, note="")
            connection.execute(insert(workflows), [vars(row)])
            return True

    def workflows(self, state: WorkflowState | None = None) -> list[WorkflowRow]:
        """Return the workflows, or those in one state, in the order they were begun."""
        query = select(workflows).order_by(workflows.c.begun_at, workflows.c.name)
        rows = self._database.read(query if state is None else query.where(workflows.c.state == state))
        return [_workflow(row) for row in rows]

    def workflow(self, name: str) -> WorkflowRow:
        """Return one workflow; KeyError when there is none of this name."""
        rows = self._database.read(select(workflows).where(workflows.c.name == name))
        if not rows:
            raise KeyError(f"there is no workflow {name}")
        return _workflow(rows[0])

    def reach(self, name: str, step: int) -> None:
        """Note a workflow's step; replays do not go back."""
        with self._database.transaction() as connection:
            connection.execute(
                update(workflows).where(workflows.c.name == name, workflows.c.step < step).values(step=step)
            )

    def end(self, name: str, state: WorkflowState, note: str = "") -> None:
        """Close an open workflow, and delete its entries."""
        with self._database.transaction() as connection:
            open_one = (workflows.c.name == name) & (workflows.c.state == WorkflowState.OPEN)
            connection.execute(update(workflows).where(open_one).values(state=state, note=note))
            connection.execute(delete(journal).where(journal.c.workflow == name))
        self._drop_blobs(name)

    def tidy(self, before: float) -> int:
        """Remove blobs of no open workflow that are older than `before` (Unix seconds); return how many."""
        ended = select(blobs.c.workflow).distinct().join(workflows).where(workflows.c.state != WorkflowState.OPEN)
        for row in self._database.read(ended):
            self._drop_blobs(row.workflow)
        return self.vault.sweep({row.digest for row in self._database.read(select(blobs.c.digest))}, before)

    def entries(self, name: str, number: int, kind: str) -> dict[int, Entry]:
        """Return what is on record of one question or reading, by node.

        Raises:
            JournalMismatch: When something else is on record under this number.
        """
        rows = self._database.read(
            select(journal).where(journal.c.workflow == name, journal.c.number == number).order_by(journal.c.node)
        )
        for row in rows:
            if row.kind != kind:
                raise JournalMismatch(
                    f"entry {number} of {name} is {row.kind!r} in the journal, and the workflow now wants "
                    f"{kind!r}: finish open workflows with the program that began them"
                )
        return {row.node: Entry(row.failure, None if row.content is None else bytes(row.content)) for row in rows}

    def write(self, name: str, number: int, kind: str, entries: Mapping[int, Entry]) -> dict[int, Entry]:
        """Record answers to a question, or a reading; they are committed when this returns.

        An answer that brings a blob of another workflow is no answer: no two honest ones are the same,
        and a blob goes when the workflow that it belongs to ends.

        Returns:
            What was written.
        """
        with self._database.transaction() as connection:
            written = {node: self._claimed(connection, name, entry) for node, entry in entries.items()}
            rows = [
                {
                    "workflow": name,
                    "number": number,
                    "node": node,
                    "kind": kind,
                    "failure": entry.failure,
                    "content": entry.content,
                }
                for node, entry in written.items()
            ]
            connection.execute(insert(journal), rows)
        return written

    def _claimed(self, connection: Connection, name: str, entry: Entry) -> Entry:
        for digest in entry.blobs:
            owner = connection.scalar(select(blobs.c.workflow).where(blobs.c.digest == digest))
            if owner not in (None, name):
                return Entry("it brings a blob that belongs to another workflow", None)
            if digest not in self.vault:
                return Entry("it brings a blob that is not there any more", None)
            if owner is None:
                connection.execute(insert(blobs), [{"digest": digest, "workflow": name}])
        return entry

    def _drop_blobs(self, name: str) -> None:
        """Delete files before rows, both before another workflow can claim them."""
        with self._database.transaction() as connection:
            for digest in connection.scalars(select(blobs.c.digest).where(blobs.c.workflow == name)).all():
                self.vault.delete(digest)
            connection.execute(delete(blobs).where(blobs.c.workflow == name))


def _workflow(row: Row[Any]) -> WorkflowRow:
    state = WorkflowState(row.state)
    return WorkflowRow(row.name, row.workflow, row.opener, state, row.step, row.begun_at, row.note)


class JournaledExchange(Exchange):
    """An exchange that records answers as they come in, and replays them after a crash.

    Questions and readings are numbered as the workflow comes to them. Asking takes these steps:

    1. what is on record for the question's number is taken from there;
    2. the other parties are asked, until they have answered or the deadline has passed. Messages name
       workflow and number in their group, so that a party knows a question that it has answered
       before (see `parties.store`);
    3. each answer is on record, with large values in the vault, before the workflow hears of it;
       so is each silence, once the deadline has passed.

    Args:
        grid, clock: See `Exchange`. The grid is asked by `push_messages` and `pull_messages`.
        journal: Where answers are recorded.
        name: The workflow's name.
        stopping: Set when the program stops.
    """

    def __init__(
        self,
        grid: Grid,
        clock: Callable[[], float],
        journal: Journal,
        name: str,
        stopping: threading.Event | None = None,
    ) -> None:
        super().__init__(grid, clock)
        self._journal = journal
        self._name = name
        self._stopping = stopping or threading.Event()
        self._number = 0

    def now(self) -> float:
        """Return the time, Unix seconds, as first read."""
        return float(self._once("now", lambda: repr(self.clock())))

    def node_ids(self) -> list[int]:
        """Return who was attached at the first reading, ascending."""
        ids: list[int] = json.loads(
            self._once("node ids", lambda: json.dumps(super(JournaledExchange, self).node_ids()))
        )
        return ids

    def read(self, kind: str, reading: Callable[[], int]) -> int:
        """Return a number as first read."""
        return int(self._once(kind, lambda: str(reading())))

    def each(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[R],
        deadline: float | None = None,
        absence: float = math.inf,
        until: float = math.inf,
    ) -> Iterator[tuple[int, R | Failed]]:
        """Ask parties, those whose answers are not on record; see `Exchange.each`."""
        number = self._next()
        kind = f"query.{step}"
        entries = self._journal.entries(self._name, number, kind)
        unheard = {node_id: question for node_id, question in questions.items() if node_id not in entries}
        if unheard:
            timeout = self._left(deadline, until)
            ttl = None if timeout is None else timeout + GRACE
            messages = messages_for(self.grid, step, unheard, answer, f"{self._name}/{number}", ttl)
            for arrived in self._hear(messages, timeout, deadline, absence):
                entries |= self._journal.write(self._name, number, kind, arrived)
        for node_id in sorted(questions):
            yield node_id, self._reply(entries[node_id], answer)

    def close(self, vault: Vault, kept: Iterable[str]) -> None:
        """The workflow has ended and will not be played again; the journal knows which blobs were its own."""
        self._journal.end(self._name, WorkflowState.ENDED)

    def _reply(self, entry: Entry, answer: Expected[R]) -> R | Failed:
        try:
            content = None if entry.content is None else self._unpacked(entry.content)
        except (BlobMissing, BlobDamaged):
            return Failed(LOST)
        except UnreadableMessage as error:
            return Failed(str(error))
        return read_reply(content, entry.failure, answer)

    def _next(self) -> int:
        if self._stopping.is_set():
            raise Interrupted
        self._number += 1
        return self._number

    def _once(self, kind: str, reading: Callable[[], str]) -> str:
        number = self._next()
        entries = self._journal.entries(self._name, number, kind)
        if not entries:
            entries = {_READING: Entry(None, reading().encode())}
            self._journal.write(self._name, number, kind, entries)
        return (entries[_READING].content or b"").decode()

    def _hear(
        self, messages: list[Message], timeout: float | None, deadline: float | None, absence: float
    ) -> Iterator[dict[int, Entry]]:
        """Send messages and yield answers as they come in, then the silence of the others."""
        begun = time.monotonic()
        end = math.inf if timeout is None else begun + timeout
        seen = dict.fromkeys((message.metadata.dst_node_id for message in messages), begun)
        ids = set(self.grid.push_messages(messages))
        asked = {message.metadata.dst_node_id: message.metadata.message_id for message in messages}
        pause = _SHORTEST_PAUSE
        while seen:
            arrived, size = {}, 0
            now = time.monotonic()
            for reply in self.grid.pull_messages(ids):
                ids.discard(reply.metadata.reply_to_message_id)
                if seen.pop(reply.metadata.src_node_id, None) is not None:
                    entry = arrived[reply.metadata.src_node_id] = self._entry(*opened(reply), deadline)
                    size += len(entry.content or b"")
                del reply  # a large answer goes before the next one is read
                if size > _AT_ONCE:
                    yield arrived
                    arrived, size = {}, 0
            if not arrived:
                if absence < math.inf:
                    seen |= dict.fromkeys(seen.keys() & set(self.grid.get_node_ids()), now)
                silent = [node for node, last in seen.items() if now >= min(end, last + absence)]
                arrived = dict.fromkeys(silent, Entry(SILENT, None))
                for reply in give_up(self.grid, [asked[node] for node in silent]):
                    arrived[reply.metadata.src_node_id] = self._entry(*opened(reply), deadline)
                seen = {node: last for node, last in seen.items() if node not in arrived}
            if arrived:
                yield arrived
                pause = _SHORTEST_PAUSE
            elif self._stopping.wait(pause):
                raise Interrupted
            else:
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _entry(self, content: RecordDict | None, failure: str | None, deadline: float | None) -> Entry:
        if content is None:
            return Entry(failure, None)
        if deadline is not None and self.clock() > deadline + GRACE:
            return Entry(LATE, None)
        try:
            with reading("the answer"):
                structure, values = parts(content)
                references = [blob for blob in blobs_of(content).values() if isinstance(blob, BlobReference)]
        except UnreadableMessage as error:
            return Entry(Failed(str(error)), None)
        packed, stored = self._packed(structure, values)
        if streams(self.grid):
            stored |= {blob.digest.hex() for blob in references}
        return Entry(None, packed, frozenset(stored))

    def _packed(self, structure: bytes, values: Sequence[tuple[str, bytes]]) -> tuple[bytes, set[str]]:
        """Pack an answer, without the values that go to the vault: first come their number, places and digests."""
        pieces, gaps, place = [structure], [], len(structure)
        for field, value in values:
            if len(value) >= _LARGE or (len(value) > _HASH and field.rpartition("/")[2] == "blob"):
                blob = self._journal.vault.put([value], MAX_MESSAGE_BYTES)
                gaps.append((place, bytes.fromhex(blob.digest)))
            else:
                pieces.append(value)
                place += len(value)
        head = [_COUNT.pack(len(gaps)), *(_GAP.pack(*gap) for gap in gaps)]
        return b"".join(head + pieces), {digest.hex() for _, digest in gaps}

    def _unpacked(self, packed: bytes) -> RecordDict:
        (count,) = _COUNT.unpack_from(packed)
        body = _COUNT.size + count * _GAP.size
        pieces, start = [], body
        for place, digest in _GAP.iter_unpack(packed[_COUNT.size : body]):
            pieces += [packed[start : body + place], self._journal.vault.read(digest.hex(), MAX_MESSAGE_BYTES)]
            start = body + place
        return unpack(b"".join([*pieces, packed[start:]]))
