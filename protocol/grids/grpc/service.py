"""The cloud's end of the wire: one asynchronous service for all parties."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from flwr.app import RecordDict
from grpc import aio
from grpc_health.v1 import health, health_pb2

from protocol.crypto.certificates import ROLES, Identity
from protocol.encoding.codec import UnreadableMessage
from protocol.errors import ProtocolError
from protocol.grids.grpc.admission import PARTIES, Admission, Peer, Refused
from protocol.grids.grpc.blobs import Storage
from protocol.grids.grpc.frames import parse, read_blob, read_content, write_content
from protocol.grids.grpc.questions import Question, Questions
from protocol.grids.grpc.quotas import Quotas, Turns
from protocol.grids.grpc.refusals import Refusals
from protocol.grids.grpc.roster import Roster
from protocol.grids.grpc.streams import AttachedStream
from protocol.grids.grpc.traffic import Traffic
from protocol.grids.grpc.transfers import Pace, Transfers
from protocol.grids.grpc.transport import MAX_FRAME, MAX_INLINE, SERVICE
from protocol.storage.database import is_away
from protocol.storage.files import disk_failure
from protocol.wire import parley_pb2 as wire

log = logging.getLogger(__name__)

MAX_REASON = 2_000
"""Characters of a party's reason for its failure."""
IDLE = 0.1
"""Seconds that a frame which answers no open question costs its sender."""

T = TypeVar("T")


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


class Service:
    """The service of `protocol/wire/parley.proto`, and gRPC's own health service, without `Watch`.

    Args:
        admission: Who may call.
        roster: Which node each party is.
        questions: What to ask, and where answers go.
        storage: The vault.
        welcome: The frame that a node's stream opens with.
        calls: What parties may ask by `Call`.
        pace: How slow a blob may be.
        quotas: How much each party may have under way.
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
        quotas: Quotas,
    ) -> None:
        self._admission = admission
        self._roster = roster
        self._questions = questions
        self._welcome = welcome
        self._calls = calls
        self.traffic = Traffic()
        self.refusals = Refusals(quotas.refused)
        self._transfers = Transfers(roster, questions, storage, pace, self.traffic)
        self._moving, self._asking = Turns(quotas.transfers), Turns(quotas.calls)
        self._arriving = Turns(quotas.arrivals)
        self.contested: dict[int, str] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """Return the gRPC handlers; frames are read here and not by gRPC, so that unreadable ones have a status."""
        everybody = frozenset(ROLES)
        put = self._in_turn(self._moving, self._transfers.put)
        get = self._in_turn(self._moving, self._transfers.get)
        call = self._in_turn(self._asking, self._call)
        check = self._in_turn(self._asking, self._check_health)
        methods = {
            "Attach": grpc.stream_stream_rpc_method_handler(self._guarded(PARTIES, self._attach)),
            "Put": grpc.stream_unary_rpc_method_handler(self._guarded(PARTIES, put)),
            "Get": grpc.unary_stream_rpc_method_handler(self._guarded(PARTIES, get)),
            "Call": grpc.unary_unary_rpc_method_handler(self._guarded(everybody, call)),
        }
        of_grpc = {"Check": grpc.unary_unary_rpc_method_handler(self._guarded(None, check))}
        return [
            grpc.method_handlers_generic_handler(SERVICE, methods),
            grpc.method_handlers_generic_handler(health.SERVICE_NAME, of_grpc),
        ]

    def close(self) -> None:
        """Stop the threads."""
        self._transfers.close()

    def _guarded(
        self, roles: frozenset[str] | None, method: Callable[[Peer, Any, Any], Awaitable[T]]
    ) -> Callable[[Any, Any], Coroutine[Any, Any, T]]:
        """Admit the caller first; each refusal has its status. None for roles: any good certificate, and no version."""

        async def call(request: Any, context: Any) -> T:
            address = context.peer()
            caller, failed = address.rpartition(":")[0], False
            try:
                peer = self._admission.identify(context)
                caller = peer.identity.urn
                if roles is None:
                    self._admission.check(peer)
                else:
                    self._admission.admit(peer, context, roles)
                return await method(peer, request, context)
            except Refused as refused:
                code, text = refused.code, str(refused)
            except UnreadableMessage as error:
                code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
            except TimeoutError:
                code, text = grpc.StatusCode.DEADLINE_EXCEEDED, "the blob moved too slowly"
            except asyncio.CancelledError:
                if self.refusals.note(caller, "CANCELLED"):
                    log.info("a call of %s broke off: its connection, or a frame over the limit", caller)
                raise
            except Exception as error:
                failed = True
                code, text = _failure(error)
            await self.refusals.refuse(caller, address, code, text, traceback=failed)
            await context.abort(code, text)
            raise AssertionError("abort raises")

        return call

    def _in_turn(
        self, turns: Turns, method: Callable[[Peer, Any, Any], Awaitable[T]]
    ) -> Callable[[Peer, Any, Any], Awaitable[T]]:
        async def call(peer: Peer, request: Any, context: Any) -> T:
            async with turns.turn(peer.identity.urn):
                return await method(peer, request, context)

        return call

    async def _attach(self, peer: Peer, _frames: Any, context: Any) -> None:
        urn = peer.identity.urn
        node_id = await asyncio.to_thread(self._roster.node_id, urn)  # which may be a transaction
        if node_id is None:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{urn} is not enrolled with this cloud")
        await context.send_initial_metadata(
            self._admission.proof(peer, context)
        )  # or a refusal could not overtake a frame that waits
        stream = AttachedStream(context.peer())
        async with self._arriving.turn(urn):
            await self._take_place(urn, node_id, stream)
        log.info("%s attached as node %d", urn, node_id)
        replaced = asyncio.create_task(stream.replaced.wait())
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._speak(peer, node_id, stream, context)),
            asyncio.create_task(self._hear(peer, node_id, stream, context)),
            replaced,
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if replaced in done:
                raise Refused(grpc.StatusCode.ABORTED, f"{urn} was silent here, and has attached again from elsewhere")
            for task in done:
                task.result()
        finally:
            self._questions.detach(node_id, stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            log.info("%s detached", urn)

    async def _take_place(self, urn: str, node_id: int, stream: AttachedStream) -> None:
        """Attach a party, unless another process of it is attached and alive."""
        holder = self._questions.holder(node_id)
        if isinstance(holder, AttachedStream) and await holder.is_alive(stream.address):
            self.contested[node_id] = stream.address
            raise Refused(
                grpc.StatusCode.ALREADY_EXISTS,
                f"{urn} is attached from {holder.address} and alive; if that is not you, have its certificate revoked",
            )
        self._questions.attach(node_id, stream)

    async def _speak(self, peer: Peer, node_id: int, stream: AttachedStream, context: Any) -> None:
        """Ask one question after the other; the next frame is made when the peer has taken the last."""
        await self._write(self._welcome(node_id), context)
        while True:
            said = await stream.to_say.get()
            self._admission.check(peer)
            if not isinstance(said, Question):
                await self._write(said, context)
            elif self._questions.find(node_id, said.id) is said:
                await self._write(said.frame(), context)

    async def _write(self, frame: bytes, context: Any) -> None:
        await context.write(frame)
        self.traffic.sent += len(frame)

    async def _hear(self, peer: Peer, node_id: int, stream: AttachedStream, context: Any) -> None:
        """Read answers; what answers nothing delays the next frame, so that a flood waits in the peer's own memory."""
        while (frame := await context.read()) is not aio.EOF:
            self._admission.check(peer)
            self.traffic.received += len(frame)
            answer = parse(wire.Answer, frame)
            question = self._questions.find(node_id, answer.question)
            if question is not None:
                _check_answer(question, answer)
                self._questions.answer(question, answer)
            elif not (answer.HasField("alive") and stream.hear()):
                await asyncio.sleep(IDLE)

    async def _call(self, peer: Peer, request: bytes, context: Any) -> bytes:
        self.traffic.received += len(request)
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
        await context.send_initial_metadata(self._admission.proof(peer, context))
        response = bytes(wire.Response(content=b"".join(write_content(answer))).SerializeToString())
        if len(response) > MAX_FRAME:
            raise Refused(grpc.StatusCode.OUT_OF_RANGE, f"the answer has {len(response)} bytes, too many for a frame")
        self.traffic.sent += len(response)
        return response

    async def _check_health(self, peer: Peer, request: bytes, context: Any) -> bytes:
        asked = parse(health_pb2.HealthCheckRequest, request)
        if asked.service not in ("", SERVICE):
            raise Refused(grpc.StatusCode.NOT_FOUND, "this cloud has no such service")
        serving = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
        return bytes(serving.SerializeToString())


def _failure(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the status of what went wrong in the cloud."""
    if is_away(error):
        return grpc.StatusCode.UNAVAILABLE, "the cloud's database is away; try again"
    if disk_failure(error) is not None:
        return grpc.StatusCode.UNAVAILABLE, "the cloud cannot store anything now; try again"
    return grpc.StatusCode.INTERNAL, "the cloud failed; its log says how"


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
