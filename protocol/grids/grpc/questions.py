"""Open questions of the cloud: the part of the grid that knows no network."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Protocol

from flwr.app import Message

from protocol.encoding.bounds import Bound, answer_bound
from protocol.grids.grpc.frames import write_blob
from protocol.messages.base import BlobReference
from protocol.wire import parley_pb2 as wire

UNREAD = 3_600.0
"""Seconds for which an answer is kept after its question's time to live, for slow pulls."""


@dataclass
class Question:
    """A message on its way to one party, until its answer is there.

    Attributes:
        message: The message, with its id.
        body: Its content as it goes on the wire, or where that lies in the vault.
        lent: SHA-256 of each blob that the party may fetch while the question is open.
        stored: What the party has put for its answer.
        promised: Bytes of what it has put and is putting.
        no_room: Whether something that it put was refused because the vault was full.
        asked_at: When, by a clock that does not jump.
        listeners: Called when the question is closed.
    """

    message: Message
    body: bytes | BlobReference
    lent: frozenset[bytes] = frozenset()
    stored: dict[bytes, BlobReference] = field(default_factory=dict)
    promised: int = 0
    no_room: bool = False
    asked_at: float = field(default_factory=monotonic)
    listeners: list[Callable[[], object]] = field(default_factory=list)

    @property
    def bound(self) -> Bound:
        """How large the answer may be."""
        return answer_bound(self.message)

    @property
    def id(self) -> str:
        """The message's id."""
        return self.message.metadata.message_id

    @property
    def node_id(self) -> int:
        """The party asked."""
        return self.message.metadata.dst_node_id

    def frame(self) -> bytes:
        """Return the question as it goes on the wire; made just before it leaves."""
        about = self.message.metadata
        question = wire.Question(
            id=about.message_id,
            type=about.message_type,
            group=about.group_id,
            created_at=about.created_at,
            ttl=about.ttl,
            run_id=about.run_id,
        )
        if isinstance(self.body, bytes):
            question.content = self.body
        else:
            question.stored.CopyFrom(write_blob(self.body))
        return bytes(wire.FromCloud(question=question).SerializeToString())


class Stream(Protocol):
    """An attached party's stream, as far as questions go."""

    def send(self, question: Question) -> None:
        """Send a question soon; never blocks."""

    def replace(self) -> None:
        """End the stream: the party has attached again."""


class Questions:
    """Open questions and the streams they go along; any thread may call any method.

    A question stays open until it is answered or withdrawn. A party that attaches again is asked all
    that is open again; a second answer finds nothing open and is dropped. So an answer counts once.

    Args:
        absence: Seconds for which a party that is not attached is still waited for.
        closed: Called with each question that was answered or withdrawn, to release its blobs; without the lock.
    """

    def __init__(self, absence: float, closed: Callable[[Question], None]) -> None:
        self._absence = absence
        self._closed = closed
        self._changed = threading.Condition()
        self._open: dict[str, Question] = {}
        self._answers: dict[str, tuple[Question, wire.Answer]] = {}
        self._streams: dict[int, Stream] = {}
        self._left: dict[int, float] = {}
        self._waits: list[set[str]] = []
        self._since = monotonic()

    def ask(self, questions: Iterable[Question]) -> None:
        """Open questions, and send them along the streams that are there."""
        with self._changed:
            for question in questions:
                self._open[question.id] = question
                if stream := self._streams.get(question.node_id):
                    stream.send(question)

    def waiting(self) -> int:
        """Return how many questions are open."""
        with self._changed:
            return len(self._open)

    def find(self, node_id: int, question_id: str) -> Question | None:
        """Return an open question to a party."""
        with self._changed:
            question = self._open.get(question_id)
        return question if question is not None and question.node_id == node_id else None

    def answer(self, question: Question, answer: wire.Answer) -> None:
        """Keep the answer to a question, unless it has one."""
        with self._changed:
            if self._close(question.id) is not None:
                self._answers[question.id] = (question, answer)

    def stored(self, question: Question, blob: BlobReference) -> bool:
        """Note that a blob was put for the answer to a question; False when it is closed by now, or has this blob."""
        with self._changed:
            if self._open.get(question.id) is not question or blob.digest in question.stored:
                return False
            question.stored[blob.digest] = blob
            return True

    def on_close(self, question: Question, listener: Callable[[], object]) -> Callable[[], None]:
        """Call a listener when a question is closed, at once if it is; returns how to stop listening."""
        with self._changed:
            if self._open.get(question.id) is question:
                question.listeners.append(listener)
                return lambda: question.listeners.remove(listener) if listener in question.listeners else None
        listener()
        return lambda: None

    def holder(self, node_id: int) -> Stream | None:
        """Return the stream of a party that is attached."""
        with self._changed:
            return self._streams.get(node_id)

    def attach(self, node_id: int, stream: Stream) -> None:
        """Let a party have its open questions, and those to come, along this stream and no other."""
        with self._changed:
            before = self._streams.get(node_id)
            self._streams[node_id] = stream
            self._left.pop(node_id, None)
            for question in self._open.values():
                if question.node_id == node_id:
                    stream.send(question)
            self._changed.notify_all()
        if before is not None:
            before.replace()

    def detach(self, node_id: int, stream: Stream) -> None:
        """Note that a stream is broken; nothing changes when the party has another by now."""
        with self._changed:
            if self._streams.get(node_id) is stream:
                del self._streams[node_id]
                self._left[node_id] = monotonic()
                self._changed.notify_all()

    def attached(self) -> list[int]:
        """Return the parties that are attached."""
        with self._changed:
            return sorted(self._streams)

    def present(self) -> list[int]:
        """Return the parties that are attached or have been within the time of absence."""
        now = monotonic()
        with self._changed:
            recent = {node_id for node_id, left in self._left.items() if now < left + self._absence}
            return sorted(recent | self._streams.keys())

    def wait_attached(self, node_ids: Iterable[int], timeout: float) -> set[int]:
        """Wait until these parties are attached; returns those that are not by then."""
        wanted = set(node_ids)
        with self._changed:
            self._changed.wait_for(lambda: wanted <= self._streams.keys(), timeout)
            return wanted - self._streams.keys()

    def wait_answered(self, question_ids: Iterable[str], timeout: float | None) -> None:
        """Wait until all have answered or are absent, or the time is up."""
        end = inf if timeout is None else monotonic() + timeout
        with self._changed:
            waiting = set(question_ids) & self._open.keys()
            self._waits.append(waiting)
            try:
                while waiting:
                    until = min(end, max(self._awaited_until(self._open[each]) for each in waiting))
                    if (now := monotonic()) >= until:
                        return
                    self._changed.wait(None if until == inf else until - now)
            finally:
                self._waits = [wait for wait in self._waits if wait is not waiting]

    def take(self, question_ids: Iterable[str]) -> list[tuple[Question, wire.Answer]]:
        """Return the answers that are there, each once."""
        with self._changed:
            return [self._answers.pop(each) for each in question_ids if each in self._answers]

    def withdraw(self, question_ids: Iterable[str]) -> None:
        """Close questions that were given up; where the vault had no room for the answer, an empty one says so."""
        with self._changed:
            closed = [question for each in question_ids if (question := self._close(each)) is not None]
            for question in closed:
                if question.no_room:
                    self._answers[question.id] = (question, wire.Answer())
        for question in closed:
            if not question.no_room:
                self._closed(question)

    def expire(self) -> None:
        """Close questions when their time to live is over, and drop answers that are still unread long after it."""
        now = monotonic()
        with self._changed:
            late = [each for each, question in self._open.items() if _expired(question, now)]
            unread = [each for each, (question, _) in self._answers.items() if _expired(question, now - UNREAD)]
            forgotten = [self._answers.pop(each)[0] for each in unread]
        self.withdraw(late)
        for question in forgotten:
            self._closed(question)

    def _close(self, question_id: str) -> Question | None:
        """Close a question, and wake the threads for which it was the last."""
        question = self._open.pop(question_id, None)
        if question is not None:
            for listener in question.listeners:
                listener()
            question.listeners.clear()
            for waiting in self._waits:
                waiting.discard(question_id)
                if not waiting:
                    self._changed.notify_all()
        return question

    def _awaited_until(self, question: Question) -> float:
        """When (monotonic) to give up on the party: it is attached (never), left, or has not come yet."""
        if question.node_id in self._streams:
            return inf
        return self._left.get(question.node_id, self._since) + self._absence


def _expired(question: Question, now: float) -> bool:
    return bool(question.asked_at + question.message.metadata.ttl < now)
