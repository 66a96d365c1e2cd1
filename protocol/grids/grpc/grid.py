"""Parties on separate machines, who attach to the cloud over mutual TLS."""

import asyncio
import logging
import threading
from collections import Counter, deque
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import nullcontext
from itertools import count
from typing import Any
from uuid import uuid4

from flwr.app import Error, Message, RecordDict, UserConfig

from protocol.crypto.certificates import Revocations
from protocol.encoding.codec import UnreadableMessage, reading
from protocol.encoding.records import pack_config
from protocol.encoding.streaming import blobs_of, replace_blobs
from protocol.exchange import CLOUD_FAILED, LOST, NO_ROOM, Heads
from protocol.flower import reply, with_id
from protocol.grids.base import UNKNOWN_NODE, UNREADABLE, CarryingGrid, of_a_party
from protocol.grids.grpc.admission import Admission
from protocol.grids.grpc.blobs import MAX_BLOB_INLINE, Storage, is_small, reference
from protocol.grids.grpc.frames import read_blob, read_content, write_content
from protocol.grids.grpc.questions import Question, Questions
from protocol.grids.grpc.quotas import Quotas
from protocol.grids.grpc.roster import EnrolledRoster, Roster
from protocol.grids.grpc.service import Call, Service
from protocol.grids.grpc.traffic import Traffic
from protocol.grids.grpc.transfers import Pace
from protocol.grids.grpc.transport import Security, listen, server
from protocol.messages.base import BlobReference
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire

_log = logging.getLogger(__name__)

SWITCH = 2e-4
"""Seconds that a thread of a cloud's process may compute while another waits (`sys.setswitchinterval`).

Python's own 5 ms would delay every frame, several times over, while a workflow reads a long answer.
"""
MAX_STREAMS = 20_000
"""Calls at once, attached streams included; one more is refused with RESOURCE_EXHAUSTED."""


class GrpcGrid(CarryingGrid):
    """A Flower grid whose nodes attach over gRPC (see `protocol/wire/parley.proto`, and `attach` for their side).

    Sending works in five steps:

    1. messages are ordered by node id; content that several share is packed once;
    2. each is an open question, sent along its party's stream as soon as there is one, and again on a new stream
       when the last one broke before the answer;
    3. large content, and large fields called ``blob``, go to the vault, from where the party fetches them; so does
       content that is large in all the frames together, so that a thousand copies are not in memory at once;
    4. the party answers; what is large it has put into the vault. A field called ``blob`` stays there: the
       message that arrives has a `BlobReference` in its place;
    5. a party that is silent when the time is up, or has been away for longer than `absence`, is not among the
       replies, and its question is withdrawn.

    Every public method may be called from any thread; many exchanges may be under way at once.

    Args:
        address: Where to listen, ``host:port``; port 0 picks a free one.
        security: The cloud's certificate; insecure clouds listen on the loopback interface alone.
        roster: Which node each party is.
        vault: Where blobs go; for workflows that read deliveries, the cloud's own.
        run_config: The run's configuration, which every app sees.
        revoked: Serial numbers of revoked certificates (`Revocations`).
        calls: What parties may request of the cloud.
        absence: Seconds for which a party that is not attached is still waited for.
        pace: How slowly blobs may move.
        quotas: How much each party may have under way.

    Raises:
        InsecureAddress, BadAddress: When it cannot listen there.
    """

    streams = True
    """See `protocol.encoding.streaming`."""

    def __init__(
        self,
        address: str,
        security: Security,
        roster: Roster,
        vault: Vault,
        *,
        run_id: int = 1,
        run_config: UserConfig | None = None,
        revoked: Container[int] | Revocations = frozenset(),
        calls: Mapping[str, Call] | None = None,
        absence: float = 60.0,
        pace: Pace | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self.roster = roster
        super().__init__(run_id)
        self._run_config = pack_config("run_config", dict(run_config or {}))
        quotas = quotas or Quotas()
        self._storage = Storage(vault, quotas)
        self._questions = Questions(absence, self._let_go)
        self._reading = threading.Lock()
        self._session, self._numbers = uuid4().hex[:16], count(1)
        self._admission = Admission(security, revoked)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc-grid", daemon=True)
        self._thread.start()
        try:
            self._wait(self._start(address, security, calls or {}, pace or Pace(), quotas))
        except BaseException:
            self._stop_loop()
            raise

    def close(self) -> None:
        """Stop listening and end every stream; parties will try to attach again."""
        if self._thread.is_alive():
            self._wait(self._stop())
            self._service.close()
            self._stop_loop()

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the nodes that are attached, or were within the time of `absence`, ascending."""
        return self._questions.present()

    def roles(self) -> dict[int, str]:
        """Return the role that each node's certificate names."""
        return {node_id: urn.split(":")[2] for node_id, urn in self.roster.members().items()}

    def ledgers(self) -> Heads | None:
        """Return what is remembered of parties' privacy ledgers: in the cloud's database, where there is one."""
        return self.roster if isinstance(self.roster, EnrolledRoster) else None

    def attached(self) -> list[int]:
        """Return the ids of the nodes that are attached at this moment."""
        return self._questions.attached()

    def contested(self) -> dict[int, str]:
        """Return the nodes as which another process has tried to attach, and from which address the last one did."""
        return dict(self._service.contested)

    def waiting(self) -> int:
        """Return how many questions are not answered yet."""
        return self._questions.waiting()

    @property
    def traffic(self) -> Traffic:
        """What has passed over the wire so far."""
        return self._service.traffic

    def refused(self) -> dict[str, int]:
        """Return how many calls were refused or broke off so far, by status."""
        return dict(self._service.refusals.totals)

    def wait_attached(self, node_ids: Iterable[int], timeout: float) -> set[int]:
        """Wait until these nodes are attached; returns those that are not when the time (seconds) is up."""
        return self._questions.wait_attached(node_ids, timeout)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, in the order of their nodes' ids; replies are kept for `pull_messages`."""
        self._questions.expire()
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        copies = Counter(id(message.content) for message in ordered)
        packed: dict[int, tuple[bytes | BlobReference, frozenset[bytes]]] = {}
        questions = []
        for message in ordered:
            with_id(message, self._next_id())
            key = id(message.content)
            if key in packed:
                self._storage.hold(packed[key][1])
            else:
                packed[key] = self._pack(message.content, copies[key])
            questions.append(Question(message, *packed[key]))
        self._questions.ask(questions)
        for question in questions:
            if question.node_id not in self.roster:
                failure = wire.Failure(code=UNKNOWN_NODE, reason=f"there is no node {question.node_id}")
                self._questions.answer(question, wire.Answer(failure=failure))
        return [question.id for question in questions]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Yield the replies to these messages that have not been pulled yet, each read when it is wanted."""
        answered = deque(self._questions.take(message_ids))
        try:
            while answered:
                yield with_id(self._reply(*answered.popleft()), self._next_id())
        finally:
            for question, _ in answered:
                self._let_go(question)

    def give_up(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Withdraw messages that nobody waits for any longer, and yield replies that have come at the last moment."""
        ids = list(message_ids)
        self._questions.withdraw(ids)
        return self.pull_messages(ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and yield the replies that came in time, in the order of the nodes' ids."""
        message_ids = list(self.push_messages(messages))
        try:
            self._questions.wait_answered(message_ids, timeout)
        finally:
            self._questions.withdraw(message_ids)
        return self.pull_messages(message_ids)

    async def _start(
        self, address: str, security: Security, calls: Mapping[str, Call], pace: Pace, quotas: Quotas
    ) -> None:
        self._service = Service(
            self._admission, self.roster, self._questions, self._storage, self._welcome, calls, pace, quotas
        )
        self._server = server(self._service.handlers(), MAX_STREAMS)
        self.port = listen(self._server, address, security)
        self.address = f"{address.rpartition(':')[0]}:{self.port}"
        await self._server.start()

    async def _stop(self) -> None:
        """Stop the server, and see every call to its end."""
        await self._server.stop(grace=None)
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest, timeout=5.0)

    def _welcome(self, node_id: int) -> bytes:
        welcome = wire.Welcome(
            run_id=self._run.run_id, node_id=node_id, nodes=len(self.roster), run_config=self._run_config
        )
        return bytes(wire.FromCloud(welcome=welcome).SerializeToString())

    def _pack(self, content: RecordDict, copies: int) -> tuple[bytes | BlobReference, frozenset[bytes]]:
        """Return the content as it goes on the wire, and the blobs that belong to it."""
        lent: set[bytes] = set()
        moved: dict[str, bytes | BlobReference] = {}
        for path, blob in blobs_of(content).items():
            if isinstance(blob, BlobReference) and len(blob) <= MAX_BLOB_INLINE:
                moved[path] = self._storage.read(blob)
            elif isinstance(blob, BlobReference):
                lent.add(blob.digest)
            elif len(blob) > MAX_BLOB_INLINE:
                moved[path] = self._lend([blob], lent)
        pieces = write_content(replace_blobs(content, moved))
        small = is_small(pieces, copies)
        return b"".join(pieces) if small else self._lend(pieces, lent), frozenset(lent)

    def _lend(self, pieces: list[bytes], lent: set[bytes]) -> BlobReference:
        blob = reference(pieces)
        if blob.digest not in lent:
            self._storage.put(blob, pieces)
            lent.add(blob.digest)
        return blob

    def _reply(self, question: Question, answer: wire.Answer) -> Message:
        """Return an answer as a message; whatever is wrong with it, no other answer is touched by that."""
        if question.no_room and not answer.WhichOneof("body"):
            return reply(question.message, Error(code=CLOUD_FAILED, reason=NO_ROOM))
        try:
            return reply(question.message, self._content(question, answer))
        except UnreadableMessage as error:
            return reply(question.message, Error(code=UNREADABLE, reason=str(error)))
        except Exception:  # of the vault
            _log.exception("an answer of node %d is lost", question.node_id)
            return reply(question.message, Error(code=CLOUD_FAILED, reason=LOST))
        finally:
            self._let_go(question)

    def _content(self, question: Question, answer: wire.Answer) -> RecordDict | Error:
        if answer.HasField("failure"):
            return of_a_party(Error(code=answer.failure.code, reason=answer.failure.reason))
        stored = answer.WhichOneof("body") == "stored"
        with self._reading if stored else nullcontext():  # a large answer is read while no other one is
            packed = self._storage.read(read_blob(answer.stored)) if stored else answer.content
            with reading("the answer"):
                content = read_content(packed, question.bound)
        with reading("the answer"):
            references = [blob for blob in blobs_of(content).values() if isinstance(blob, BlobReference)]
        for blob in references:
            if question.stored.get(blob.digest) != blob:
                raise UnreadableMessage("a message refers to a blob that was not put for it")
        for blob in references:
            self._storage.keep(blob.digest)
            self._storage.room.keep(question.node_id, blob.digest, blob.length)
        return content

    def _let_go(self, question: Question) -> None:
        """Release what belongs to a question that is closed."""
        self._storage.let_go([*question.lent, *question.stored])
        self._storage.room.release(question.node_id, sum(len(blob) for blob in question.stored.values()))

    def _next_id(self) -> str:
        return f"{self._session}-{next(self._numbers)}"

    def _wait(self, step: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
