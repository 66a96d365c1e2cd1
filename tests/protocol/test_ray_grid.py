"""What `RayGrid` adds to the contract: many workers, workers that die, nodes that stay in this process."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from test_grids import GridContract, echo_app

from protocol.compute.ray_cluster import RayUnavailable, connect
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid, RayGrid

NOBODY = "127.0.0.1:9"


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    with connect(2):
        yield


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


class TestRayGrid(GridContract):
    @pytest.fixture(autouse=True)
    def opened(self, stack: ExitStack) -> None:
        self.stack = stack

    def make(self, apps: list[ClientApp]) -> Grid:
        return self.stack.enter_context(RayGrid(apps, workers=2))


def counting_app(killer: Path, deaths: int) -> ClientApp:
    """Counts its calls; what is told to kill takes its whole process with it, the first few times."""
    app = ClientApp()

    @app.query("count")
    def count(message: Message, context: Context) -> Message:
        counter = context.state.setdefault("counter", ConfigRecord({"calls": 0}))
        counter["calls"] = int(counter["calls"]) + 1  # type: ignore[arg-type,call-overload]
        if message.content["fields"].get("kill"):
            with killer.open("a") as file:
                file.write("x")
            if killer.stat().st_size <= deaths:
                os.kill(os.getpid(), signal.SIGKILL)
        return Message(RecordDict({"fields": ConfigRecord({"calls": counter["calls"]})}), reply_to=message)

    return app


def count(grid: Grid, nodes: int, *kill: int) -> list[object]:
    """Ask all nodes to count; return how often each was called, or None for one that failed."""
    messages = [
        grid.create_message(RecordDict({"fields": ConfigRecord({"kill": node in kill})}), "query.count", node, "g")
        for node in range(FIRST_NODE_ID, FIRST_NODE_ID + nodes)
    ]
    replies = list(grid.send_and_receive(messages))
    assert [reply.metadata.src_node_id for reply in replies] == [message.metadata.dst_node_id for message in messages]
    return [None if reply.has_error() else reply.content["fields"]["calls"] for reply in replies]


def test_a_worker_that_dies_is_replaced_and_no_party_notices(tmp_path: Path, stack: ExitStack) -> None:
    nodes = 700
    grid = stack.enter_context(RayGrid([counting_app(tmp_path / "deaths", 1)] * nodes, workers=2))
    assert count(grid, nodes) == [1] * nodes
    assert count(grid, nodes, FIRST_NODE_ID + 300) == [2] * nodes
    assert count(grid, nodes) == [3] * nodes
    assert (tmp_path / "deaths").stat().st_size == 2


@pytest.mark.slow
def test_who_kills_every_worker_is_the_one_that_fails(tmp_path: Path, stack: ExitStack) -> None:
    grid = stack.enter_context(RayGrid([counting_app(tmp_path / "deaths", 99)] * 6, workers=1))
    assert count(grid, 6) == [1] * 6
    assert count(grid, 6, FIRST_NODE_ID + 4) == [2, 2, 2, 2, None, 2]
    assert count(grid, 6) == [3, 3, 3, 3, 2, 3]


def test_replies_and_their_ids_are_those_of_the_local_grid(stack: ExitStack) -> None:
    apps = [echo_app() for _ in range(7)]

    def told(grid: Grid) -> list[tuple[str, str, int, object]]:
        messages = [
            grid.create_message(RecordDict({"fields": ConfigRecord({"x": node})}), "query.echo", node, "g")
            for node in (8, 3, 99, 2, 3, 5)
        ]
        return [
            (
                reply.metadata.message_id,
                reply.metadata.reply_to_message_id,
                reply.metadata.src_node_id,
                reply.error.code if reply.has_error() else dict(reply.content["fields"]),  # type: ignore[arg-type]
            )
            for _ in range(2)
            for reply in grid.send_and_receive(messages)
        ]

    local = told(LocalGrid(apps))
    for workers, here in ((1, []), (3, [2, 5]), (9, [])):
        assert told(stack.enter_context(RayGrid(apps, workers, here=here))) == local


def test_what_a_node_keeps_can_be_read_wherever_it_lives(stack: ExitStack) -> None:
    grid = stack.enter_context(RayGrid([echo_app() for _ in range(3)], here=[2]))
    message = [grid.create_message(RecordDict({"fields": ConfigRecord()}), "query.echo", n, "g") for n in (2, 3)]
    list(grid.send_and_receive(message))
    assert [dict(grid.state(node)) for node in (2, 3, 4)] == [{"counter": {"calls": 1}}] * 2 + [{}]


def test_answers_can_be_pulled_as_they_come(tmp_path: Path, stack: ExitStack) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    app = ClientApp()

    @app.query("wait")
    def wait(message: Message, context: Context) -> Message:
        if context.node_id == 3:
            gate.read_text()
        return Message(RecordDict(), reply_to=message)

    grid = stack.enter_context(RayGrid([app] * 2, workers=2))
    ids = grid.push_messages([grid.create_message(RecordDict(), "query.wait", node, "g") for node in (2, 3)])
    early: list[Message] = []
    while not early:
        early += grid.pull_messages(ids)
    assert [reply.metadata.src_node_id for reply in early] == [2]
    gate.write_text("go")
    late: list[Message] = []
    while not late:
        late += grid.pull_messages(ids)
    assert [reply.metadata.src_node_id for reply in late] == [3]


def test_who_is_late_is_not_among_the_replies_and_not_later_either(tmp_path: Path, stack: ExitStack) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    app = ClientApp()

    @app.query("wait")
    def wait(message: Message, context: Context) -> Message:
        if message.content["fields"].get("wait") == context.node_id:
            gate.read_text()
        return Message(RecordDict(), reply_to=message)

    grid = stack.enter_context(RayGrid([app] * 2, workers=2))

    def ask(waiting: int, timeout: float | None) -> list[int]:
        records = RecordDict({"fields": ConfigRecord({"wait": waiting})})
        messages = [grid.create_message(records, "query.wait", node, "g") for node in (2, 3)]
        return [reply.metadata.src_node_id for reply in grid.send_and_receive(messages, timeout=timeout)]

    assert ask(3, 1.0) == [2]
    assert ask(0, None) == [2, 3]


def test_no_cluster_at_the_address_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray  # noqa: PLC0415

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(RayUnavailable, match=f"there is no Ray cluster at {NOBODY}"):
        RayGrid([echo_app()], address=NOBODY)
