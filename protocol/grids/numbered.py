"""A grid of Flower's own runtimes, with nodes numbered as on Parley's."""

import time
from collections.abc import Iterable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid

from protocol.errors import ProtocolError
from protocol.flower import FIRST_NODE_ID, new_message, with_id, with_nodes
from protocol.grids.base import MessageMaker
from protocol.grids.forwarding import ForwardingGrid

ROLL = "query.partition"
STATE = "query.state"
"""The message types by which a node reports its partition, and what it keeps between messages."""
POLL = 0.05
"""Seconds between two looks for replies."""

_PARTITION, _PARTITIONS = "partition-id", "num-partitions"


def tell_partition(message: Message, context: Context) -> Message:
    """Answer `ROLL`, on the node."""
    told = ConfigRecord({key: context.node_config[key] for key in (_PARTITION, _PARTITIONS)})
    return Message(RecordDict({ROLL: told}), reply_to=message)


def tell_state(message: Message, context: Context) -> Message:
    """Answer `STATE`, on the node of a simulation."""
    return Message(RecordDict(dict(context.state)), reply_to=message)


class NumberedGrid(MessageMaker, ForwardingGrid):
    """Any grid, with its nodes numbered from `FIRST_NODE_ID` by their ``partition-id``.

    Flower's runtimes give nodes random ids, let them join one by one and do not order replies. So this grid

    1. waits for one node, which reports how many there will be, and then for all of them;
    2. asks each for its partition, and from then on translates ids;
    3. hands out replies in the order of numbers.

    Args:
        grid: The runtime's grid; its nodes answer `ROLL` with `tell_partition`.
        patience: Seconds to wait for all nodes.

    Raises:
        ProtocolError: When nodes are missing after that time, or one does not report its partition.
    """

    def __init__(self, grid: Grid, patience: float = 600.0) -> None:
        super().__init__(grid)
        self._ids: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        until = time.monotonic() + patience
        _, partitions = self._roll(self._wait(1, until)[:1], until)[0]
        nodes = self._wait(partitions, until)
        for node_id, (partition, _) in zip(nodes, self._roll(nodes, until), strict=True):
            self._ids[FIRST_NODE_ID + partition] = node_id
        if len(self._ids) < len(nodes):
            raise ProtocolError(f"{len(nodes)} nodes hold {len(self._ids)} partitions: one of them is held twice")
        self._numbers = {node_id: number for number, node_id in self._ids.items()}

    def get_node_ids(self) -> Iterable[int]:
        """Return the numbers of all nodes, ascending."""
        return sorted(self._ids)

    def state(self, node_id: int) -> RecordDict:
        """Return what a node keeps between messages, by `tell_state`; nothing if it does not report it."""
        (reply,) = self.send_and_receive([self.create_message(RecordDict(), STATE, node_id, "")])
        return reply.content if reply.has_content() else RecordDict()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages."""
        sent, translated = list(messages), []
        for message in sent:
            source, target = message.metadata.src_node_id, message.metadata.dst_node_id
            translated.append(with_nodes(message, source, self._ids.get(target, target)))
        ids = super().push_messages(translated)
        for message, twin in zip(sent, translated, strict=True):
            with_id(message, twin.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return replies that have come, in the order of their nodes' numbers."""
        replies = []
        for reply in super().pull_messages(message_ids):
            source, target = reply.metadata.src_node_id, reply.metadata.dst_node_id
            replies.append(with_nodes(reply, self._numbers.get(source, source), target))
        return sorted(replies, key=lambda reply: reply.metadata.src_node_id)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies, in the order of their nodes' numbers."""
        missing = set(self.push_messages(messages))
        until = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while missing:
            arrived = list(self.pull_messages(missing))
            missing -= {reply.metadata.reply_to_message_id for reply in arrived}
            replies += arrived
            if until is not None and time.monotonic() > until:
                break
            if missing:
                time.sleep(POLL)
        return sorted(replies, key=lambda reply: reply.metadata.src_node_id)

    def _wait(self, wanted: int, until: float) -> list[int]:
        """Wait for that many nodes."""
        while len(nodes := list(self._grid.get_node_ids())) < wanted:
            if time.monotonic() > until:
                raise ProtocolError(f"{wanted} nodes are expected, and {len(nodes)} have come")
            time.sleep(POLL)
        return nodes

    def _roll(self, nodes: list[int], until: float) -> list[tuple[int, int]]:
        """Ask nodes for their partition and how many there are."""
        questions = [
            new_message(RecordDict(), run_id=self.run.run_id, message_type=ROLL, dst_node_id=node) for node in nodes
        ]
        told: dict[int, tuple[int, int]] = {}
        for reply in self.send_and_receive(questions, timeout=until - time.monotonic()):
            if reply.has_error():
                raise ProtocolError(f"node {reply.metadata.src_node_id} does not join: {reply.error.reason}")
            told[reply.metadata.src_node_id] = _told(reply)
        if silent := set(nodes) - told.keys():
            raise ProtocolError(f"{len(silent)} of {len(nodes)} nodes do not say which partition they hold")
        return [told[node] for node in nodes]


def _told(reply: Message) -> tuple[int, int]:
    """Return the partition that a node reports, and how many there are."""
    answer = reply.content.get(ROLL)
    told = [answer.get(key) for key in (_PARTITION, _PARTITIONS)] if isinstance(answer, ConfigRecord) else []
    match told:
        case [int() as partition, int() as partitions] if 0 <= partition < partitions:
            return partition, partitions
    raise ProtocolError(f"node {reply.metadata.src_node_id} does not say which partition of how many it holds")
