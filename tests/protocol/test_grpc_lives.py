"""Streams break, parties and clouds die and come back; nothing is lost and nothing is noticed twice."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from test_grids import echo_app
from wiring import BUYER, SECURITY, SELLERS, Wires, ask, echo

from protocol.grids.grpc import Backoff, CloudUnreachable, EnrolledRoster, GrpcGrid, Insecure, attach, call
from protocol.grids.grpc.transport import SERVICE
from protocol.storage.ledger import Ledger

SELLER = SELLERS[0]


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


class Link:
    """A connection that can be cut and healed: forwards bytes to the cloud."""

    def __init__(self, wires: Wires, port: int) -> None:
        self._wires = wires
        self._port = port
        self._ends: set[asyncio.StreamWriter] = set()
        self.whole = True
        self._server = wires.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        self.whole = False
        self._wires.run(self._cut())

    async def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.transport.abort()


class Slow:
    """An app that says when it is at work and goes on when it is let."""

    def __init__(self) -> None:
        self.calls = 0
        self.at_work, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.app = ClientApp()

        @self.app.query("echo")
        def work(message: Message, context: Context) -> Message:
            self.calls += 1
            self.at_work.release()
            assert self.go_on.acquire(timeout=20)
            return Message(RecordDict({"fields": ConfigRecord({"calls": self.calls})}), reply_to=message)


def asking(wires: Wires, grid: GrpcGrid, node_id: int, **options: Any) -> "asyncio.Future[list[Message]]":
    return wires.loop.run_in_executor(None, lambda: ask(grid, node_id, **options))


class TestBrokenStreams:
    def test_an_answer_whose_stream_broke_arrives_once_and_the_work_is_done_once(self, wires: Wires) -> None:
        grid, slow = wires.cloud([SELLER]), Slow()
        link = Link(wires, grid.port)
        wires.attach(link.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        (message_id,) = grid.push_messages([grid.create_message(RecordDict(), "query.echo", 2, "g")])
        assert slow.at_work.acquire(timeout=20)
        link.cut()
        slow.go_on.release()
        link.whole = True
        while not (replies := list(grid.pull_messages([message_id]))):
            pass
        assert replies[0].content["fields"]["calls"] == 1
        slow.go_on.release()
        assert [reply.content["fields"]["calls"] for reply in ask(grid, 2, timeout=20)] == [2]

    def test_a_party_that_died_over_a_question_is_asked_again_when_it_is_back(self, wires: Wires) -> None:
        grid, slow = wires.cloud([SELLER]), Slow()
        life = wires.attach(grid.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        (message_id,) = grid.push_messages([grid.create_message(RecordDict(), "query.echo", 2, "g")])
        assert slow.at_work.acquire(timeout=20)
        life.cancel()
        slow.go_on.release()
        wires.attach(grid.address, SELLER, echo_app())
        while not (replies := list(grid.pull_messages([message_id]))):
            pass
        assert replies[0].has_error()  # the echo wants fields, and was asked
        assert echo(grid, 2)

    def test_the_state_lives_on_over_a_new_stream_and_is_handed_out_for_a_new_life(self, wires: Wires) -> None:
        grid = wires.cloud([SELLER])
        kept: list[int] = []

        def keep(state: RecordDict) -> None:
            kept.append(state["counter"]["calls"])

        link = Link(wires, grid.port)
        wires.attach(link.address, SELLER, echo_app(), keep=keep)
        assert grid.wait_attached([2], 20) == set()
        assert [reply.content["fields"]["calls"] for _ in range(2) for reply in ask(grid, 2, timeout=20)] == [1, 2]
        link.cut()
        link.whole = True
        assert [reply.content["fields"]["calls"] for reply in ask(grid, 2, timeout=20)] == [3]
        assert kept == [1, 2, 3]
        state = RecordDict({"counter": ConfigRecord({"calls": kept[-1]})})
        wires.attach(grid.address, SELLER, echo_app(), state=state)
        (reply,) = ask(grid, 2, timeout=20)
        assert reply.content["fields"]["calls"] == 4

    def test_parties_come_back_to_a_cloud_that_starts_again_and_are_who_they_were(
        self, wires: Wires, tmp_path: Path
    ) -> None:
        first = wires.cloud([], roster=EnrolledRoster(Ledger(tmp_path / "cloud.sqlite").database))
        for node_id, urn in enumerate((BUYER, SELLER), start=2):
            wires.attach(first.address, urn, echo_app())
            assert first.wait_attached([node_id], 20) == set()
        first.close()
        roster = EnrolledRoster(Ledger(tmp_path / "cloud.sqlite").database)
        second = wires.cloud([], address=first.address, roster=roster)
        assert second.wait_attached([2, 3], 20) == set()
        assert second.roster.members() == {2: BUYER, 3: SELLER}
        assert second.roles() == {2: "buyer", 3: "seller"}
        assert echo(second, 3)

    def test_patience_begins_anew_with_each_contact(self, wires: Wires) -> None:
        grid, patience = wires.cloud([SELLER]), 1.5
        link = Link(wires, grid.port)
        life = wires.attach(link.address, SELLER, echo_app(), backoff=Backoff(0.01, 0.05, patience))
        assert grid.wait_attached([2], 20) == set()
        start = time.monotonic()
        while time.monotonic() < start + patience:
            assert echo(grid, 2)
        link.cut()
        link.whole = True
        assert echo(grid, 2)
        assert not life.done()

    def test_giving_up_says_on_whom_and_why(self) -> None:
        with pytest.raises(CloudUnreachable, match=r"gave up on the cloud at 127.0.0.1:1 after .* UNAVAILABLE"):
            attach("127.0.0.1:1", Insecure(SELLER), echo_app(), backoff=Backoff(0.01, 0.02, patience=0.1))

    def test_what_a_proxy_says_of_a_cloud_that_is_away_is_told_in_full(self) -> None:
        said = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"

        def answer(request: bytes, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAVAILABLE, said)

        methods = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
        proxy = grpc.server(ThreadPoolExecutor(1), [grpc.method_handlers_generic_handler(SERVICE, methods)])
        address = f"127.0.0.1:{proxy.add_insecure_port('127.0.0.1:0')}"
        proxy.start()
        try:
            with pytest.raises(CloudUnreachable, match=f"does not answer health: UNAVAILABLE: {re.escape(said)}$"):
                call(address, Insecure(SELLER), "health", RecordDict())
        finally:
            proxy.stop(None).wait()


class TestSilence:
    def test_who_is_silent_when_time_is_up_is_not_among_the_replies(self, wires: Wires) -> None:
        grid, slow = wires.cloud(SELLERS[:2]), Slow()
        wires.attach(grid.address, SELLERS[0], slow.app)
        wires.attach(grid.address, SELLERS[1], echo_app())
        assert grid.wait_attached([2, 3], 20) == set()
        content = RecordDict({"fields": ConfigRecord()})
        both = [grid.create_message(content, "query.echo", node_id, "g") for node_id in (2, 3)]
        assert [reply.metadata.src_node_id for reply in grid.send_and_receive(both, timeout=0.3)] == [3]
        slow.go_on.release()
        slow.go_on.release()
        (reply,) = ask(grid, 2, timeout=20)
        assert reply.content["fields"]["calls"] == 2  # the late answer was not taken for this one

    def test_who_stays_away_is_waited_for_no_longer_than_that(self, wires: Wires) -> None:
        grid = wires.cloud(SELLERS[:2], absence=0.2)
        life = wires.attach(grid.address, SELLERS[0], echo_app())
        wires.attach(grid.address, SELLERS[1], echo_app())
        assert grid.wait_attached([2, 3], 20) == set()
        assert list(grid.get_node_ids()) == [2, 3]
        life.cancel()
        assert ask(grid, 2) == []
        assert grid.attached() == list(grid.get_node_ids()) == [3]
        wires.attach(grid.address, SELLERS[0], echo_app())
        assert grid.wait_attached([2], 20) == set()
        assert echo(grid, 2)

    def test_a_question_whose_time_to_live_is_over_is_forgotten(self, wires: Wires) -> None:
        grid, slow = wires.cloud([SELLER]), Slow()
        wires.attach(grid.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        stale = grid.create_message(RecordDict(), "query.echo", 2, "g", ttl=1e-9)
        (message_id,) = grid.push_messages([stale])
        slow.go_on.release()
        slow.go_on.release()
        assert len(ask(grid, 2, timeout=20)) == 1
        assert list(grid.pull_messages([message_id])) == []

    def test_a_clock_that_jumps_closes_no_question(self, wires: Wires) -> None:
        """Or who is asked at that moment would be to blame for it."""
        grid, slow = wires.cloud([SELLER]), Slow()
        wires.attach(grid.address, SELLER, slow.app)
        assert grid.wait_attached([2], 20) == set()
        question = grid.create_message(RecordDict(), "query.echo", 2, "g", ttl=60.0)
        (message_id,) = grid.push_messages([question])
        question.metadata.created_at -= 365 * 86_400  # as seen after the jump
        other = grid.create_message(RecordDict(), "query.echo", 2, "g", ttl=60.0)
        slow.go_on.release()
        slow.go_on.release()
        assert len(list(grid.send_and_receive([other], timeout=20))) == 1
        assert len(list(grid.pull_messages([message_id]))) == 1

    def test_an_answer_that_came_in_time_is_there_for_who_is_slow_to_pull_it(self, wires: Wires) -> None:
        grid = wires.cloud([SELLER])
        wires.attach(grid.address, SELLER, echo_app())
        assert grid.wait_attached([2], 20) == set()
        content = RecordDict({"fields": ConfigRecord()})
        timely = grid.create_message(content, "query.echo", 2, "g", ttl=0.5)
        (message_id,) = grid.push_messages([timely])
        while time.time() < timely.metadata.created_at + 0.5:
            assert echo(grid, 2)
        assert len(list(grid.pull_messages([message_id]))) == 1

    def test_many_threads_may_ask_at_once(self, wires: Wires) -> None:
        grid = wires.cloud(SELLERS)
        for urn in SELLERS:
            wires.attach(grid.address, urn, echo_app())
        assert grid.wait_attached(range(2, 7), 20) == set()
        answered: list[int] = []

        def exchange(node_id: int) -> None:
            for _ in range(20):
                answered.extend(reply.metadata.src_node_id for reply in ask(grid, node_id, timeout=20))

        threads = [threading.Thread(target=exchange, args=(node_id,)) for node_id in range(2, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answered) == sorted(list(range(2, 7)) * 20)


def test_health_is_gprcs_own(wires: Wires) -> None:
    grid = wires.cloud([])
    credentials = SECURITY[SELLER].credentials
    tls = grpc.ssl_channel_credentials(SECURITY[SELLER].authority, credentials.key, credentials.certificate)
    with grpc.secure_channel(grid.address, tls) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service="parley.v1.Parley"), timeout=20)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
