"""Whatever a party answers is read or refused, in bounded time and memory, and no other party loses its answer."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from google.protobuf.message import DecodeError
from hostile import HEADERS, answer_frame, damage_records
from kinds import example, kinds
from test_codec import array
from wiring import SECURITY, SELLERS, Wires

from protocol.encoding.bounds import bound_of
from protocol.encoding.codec import UnreadableMessage, decode, encode, read_array
from protocol.encoding.records import parts
from protocol.exchange import SILENT, Exchange
from protocol.grids import LocalGrid, Nodes, ObservedGrid, TimedGrid, VirtualClock
from protocol.grids.grpc.frames import parse, read_content
from protocol.grids.grpc.transport import ATTACH, MAX_INLINE, channel, introduction
from protocol.journal import Journal
from protocol.journaled_exchange import JournaledExchange
from protocol.messages.base import Hello, Introduction, ProtocolMessage
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from protocol.wire import parley_pb2 as wire

LONGEST = 2.0
"""Seconds that any frame may take, on a machine that does other things too."""
MOST_MEMORY = 300_000_000
"""Bytes by which the process may grow meanwhile."""
HONEST = Introduction(role="seller", identity=bytes(32))


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("padding", [0, 117])
def test_no_header_of_an_array_does_more_than_be_refused(header: bytes, padding: int) -> None:
    with pytest.raises(UnreadableMessage):
        read_array(array(header.ljust(padding)[:65_000], b"12345"))


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(100_000, marks=pytest.mark.slow)], ids=["some frames", "100,000 frames"]
)
def test_every_kind_of_message_damaged_anywhere_is_read_or_refused(count: int) -> None:
    random, every, refusals, slowest = Random(count), kinds(), [], 0.0
    before = memory()
    for number in range(count):
        kind = every[number % len(every)]
        frame = answer_frame(example(kind, random), random)
        start = time.perf_counter()
        try:
            answer = parse(wire.Answer, frame)
            decode(read_content(answer.content), kind)
        except UnreadableMessage as error:
            refusals.append(str(error))
        slowest = max(slowest, time.perf_counter() - start)
    assert len(refusals) > count / 2
    assert max(map(len, refusals)) < 500
    assert slowest < LONGEST
    assert memory() - before < MOST_MEMORY


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.kind())
def test_no_message_is_larger_than_its_kind_allows(kind: type[ProtocolMessage]) -> None:
    random = Random(kind.kind())
    for _ in range(20):
        structure, values = parts(encode(example(kind, random)))
        assert len(structure) <= bound_of(kind).structure
        assert sum(len(value) for _, value in values) <= bound_of(kind).values


def test_a_message_of_nothing_but_groups_is_refused() -> None:
    deep = ConfigRecord({f"{number}/b/c/d/e/f": 1 for number in range(1000)})
    with pytest.raises(UnreadableMessage, match="more groups than values"):
        decode(
            RecordDict({"message": encode(HONEST)["message"], "fields": deep, "arrays": ArrayRecord()}), Introduction
        )


def memory() -> int:
    return int(psutil.Process().memory_info().rss)


def hostile_app(random: Random) -> ClientApp:
    """Answers with damaged records."""
    app = ClientApp()

    @app.query("introduce")
    def answer(message: Message, context: Context) -> Message:
        records = encode(example(random.choice(kinds()), random) if random.random() < 0.5 else HONEST)
        for _ in range(random.randint(1, 3)):
            damage_records(records, random)
        if random.random() < 0.3:
            records["arrays"] = ArrayRecord({"x": Array("uint8", (1,), "numpy.ndarray", random.choice(HEADERS))})
        if random.random() < 0.1:
            records["fields"] = ConfigRecord({"role": 2**70})
        return Message(records, reply_to=message)

    return app


def honest_app() -> ClientApp:
    app = ClientApp()

    @app.query("introduce")
    def answer(message: Message, context: Context) -> Message:
        return Message(encode(HONEST), reply_to=message)

    return app


def local() -> Grid:
    return LocalGrid([hostile_app(Random(1)), honest_app(), hostile_app(Random(2)), honest_app()])


def timed() -> Grid:
    return TimedGrid(local(), Nodes.perfect(4), lambda *about: 1.0, 1, 60.0, VirtualClock())


def observed() -> Grid:
    return ObservedGrid(local(), lambda envelope: None)


@pytest.mark.parametrize("grid", [local, timed, observed])
@pytest.mark.parametrize("journaled", [False, True], ids=["at once", "journaled"])
def test_what_one_party_answers_costs_no_other_its_answer(grid: Callable[[], Grid], journaled: bool) -> None:
    exchange = Exchange(grid())
    if journaled:
        journal = Journal(Ledger().database, Vault("memory://fuzz"))
        journal.begin("w", "test", opener=2, now=0.0)
        exchange = JournaledExchange(exchange.grid, journal, "w")
    for _ in range(150):
        replies = exchange.ask("introduce", dict.fromkeys(range(2, 6), Hello()), Introduction)
        assert {replies.answers[3], replies.answers[5]} == {HONEST}
        assert replies.answers.keys() | replies.failures.keys() == {2, 3, 4, 5}


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


@pytest.mark.parametrize("rounds", [150, pytest.param(5_000, marks=pytest.mark.slow)])
def test_what_one_party_answers_along_a_wire_costs_no_other_its_answer(wires: Wires, rounds: int) -> None:
    grid = wires.cloud(SELLERS[:2])
    wires.submit(answer_damaged(grid.address, Random(rounds)))
    wires.attach(grid.address, SELLERS[1], honest_app())
    assert grid.wait_attached([2, 3], 20) == set()
    journal = Journal(Ledger().database, wires.vault)
    journal.begin("w", "test", opener=2, now=0.0)
    exchange = JournaledExchange(grid, journal, "w")
    for _ in range(rounds):
        replies = exchange.ask("introduce", {2: Hello(), 3: Hello()}, Introduction, exchange.now() + 30.0)
        assert replies.answers[3] == HONEST
        assert replies.failures.get(2) != SILENT


async def answer_damaged(address: str, random: Random) -> None:
    """Attach as the first seller, and answer every question with damaged content."""
    async with channel(address, SECURITY[SELLERS[0]]) as cloud:
        stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[SELLERS[0]]))
        await stream.read()
        while True:
            question = wire.FromCloud.FromString(await stream.read()).question
            await stream.write(wire.Answer(question=question.id, content=damaged(random)).SerializeToString())


def damaged(random: Random) -> bytes:
    """Return damaged content that fits in a frame, whose own frame is whole."""
    while True:
        kind = random.choice([Introduction, *kinds()])
        with suppress(DecodeError):
            answer = wire.Answer.FromString(answer_frame(example(kind, random), random))
            if len(answer.content) < MAX_INLINE and answer.WhichOneof("body") == "content":
                return bytes(answer.content)
