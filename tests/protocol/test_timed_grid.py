"""Virtual time, by hand: what a message takes, what gets lost, and that nothing but the seed decides it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.encoding.codec import encoded_size
from protocol.flower import FIRST_NODE_ID
from protocol.grids import Fate, LocalGrid, Nodes, TimedGrid, VirtualClock

FIRST = FIRST_NODE_ID


class Field:
    """A timed grid of nodes that count how often they were asked."""

    def __init__(self, count: int = 3, seconds: float = 0.0, seed: int = 7, **changes: Any) -> None:
        unlike = {"speed": 1.0, **changes}
        arrays = {name: np.full(count, float(value)) for name, value in unlike.items() if name != "unable"}
        unable = {"unable": changes["unable"]} if "unable" in changes else {}
        self.clock = VirtualClock(100.0)
        self.calls = [0] * count
        self.grid = TimedGrid(
            LocalGrid([self._app(place) for place in range(count)]),
            replace(Nodes.perfect(count), **arrays, **unable),
            lambda *_: seconds,
            seed,
            give_up=10.0,
            clock=self.clock,
        )

    def _app(self, place: int) -> ClientApp:
        app = ClientApp()

        @app.query("echo")
        def echo(message: Message, context: Context) -> Message:
            self.calls[place] += 1
            return Message(RecordDict({"fields": ConfigRecord({"calls": self.calls[place]})}), reply_to=message)

        return app

    def ask(self, places: Sequence[int], timeout: float | None = None) -> list[int]:
        """Ask nodes; return the places that answered, in the order in which their answers came."""
        messages = [self.grid.create_message(question(), "query.echo", FIRST + place, "g") for place in places]
        replies = list(self.grid.send_and_receive(messages, timeout=timeout))
        return [reply.metadata.src_node_id - FIRST for reply in replies]


def question() -> RecordDict:
    return RecordDict({"fields": ConfigRecord({"text": "?" * 96})})


def test_a_question_takes_its_way_there_the_work_and_the_way_back() -> None:
    field = Field(seconds=3.0, speed=2, latency=0.25, downlink=1000, uplink=50)
    there, back = encoded_size(question()), encoded_size(RecordDict({"fields": ConfigRecord({"calls": 1})}))
    assert field.ask([0, 1, 2]) == [0, 1, 2]
    assert field.clock() == pytest.approx(100 + 2 * 0.25 + there / 1000 + 3.0 / 2 + back / 50)
    np.testing.assert_allclose(field.grid.busy[:3], 1.5)
    np.testing.assert_allclose(field.grid.received[:3], there)
    np.testing.assert_allclose(field.grid.sent[:3], back)


def test_who_is_late_is_not_heard_and_the_clock_stands_at_the_deadline() -> None:
    field = Field(seconds=5.0)
    assert field.ask([0], timeout=5.0) == [0]
    assert field.clock() == 105.0
    assert field.ask([0, 1], timeout=4.9) == []
    assert field.clock() == pytest.approx(109.9)
    assert field.grid.exchanges[-1].fates.tolist() == [Fate.LATE, Fate.LATE]


def test_a_node_begins_when_it_is_free() -> None:
    field = Field(seconds=5.0)
    field.ask([0, 1], timeout=1.0)
    assert field.ask([0]) == [0]
    assert field.clock() == 110.0


def test_two_questions_to_one_node_are_worked_on_one_after_the_other() -> None:
    field = Field(seconds=5.0)
    assert field.ask([1, 1, 0]) == [0, 1, 1]
    assert field.clock() == 110.0


@pytest.mark.parametrize(
    ("changes", "fate", "reached"),
    [
        ({"drop": 1.0}, Fate.LOST, 0),
        ({"availability": 0.0}, Fate.ABSENT, 0),
        ({"unable": {"echo": np.array([True])}}, Fate.UNABLE, 0),
    ],
)
def test_a_message_that_never_comes_is_given_up(changes: dict[str, Any], fate: Fate, reached: int) -> None:
    field = Field(count=1, seconds=1.0, **changes)
    assert field.ask([0]) == []
    assert field.clock() == 110.0
    assert field.ask([0], timeout=2.0) == []
    assert field.clock() == 112.0
    assert field.grid.exchanges[-1].fates.tolist() == [fate]
    assert field.calls == [reached]
    assert field.grid.busy[0] == field.grid.sent[0] == 0


def test_unable_to_do_one_step_is_able_to_do_another() -> None:
    assert Field(count=1, unable={"other": np.array([True])}).ask([0]) == [0]


def test_a_lost_answer_costs_its_node_what_a_heard_one_costs() -> None:
    field = Field(count=2000, seconds=1.0, drop=0.3)
    heard = field.ask(range(2000))
    assert len(heard) == pytest.approx(2000 * 0.7 * 0.7, abs=4 * (2000 * 0.49 * 0.51) ** 0.5)
    reached = np.array(field.calls)
    assert reached.sum() == pytest.approx(2000 * 0.7, abs=4 * (2000 * 0.7 * 0.3) ** 0.5)
    np.testing.assert_array_equal(field.grid.busy[:2000], reached)
    np.testing.assert_array_equal(field.grid.sent[:2000] > 0, reached == 1)


def test_a_question_that_arrives_twice_is_worked_on_twice_and_answered_once() -> None:
    field = Field(seconds=1.0, duplicate=1.0)
    assert field.ask([0, 1]) == [0, 1]
    assert field.clock() == 101.0
    assert field.calls == [2, 2, 0]
    assert field.grid.busy[:3].tolist() == [2.0, 2.0, 0.0]
    once = Field(seconds=1.0)
    once.ask([0, 1])
    assert field.grid.received[:3].tolist() == (2 * once.grid.received[:3]).tolist()
    assert field.grid.sent[:3].tolist() == (3 * once.grid.sent[:3]).tolist()  # two answers, the first of them twice
    assert field.ask([0]) == [0]
    assert field.clock() == 103.0


def test_delays_reorder_answers_and_have_their_mean() -> None:
    field = Field(count=3000, delay=2.0)
    order = field.ask(range(3000))
    assert sorted(order) == list(range(3000)) != order
    arrived = field.grid.exchanges[0].arrived - 100
    assert arrived.mean() == pytest.approx(4.0, abs=4 * (2 * 2.0**2 / 3000) ** 0.5)
    assert field.clock() == 100 + arrived.max()


@settings(max_examples=20)
@given(st.integers(0, 2**64 - 1), st.permutations(range(12)), st.integers(1, 11))
def test_chances_depend_on_the_seed_the_node_and_the_number_of_the_message_alone(
    seed: int, order: list[int], cut: int
) -> None:
    """Asked all together or in parts, in any order: the same ones answer, and as fast."""

    def fates(parts: list[list[int]]) -> list[tuple[int, float]]:
        field = Field(count=12, seed=seed, drop=0.3, duplicate=0.3, delay=1.0, availability=0.8)
        for part in parts:
            field.clock.now = 100.0
            field.ask(part)
        seen = [
            (int(node), float(when))
            for exchange in field.grid.exchanges
            for node, when in zip(exchange.nodes, exchange.arrived, strict=True)
        ]
        return sorted(seen)

    assert fates([order[:cut], order[cut:]]) == fates([list(range(12))])


def test_another_seed_draws_otherwise() -> None:
    runs = [Field(count=200, seed=seed, drop=0.3).ask(range(200)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_there_is_one_entry_per_node() -> None:
    with pytest.raises(ValueError, match="the grid has 1 nodes, and 2 are described"):
        TimedGrid(LocalGrid([ClientApp()]), Nodes.perfect(2), lambda *_: 0.0, 7, 10.0, VirtualClock())
