"""The exchange of a workflow that is replayed after a crash."""

import hashlib
import json
import math
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from protocol.encoding.bounds import Bound
from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage, reading
from protocol.encoding.records import parts, unpack
from protocol.encoding.streaming import blobs_of, give_up, replace_blobs, streams
from protocol.exchange import GRACE, LATE, LOST, SILENT, Exchange, Expected, Failed, messages_for, opened, read_reply
from protocol.journal import OPENING, Entry, Interrupted, Journal, JournalMismatch, Recorded, WorkflowState
from protocol.messages.base import BlobReference, ProtocolMessage
from protocol.storage.vault import BlobDamaged, BlobMissing, Vault

R = TypeVar("R", bound=ProtocolMessage)

BEAT = 5.0
"""Seconds of waiting after which a workflow's time is recorded; an outage takes no more than that from its time."""
RETURN = 60.0
"""Seconds after a restart in which a workflow's time stands still for parties that are not back yet.

It is twice the longest pause between a party's attempts (`protocol.grids.grpc.attach.Backoff`).
"""
_LARGE, _HASH = 65_536, 32
"""Bytes from which any value goes to the vault, and over which one that is called ``blob`` does, and is referred to."""
_AT_ONCE = 16_000_000
"""Bytes of answers that are recorded together, beside the last of them."""
_COUNT, _GAP = struct.Struct(">I"), struct.Struct(">Q32s")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_READING = 0
"""The node under which readings are recorded; parties have higher numbers."""


class JournaledExchange(Exchange):
    """An exchange that records answers as they come in, and replays them after a crash.

    What is on record is read once, at the start. Questions and readings are numbered as the workflow comes to them.
    Asking takes these steps:

    1. what is on record for the question's number is taken from there;
    2. the other parties are asked, until they have answered or the deadline has passed. Messages name
       workflow and number in their group, so that a party knows a question that it has answered
       before (see `parties.store`);
    3. each answer is on record, with large values in the vault, before the workflow hears of it;
       so is each silence, once the deadline has passed. Blobs are referred to, as on a grid that streams: what is on
       record can be read also when the vault has lost them.

    Args:
        grid: See `Exchange`; it is asked by `push_messages` and `pull_messages`.
        journal: Where answers are recorded.
        name: The workflow's name.
        stopping: Set when the program stops; the exchange pauses by waiting for it.
        monotonic: Seconds that no clock setting changes.
    """

    def __init__(
        self,
        grid: Grid,
        journal: Journal,
        name: str,
        stopping: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(grid, self._time)
        self._journal = journal
        self._name = name
        self._stopping = stopping or threading.Event()
        self._monotonic = monotonic
        self._number = 0
        self._began_at = self._heard_at = journal.workflow(name).heard_at
        self._since = monotonic()
        self._record = journal.recorded(name)
        self._returning = bool(self._record)

    def _time(self) -> float:
        """Return the workflow's time; it stands still for parties that come back after a restart."""
        return self._began_at if self._returning else self._began_at + self._monotonic() - self._since

    def _all_back(self, awaited: Collection[int]) -> None:
        """Let the time go on once all who are awaited are back, or have had the time to be."""
        if self._returning and (
            self._monotonic() >= self._since + RETURN or set(awaited) <= set(self.grid.get_node_ids())
        ):
            self._returning, self._since = False, self._monotonic()

    @property
    def streams(self) -> bool:
        """Whether blobs in answers are referred to: they are in the vault."""
        return True

    def now(self) -> float:
        """Return the time, Unix seconds, as first read."""
        return float(self._once("now", lambda: repr(self.clock())))

    def node_ids(self) -> list[int]:
        """Return who was attached when the workflow was opened, ascending.

        So a cloud that is killed before it has read that waits for those who are not back yet.
        """
        ids: list[int] = json.loads(self._once("node ids", lambda: json.dumps(self._attached())))
        return ids

    def _attached(self) -> list[int]:
        return list(self._record[OPENING].entries) if OPENING in self._record else super().node_ids()

    def read(self, kind: str, reading: Callable[[], str]) -> str:
        """Return what was read first."""
        return self._once(kind, reading)

    def each(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[R],
        deadline: float | None = None,
        absence: float = math.inf,
        until: float = math.inf,
        bound: Bound | None = None,
    ) -> Iterator[tuple[int, R | Failed]]:
        """Ask parties, those whose answers are not on record; see `Exchange.each`."""
        number = self._next()
        kind = f"query.{step}"
        entries = self._recorded(number, kind)
        unheard = {node_id: question for node_id, question in questions.items() if node_id not in entries}
        if unheard:
            timeout = self._left(deadline, until)
            ttl = None if timeout is None else timeout + GRACE + RETURN
            messages = messages_for(self.grid, step, unheard, answer, f"{self._name}/{number}", ttl, bound)
            for arrived in self._hear(messages, timeout, deadline, absence):
                entries |= self._journal.write(self._name, number, kind, arrived, self._time())
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

    def _recorded(self, number: int, kind: str) -> dict[int, Entry]:
        """Take from the record what is there for a number, which is not asked for again.

        Raises:
            JournalMismatch: When it is something else.
        """
        found = self._record.pop(number, Recorded(kind, {}))
        if found.kind != kind:
            raise JournalMismatch(
                f"entry {number} of {self._name} is {found.kind!r} in the journal, and the workflow now wants "
                f"{kind!r}: finish open workflows with the program that began them"
            )
        return found.entries

    def _once(self, kind: str, reading: Callable[[], str]) -> str:
        number = self._next()
        entries = self._recorded(number, kind)
        if not entries:
            entries = {_READING: Entry(None, reading().encode())}
            self._journal.write(self._name, number, kind, entries, self._time())
        return (entries[_READING].content or b"").decode()

    def _hear(
        self, messages: list[Message], timeout: float | None, deadline: float | None, absence: float
    ) -> Iterator[dict[int, Entry]]:
        """Send messages and yield answers as they come in, then the silence of the others."""
        begun = self._time()
        end = math.inf if timeout is None else begun + timeout
        seen = dict.fromkeys((message.metadata.dst_node_id for message in messages), begun)
        ids = set(self.grid.push_messages(messages))
        asked = {message.metadata.dst_node_id: message.metadata.message_id for message in messages}
        pause = _SHORTEST_PAUSE
        while seen:
            arrived, size = {}, 0
            self._all_back(seen)
            now = self._time()
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
                continue
            if now >= self._heard_at + BEAT:
                self._journal.hear(self._name, now)
                self._heard_at = now
            if self._stopping.wait(pause):
                raise Interrupted
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _entry(self, content: RecordDict | None, failure: str | None, deadline: float | None) -> Entry:
        if content is None:
            return Entry(failure, None)
        if deadline is not None and self.clock() > deadline + GRACE:
            return Entry(LATE, None)
        try:
            with reading("the answer"):
                blobs = blobs_of(content)
                brought = {path: blob for path, blob in blobs.items() if isinstance(blob, bytes) and len(blob) > _HASH}
                if not streams(self.grid) and any(isinstance(blob, BlobReference) for blob in blobs.values()):
                    raise UnreadableMessage("the answer refers to a blob instead of bringing it")
                content = replace_blobs(content, {path: _reference(blob) for path, blob in brought.items()})
                structure, values = parts(content)
                referred = [blob for blob in blobs_of(content).values() if isinstance(blob, BlobReference)]
        except UnreadableMessage as error:
            return Entry(Failed(str(error)), None)
        for blob in brought.values():
            self._journal.vault.put([blob], MAX_MESSAGE_BYTES)
        packed, stored = self._packed(structure, values)
        return Entry(None, packed, frozenset(stored | {blob.digest.hex() for blob in referred}))

    def _packed(self, structure: bytes, values: Sequence[tuple[str, bytes]]) -> tuple[bytes, set[str]]:
        """Pack an answer, without the values that go to the vault: first come their number, places and digests."""
        pieces, gaps, place = [structure], [], len(structure)
        for _, value in values:
            if len(value) >= _LARGE:
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


def _reference(blob: bytes) -> BlobReference:
    return BlobReference(digest=hashlib.sha256(blob).digest(), length=len(blob))
