"""`NumberedGrid` keeps the contract of grids on whatever ids a runtime gives its nodes."""

from collections.abc import Iterable

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from test_grids import GridContract, echo_app

from protocol.errors import ProtocolError
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.grids.forwarding import ForwardingGrid
from protocol.grids.numbered import ROLL, NumberedGrid, tell_partition


class ComingOneByOne(ForwardingGrid):
    """Another node comes each time one looks, and the last to come are named first."""

    def __init__(self, grid: Grid) -> None:
        super().__init__(grid)
        self.looks = 0

    def get_node_ids(self) -> Iterable[int]:
        self.looks += 1
        return list(super().get_node_ids())[: self.looks - 1][::-1]


class TestNumberedGrid(GridContract):
    def make(self, apps: list[ClientApp]) -> Grid:
        for app in set(apps):
            app.query(ROLL.partition(".")[2])(tell_partition)
        return NumberedGrid(ComingOneByOne(LocalGrid(apps)))

    def test_nodes_are_numbered_by_their_partitions(self) -> None:
        def turned(partition: int) -> ClientApp:
            app = ClientApp()

            @app.query(ROLL.partition(".")[2])
            def tell(message: Message, context: Context) -> Message:
                told = ConfigRecord({"partition-id": 3 - partition, "num-partitions": 4})
                return Message(RecordDict({ROLL: told}), reply_to=message)

            @app.query("who")
            def who(message: Message, context: Context) -> Message:
                return Message(RecordDict({"who": ConfigRecord({"id": context.node_id})}), reply_to=message)

            return app

        grid = NumberedGrid(LocalGrid([turned(partition) for partition in range(4)]))
        asked = [grid.create_message(RecordDict(), "query.who", node, "") for node in grid.get_node_ids()]
        replies = list(grid.send_and_receive(asked))
        assert [reply.metadata.src_node_id - FIRST_NODE_ID for reply in replies] == [0, 1, 2, 3]
        assert [reply.content["who"]["id"] - FIRST_NODE_ID for reply in replies] == [3, 2, 1, 0]


def telling(partition: int, partitions: int) -> ClientApp:
    app = ClientApp()

    @app.query(ROLL.partition(".")[2])
    def tell(message: Message, context: Context) -> Message:
        told = ConfigRecord({"partition-id": partition, "num-partitions": partitions})
        return Message(RecordDict({ROLL: told}), reply_to=message)

    return app


def test_one_node_is_enough() -> None:
    assert list(NumberedGrid(LocalGrid([telling(0, 1)]), patience=0.1).get_node_ids()) == [FIRST_NODE_ID]


@pytest.mark.parametrize(
    ("apps", "sentence"),
    [
        ([telling(0, 3), telling(1, 3)], "3 nodes are expected, and 2 have come"),
        ([telling(0, 2), telling(0, 2)], "2 nodes hold 1 partitions: one of them is held twice"),
        ([echo_app()], "node 2 does not join: "),
    ],
)
def test_nodes_that_do_not_add_up_are_an_error(apps: list[ClientApp], sentence: str) -> None:
    with pytest.raises(ProtocolError, match=sentence):
        NumberedGrid(LocalGrid(apps), patience=0.1)
