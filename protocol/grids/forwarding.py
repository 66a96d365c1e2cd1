"""A grid around another one."""

from collections.abc import Iterable

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from protocol.encoding.streaming import give_up, streams
from protocol.exchange import Heads, heads_on, roles_on


class ForwardingGrid(Grid):
    """Forwards everything to another grid; override what should differ."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, run: Run) -> None:
        """Set the run that messages belong to."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._grid.run

    @property
    def streams(self) -> bool:
        """Whether the grid keeps blobs out of messages (see `protocol.encoding.streaming`)."""
        return streams(self._grid)

    def roles(self) -> dict[int, str] | None:
        """Return the role that each node's certificate names (see `roles_on`)."""
        return roles_on(self._grid)

    def ledgers(self) -> Heads | None:
        """Return what is remembered of parties' privacy ledgers (see `heads_on`)."""
        return heads_on(self._grid)

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message to a node."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return replies that have come."""
        return self._grid.pull_messages(message_ids)

    def give_up(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Withdraw messages (see `protocol.encoding.streaming`)."""
        return give_up(self._grid, message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies."""
        return self._grid.send_and_receive(messages, timeout=timeout)
