"""A certificate that takes whatever it can get of the cloud: each function lets one, and says what others notice."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from flwr.app import Message, RecordDict
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_grids import echo_app
from test_grpc_blobs import SEALED, dealer, delivery
from test_grpc_lives import Slow, asking
from wiring import SECURITY, SELLERS, Wires, ask

import protocol.grids.grpc.grid
from protocol.crypto.certificates import Identity, Revocations
from protocol.encoding.codec import decode, encode
from protocol.grids.grpc import Allowance, Call, GrpcGrid, Pace, Quotas, call
from protocol.grids.grpc.quotas import Turns
from protocol.grids.grpc.transport import PUT, channel, introduction
from protocol.messages.base import BlobReference
from protocol.messages.purchase import Delivery
from protocol.wire import parley_pb2 as wire

EVE, ANN = SELLERS[:2]
"""Who takes all, and who would have her share."""
EVES, ANNS = 2, 3
"""Their nodes."""


def beside_slow_blobs(wires: Wires, patience: float = 20.0) -> list[str]:
    """Eve puts thirty blobs that never end, where three may move at once; Ann delivers three."""
    few = Allowance(each=2, waiting=30, rate=1e9, burst=1, all=3)
    grid = wires.cloud([EVE, ANN], quotas=Quotas(transfers=few), pace=Pace(patience=60.0))
    question, slow = working(wires, grid)
    wires.attach(grid.address, ANN, dealer([], SEALED))
    assert grid.wait_attached([ANNS], 20) == set()

    async def put_slowly() -> None:
        frame, about = announced(question), introduction(SECURITY[EVE])
        async with AsyncExitStack() as stack:
            clouds = [await stack.enter_async_context(channel(grid.address, SECURITY[EVE])) for _ in range(30)]
            puts = [cloud.stream_unary(PUT)(_endless(frame), metadata=about) for cloud in clouds]
            await asyncio.gather(*puts, return_exceptions=True)

    wires.submit(put_slowly())
    while len(list(wires.folder.iterdir())) < few.each:
        time.sleep(0.01)
    answered = all(ask(grid, ANNS, encode(delivery(b"a question")), timeout=patience) for _ in range(3))
    slow.go_on.release()
    return [] if answered else ["a delivery waits for another party's blobs"]


def working(wires: Wires, grid: GrpcGrid) -> tuple[str, Slow]:
    """Attach Eve and ask her; returns the question, which she works at from now on."""
    slow = Slow()
    wires.attach(grid.address, EVE, slow.app)
    assert grid.wait_attached([EVES], 20) == set()
    (question,) = grid.push_messages([grid.create_message(RecordDict(), "query.echo", EVES, "g")])
    assert slow.at_work.acquire(timeout=20)
    return question, slow


def announced(question: str) -> bytes:
    """Return the frame that announces a blob for the answer to a question."""
    blob = wire.BlobOfQuestion(question=question, blob=wire.Blob(sha256=bytes(32), length=100))
    return bytes(wire.Upload(announced=blob).SerializeToString())


async def _endless(frame: bytes) -> Any:
    yield frame
    await asyncio.sleep(3600)


def going_round() -> list[str]:
    """Eve has both places and waits for more; then these are free, one after the other, while Ann and Bob wait."""
    allowance = Allowance(each=2, waiting=99, rate=1e9, burst=1, all=2)
    inside = play(allowance, ["eve"] * 9 + ["ann", "bob"], ends=2)
    return [] if inside == ["eve", "eve", "ann", "bob"] else [f"free places do not go round: {', '.join(inside)}"]


def play(allowance: Allowance, order: list[str], ends: int) -> list[str]:
    """Let callers come in this order, of whom `ends` go again one by one; returns who got in, in order."""
    turns, inside = Turns(allowance), []

    async def visit(name: str, leave: asyncio.Event) -> None:
        async with turns.turn(name):
            inside.append(name)
            await leave.wait()

    async def play() -> None:
        doors = [asyncio.Event() for _ in order]
        visits = [asyncio.create_task(visit(name, door)) for name, door in zip(order, doors, strict=True)]
        for door in [None, *doors[:ends]]:
            if door is not None:
                door.set()
            for _ in range(20):
                await asyncio.sleep(0)
        for each in visits:
            each.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    asyncio.run(play())
    return inside


def without_room(wires: Wires, quotas: Quotas) -> list[str]:
    """The vault has room for one of a seller's two deliveries, until the first one is taken out of it."""
    grid = dealing(wires, quotas)
    (first,) = ask(grid, EVES, encode(delivery(b"a question")), timeout=20)
    kept = _delivered(first).digest.hex()
    second = asking(wires, grid, EVES, content=encode(delivery(b"another")), timeout=20)
    wires.run(asyncio.sleep(0.3))
    early = second.done()
    wires.vault.delete(kept)
    (reply,) = result(wires, second)
    if reply.has_error():
        return [f"a delivery failed for want of room{' before there was some' if early else ''}: {reply.error.reason}"]
    return [] if len(_delivered(reply)) == len(SEALED) else ["a delivery is not whole"]


def _delivered(reply: Message) -> BlobReference:
    blob = decode(reply.content, Delivery).blob
    assert isinstance(blob, BlobReference)
    return blob


def dealing(wires: Wires, quotas: Quotas) -> GrpcGrid:
    """Return a cloud with a seller that answers each question with a large delivery."""
    grid = wires.cloud([EVE, ANN], quotas=quotas)
    wires.attach(grid.address, EVE, dealer([], SEALED))
    assert grid.wait_attached([EVES], 20) == set()
    return grid


def result(wires: Wires, asked: "asyncio.Future[list[Message]]") -> list[Message]:
    """Wait for what `asking` began."""

    async def wait() -> list[Message]:
        return await asked

    replies: list[Message] = wires.run(wait())
    return replies


def watched_by_the_revoked(wires: Wires, folder: Path, patience: float = 20.0) -> list[str]:
    """Eve's certificate was revoked; she watches the cloud's health as often as it serves calls at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol.grids.grpc.grid, "MAX_STREAMS", 12)
        grid = wires.cloud([EVE, ANN], revoked=_revoking(folder, EVE))
    wrong = []
    with health(grid, EVE) as stub:
        watching = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(12)]
        open_ = sum(_begins(each) for each in watching)
        if open_:
            wrong.append(f"a revoked certificate has {open_} streams")
        wires.attach(grid.address, ANN, echo_app())
        if grid.wait_attached([ANNS], patience):
            wrong.append("another party cannot attach")
        for each in watching:
            each.cancel()
    return wrong


def _begins(stream: Any) -> bool:
    """Whether a stream says anything before it ends."""
    try:
        next(stream)
    except grpc.RpcError:
        return False
    return True


def checked_by_the_revoked(wires: Wires, folder: Path) -> list[str]:
    """Eve's certificate was revoked; she and Ann ask for the cloud's health."""
    grid = wires.cloud([EVE, ANN], revoked=_revoking(folder, EVE))
    statuses = {urn: _check(grid, urn) for urn in (EVE, ANN)}
    wrong = [] if statuses[EVE] is grpc.StatusCode.UNAUTHENTICATED else ["a revoked certificate is told of health"]
    return wrong if statuses[ANN] is grpc.StatusCode.OK else [*wrong, "a good certificate is not told of health"]


def checked_beside_a_call(wires: Wires) -> list[str]:
    """Eve has one call under way, the most that she may have, and asks for the cloud's health; so does Ann."""
    under_way, go_on = threading.Event(), threading.Event()

    def answer(asker: Identity, content: RecordDict) -> RecordDict:
        under_way.set()
        go_on.wait(20)
        return content

    one = Allowance(each=1, waiting=0, rate=1e9, burst=1, all=9)
    calls = {"slow": Call(frozenset({"seller"}), answer)}
    grid = wires.cloud([EVE, ANN], calls=calls, quotas=Quotas(calls=one))
    calling: Future[Any] = Future()
    thread = threading.Thread(
        target=lambda: calling.set_result(call(grid.address, SECURITY[EVE], "slow", RecordDict()))
    )
    thread.start()
    assert under_way.wait(20)
    statuses = {urn: _check(grid, urn) for urn in (EVE, ANN)}
    go_on.set()
    thread.join()
    assert isinstance(calling.result(), RecordDict)
    wrong = [] if statuses[EVE] is grpc.StatusCode.RESOURCE_EXHAUSTED else ["questions for health have no quota"]
    return wrong if statuses[ANN] is grpc.StatusCode.OK else [*wrong, "another party is not told of health"]


def _revoking(folder: Path, urn: str) -> Revocations:
    revoked = Revocations(folder / "revoked.txt")
    revoked.add({SECURITY[urn].credentials.identity.serial: urn})
    return revoked


def _check(grid: GrpcGrid, urn: str) -> grpc.StatusCode:
    with health(grid, urn) as stub:
        try:
            stub.Check(health_pb2.HealthCheckRequest(), timeout=20)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@contextmanager
def health(grid: GrpcGrid, urn: str) -> Iterator[Any]:
    """Give what asks for a cloud's health with a party's certificate."""
    credentials = SECURITY[urn].credentials
    tls = grpc.ssl_channel_credentials(SECURITY[urn].authority, credentials.key, credentials.certificate)
    with grpc.secure_channel(grid.address, tls) as connection:
        yield health_pb2_grpc.HealthStub(connection)
