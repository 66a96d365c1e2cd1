"""The cloud's end of the wire: one asynchronous service for all parties."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from flwr.app import RecordDict
from grpc import aio

from protocol.crypto.certificates import ROLES, Identity
from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage
from protocol.errors import ProtocolError
from protocol.grids.grpc.admission import PARTIES, Admission, Peer, Refused
from protocol.grids.grpc.blobs import Storage
from protocol.grids.grpc.frames import parse, read_blob, read_content, write_blob, write_content
from protocol.grids.grpc.questions import Question, Questions
from protocol.grids.grpc.roster import Roster
from protocol.grids.grpc.transport import CHUNK, MAX_INLINE, SERVICE
from protocol.messages.base import BlobReference
from protocol.storage.files import disk_failure
from protocol.storage.vault import BlobDamaged, BlobMissing, BlobTooLarge
from protocol.wire import parley_pb2 as wire

log = logging.getLogger(__name__)

TRANSFERS = 32
"""Blobs that move at once; more wait."""
MAX_STORED = 2 * MAX_MESSAGE_BYTES
"""Bytes that a party may put for one answer."""
MAX_REASON = 2_000
"""Characters of a party's reason for its failure."""

T = TypeVar("T")


@dataclass(frozen=True)
class Pace:
    """How slowly a blob may move before its call is ended, as slow peers hold up the others.

    Attributes:
        patience: Seconds that any transfer has.
        rate: Bytes per second that it has to keep up after that.
    """

    patience: float = 30.0
    rate: float = 16_000.0


@dataclass(frozen=True)
class Call:
    """Something that a party may ask of the cloud.

    Attributes:
        roles: Who may.
        answer: Takes who asks and what; runs in a thread of its own. A `ProtocolError` is the asker's fault; it gets
            the text.
    """

    roles: frozenset[str]
    answer: Callable[[Identity, RecordDict], RecordDict]


class AttachedStream:
    """One attached stream (see `questions.Stream`)."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.questions: asyncio.Queue[Question] = asyncio.Queue()
        self.replaced = asyncio.Event()

    def send(self, question: Question) -> None:
        """Send a question soon."""
        self._loop.call_soon_threadsafe(self.questions.put_nowait, question)

    def replace(self) -> None:
        """End the stream: the party has attached again."""
        self._loop.call_soon_threadsafe(self.replaced.set)


class Service:
    """The service of `protocol/wire/parley.proto`.

    Args:
        admission: Who may call.
        roster: Which node each party is.
        questions: What to ask, and where answers go.
        storage: The vault.
        welcome: The frame that a node's stream opens with.
        calls: What parties may ask by `Call`.
        pace: How slow a blob may be.
    """

    def __init__(
        self,
        admission: Admission,
        roster: Roster,
        questions: Questions,
        storage: Storage,
        welcome: Callable[[int], bytes],
        calls: Mapping[str, Call],
        pace: Pace,
    ) -> None:
        self._admission = admission
        self._roster = roster
        self._questions = questions
        self._storage = storage
        self._welcome = welcome
        self._calls = calls
        self._pace = pace
        self._transfers = asyncio.Semaphore(TRANSFERS)
        self._threads = ThreadPoolExecutor(TRANSFERS, thread_name_prefix="blobs")

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the gRPC handler; frames are read here and not by gRPC, so that unreadable ones have a status."""
        methods = {
            "Attach": grpc.stream_stream_rpc_method_handler(self._guarded(PARTIES, self._attach)),
            "Put": grpc.stream_unary_rpc_method_handler(self._guarded(PARTIES, self._put)),
            "Get": grpc.unary_stream_rpc_method_handler(self._guarded(PARTIES, self._get)),
            "Call": grpc.unary_unary_rpc_method_handler(self._guarded(frozenset(ROLES), self._call)),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _guarded(
        self, roles: frozenset[str], method: Callable[[Peer, Any, Any], Awaitable[T]]
    ) -> Callable[[Any, Any], Coroutine[Any, Any, T]]:
        """Admit the caller first; each refusal is logged once, and has its status."""

        async def call(request: Any, context: Any) -> T:
            caller = context.peer()
            try:
                peer = self._admission.admit(context, roles)
                caller = f"{peer.identity.urn} at {caller}"
                return await method(peer, request, context)
            except Refused as refused:
                code, text = refused.code, str(refused)
            except UnreadableMessage as error:
                code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
            except TimeoutError:
                code, text = grpc.StatusCode.DEADLINE_EXCEEDED, "the blob moved too slowly"
            except asyncio.CancelledError:
                log.info("a call of %s broke off: its connection, or a frame over the limit", caller)
                raise
            except Exception:
                log.exception("a call of %s failed", caller)
                code, text = grpc.StatusCode.INTERNAL, "the cloud failed; its log says how"
            if code is not grpc.StatusCode.INTERNAL:
                log.warning("refused %s: %s: %s", caller, code.name, text)
            await context.abort(code, text)
            raise AssertionError("abort raises")

        return call

    async def _attach(self, peer: Peer, _frames: Any, context: Any) -> None:
        node_id = self._roster.node_id(peer.identity.urn)
        if node_id is None:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{peer.identity.urn} is not enrolled with this cloud")
        await context.send_initial_metadata(())  # or a refusal could not overtake a frame that waits
        stream = AttachedStream()
        self._questions.attach(node_id, stream)
        log.info("%s attached as node %d", peer.identity.urn, node_id)
        replaced = asyncio.create_task(stream.replaced.wait())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._speak(peer, node_id, stream, context)),
            asyncio.create_task(self._hear(peer, node_id, context)),
            replaced,
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if replaced in done:
                raise Refused(grpc.StatusCode.ABORTED, f"{peer.identity.urn} has attached again, from elsewhere")
            for task in done:
                task.result()
        finally:
            self._questions.detach(node_id, stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            log.info("%s detached", peer.identity.urn)

    async def _speak(self, peer: Peer, node_id: int, stream: AttachedStream, context: Any) -> None:
        """Ask one question after the other; the next frame is made when the peer has taken the last."""
        await context.write(self._welcome(node_id))
        while True:
            question = await stream.questions.get()
            self._admission.check(peer)
            if self._questions.find(node_id, question.id) is question:
                await context.write(question.frame())

    async def _hear(self, peer: Peer, node_id: int, context: Any) -> None:
        while (frame := await context.read()) is not aio.EOF:
            self._admission.check(peer)
            answer = parse(wire.Answer, frame)
            question = self._questions.find(node_id, answer.question)
            if question is not None:
                _check_answer(question, answer)
                self._questions.answer(question, answer)

    async def _put(self, peer: Peer, _frames: Any, context: Any) -> bytes:
        start = asyncio.get_running_loop().time()
        first = await self._read(context, start, 0)
        if first.WhichOneof("part") != "announced":
            raise UnreadableMessage("a blob has to be announced before its bytes")
        question = self._open_question(peer, first.announced.question)
        blob = read_blob(first.announced.blob)
        if question.promised + blob.length > MAX_STORED:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, f"over {MAX_STORED} bytes were put for one answer")
        question.promised += blob.length
        try:
            async with self._transfers:
                await self._store(question, blob, self._arriving(context))
        except BaseException:
            question.promised -= blob.length
            raise
        return bytes(write_blob(blob).SerializeToString())

    async def _store(self, question: Question, blob: BlobReference, pieces: Iterator[bytes]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, self._storage.put, blob, pieces)
        except BlobTooLarge as error:
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        except BlobDamaged as error:
            raise UnreadableMessage(str(error)) from None
        except OSError as error:
            if (why := disk_failure(error)) is None:
                raise
            log.error("a blob cannot be stored: %s", why)
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the cloud cannot store anything now; try again") from None
        if blob.digest in question.stored or self._questions.find(question.node_id, question.id) is not question:
            self._storage.let_go([blob.digest])
        else:
            question.stored[blob.digest] = blob

    def _arriving(self, context: Any) -> Iterator[bytes]:
        """Yield the bytes of a blob to the thread that stores it, which reads no faster than it stores."""
        loop = asyncio.get_running_loop()

        def pieces() -> Iterator[bytes]:
            start, size = loop.time(), 0
            while True:
                upload = asyncio.run_coroutine_threadsafe(self._read(context, start, size), loop).result()
                if upload is None:
                    return
                if upload.WhichOneof("part") != "data":
                    raise UnreadableMessage("bytes of a blob were expected")
                size += len(upload.data)
                yield upload.data

        return pieces()

    async def _read(self, context: Any, start: float, size: int) -> Any:
        """Read the next part of an upload, None at its end."""
        frame = await self._in_time(context.read(), start, size)
        return None if frame is aio.EOF else parse(wire.Upload, frame)

    async def _in_time(self, step: Awaitable[T], start: float, size: int) -> T:
        late = start + self._pace.patience + size / self._pace.rate
        return await asyncio.wait_for(step, max(0.0, late - asyncio.get_running_loop().time()))

    async def _get(self, peer: Peer, request: bytes, context: Any) -> None:
        wanted = parse(wire.BlobOfQuestion, request)
        question = self._open_question(peer, wanted.question)
        digest = wanted.blob.sha256
        if digest not in question.lent:
            raise Refused(grpc.StatusCode.NOT_FOUND, "the question refers to no such blob")
        loop = asyncio.get_running_loop()
        await context.send_initial_metadata(())
        async with self._transfers:
            start, size = loop.time(), 0
            chunks = self._storage.get(digest)
            try:
                while chunk := await loop.run_in_executor(self._threads, next, chunks, b""):
                    for begin in range(0, len(chunk), CHUNK):
                        frame = wire.Chunk(data=chunk[begin : begin + CHUNK]).SerializeToString()
                        await self._in_time(context.write(frame), start, size)
                        size += CHUNK
            except BlobMissing as error:
                raise Refused(grpc.StatusCode.NOT_FOUND, str(error)) from None

    def _open_question(self, peer: Peer, question_id: str) -> Question:
        node_id = self._roster.node_id(peer.identity.urn)
        question = None if node_id is None else self._questions.find(node_id, question_id)
        if question is None:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the blob belongs to no open question to this party")
        return question

    async def _call(self, peer: Peer, request: bytes, context: Any) -> bytes:
        asked = parse(wire.Request, request)
        call = self._calls.get(asked.method)
        if call is None:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"this cloud has no method {asked.method[:80]!r}")
        if peer.identity.role not in call.roles:
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                f"a {peer.identity.role} may not call {asked.method}; it is for {', '.join(sorted(call.roles))}",
            )
        try:
            answer = await asyncio.to_thread(call.answer, peer.identity, read_content(asked.content))
        except UnreadableMessage:
            raise
        except ProtocolError as error:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, str(error)) from None
        return bytes(wire.Response(content=b"".join(write_content(answer))).SerializeToString())


def _check_answer(question: Question, answer: wire.Answer) -> None:
    match answer.WhichOneof("body"):
        case "content":
            if len(answer.content) > MAX_INLINE:
                raise UnreadableMessage(f"an answer of {len(answer.content)} bytes belongs in a blob")
        case "stored":
            if question.stored.get(answer.stored.sha256) != read_blob(answer.stored):
                raise UnreadableMessage("an answer is in a blob that was not put for it")
        case "failure":
            answer.failure.reason = answer.failure.reason[:MAX_REASON]
        case _:
            raise UnreadableMessage("an answer says nothing")
