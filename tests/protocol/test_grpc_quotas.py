"""What one certificate may have of the cloud, and what it cannot take from the others."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import pytest
from crowding import (
    announced,
    beside_slow_blobs,
    checked_beside_a_call,
    checked_by_the_revoked,
    dealing,
    health,
    result,
    watched_by_the_revoked,
    without_room,
    working,
)
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from sqlalchemy.exc import OperationalError
from test_grids import echo_app
from test_grpc_blobs import SEALED, dealer, delivery
from test_grpc_lives import Link, Slow, asking
from wiring import SECURITY, SELLERS, Wires, ask, echo, refused

from protocol.crypto.certificates import Identity
from protocol.encoding.codec import encode
from protocol.exchange import LOST, NO_ROOM, Exchange
from protocol.grids.grpc import Allowance, Call, CloudUnreachable, GrpcGrid, Pace, Quotas, call, streams
from protocol.grids.grpc.transport import ATTACH, CALL, MAX_INLINE, PUT, channel, introduction
from protocol.journal import Journal
from protocol.journaled_exchange import JournaledExchange
from protocol.messages.base import Acknowledgement, Hello
from protocol.messages.purchase import Delivery
from protocol.storage.ledger import Ledger
from protocol.wire import parley_pb2 as wire

SELLER = SELLERS[0]


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


def silent(wires: Wires, grid: GrpcGrid, urn: str) -> "Future[Any]":
    """Attach as a party whose process stands still: it reads nothing more."""

    async def stand_still() -> None:
        async with channel(grid.address, SECURITY[urn]) as cloud:
            stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[urn]))
            await stream.read()
            await asyncio.sleep(3600)

    return wires.submit(stand_still())


class TestTwoWithOneCertificate:
    def test_the_one_that_is_alive_stays_and_both_are_told(
        self, wires: Wires, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        grid = wires.cloud([SELLER])
        owner = wires.attach(grid.address, SELLER, echo_app())
        assert grid.wait_attached([2], 20) == set()
        thief_app = ClientApp()
        thief = wires.attach(grid.address, SELLER, thief_app)
        while not grid.contested():
            time.sleep(0.01)
        assert echo(grid, 2)
        assert not owner.done()
        assert not thief.done()
        said = [record.getMessage() for record in caplog.records]
        assert any("another process tries to attach with the certificate of" in each for each in said)
        assert any("ALREADY_EXISTS" in each and "trying again" in each for each in said)
        assert grid.contested()[2].startswith("ipv4:127.0.0.1:")

    def test_the_other_gets_in_when_the_first_has_gone(self, wires: Wires) -> None:
        grid = wires.cloud([SELLER])
        first = wires.attach(grid.address, SELLER, ClientApp())
        assert grid.wait_attached([2], 20) == set()
        wires.attach(grid.address, SELLER, echo_app())
        while not grid.contested():
            time.sleep(0.01)
        first.cancel()
        while not any(reply.has_content() for reply in ask(grid, 2, timeout=20)):
            pass

    def test_who_works_is_alive(self, wires: Wires) -> None:
        grid, slow = wires.cloud([SELLER]), Slow()
        owner = wires.attach(grid.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        asked = asking(wires, grid, 2, timeout=20)
        assert slow.at_work.acquire(timeout=20)
        wires.attach(grid.address, SELLER, echo_app())
        while not grid.contested():
            time.sleep(0.01)
        slow.go_on.release()
        (reply,) = result(wires, asked)
        assert reply.content["fields"]["calls"] == 1
        assert not owner.done()

    def test_a_half_open_connection_keeps_nobody_out(self, wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "PATIENCE", 0.3)
        grid = wires.cloud([SELLER])
        silent(wires, grid, SELLER)
        assert grid.wait_attached([2], 20) == set()
        wires.attach(grid.address, SELLER, echo_app())
        start = time.monotonic()
        while not any(reply.has_content() for reply in ask(grid, 2, timeout=20)):
            pass
        assert time.monotonic() - start < 5.0


class TestRoom:
    """The vault's quotas."""

    @pytest.mark.parametrize("quotas", [Quotas(vault=4_000_000), Quotas(party=4_000_000)], ids=["of all", "of one"])
    def test_refused_for_load_means_later_and_not_never(self, wires: Wires, quotas: Quotas) -> None:
        assert without_room(wires, quotas) == []

    def test_room_comes_back_with_what_did_not_arrive(self, wires: Wires) -> None:
        grid = wires.cloud([SELLER], quotas=Quotas(party=150), pace=Pace(patience=0.2))
        question, slow = working(wires, grid)
        for _ in range(3):
            status, _ = refused(grid, PUT, [announced(question)], SECURITY[SELLER])
            assert status is StatusCode.DEADLINE_EXCEEDED
        slow.go_on.release()

    def test_who_finds_no_room_when_its_stream_breaks_attaches_again(
        self, wires: Wires, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "protocol.grids.grpc.service")
        grid = wires.cloud([SELLER], quotas=Quotas(vault=1_000_000))
        link = Link(wires, grid.port)
        wires.attach(link.address, SELLER, dealer([], SEALED))
        assert grid.wait_attached([2], 20) == set()
        grid.push_messages([grid.create_message(encode(delivery(b"a question")), "query.echo", 2, "g")])
        while not any("RESOURCE_EXHAUSTED" in record.getMessage() for record in caplog.records):
            time.sleep(0.01)
        link.cut()
        while grid.attached():
            time.sleep(0.01)
        link.whole = True
        assert grid.wait_attached([2], 10) == set()

    @pytest.mark.parametrize("journaled", [False, True])
    def test_who_found_no_room_until_the_end_is_not_to_blame(self, wires: Wires, journaled: bool) -> None:
        grid = dealing(wires, Quotas(vault=1_000_000))
        exchange = Exchange(grid)
        if journaled:
            journal = Journal(Ledger().database, wires.vault)
            journal.begin("w", "test", opener=2, now=0.0)
            exchange = JournaledExchange(grid, journal, "w")
        replies = exchange.ask("echo", {2: delivery(b"a question")}, Delivery, exchange.now() + 1.0)
        assert replies.failures == {2: NO_ROOM}

    @pytest.mark.parametrize("reason", [LOST, NO_ROOM, f" {NO_ROOM}\0"])
    def test_nobody_says_itself_that_it_is_not_to_blame(self, wires: Wires, reason: str) -> None:
        grid = wires.cloud([SELLER])

        async def claim() -> None:
            async with channel(grid.address, SECURITY[SELLER]) as cloud:
                stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[SELLER]))
                await stream.read()
                for code in (2, 5, 7):
                    question = wire.FromCloud.FromString(await stream.read()).question
                    failure = wire.Failure(code=code, reason=reason)
                    await stream.write(wire.Answer(question=question.id, failure=failure).SerializeToString())

        wires.submit(claim())
        assert grid.wait_attached([2], 20) == set()
        for _ in range(3):
            replies = Exchange(grid).ask("introduce", {2: Hello()}, Acknowledgement, time.time() + 20)
            assert replies.failures[2].startswith("it said: the cloud")

    def test_an_answer_is_no_larger_than_what_was_asked_for(self, wires: Wires) -> None:
        grid = dealing(wires, Quotas())
        replies = Exchange(grid).ask("echo", {2: delivery(b"a question")}, Acknowledgement, time.time() + 20)
        assert "OUT_OF_RANGE: an answer to this question has at most" in replies.failures[2]
        assert list(wires.folder.iterdir()) == []

    def test_room_comes_back_with_what_was_not_kept(self, wires: Wires) -> None:
        grid, app = wires.cloud([SELLER], quotas=Quotas(party=1_000_000)), ClientApp()

        @app.query("echo")
        def large(message: Message, context: Context) -> Message:
            return Message(RecordDict({"fields": ConfigRecord({"x": bytes(900_000)})}), reply_to=message)

        wires.attach(grid.address, SELLER, app)
        assert grid.wait_attached([2], 20) == set()
        for _ in range(5):
            (reply,) = ask(grid, 2, timeout=20)
            assert len(reply.content["fields"]["x"]) == 900_000
        assert list(wires.folder.iterdir()) == []
        assert wires.vault.held == 0


class TestSlowBlobs:
    def test_a_closed_question_frees_its_places_at_once(self, wires: Wires) -> None:
        one = Allowance(each=1, waiting=9, rate=1e9, burst=1, all=1)
        grid = wires.cloud(SELLERS[:2], quotas=Quotas(transfers=one), pace=Pace(patience=60.0))
        question, slow = working(wires, grid)
        wires.attach(grid.address, SELLERS[1], dealer([], SEALED))
        assert grid.wait_attached([3], 20) == set()
        statuses: list[Any] = []
        slow_put = threading.Thread(
            target=lambda: statuses.append(refused(grid, PUT, [announced(question)], SECURITY[SELLERS[0]]))
        )
        slow_put.start()
        while not list(wires.folder.iterdir()):
            time.sleep(0.01)
        waiting = asking(wires, grid, 3, content=encode(delivery(b"a question")), timeout=20)
        wires.run(asyncio.sleep(0.3))
        assert not waiting.done()
        assert list(grid.give_up([question])) == []
        (reply,) = result(wires, waiting)
        assert reply.has_content()
        slow_put.join()
        assert statuses[0][0] is StatusCode.FAILED_PRECONDITION
        slow.go_on.release()

    def test_one_party_with_many_slow_blobs_holds_up_itself_alone(self, wires: Wires) -> None:
        assert beside_slow_blobs(wires) == []


class TestCalls:
    def test_more_calls_than_may_wait_are_refused_for_now(self, wires: Wires) -> None:
        go_on = threading.Event()

        def answer(asker: Identity, content: RecordDict) -> RecordDict:
            go_on.wait(20)
            return content

        few = Allowance(each=1, waiting=1, rate=1e9, burst=1, all=9)
        calls = {"slow": Call(frozenset({"seller"}), answer)}
        grid = wires.cloud([SELLER], calls=calls, quotas=Quotas(calls=few))

        def calling(outcomes: list[Any]) -> None:
            try:
                outcomes.append(call(grid.address, SECURITY[SELLER], "slow", RecordDict()))
            except CloudUnreachable as error:
                outcomes.append(str(error))

        outcomes: list[Any] = []
        threads = [threading.Thread(target=calling, args=[outcomes]) for _ in range(4)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 2:
            time.sleep(0.01)
        go_on.set()
        for thread in threads:
            thread.join()
        assert sum("RESOURCE_EXHAUSTED" in str(each) for each in outcomes) == 2
        assert sum(isinstance(each, RecordDict) for each in outcomes) == 2

    def test_a_database_that_is_away_is_no_failure_of_the_cloud(self, wires: Wires) -> None:
        def answer(asker: Identity, content: RecordDict) -> RecordDict:
            raise OperationalError("SELECT 1", {}, Exception("server closed the connection unexpectedly"))

        grid = wires.cloud([SELLER], calls={"ask": Call(frozenset({"seller"}), answer)})
        with pytest.raises(CloudUnreachable, match="UNAVAILABLE: the cloud's database is away; try again"):
            call(grid.address, SECURITY[SELLER], "ask", RecordDict())

    def test_many_refusals_are_one_line_and_take_their_time(
        self, wires: Wires, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "protocol.grids.grpc.service")
        grid = wires.cloud([SELLER])
        request = wire.Request(method="nothing").SerializeToString()

        async def flood() -> float:
            async with channel(grid.address, SECURITY[SELLER]) as cloud:
                start = time.monotonic()
                calls = [cloud.unary_unary(CALL)(request, metadata=introduction(SECURITY[SELLER])) for _ in range(15)]
                await asyncio.gather(*calls, return_exceptions=True)
                return time.monotonic() - start

        assert wires.run(flood()) > 0.4
        assert len([record for record in caplog.records if "NOT_FOUND" in record.getMessage()]) == 1


class TestHealth:
    def test_it_is_behind_the_same_door(self, wires: Wires, tmp_path: Path) -> None:
        assert checked_by_the_revoked(wires, tmp_path) == []

    def test_it_has_the_quota_of_calls(self, wires: Wires) -> None:
        assert checked_beside_a_call(wires) == []

    def test_it_cannot_be_watched(self, wires: Wires, tmp_path: Path) -> None:
        assert watched_by_the_revoked(wires, tmp_path) == []
        with health(wires.cloud([SELLER]), SELLER) as stub, pytest.raises(grpc.RpcError) as watching:
            next(stub.Watch(health_pb2.HealthCheckRequest(), timeout=20))
        assert watching.value.code() is StatusCode.UNIMPLEMENTED


def test_frames_that_answer_nothing_wait_in_their_senders_memory(wires: Wires) -> None:
    grid = wires.cloud(SELLERS[:2])
    wires.attach(grid.address, SELLERS[1], echo_app())
    assert grid.wait_attached([3], 20) == set()
    written: list[int] = []

    async def flood() -> None:
        async with channel(grid.address, SECURITY[SELLERS[0]]) as cloud:
            stream = cloud.stream_stream(ATTACH)(metadata=introduction(SECURITY[SELLERS[0]]))
            await stream.read()
            junk = wire.Answer(question="none", content=bytes(MAX_INLINE)).SerializeToString()
            while True:
                await stream.write(junk)
                written.append(len(junk))

    flooding = wires.submit(flood())
    assert grid.wait_attached([2], 20) == set()
    wires.run(asyncio.sleep(1.0))
    assert echo(grid, 3)
    assert sum(written) < 20_000_000
    flooding.cancel()
