"""A party's end of the wire: it dials out, stays attached, and lets its app answer."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from random import SystemRandom
from time import monotonic
from typing import Any

import grpc
from flwr.app import Error, Message, Metadata, RecordDict
from flwr.clientapp import ClientApp
from grpc import aio

from protocol.crypto.certificates import check_issuer, check_key, check_time
from protocol.encoding.codec import MAX_MESSAGE_BYTES, UnreadableMessage
from protocol.encoding.records import Unwritable, unpack_config
from protocol.encoding.streaming import blobs_of, replace_blobs
from protocol.errors import ProtocolError
from protocol.exchange import reason_of
from protocol.flower import SERVER_NODE_ID, with_content
from protocol.grids.base import APP_FAILED
from protocol.grids.grpc.blobs import MAX_BLOB_INLINE, is_small, reference
from protocol.grids.grpc.frames import parse, read_blob, read_content, write_blob, write_content
from protocol.grids.grpc.proxy import proxy_for
from protocol.grids.grpc.transport import (
    ATTACH,
    CALL,
    CHUNK,
    GET,
    PUT,
    Secure,
    Security,
    blocking_channel,
    channel,
    host_of,
    introduction,
)
from protocol.grids.host import NodeHost
from protocol.messages.base import BlobReference
from protocol.wire import parley_pb2 as wire

log = logging.getLogger(__name__)

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
    grpc.StatusCode.ABORTED,
}
"""Refusals that are final."""
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
"""No answer: none got there, or none came back."""


class AttachRefused(ProtocolError):
    """The cloud refuses this party; the text says why."""


class CloudUnreachable(ProtocolError):
    """The cloud could not be reached in time."""


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
        self._welcomed = False

    async def run(self) -> None:
        """Stay attached until cancelled.

        Raises:
            CertificateError: When this party's own certificate is not good.
            AttachRefused: When the cloud refuses it.
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
                trouble = _trouble(error, self._address)
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
        """Stay attached until the stream breaks."""
        stream = cloud.stream_stream(ATTACH)(metadata=introduction(self._security))
        while (frame := await stream.read()) is not aio.EOF:
            said = parse(wire.FromCloud, frame)
            if said.HasField("welcome"):
                self._enter(said.welcome)
                self._welcomed = True
                log.info("attached to %s as node %d", self._address, self._node_id)
            elif self._host is not None and said.HasField("question"):
                answer = await self._answer(cloud, self._host[1], said.question)
                if answer is not None:
                    with suppress(asyncio.InvalidStateError):  # it is over; reading on says why
                        await stream.write(answer)
            else:
                raise UnreadableMessage("it asked before it said welcome")

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
                if error.code() not in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND}:
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
        await cloud.stream_unary(PUT)(_uploads(announced, pieces), metadata=introduction(self._security))
        return blob

    async def _get(self, cloud: aio.Channel, question_id: str, blob: BlobReference) -> bytes:
        if len(blob) > MAX_MESSAGE_BYTES:
            raise UnreadableMessage(f"a blob of {len(blob)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
        wanted = wire.BlobOfQuestion(question=question_id, blob=write_blob(blob)).SerializeToString()
        chunks: list[bytes] = []
        size = 0
        async for frame in cloud.unary_stream(GET)(wanted, metadata=introduction(self._security)):
            chunks.append(parse(wire.Chunk, frame).data)
            size += len(chunks[-1])
            if size > len(blob):
                break
        if reference(chunks) != blob:
            raise UnreadableMessage("a blob is not the one that was announced")
        return b"".join(chunks)


def attach(address: str, security: Security, app: ClientApp, **options: Any) -> None:
    """Stay attached to the cloud, in this thread; see `Attachment` for the options and `Attachment.run` for errors."""
    asyncio.run(Attachment(address, security, app, **options).run())


def call(address: str, security: Security, method: str, content: RecordDict, timeout: float = 30.0) -> RecordDict:
    """Ask something of the cloud.

    Raises:
        AttachRefused: When the cloud does not answer that, or not to this party.
        CloudUnreachable: When it cannot be reached, or does not answer in time.
        UnreadableMessage: When its answer cannot be read.
    """
    request = wire.Request(method=method, content=b"".join(write_content(content))).SerializeToString()
    try:
        with blocking_channel(address, security) as cloud:
            metadata = introduction(security)
            answer = cloud.unary_unary(CALL)(request, metadata=metadata, timeout=timeout)
        return read_content(parse(wire.Response, answer).content)
    except grpc.RpcError as error:
        trouble = _trouble(error, address)
        if error.code() in _AWAY:
            raise CloudUnreachable(f"the cloud at {address} does not answer {method}: {trouble}") from None
        raise AttachRefused(f"the cloud at {address} refused {method}: {trouble}") from None


_DISTRUST = {
    "certificate is not yet valid": "the cloud's certificate is not yet valid by this machine's clock, which says"
    " {now:%Y-%m-%d %H:%M} UTC: it is behind, or that of the machine that made the certificate was ahead",
    "certificate has expired": "the cloud's certificate has expired by this machine's clock, which says"
    " {now:%Y-%m-%d %H:%M} UTC: the cloud needs a new one",
    "CERTIFICATE_VERIFY_FAILED": "the server there has no certificate of this party's authority",
    "Hostname Verification Check failed": "the cloud's certificate is not for this name: dial one that it is for, or"
    " have `parley provision --also` add this one",
    "Socket closed": "it closed the connection, as it does when this party's certificate is of another authority, or"
    " not valid by the cloud's clock",
}
"""What gRPC says of a failed handshake, the first that fits, and what it means."""


def _trouble(error: Any, address: str) -> str:
    """Return what went wrong with a call; for a failed connection, its last cause, and the proxy on the way."""
    details, connecting = str(error.details()), "last error" in str(error.details())
    if found := next((sentence for sign, sentence in _DISTRUST.items() if connecting and sign in details), None):
        details = found.format(now=datetime.now(UTC))
    elif error.code() is grpc.StatusCode.UNAVAILABLE and (connecting or "DNS" in details):
        details = details.rpartition(": ")[2]
    proxy = proxy_for(host_of(address)) if error.code() in _AWAY else None
    through = "" if proxy is None else f" (through the proxy {proxy}, as {proxy.variable} says)"
    return f"{error.code().name}: {details}{through}"


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
