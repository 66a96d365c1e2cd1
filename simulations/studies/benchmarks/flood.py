"""One certificate floods the cloud, in every way that it has: what other parties notice, and what it costs the cloud.

Cloud, honest parties and the flooding one are separate processes on this machine, under mutual TLS. What floods does so
over eight connections, as fast as it can.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import grpc
import psutil
from flwr.app import RecordDict
from google.protobuf.message import DecodeError
from grpc import aio

from protocol.crypto.certificates import Identity, mint, mint_authority
from protocol.encoding.codec import encode
from protocol.encoding.records import pack
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import Call, GrpcGrid, Pace, Quotas, Roster, Secure
from protocol.grids.grpc.transport import ATTACH, CALL, MAX_INLINE, PUT, introduction
from protocol.messages.base import Hello
from protocol.messages.purchase import Bid, Bids, SignedBid
from protocol.messages.service import AskHealth, Health
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire
from simulations.studies.benchmarks.grpc import attend
from simulations.studies.benchmarks.measurement import Measurement

SECONDS = 5.0
"""How long each flood lasts."""
CONNECTIONS, AT_ONCE = 8, 8
"""Of the flooding party, and its calls on each."""
MOST_BIDS = 20_000
"""Bids of one answer: about as many as a message may have."""
QUOTA = 64_000_000
"""Bytes of a party in the vault."""
MOST_MEMORY = 500.0
"""Megabytes by which the cloud may grow, one answer of `MOST_BIDS` bids being read included."""
SLOWER = 3.0
"""How many times as long a round trip of the others may take."""
FLOODS = ("frames", "streams", "calls", "refused calls", "blobs", "bids")

_FLOODER, _HONEST = FIRST_NODE_ID, range(FIRST_NODE_ID + 1, FIRST_NODE_ID + 4)
_PATIENCE = 60.0


def measure() -> list[Measurement]:
    """Flood in each way, and in all ways at once."""
    with TemporaryDirectory() as folder:
        return flooded(Path(folder), SECONDS)


def flooded(folder: Path, seconds: float) -> list[Measurement]:
    """Measure floods of so many seconds each."""
    found = []
    with _cloud(folder) as (grid, vault, flooding):
        calm = _round_trip(grid, seconds)
        found.append(Measurement("round trip of an honest party, in peace", 1e3 * calm, "ms"))
        process = psutil.Process()
        for kinds in (*[(kind,) for kind in FLOODS], FLOODS):
            before, name = process.memory_info().rss, kinds[0] if len(kinds) == 1 else "everything at once"
            with flooding(kinds), _asking(grid, kinds) as watched:
                slow = _round_trip(grid, seconds)
                most = max(vault.held, *watched["vault"])
            grown = (max(process.memory_info().rss, *watched["memory"]) - before) / 1e6
            found += [
                Measurement(f"a flood of {name}: round trips take", slow / calm, "x", below=SLOWER),
                Measurement(f"a flood of {name}: the cloud's memory grows by", grown, "MB", below=MOST_MEMORY),
                Measurement(f"a flood of {name}: the vault holds", most / 1e6, "MB", below=QUOTA / 1e6),
            ]
    return found


def _round_trip(grid: GrpcGrid, seconds: float) -> float:
    times: list[float] = []
    end = perf_counter() + seconds
    while (start := perf_counter()) < end or len(times) < 5:
        node_id = _HONEST[len(times) % len(_HONEST)]
        replies = list(
            grid.send_and_receive([grid.create_message(encode(Hello()), "query.echo", node_id, "")], timeout=_PATIENCE)
        )
        if not (replies and replies[0].has_content()):
            raise RuntimeError("an honest party did not answer")
        times.append(perf_counter() - start)
    return median(times)


@contextmanager
def _asking(grid: GrpcGrid, kinds: tuple[str, ...]) -> Iterator[dict[str, list[int]]]:
    """Ask the flooding party meanwhile, as purchases would; what it answers is read."""
    over, process = threading.Event(), psutil.Process()
    watched: dict[str, list[int]] = {"memory": [0], "vault": [0]}

    def ask() -> None:
        step = "bid" if "bids" in kinds else "wait"
        while not over.is_set():
            Exchange(grid).ask(step, {_FLOODER: Hello()}, Bids, until=Exchange(grid).now() + 2.0)
            watched["memory"].append(process.memory_info().rss)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield watched
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def _cloud(folder: Path) -> Iterator[tuple[GrpcGrid, Vault, Callable[[tuple[str, ...]], Any]]]:
    """Yield the grid of a cloud with honest parties, its vault, and what lets the other one flood."""
    authority, spawning = mint_authority(), get_context("spawn")
    urns = [f"urn:parley:seller:seller{index}" for index in range(1 + len(_HONEST))]
    cloud = Secure(mint(authority, "cloud", "cloud", ["127.0.0.1"]), authority.certificate)
    flooder, *honest = [
        Secure(mint(authority, "seller", urn.rpartition(":")[2]), authority.certificate) for urn in urns
    ]
    calls = {"health": Call(frozenset({"seller"}), _health)}
    vault = Vault(str(folder / "vault"))
    quotas = Quotas(party=QUOTA)
    with GrpcGrid("127.0.0.1:0", cloud, Roster(urns), vault, calls=calls, quotas=quotas, pace=Pace(5.0)) as grid:

        @contextmanager
        def running(target: Callable[..., None], *arguments: object) -> Iterator[None]:
            child = spawning.Process(target=target, args=(grid.address, *arguments), daemon=True)
            child.start()
            try:
                yield
            finally:
                child.terminate()
                child.join()

        @contextmanager
        def flooding(kinds: tuple[str, ...]) -> Iterator[None]:
            with running(_flood, flooder, kinds):
                if grid.wait_attached([_FLOODER], _PATIENCE):
                    raise RuntimeError("the flooding party did not attach")
                yield

        with running(attend, honest):
            if grid.wait_attached(_HONEST, _PATIENCE):
                raise RuntimeError("the honest parties did not attach")
            yield grid, vault, flooding


def _health(who: Identity, content: RecordDict) -> RecordDict:
    return encode(Health(time=0.0, release="any"))


def _flood(address: str, security: Secure, kinds: tuple[str, ...]) -> None:
    """Be the party that floods."""
    asyncio.run(_Flood(address, security, kinds).run())


class _Flood:
    """A party that floods the cloud."""

    def __init__(self, address: str, security: Secure, kinds: tuple[str, ...]) -> None:
        self._address = address
        self._security = security
        self._about = introduction(security)
        self._kinds = kinds
        self._question, self._asked = "", asyncio.Event()
        self._junk = wire.Answer(question="none", content=bytes(MAX_INLINE)).SerializeToString()

    async def run(self) -> None:
        """Flood until the process ends."""
        ways: Mapping[str, Callable[[aio.Channel], Awaitable[None]]] = {
            "streams": self._attach,
            "calls": lambda cloud: self._call(cloud, "health"),
            "refused calls": lambda cloud: self._call(cloud, "nothing"),
            "blobs": self._put,
        }
        floods = [
            self._again(ways[kind], number)
            for kind in self._kinds
            if kind in ways
            for number in range(CONNECTIONS * AT_ONCE)
        ]
        await asyncio.gather(self._again(self._attend, 0), *floods)

    async def _attend(self, cloud: aio.Channel) -> None:
        """Stay attached; answer with bids, or with nothing and junk beside it."""
        stream = cloud.stream_stream(ATTACH)(metadata=self._about)
        junk = asyncio.create_task(self._write_junk(stream, "frames" in self._kinds))
        bids = pack(encode(_bids())) if "bids" in self._kinds else b""
        while (frame := await stream.read()) is not aio.EOF:
            said = wire.FromCloud.FromString(frame)
            if said.HasField("alive"):
                await stream.write(wire.Answer(alive=wire.Alive()).SerializeToString())
            if said.HasField("question"):
                self._question = said.question.id
                self._asked.set()
                if bids:
                    with suppress(aio.AioRpcError):
                        stored = await self._upload(cloud, said.question.id, bids)
                        await stream.write(wire.Answer(question=said.question.id, stored=stored).SerializeToString())
        junk.cancel()

    async def _write_junk(self, stream: Any, much: bool) -> None:
        while much:
            await stream.write(self._junk)

    async def _again(self, way: Callable[[aio.Channel], Awaitable[None]], number: int) -> None:
        """Do something again and again, on a connection of its own."""
        mine = self._security.credentials
        tls = grpc.ssl_channel_credentials(self._security.authority, mine.key, mine.certificate)
        async with aio.secure_channel(self._address, tls, [("flood", number % CONNECTIONS)]) as cloud:
            while True:
                with suppress(aio.AioRpcError, DecodeError, asyncio.InvalidStateError):
                    await way(cloud)

    async def _attach(self, cloud: aio.Channel) -> None:
        stream = cloud.stream_stream(ATTACH)(metadata=self._about)
        await stream.read()
        await stream.write(self._junk)

    async def _call(self, cloud: aio.Channel, method: str) -> None:
        request = wire.Request(method=method, content=pack(encode(AskHealth()))).SerializeToString()
        await cloud.unary_unary(CALL)(request, metadata=self._about)

    async def _put(self, cloud: aio.Channel) -> None:
        """Put one blob after the other that belongs to no answer, every other one without an end."""
        await self._asked.wait()
        for number in count():
            await self._upload(cloud, self._question, number.to_bytes(4) * 250_000, whole=number % 2 == 0)

    async def _upload(self, cloud: aio.Channel, question: str, data: bytes, whole: bool = True) -> wire.Blob:
        blob = wire.Blob(sha256=sha256(data).digest(), length=len(data))

        async def pieces() -> Any:
            yield wire.Upload(announced=wire.BlobOfQuestion(question=question, blob=blob)).SerializeToString()
            for begin in range(0, len(data), 500_000):
                yield wire.Upload(data=data[begin : begin + 500_000]).SerializeToString()
                if not whole:
                    await asyncio.sleep(_PATIENCE)

        await cloud.stream_unary(PUT)(pieces(), metadata=self._about)
        return blob


def _bids() -> Bids:
    """Return as many bids as fit."""
    bid = Bid(
        request_id=bytes(32),
        buyer=bytes(32),
        pseudonym=bytes(32),
        image_commitment=bytes(32),
        feature_commitment=bytes(32),
        feature=(1, 2),
        price=1,
        stake=1,
        expires_at=1,
    )
    return Bids(bids=(SignedBid(bid=bid, signature=bytes(64)),) * MOST_BIDS, unreadable=0)
