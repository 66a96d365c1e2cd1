"""What every grid has to do; a new grid inherits `GridContract`."""

import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, ConfigRecordValues, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg

from protocol.encoding.codec import encoded_size
from protocol.exchange import SILENT
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, new_run, task_identity
from protocol.grids import Envelope, LocalGrid, Nodes, ObservedGrid, TimedGrid, VirtualClock
from protocol.grids.base import APP_FAILED, GIVEN_UP, TOO_LATE, UNKNOWN_NODE
from protocol.grids.host import Shared


class Odd(BaseException):
    """Not an `Exception`."""


def _raise(error: BaseException) -> None:
    raise error


def _lose_state(message: Message, context: Context) -> Message:
    context.state = {}  # type: ignore[assignment]
    return Message(RecordDict(), reply_to=message)


MISBEHAVIOUR: dict[str, Callable[[Message, Context], Any]] = {
    "answered query.echo with nothing": lambda message, context: None,
    "answered query.echo with a dict": lambda message, context: {"value": 1},
    "raised SystemExit: 3": lambda message, context: sys.exit(3),
    "raised KeyboardInterrupt": lambda message, context: _raise(KeyboardInterrupt()),
    "Odd: no Exception": lambda message, context: _raise(Odd("no Exception")),
    "context.state a dict": _lose_state,
}
"""What apps do instead of answering, by what is said of it."""


def echo_app() -> ClientApp:
    """Answers with its node id, counts its calls, changes what it was sent, and fails when told to."""
    app = ClientApp()

    @app.query("echo")
    def echo(message: Message, context: Context) -> Message:
        counter = context.state.setdefault("counter", ConfigRecord({"calls": 0}))
        counter["calls"] = int(counter["calls"]) + 1  # type: ignore[arg-type,call-overload]
        sent = message.content["fields"]
        sent["touched"] = True
        if sent.get("fail"):
            raise RuntimeError("told to fail")
        if misbehave := MISBEHAVIOUR.get(str(sent.get("misbehave"))):
            return misbehave(message, context)  # type: ignore[no-any-return]
        answer = ConfigRecord({"node": context.node_id, "calls": counter["calls"], **context.node_config})
        return Message(RecordDict({"fields": answer}), reply_to=message)

    return app


class GridContract(ABC):
    """Inherit it and say how to make the grid."""

    @abstractmethod
    def make(self, apps: list[ClientApp]) -> Grid:
        """Return a grid with one node per app."""

    @pytest.fixture
    def grid(self) -> Grid:
        return self.make([echo_app() for _ in range(5)])

    def send(self, grid: Grid, nodes: list[int], **fields: object) -> list[Message]:
        records = [RecordDict({"fields": ConfigRecord(dict(fields))}) for _ in nodes]  # type: ignore[arg-type]
        messages = [grid.create_message(r, "query.echo", n, "g") for r, n in zip(records, nodes, strict=True)]
        return list(grid.send_and_receive(messages))

    def test_node_ids_follow_from_the_position(self, grid: Grid) -> None:
        assert list(grid.get_node_ids()) == list(range(FIRST_NODE_ID, FIRST_NODE_ID + 5))

    def test_replies_come_in_the_order_of_node_ids_whatever_the_order_of_sending(self, grid: Grid) -> None:
        replies = self.send(grid, [5, 2, 4, 3, 6])
        assert [reply.metadata.src_node_id for reply in replies] == [2, 3, 4, 5, 6]
        assert [reply.content["fields"]["node"] for reply in replies] == [2, 3, 4, 5, 6]
        assert all(reply.metadata.dst_node_id == SERVER_NODE_ID for reply in replies)

    def test_a_reply_names_its_question(self, grid: Grid) -> None:
        message = grid.create_message(RecordDict({"fields": ConfigRecord()}), "query.echo", 3, "g")
        (message_id,) = grid.push_messages([message])
        replies: list[Message] = []
        while not replies:
            replies = list(grid.pull_messages([message_id]))
        (reply,) = replies
        assert reply.metadata.reply_to_message_id == message_id
        assert reply.metadata.group_id == "g"
        assert list(grid.pull_messages([message_id])) == []

    def test_nodes_know_their_partition(self, grid: Grid) -> None:
        replies = self.send(grid, [2, 6])
        seen = [(r.content["fields"]["partition-id"], r.content["fields"]["num-partitions"]) for r in replies]
        assert seen == [(0, 5), (4, 5)]

    def test_state_outlives_a_message_and_is_each_nodes_own(self, grid: Grid) -> None:
        self.send(grid, [2, 3])
        replies = self.send(grid, [2, 4])
        assert [reply.content["fields"]["calls"] for reply in replies] == [2, 1]

    def test_what_a_node_does_to_a_message_does_not_reach_the_sender(self, grid: Grid) -> None:
        record = RecordDict({"fields": ConfigRecord({"x": 1})})
        list(grid.send_and_receive([grid.create_message(record, "query.echo", node, "g") for node in (2, 3)]))
        assert dict(record["fields"]) == {"x": 1}

    def test_a_node_that_raises_is_one_failed_node(self, grid: Grid) -> None:
        messages = [
            grid.create_message(RecordDict({"fields": ConfigRecord({"fail": node == 3})}), "query.echo", node, "g")
            for node in (2, 3, 4)
        ]
        replies = list(grid.send_and_receive(messages))
        assert [reply.has_error() for reply in replies] == [False, True, False]
        assert "told to fail" in str(replies[1].error.reason)

    def test_a_node_that_misbehaves_is_one_failed_node_and_may_go_on(self, grid: Grid) -> None:
        for said in MISBEHAVIOUR:
            fields = {node: ConfigRecord({"misbehave": said if node == 3 else ""}) for node in (2, 3, 4)}
            messages = [grid.create_message(RecordDict({"fields": f}), "query.echo", n, "g") for n, f in fields.items()]
            replies = list(grid.send_and_receive(messages))
            assert [reply.has_error() for reply in replies] == [False, True, False]
            assert said in str(replies[1].error.reason)
        (reply,) = self.send(grid, [3])
        assert reply.content["fields"]["calls"] == 1

    def test_a_failed_step_leaves_the_state_as_it_was(self, grid: Grid) -> None:
        self.send(grid, [2])
        self.send(grid, [2], fail=True)
        (reply,) = self.send(grid, [2])
        assert reply.content["fields"]["calls"] == 2

    def test_an_app_that_says_that_nobody_waits_for_it_has_failed_like_any_other(self) -> None:
        app = ClientApp()

        @app.query("leave")
        def leave(message: Message, context: Context) -> Message:
            return Message(Error(code=GIVEN_UP, reason="gone"), reply_to=message)

        grid = self.make([app] * 3)
        asked = [grid.create_message(RecordDict(), "query.leave", 3, "g")]
        (reply,) = grid.send_and_receive(asked, timeout=60.0)
        assert (reply.error.code, reply.error.reason) == (APP_FAILED, "gone")

    def test_an_answer_that_says_it_took_longer_than_the_question_lives_is_an_error(self) -> None:
        app = ClientApp()

        @app.query("slow")
        def slow(message: Message, context: Context) -> Message:
            reply = Message(RecordDict(), reply_to=message)
            reply.metadata.created_at += float(message.content["fields"]["seconds"])  # type: ignore[arg-type]
            return reply

        grid = self.make([app] * 3)
        messages = [
            grid.create_message(
                RecordDict({"fields": ConfigRecord({"seconds": seconds})}), "query.slow", node, "g", ttl=60.0
            )
            for node, seconds in ((2, 30.0), (3, 90.0), (4, 0.0))
        ]
        replies = list(grid.send_and_receive(messages, timeout=60.0))
        assert [reply.has_error() for reply in replies] == [False, True, False]
        assert replies[1].error.reason == SILENT

    def test_an_unknown_node_and_an_unknown_step_are_errors(self, grid: Grid) -> None:
        (nobody,) = self.send(grid, [99])
        assert nobody.has_error()
        (reply,) = grid.send_and_receive([grid.create_message(RecordDict(), "query.nothing", 2, "g")])
        assert reply.has_error()

    def test_the_run_is_the_first_one_or_the_one_that_was_set(self, grid: Grid) -> None:
        assert grid.run.run_id == 1
        assert grid.create_message(RecordDict(), "query.echo", 2, "g").metadata.run_id == 1
        grid.set_run(new_run(42))
        assert grid.run.run_id == 42
        assert grid.create_message(RecordDict(), "query.echo", 2, "g").metadata.run_id == 42

    def test_flowers_own_fedavg_runs_and_repeats(self) -> None:
        assert self.fedavg() == self.fedavg()

    def fedavg(self) -> list[float]:
        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message:
            (weights,) = message.content["arrays"].to_numpy_ndarrays()  # type: ignore[union-attr]
            step = float(context.node_config["partition-id"])
            content = RecordDict(
                {
                    "arrays": ArrayRecord([weights + step]),
                    "metrics": MetricRecord({"num-examples": 1 + step, "loss": step}),
                }
            )
            return Message(content, reply_to=message)

        grid = self.make([app] * 4)
        strategy = FedAvg(fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=4)
        with task_identity(1):
            result = strategy.start(grid=grid, initial_arrays=ArrayRecord([np.zeros(3)]), num_rounds=2)
        values: list[float] = result.arrays.to_numpy_ndarrays()[0].tolist()
        assert values == pytest.approx([4.0] * 3)
        return values


class TestLocalGrid(GridContract):
    def make(self, apps: list[ClientApp]) -> Grid:
        return LocalGrid(apps)

    def test_who_is_late_is_not_waited_for_nor_among_the_replies_and_answers_again_later(self) -> None:
        app = ClientApp()

        @app.query("wait")
        def wait(message: Message, context: Context) -> Message:
            if message.content["fields"]["waiting"] == context.node_id:
                threading.Event().wait()
            return Message(RecordDict(), reply_to=message)

        grid = LocalGrid([app] * 3)

        def ask(waiting: int, timeout: float | None) -> list[int]:
            records = RecordDict({"fields": ConfigRecord({"waiting": waiting})})
            messages = [grid.create_message(records, "query.wait", node, "g") for node in (2, 3, 4)]
            answered = [reply.metadata.src_node_id for reply in grid.send_and_receive(messages, timeout=timeout)]
            assert not list(grid.pull_messages([message.metadata.message_id for message in messages]))
            return answered

        assert ask(2, 0.3) == [3, 4]
        assert ask(3, 0.3) == [2, 4]
        assert ask(0, None) == ask(0, 60.0) == [2, 3, 4]

    def test_an_error_tells_an_unknown_node_from_one_that_is_late_and_one_that_fails(self) -> None:
        app = ClientApp()

        @app.query("slow")
        def slow(message: Message, context: Context) -> Message:
            reply = Message(RecordDict(), reply_to=message)
            reply.metadata.created_at += 90.0
            return reply

        grid = LocalGrid([app])
        asked = [grid.create_message(RecordDict(), f"query.{step}", 2, "g", ttl=60.0) for step in ("slow", "nothing")]
        asked.append(grid.create_message(RecordDict(), "query.slow", 99, "g"))
        codes = {reply.error.code for message in asked for reply in grid.send_and_receive([message])}
        assert codes == {UNKNOWN_NODE, TOO_LATE, APP_FAILED}
        assert len(codes) == 3

    def test_a_signal_to_this_process_is_no_fault_of_an_app(self) -> None:
        app = ClientApp()

        @app.query("stop")
        def stop(message: Message, context: Context) -> Message:
            signal.raise_signal(signal.SIGINT)
            return Message(RecordDict(), reply_to=message)

        grid = LocalGrid([app])
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            list(grid.send_and_receive([grid.create_message(RecordDict(), "query.stop", 2, "g")]))
        assert signal.getsignal(signal.SIGINT) is before


class TestObservedGrid(GridContract):
    def make(self, apps: list[ClientApp]) -> Grid:
        return ObservedGrid(LocalGrid(apps), lambda envelope: None)

    def test_questions_and_answers_are_seen_once_each(self) -> None:
        seen: list[Envelope] = []
        grid = ObservedGrid(LocalGrid([echo_app(), echo_app()]), seen.append)
        self.send(grid, [3, 2])
        flows = [(envelope.source, envelope.target, envelope.step) for envelope in seen]
        assert flows == [(1, 3, "echo"), (1, 2, "echo"), (2, 1, "echo"), (3, 1, "echo")]
        assert all(envelope.size > 0 for envelope in seen[2:])

    def test_a_blob_counts_once_whether_it_is_brought_or_referred_to(self) -> None:
        seen: list[Envelope] = []
        grid = ObservedGrid(LocalGrid([echo_app()]), seen.append)
        brought: dict[str, ConfigRecordValues] = {"items/0/blob": bytes(500)}
        referred: dict[str, ConfigRecordValues] = {"items/0/blob/digest": bytes(32), "items/0/blob/length": 500}
        for fields, beside in (brought, 0), (referred, 500):
            header = ConfigRecord({"kind": "Parcel", "version": 1})
            content = RecordDict({"message": header, "fields": ConfigRecord(fields)})
            list(grid.send_and_receive([grid.create_message(content, "query.echo", 2, "g")]))
            asked, answered = seen[-2:]
            assert (asked.kind, asked.size) == ("Parcel", encoded_size(content) + beside)
            assert (answered.kind, answered.size) == ("records", encoded_size(answered.content or RecordDict()))

    def test_a_party_that_fails_says_nothing(self) -> None:
        seen: list[Envelope] = []
        self.send(ObservedGrid(LocalGrid([echo_app()]), seen.append), [2], fail=True)
        assert (seen[1].kind, seen[1].size, seen[1].content) == ("Error", 0, None)


class TestTimedGrid(GridContract):
    def make(self, apps: list[ClientApp]) -> Grid:
        return TimedGrid(LocalGrid(apps), Nodes.perfect(len(apps)), lambda *_: 0.0, 7, 10.0, VirtualClock())


def test_apps_of_one_kind_prepare_together_and_then_each_answers(caplog: pytest.LogCaptureFixture) -> None:
    class Together(Shared):
        prepared = 0

        @staticmethod
        def prepare(batch: Sequence[tuple[Any, Message]]) -> None:
            for app, message in batch:
                assert message.content["fields"]["x"] == 1
                app.prepared += len(batch)

        def __call__(self, message: Message, context: Context) -> Message:
            return Message(RecordDict({"fields": ConfigRecord({"prepared": self.prepared})}), reply_to=message)

    class Others(Together):
        """Of another kind."""

    grid = LocalGrid([Together(), Others(), Together(), Together(), echo_app()])
    content = RecordDict({"fields": ConfigRecord({"x": 1})})
    questions = [grid.create_message(content, "query.echo", node, "") for node in grid.get_node_ids()]
    replies = list(grid.send_and_receive(questions))
    assert [reply.content["fields"].get("prepared") for reply in replies] == [3, 1, 3, 3, None]
    assert not caplog.records


def test_a_batched_computation_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Parties answer one by one then; thousands of them that do so without a trace would only be slow."""

    class Broken(Shared):
        @staticmethod
        def prepare(batch: Any) -> None:
            raise RuntimeError("a fault of ours")

        def __call__(self, message: Message, context: Context) -> Message:
            return Message(content=message.content, reply_to=message)

    grid = LocalGrid([Broken() for _ in range(3)])
    with task_identity(1):
        for _ in range(2):
            questions = [grid.create_message(RecordDict(), "query.echo", node, "") for node in grid.get_node_ids()]
            assert len(list(grid.send_and_receive(questions))) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "a batched computation failed; its parties compute one by one"
    ]
