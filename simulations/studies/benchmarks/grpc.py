"""The cost of the network between machines: round trips, a thousand attached parties, two gigabytes of sealed images.

Cloud and parties are separate processes on this machine, under mutual TLS.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

from flwr.app import ConfigRecord, Context, Message, RecordDict

from protocol.crypto.certificates import mint, mint_authority
from protocol.encoding.codec import encode
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import Attachment, GrpcGrid, Roster, Secure
from protocol.messages.purchase import Delivery, Receipt, SignedReceipt
from protocol.storage.vault import Vault
from simulations.studies.benchmarks.echo import echo_app
from simulations.studies.benchmarks.measurement import Measurement
from simulations.studies.benchmarks.memory import peak_memory

ROUND_TRIPS = 2_000
PARTIES, PROCESSES = 1_000, 4
BLOB, BLOBS = 64 << 20, 32
PATIENCE = 300.0

_QUESTION = RecordDict({"fields": ConfigRecord({"what": "how are you?"})})


def measure() -> list[Measurement]:
    """Measure, in this order: the memory for a delivery, round trips, a thousand parties."""
    with TemporaryDirectory() as folder:
        return [*_delivery(Path(folder)), *_round_trips(Path(folder)), *_many(Path(folder))]


def _delivery(folder: Path) -> list[Measurement]:
    with _attached(folder, count=1, processes=1) as grid:
        _ask(grid, "query.echo", [FIRST_NODE_ID])
        before, start = peak_memory(), perf_counter()
        for _ in range(BLOBS):
            _ask(grid, "query.deliver", [FIRST_NODE_ID])
        seconds = perf_counter() - start
    grown = peak_memory() - before
    return [
        Measurement("a delivery of 2 GB raises the cloud's memory by", grown, "MB", below=200.0),
        Measurement("a delivery of 2 GB takes", seconds, "s"),
    ]


def _round_trips(folder: Path) -> list[Measurement]:
    times = []
    with _attached(folder, count=1, processes=1) as grid:
        for _ in range(ROUND_TRIPS):
            start = perf_counter()
            _ask(grid, "query.echo", [FIRST_NODE_ID])
            times.append(1e3 * (perf_counter() - start))
    return [
        Measurement("round trip, median", median(times), "ms", below=10.0),
        Measurement("round trip, 99th percentile", quantiles(times, n=100)[98], "ms", below=50.0),
    ]


def _many(folder: Path) -> list[Measurement]:
    nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + PARTIES)
    start = perf_counter()
    with _attached(folder, count=PARTIES, processes=PROCESSES) as grid:
        attached = perf_counter() - start
        times = []
        for _ in range(5):
            start = perf_counter()
            _ask(grid, "query.echo", nodes)
            times.append(perf_counter() - start)
        memory = peak_memory()
    return [
        Measurement(f"{PARTIES:,} parties start and attach", attached, "s"),
        Measurement(f"asking {PARTIES:,} parties", median(times), "s"),
        Measurement(f"the cloud's memory with {PARTIES:,} parties", memory, "MB", below=1_000.0),
    ]


def _ask(grid: GrpcGrid, kind: str, nodes: Sequence[int]) -> None:
    messages = [grid.create_message(_QUESTION, kind, node_id, "") for node_id in nodes]
    replies = list(grid.send_and_receive(messages, timeout=PATIENCE))
    if len(replies) < len(nodes) or any(reply.has_error() for reply in replies):
        raise RuntimeError(f"{len(nodes)} parties were asked, and not all of them answered")


@contextmanager
def _attached(folder: Path, count: int, processes: int) -> Iterator[GrpcGrid]:
    """Yield the grid of a cloud with parties in other processes."""
    authority = mint_authority()
    urns = [f"urn:parley:seller:seller{index}" for index in range(count)]
    cloud = Secure(mint(authority, "cloud", "cloud", ["127.0.0.1"]), authority.certificate)
    sellers = [Secure(mint(authority, "seller", urn.rpartition(":")[2]), authority.certificate) for urn in urns]
    with GrpcGrid("127.0.0.1:0", cloud, Roster(urns), Vault(str(folder / "vault"))) as grid:
        spawning = get_context("spawn")
        children = [
            spawning.Process(target=attend, args=(grid.address, sellers[part::processes]), daemon=True)
            for part in range(processes)
        ]
        for child in children:
            child.start()
        try:
            if missing := grid.wait_attached(range(FIRST_NODE_ID, FIRST_NODE_ID + count), PATIENCE):
                raise RuntimeError(f"{len(missing)} of {count} parties did not attach")
            yield grid
        finally:
            for child in children:
                child.terminate()
                child.join()


def attend(address: str, securities: Sequence[Secure], size: int = BLOB) -> None:
    """Host all these parties, which deliver sealed images of a size."""
    app = echo_app()

    @app.query("deliver")
    def deliver(message: Message, context: Context) -> Message:
        blob = os.urandom(size)
        receipt = Receipt(order=bytes(32), blob=sha256(blob).digest(), length=len(blob))
        delivery = Delivery(receipt=SignedReceipt(receipt=receipt, signature=bytes(64)), blob=blob)
        return Message(encode(delivery), reply_to=message)

    async def attend() -> None:
        with ThreadPoolExecutor(1) as executor:
            parties = [Attachment(address, security, app, executor=executor) for security in securities]
            await asyncio.gather(*(party.run() for party in parties))

    asyncio.run(attend())
