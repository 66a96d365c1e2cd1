"""One certificate floods the cloud, in every way that it has: what other parties notice, and what it costs the cloud.

Cloud, honest parties and the flooding one are separate processes on this machine, under mutual TLS. What floods does so
over eight connections, as fast as it can.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
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
from protocol.encoding.bounds import Bound
from protocol.encoding.codec import encode
from protocol.encoding.records import pack
from protocol.encoding.streaming import blobs_of
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import SWITCH, Call, GrpcGrid, Pace, Quotas, Roster, Secure
from protocol.grids.grpc.transport import ATTACH, CALL, MAX_INLINE, PUT, introduction
from protocol.messages.base import BlobReference, Hello
from protocol.messages.purchase import Bid, Bids, SignedBid
from protocol.messages.service import AskHealth, Health
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire
from simulations.studies.benchmarks.grpc import attend
from simulations.studies.benchmarks.measurement import Measurement

SECONDS = 5.0
"""How long each flood lasts."""
PROCESSES, CONNECTIONS, AT_ONCE = 3, 8, 8
"""Of the flooding party: its processes, their connections, and the calls on each of these."""
DELIVERY = 1_000_000
"""Bytes of a sealed image that an honest party delivers."""
BIDS = Bound(3_000_000, 250_000)
"""How large an answer with bids may be under usual terms."""
FITTING, TOO_MANY = 1_100, 20_000
"""Bids that fit, and that do not."""
EVERY = 1.0
"""Seconds between two questions to the flooding party, as if purchases began at this rate."""
QUOTA = 64_000_000
"""Bytes of a party in the vault."""
MOST_MEMORY = 200.0
"""Megabytes by which the cloud may grow."""
LOOK = 0.05
"""Seconds between two looks at memory and vault."""
SLOWER = 3.0
"""How many times as long a round trip of the others may take."""
FLOODS = ("frames", "streams", "calls", "refused calls", "blobs", "bids")
EACH_AND_ALL = (*[(kind,) for kind in FLOODS], FLOODS)

_FLOODER, _HONEST = FIRST_NODE_ID, range(FIRST_NODE_ID + 1, FIRST_NODE_ID + 4)
_PATIENCE = 60.0


def measure() -> list[Measurement]:
    """Flood in each way, and in all ways at once."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)  # as the cloud's own process does
    try:
        with TemporaryDirectory() as folder:
            return flooded(Path(folder), SECONDS)
    finally:
        sys.setswitchinterval(usual)


def flooded(
    folder: Path, seconds: float, floods: Sequence[tuple[str, ...]] = EACH_AND_ALL, processes: int = PROCESSES
) -> list[Measurement]:
    """Measure floods of so many seconds each, by so many processes of the flooding party."""
    with _cloud(folder) as (grid, vault, flooding):
        calm = {step: _round_trip(grid, vault, step, seconds / 2) for step in ("echo", "deliver")}
        found = [
            Measurement("round trip of an honest party, in peace", 1e3 * calm["echo"], "ms", below=10.0),
            Measurement("delivery of an honest party, in peace", 1e3 * calm["deliver"], "ms"),
        ]
        for kinds in floods:
            name = kinds[0] if len(kinds) == 1 else "everything at once"
            with (
                _watching(folder) as most,
                flooding(kinds, processes),
                _asking(grid, "bid" if "bids" in kinds else "wait"),
            ):
                slow = {step: _round_trip(grid, vault, step, seconds / 2) / calm[step] for step in calm}
            found += [
                Measurement(f"a flood of {name}: round trips take", slow["echo"], "x", below=SLOWER),
                Measurement(f"a flood of {name}: deliveries take", slow["deliver"], "x", below=SLOWER),
                Measurement(f"a flood of {name}: memory grows by", most.memory / 1e6, "MB", below=MOST_MEMORY),
                Measurement(f"a flood of {name}: the vault holds", most.vault / 1e6, "MB", below=QUOTA / 1e6),
            ]
    return found


def _round_trip(grid: GrpcGrid, vault: Vault, step: str, seconds: float) -> float:
    """Return the median time of a question to an honest party."""
    times: list[float] = []
    end = perf_counter() + seconds
    while (start := perf_counter()) < end or len(times) < 5:
        node_id = _HONEST[len(times) % len(_HONEST)]
        replies = list(
            grid.send_and_receive(
                [grid.create_message(encode(Hello()), f"query.{step}", node_id, "")], timeout=_PATIENCE
            )
        )
        if not (replies and replies[0].has_content()):
            raise RuntimeError("an honest party did not answer")
        times.append(perf_counter() - start)
        for blob in blobs_of(replies[0].content).values():
            if isinstance(blob, BlobReference):  # as when its purchase has ended
                vault.delete(blob.digest.hex())
    return median(times)


@dataclass
class _Most:
    """The most bytes that this process has grown by, and that the vault has held, arriving ones included."""

    memory: int = 0
    vault: int = 0


@contextmanager
def _watching(folder: Path) -> Iterator[_Most]:
    """Watch the cloud's memory and vault."""
    with _meanwhile() as going_on:
        process, most = psutil.Process(), _Most()
        before = process.memory_info().rss

        def look() -> None:
            most.memory = max(most.memory, process.memory_info().rss - before)
            sizes = []
            for path in (folder / "vault").iterdir():
                with suppress(FileNotFoundError):
                    sizes.append(path.stat().st_size)
            most.vault = max(most.vault, sum(sizes))
            time.sleep(LOOK)

        going_on(look)
        yield most


@contextmanager
def _asking(grid: GrpcGrid, step: str) -> Iterator[None]:
    """Ask the flooding party meanwhile, as purchases would, and read what it answers."""

    def ask() -> None:
        start = time.monotonic()
        Exchange(grid).ask(step, {_FLOODER: Hello()}, Bids, until=start + 2.0, bound=BIDS)
        time.sleep(max(0.0, start + EVERY - time.monotonic()))

    with _meanwhile() as going_on:
        going_on(ask)
        yield


@contextmanager
def _meanwhile() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Do things in threads, again and again, until the block ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def again(work: Callable[[], object]) -> None:
        while not over.is_set():
            work()

    def start(work: Callable[[], object]) -> None:
        threads.append(threading.Thread(target=again, args=[work]))
        threads[-1].start()

    try:
        yield start
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def _cloud(folder: Path) -> Iterator[tuple[GrpcGrid, Vault, Callable[[tuple[str, ...], int], Any]]]:
    """Yield the grid of a cloud with honest parties, its vault, and what lets the other one flood."""
    authority, spawning = mint_authority(), get_context("spawn")
    urns = [f"urn:parley:seller:seller{index}" for index in range(1 + len(_HONEST))]
    cloud = Secure(mint(authority, "cloud", "cloud", ["127.0.0.1"]), authority.certificate)
    flooder, *honest = [
        Secure(mint(authority, "seller", urn.rpartition(":")[2]), authority.certificate) for urn in urns
    ]
    calls = {"health": Call(frozenset({"seller"}), _health)}
    vault, quotas = Vault(str(folder / "vault")), Quotas(party=QUOTA)
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
        def flooding(kinds: tuple[str, ...], processes: int) -> Iterator[None]:
            with ExitStack() as stack:
                for _ in range(processes):
                    stack.enter_context(running(_flood, flooder, kinds))
                if grid.wait_attached([_FLOODER], _PATIENCE):
                    raise RuntimeError("the flooding party did not attach")
                yield

        with running(attend, honest, DELIVERY):
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
        bids = [pack(encode(_bids(count))) for count in (TOO_MANY, FITTING) if "bids" in self._kinds]
        while (frame := await stream.read()) is not aio.EOF:
            said = wire.FromCloud.FromString(frame)
            if said.HasField("alive"):
                await stream.write(wire.Answer(alive=wire.Alive()).SerializeToString())
            if said.HasField("question"):
                self._question = said.question.id
                self._asked.set()
                for many in bids:
                    with suppress(aio.AioRpcError):
                        stored = await self._upload(cloud, said.question.id, many)
                        await stream.write(wire.Answer(question=said.question.id, stored=stored).SerializeToString())
        junk.cancel()

    async def _write_junk(self, stream: Any, much: bool) -> None:
        with suppress(aio.AioRpcError, asyncio.InvalidStateError):
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


def _bids(count: int) -> Bids:
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
    return Bids(bids=(SignedBid(bid=bid, signature=bytes(64)),) * count, unreadable=0)
