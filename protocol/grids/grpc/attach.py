"""A party's end of the wire: it dials out, stays attached, and lets its app answer."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from random import SystemRandom
from time import monotonic
from typing import Any, TypeVar

import grpc
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.clientapp import ClientApp
from grpc import aio

from protocol.crypto.certificates import CertificateError, Identity, check_issuer, check_key, check_time
from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage
from protocol.encoding.records import Unwritable, unpack_config
from protocol.encoding.streaming import blobs_of, replace_blobs
from protocol.exchange import reason_of
from protocol.flower import SERVER_NODE_ID, with_content
from protocol.grids.base import APP_FAILED
from protocol.grids.grpc.blobs import MAX_BLOB_INLINE, is_small, reference
from protocol.grids.grpc.calling import LATER, AttachRefused, CloudUnreachable, check_cloud, disbelieved, trouble_of
from protocol.grids.grpc.frames import parse, read_blob, read_content, write_blob, write_content
from protocol.grids.grpc.proof import challenging, check_believed, new_challenge
from protocol.grids.grpc.streams import CallingStream
from protocol.grids.grpc.transport import (
    ATTACH,
    CHUNK,
    GET,
    PUT,
    Secure,
    Security,
    channel,
    introduction,
)
from protocol.grids.host import NodeHost
from protocol.messages.base import BlobReference
from protocol.wire import parley_pb2 as wire

log = logging.getLogger(__name__)

T = TypeVar("T")

REMEMBERED = 64
"""Answers that are kept, to be sent again when the cloud did not get them."""
MAX_REASON = 2_000
"""Characters of an exception's text that are sent to the cloud."""

_FINAL = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""Refusals that are final."""
_LOST = {grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.NOT_FOUND}
"""Refusals of a blob: it is too large, or not there."""


@dataclass(frozen=True)
class Backoff:
    """How to try again.

    Attributes:
        first, most: Seconds before the second attempt, and at most; each wait is drawn from the upper half of one that
            doubles.
        patience: Seconds without contact after which to give up.
    """

    first: float = 0.5
    most: float = 30.0
    patience: float = 600.0

    def wait(self, attempt: int) -> float:
        """Return how long to wait after the n-th failure (from 0) in a row.

        Examples:
            >>> 2.0 <= Backoff().wait(3) <= 4.0 and 15.0 <= Backoff().wait(1000) <= 30.0
            True
        """
        longest = min(self.most, self.first * 2.0 ** min(attempt, 60))
        return longest * SystemRandom().uniform(0.5, 1.0)


class Attachment:
    """A party that is attached to the cloud.

    The app is any Flower app; it answers one message after the other, exactly as in the other grids: with its own
    `Context`, whose state stays as it was when the app raises. Then the cloud gets the last line of the
    traceback, and the rest stays in this party's log.

    Answers are remembered by the message's id: when the stream breaks after the work was done, the cloud asks
    again on the next one and gets the same answer.

    Args:
        address: The cloud's, ``host:port``.
        security: Who this party is.
        state: What the party kept before a restart.
        keep: Called with the state after each message that went well, before the answer leaves, to store it. What it
            raises ends the attachment, unanswered.
        executor: The threads in which the app answers. Many parties of one process are faster with a single one.
    """

    def __init__(
        self,
        address: str,
        security: Security,
        app: ClientApp,
        *,
        state: RecordDict | None = None,
        keep: Callable[[RecordDict], None] | None = None,
        backoff: Backoff | None = None,
        executor: Executor | None = None,
    ) -> None:
        self._address = address
        self._security = security
        self._app = app
        self._state = state if state is not None else RecordDict()
        self._keep = keep or (lambda state: None)
        self._backoff = backoff or Backoff()
        self._executor = executor
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._host: tuple[bytes, NodeHost] | None = None
        self._worked: tuple[str, RecordDict | Error] | None = None
        self._node_id = 0
        self._cloud: Identity | None = None
        self._welcomed = False
        self._broken = asyncio.Event()

    async def run(self) -> None:
        """Stay attached until cancelled.

        Raises:
            CertificateError: When this party's own certificate is not good.
            AttachRefused: When the cloud refuses it, or is not to be believed.
            CloudUnreachable: When there was no contact within the backoff's patience.
        """
        if isinstance(self._security, Secure):
            check_own(self._security)
        attempt, contact = 0, monotonic()
        while True:
            try:
                async with channel(self._address, self._security) as cloud:
                    await self._attend(cloud)
                trouble = "the cloud ended the stream"
            except aio.AioRpcError as error:
                trouble = trouble_of(error, self._address)
                if error.code() in _FINAL:
                    raise AttachRefused(
                        f"the cloud at {self._address} refused {self._security.urn}: {trouble}"
                    ) from None
            except UnreadableMessage as error:
                trouble = f"it is no cloud of this protocol: {error}"
            if self._welcomed:
                attempt, contact, self._welcomed = 0, monotonic(), False
            wait = self._backoff.wait(attempt)
            if monotonic() + wait > contact + self._backoff.patience:
                raise CloudUnreachable(
                    f"{self._security.urn} gave up on the cloud at {self._address} after "
                    f"{monotonic() - contact:.0f} s and {attempt + 1} attempts; the last one: {trouble}"
                )
            log.warning("not attached to %s (%s); trying again in %.1f s", self._address, trouble, wait)
            attempt += 1
            await asyncio.sleep(wait)

    async def _attend(self, cloud: aio.Channel) -> None:
        """Stay attached until the stream breaks; what is being worked on then is still finished."""
        challenge = new_challenge()
        metadata = (*introduction(self._security), challenging(challenge))
        stream = CallingStream(cloud.stream_stream(ATTACH)(metadata=metadata), challenge)
        questions: asyncio.Queue[wire.Question | None] = asyncio.Queue()
        self._broken = asyncio.Event()
        working = asyncio.create_task(self._work_off(cloud, stream, questions))
        reading = asyncio.create_task(self._listen(stream, questions))
        try:
            await asyncio.wait([working, reading], return_when=asyncio.FIRST_COMPLETED)
            self._broken.set()
            if not working.done():
                while not questions.empty():  # they will be asked again
                    questions.get_nowait()
                questions.put_nowait(None)
            await working
            await reading
        finally:
            for task in (working, reading):
                task.cancel()
            await asyncio.gather(working, reading, return_exceptions=True)

    async def _listen(self, stream: "CallingStream", questions: "asyncio.Queue[wire.Question | None]") -> None:
        """Read what the cloud says; whether this party is alive it says at once, whatever it is working on."""
        while (frame := await stream.read()) is not aio.EOF:
            said = parse(wire.FromCloud, frame)
            if said.HasField("welcome"):
                self._cloud = check_cloud(self._address, self._security, stream.challenge, await stream.metadata())
                self._enter(said.welcome)
                self._welcomed = True
                log.info("attached to %s as node %d", self._address, self._node_id)
            elif said.HasField("alive"):
                log.warning(
                    "another process tries to attach with the certificate of %s, from %s: end one of the two, or have"
                    " the certificate revoked if that is not you",
                    self._security.urn,
                    said.alive.other[:100],
                )
                await stream.write(wire.Answer(alive=wire.Alive()).SerializeToString())
            elif self._host is not None and said.HasField("question"):
                self._check_cloud()
                questions.put_nowait(said.question)
            else:
                raise UnreadableMessage("it asked before it said welcome")

    def _check_cloud(self) -> None:
        """Raise `AttachRefused` when the cloud's certificate was revoked meanwhile."""
        if isinstance(self._security, Secure) and self._cloud is not None:
            try:
                check_believed(self._cloud, self._security.revoked)
            except CertificateError as error:
                raise disbelieved(self._address, error) from None

    async def _work_off(
        self, cloud: aio.Channel, stream: "CallingStream", questions: "asyncio.Queue[wire.Question | None]"
    ) -> None:
        """Answer one question after the other, until there is None."""
        while (question := await questions.get()) is not None:
            assert self._host is not None
            answer = await self._answer(cloud, self._host[1], question)
            if answer is not None:
                await stream.write(answer)

    def _enter(self, welcome: wire.Welcome) -> None:
        """Become the node that the cloud assigns, with the present state."""
        seen = welcome.SerializeToString()
        if self._host is not None and self._host[0] == seen:
            return
        if self._host is not None:
            self._state = self._host[1].state(self._node_id)
        self._node_id = welcome.node_id
        config = unpack_config(welcome.run_config)
        host = NodeHost({self._node_id: self._app}, welcome.nodes, welcome.run_id, config)
        host.restore([(self._node_id, self._state)])
        self._host = (seen, host)

    async def _answer(self, cloud: aio.Channel, host: NodeHost, question: wire.Question) -> bytes | None:
        """Answer a question, or give the answer from before; None when it has been withdrawn meanwhile."""
        if question.id not in self._answers:
            try:
                answer = await self._work(cloud, host, question)
            except aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                    log.warning("the cloud withdrew %s: %s", question.type, error.details())
                    return None
                if error.code() not in _LOST:
                    raise
                answer = _failure(question, f"{error.code().name}: {error.details()}")
            except (UnreadableMessage, Unwritable) as error:
                answer = _failure(question, str(error))
            self._answers[question.id] = answer.SerializeToString()
            if len(self._answers) > REMEMBERED:
                self._answers.popitem(last=False)
        return self._answers[question.id]

    async def _work(self, cloud: aio.Channel, host: NodeHost, question: wire.Question) -> wire.Answer:
        """Let the app answer, and move large blobs; if the stream breaks meanwhile, the work is not repeated."""
        if self._worked is None or self._worked[0] != question.id:
            message = with_content(_metadata(question, self._node_id), await self._content(cloud, question))
            loop = asyncio.get_running_loop()
            self._worked = (question.id, await loop.run_in_executor(self._executor, self._let, host, message))
        reply = self._worked[1]
        if isinstance(reply, Error):
            log.error("%s failed: %s", question.type, reply.reason)
            return _failure(question, reason_of(reply).splitlines()[-1], reply.code)
        return await self._reply(cloud, question, reply)

    def _let(self, host: NodeHost, message: Message) -> RecordDict | Error:
        (reply,) = host.deliver([message])
        if not isinstance(reply, Error):
            self._keep(host.state(self._node_id))
        return reply

    async def _content(self, cloud: aio.Channel, question: wire.Question) -> RecordDict:
        """Return what was asked, with all blobs in it."""
        packed = question.content
        if question.HasField("stored"):
            packed = await self._get(cloud, question.id, read_blob(question.stored))
        content = read_content(packed)
        fetched: dict[str, bytes | BlobReference] = {}
        for path, blob in blobs_of(content).items():
            if isinstance(blob, BlobReference):
                fetched[path] = await self._get(cloud, question.id, blob)
        return replace_blobs(content, fetched)

    async def _reply(self, cloud: aio.Channel, question: wire.Question, content: RecordDict) -> wire.Answer:
        moved: dict[str, bytes | BlobReference] = {}
        for path, blob in blobs_of(content).items():
            if isinstance(blob, bytes) and len(blob) > MAX_BLOB_INLINE:
                moved[path] = await self._put(cloud, question.id, [blob])
        pieces = write_content(replace_blobs(content, moved))
        if is_small(pieces):
            return wire.Answer(question=question.id, content=b"".join(pieces))
        stored = await self._put(cloud, question.id, pieces)
        return wire.Answer(question=question.id, stored=write_blob(stored))

    async def _put(self, cloud: aio.Channel, question_id: str, pieces: list[bytes]) -> BlobReference:
        blob = reference(pieces)
        announced = wire.BlobOfQuestion(question=question_id, blob=write_blob(blob))

        async def put() -> None:
            await cloud.stream_unary(PUT)(_uploads(announced, pieces), metadata=introduction(self._security))

        await self._patiently(put)
        return blob

    async def _get(self, cloud: aio.Channel, question_id: str, blob: BlobReference) -> bytes:
        if len(blob) > MAX_MESSAGE_BYTES:
            raise UnreadableMessage(f"a blob of {len(blob)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        wanted = wire.BlobOfQuestion(question=question_id, blob=write_blob(blob)).SerializeToString()

        async def get() -> list[bytes]:
            chunks: list[bytes] = []
            size = 0
            async for frame in cloud.unary_stream(GET)(wanted, metadata=introduction(self._security)):
                chunks.append(parse(wire.Chunk, frame).data)
                size += len(chunks[-1])
                if size > len(blob):
                    break
            return chunks

        chunks = await self._patiently(get)
        if reference(chunks) != blob:
            raise UnreadableMessage("a blob is not the one that was announced")
        return b"".join(chunks)

    async def _patiently(self, transfer: Callable[[], Awaitable[T]]) -> T:
        """Move a blob; when the cloud cannot take it now, try again until it can, or has closed the question."""
        for attempt in count():
            try:
                return await transfer()
            except aio.AioRpcError as error:
                if error.code() is not LATER:
                    raise
                wait = self._backoff.wait(attempt)
                log.info("the cloud cannot move a blob now (%s); trying again in %.1f s", error.details(), wait)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._broken.wait(), wait)
                if self._broken.is_set():
                    raise
        raise AssertionError("there is always another attempt")


def attach(address: str, security: Security, app: ClientApp, **options: Any) -> None:
    """Stay attached to the cloud, in this thread; see `Attachment` for the options and `Attachment.run` for errors."""
    asyncio.run(Attachment(address, security, app, **options).run())


def check_own(security: Secure) -> None:
    """Raise `CertificateError` when one's own certificate is not good, which TLS says less clearly."""
    check_key(security.credentials)
    check_issuer(security.credentials.certificate, security.authority)
    check_time(security.credentials.certificate)


async def _uploads(announced: wire.BlobOfQuestion, pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    yield wire.Upload(announced=announced).SerializeToString()
    for piece in pieces:
        for begin in range(0, len(piece), CHUNK):
            yield wire.Upload(data=piece[begin : begin + CHUNK]).SerializeToString()


def _metadata(question: wire.Question, node_id: int) -> Metadata:
    return Metadata(
        run_id=question.run_id,
        message_id=question.id,
        src_node_id=SERVER_NODE_ID,
        dst_node_id=node_id,
        reply_to_message_id="",
        group_id=question.group,
        created_at=question.created_at,
        ttl=question.ttl,
        message_type=question.type,
    )


def _failure(question: wire.Question, reason: str, code: int = APP_FAILED) -> wire.Answer:
    return wire.Answer(question=question.id, failure=wire.Failure(code=code, reason=reason[:MAX_REASON]))
