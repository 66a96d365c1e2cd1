"""All parties in this process."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from flwr.app import Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from protocol.flower import FIRST_NODE_ID, reply, with_id
from protocol.grids.base import CarryingGrid, given_up
from protocol.grids.host import NodeHost


class LocalGrid(CarryingGrid):
    """A Flower grid whose nodes are apps in this process, one after the other (see `NodeHost`).

    Messages are delivered in the order of their nodes' ids, so that the order of sending does not
    matter. Nodes are numbered from `FIRST_NODE_ID` in the order given, so ids depend on nothing else.

    Args:
        apps: One app per node; the same app may stand for many.
        run_config: The run's configuration, which every app sees.
    """

    BATCH = 256
    """Nodes that answer together."""

    def __init__(self, apps: Sequence[ClientApp], run_id: int = 1, run_config: UserConfig | None = None) -> None:
        super().__init__(run_id)
        nodes = {FIRST_NODE_ID + index: app for index, app in enumerate(apps)}
        self._nodes = list(nodes)
        self._host = NodeHost(nodes, len(nodes), run_id, run_config or {})
        self._replies: dict[str, Message] = {}
        self._ids = count(1)

    def close(self) -> None:
        """Release nothing."""

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes, ascending."""
        return list(self._nodes)

    def state(self, node_id: int) -> RecordDict:
        """Return what a node keeps between messages."""
        return self._host.state(node_id)

    def worked(self) -> Mapping[int, float]:
        """Return the seconds of CPU that each node has computed so far."""
        return self._host.worked

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver messages, in the order of their nodes' ids, and keep the replies for `pull_messages`."""
        return self._push(messages, None)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages that have not been pulled yet."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Deliver messages and return the replies, in the order of the nodes' ids.

        Args:
            timeout: Seconds that each node has, as elsewhere they would all work at once; who takes longer is not
                waited for, and never among the replies.
        """
        return self.pull_messages(self._push(messages, timeout))

    def _push(self, messages: Iterable[Message], timeout: float | None) -> list[str]:
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        for message in ordered:
            with_id(message, self._next_id())
        for start in range(0, len(ordered), self.BATCH):
            batch = ordered[start : start + self.BATCH]
            for message, answer in zip(batch, self._host.deliver(batch, timeout), strict=True):
                reply_id = self._next_id()
                if not given_up(answer):
                    self._replies[message.metadata.message_id] = with_id(reply(message, answer), reply_id)
        return [message.metadata.message_id for message in ordered]

    def _next_id(self) -> str:
        return str(next(self._ids))
