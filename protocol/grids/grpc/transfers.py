"""Blobs on their way between parties and the cloud's vault."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from grpc import aio

from protocol.encoding.codec import UnreadableMessage
from protocol.grids.grpc.admission import Peer, Refused
from protocol.grids.grpc.blobs import Storage
from protocol.grids.grpc.frames import parse, read_blob, write_blob
from protocol.grids.grpc.questions import Question, Questions
from protocol.grids.grpc.quotas import NoRoom, VaultFull
from protocol.grids.grpc.roster import Roster
from protocol.grids.grpc.traffic import Traffic
from protocol.grids.grpc.transport import CHUNK
from protocol.messages.base import BlobReference
from protocol.storage.files import disk_failure
from protocol.storage.vault import BlobDamaged, BlobMissing, BlobTooLarge
from protocol.wire import parley_pb2 as wire

log = logging.getLogger("protocol.grids.grpc.service")

THREADS = 8
"""Threads that read and write the vault; nobody waits in them for the network."""

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


class Transfers:
    """Stores blobs for answers to open questions, and hands out those that open questions refer to.

    A transfer ends when its question is closed: answered, or withdrawn.

    Args:
        roster: Which node each party is.
        questions: Which are open.
        storage: The vault.
        pace: How slow a blob may be.
        traffic: Counts the bytes.
    """

    def __init__(self, roster: Roster, questions: Questions, storage: Storage, pace: Pace, traffic: Traffic) -> None:
        self._roster = roster
        self._questions = questions
        self._storage = storage
        self._pace = pace
        self._traffic = traffic
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def put(self, peer: Peer, _frames: Any, context: Any) -> bytes:
        """Store a blob for the answer to a question."""
        start = asyncio.get_running_loop().time()
        first = await self._read(context, start, 0)
        if first is None or first.WhichOneof("part") != "announced":
            raise UnreadableMessage("a blob has to be announced before its bytes")
        question = self._open_question(peer, first.announced.question)
        blob = read_blob(first.announced.blob)
        if question.promised + blob.length > question.bound.total:
            raise Refused(
                grpc.StatusCode.OUT_OF_RANGE, f"an answer to this question has at most {question.bound.total} bytes"
            )
        try:
            self._storage.room.reserve(question.node_id, blob.length)
        except NoRoom as error:
            question.no_room = isinstance(error, VaultFull)
            raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        question.promised += blob.length
        stored = False
        try:
            await self._while_open(question, self._store(blob, context))
            stored = self._questions.stored(question, blob)
            if not stored:
                self._storage.let_go([blob.digest])
        except BaseException:
            question.promised -= blob.length
            raise
        finally:
            self._storage.room.arrived(blob.length)
            if not stored:
                self._storage.room.release(question.node_id, blob.length)
        return bytes(write_blob(blob).SerializeToString())

    async def get(self, peer: Peer, request: bytes, context: Any) -> None:
        """Send a blob that a question refers to."""
        wanted = parse(wire.BlobOfQuestion, request)
        question = self._open_question(peer, wanted.question)
        if wanted.blob.sha256 not in question.lent:
            raise Refused(grpc.StatusCode.NOT_FOUND, "the question refers to no such blob")
        await context.send_initial_metadata(())
        await self._while_open(question, self._send(wanted.blob.sha256, context))

    async def _store(self, blob: BlobReference, context: Any) -> None:
        """Read a blob, no faster than it is stored."""
        start, size = asyncio.get_running_loop().time(), 0
        arrival = None
        try:
            arrival = await self._do(self._storage.arrive, blob)
            while (upload := await self._read(context, start, size)) is not None:
                if upload.WhichOneof("part") != "data":
                    raise UnreadableMessage("bytes of a blob were expected")
                size += len(upload.data)
                self._traffic.received += len(upload.data)
                await self._do(arrival.write, upload.data)
            await self._do(self._storage.store, blob, arrival)
        except BlobTooLarge as error:
            raise Refused(grpc.StatusCode.OUT_OF_RANGE, str(error)) from None
        except BlobDamaged as error:
            raise UnreadableMessage(str(error)) from None
        except OSError as error:
            if (why := disk_failure(error)) is None:
                raise
            log.error("a blob cannot be stored: %s", why)
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the cloud cannot store anything now; try again") from None
        finally:
            if arrival is not None:
                with suppress(RuntimeError):  # the cloud is closing
                    self._threads.submit(arrival.abandon)

    async def _send(self, digest: bytes, context: Any) -> None:
        start, size = asyncio.get_running_loop().time(), 0
        chunks = self._storage.get(digest)
        try:
            while chunk := await self._do(next, chunks, b""):
                for begin in range(0, len(chunk), CHUNK):
                    frame = wire.Chunk(data=chunk[begin : begin + CHUNK]).SerializeToString()
                    await self._in_time(context.write(frame), start, size)
                    size += CHUNK
                    self._traffic.sent += len(frame)
        except (BlobMissing, BlobDamaged) as error:
            raise Refused(grpc.StatusCode.NOT_FOUND, str(error)) from None

    async def _while_open(self, question: Question, work: Coroutine[Any, Any, T]) -> T:
        """Do work that ends when a question is closed."""
        loop, closed = asyncio.get_running_loop(), asyncio.Event()
        working, ending = loop.create_task(work), loop.create_task(closed.wait())
        listener = self._questions.on_close(question, lambda: loop.call_soon_threadsafe(closed.set))
        try:
            await asyncio.wait([working, ending], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the question was closed meanwhile")
            return working.result()
        finally:
            listener()
            working.cancel()
            ending.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    def _open_question(self, peer: Peer, question_id: str) -> Question:
        node_id = self._roster.known(peer.identity.urn)
        question = None if node_id is None else self._questions.find(node_id, question_id)
        if question is None:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, "the blob belongs to no open question to this party")
        return question

    async def _read(self, context: Any, start: float, size: int) -> Any:
        """Read the next part of an upload, None at its end."""
        frame = await self._in_time(context.read(), start, size)
        return None if frame is aio.EOF else parse(wire.Upload, frame)

    async def _in_time(self, step: Awaitable[T], start: float, size: int) -> T:
        late = start + self._pace.patience + size / self._pace.rate
        return await asyncio.wait_for(step, max(0.0, late - asyncio.get_running_loop().time()))

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do something with the vault, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
