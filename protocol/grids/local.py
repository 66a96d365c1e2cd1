"""All parties in this process."""

import traceback
from collections.abc import Iterable, Sequence

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from protocol.codec import copy_records
from protocol.flower import FIRST_NODE_ID, new_message, new_run, with_content, with_id

APP_FAILED = 2
UNKNOWN_NODE = 3
"""Codes of the errors with which the grid answers for a party: it raised; there is no such party."""


class LocalGrid(Grid):
    """A Flower grid whose nodes are apps in this process, one after the other.

    Sending works in four steps:

    1. messages are ordered by node id, so that the order of sending does not matter;
    2. each is copied, so that a party's changes never reach the sender;
    3. the node's app answers with its own `Context`; if it raises, its state stays as it was and the
       grid answers with an `Error` that carries the traceback;
    4. the reply is copied back.

    Nodes are numbered from `FIRST_NODE_ID` in the order given, so ids depend on nothing else.

    Parameters
    ----------
    apps : sequence of ClientApp
        One app per node; the same app may stand for many.
    run_id : int
        The run's id.
    """

    def __init__(self, apps: Sequence[ClientApp], run_id: int = 1) -> None:
        self._run = new_run(run_id)
        self._apps = {FIRST_NODE_ID + index: app for index, app in enumerate(apps)}
        self._contexts = {
            node_id: Context(
                run_id=run_id,
                node_id=node_id,
                node_config={"partition-id": index, "num-partitions": len(apps)},
                state=RecordDict(),
                run_config={},
            )
            for index, node_id in enumerate(self._apps)
        }
        self._replies: dict[str, Message] = {}
        self._sent = 0

    def set_run(self, run: Run) -> None:
        """Set the run that messages belong to."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message to a node."""
        return new_message(
            content,
            run_id=self._run.run_id,
            message_type=message_type,
            dst_node_id=dst_node_id,
            group_id=group_id,
            ttl=ttl,
        )

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes, ascending."""
        return list(self._apps)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Deliver messages, in the order of their nodes' ids, and keep the replies for `pull_messages`."""
        ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
        ids = []
        for message in ordered:
            message_id = self._next_id()
            with_id(message, message_id)
            self._replies[message_id] = with_id(self._deliver(message), self._next_id())
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to these messages that have not been pulled yet."""
        return [self._replies.pop(message_id) for message_id in message_ids if message_id in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Deliver messages and return the replies, in the order of the nodes' ids."""
        return self.pull_messages(self.push_messages(messages))

    def _next_id(self) -> str:
        self._sent += 1
        return str(self._sent)

    def _deliver(self, message: Message) -> Message:
        node_id = message.metadata.dst_node_id
        if node_id not in self._apps:
            return Message(Error(code=UNKNOWN_NODE, reason=f"there is no node {node_id}"), reply_to=message)
        context = self._contexts[node_id]
        before = copy_records(context.state)
        received = with_content(message.metadata, copy_records(message.content))
        try:
            reply = self._apps[node_id](received, context)
        except Exception:
            context.state = before
            return Message(Error(code=APP_FAILED, reason=traceback.format_exc()), reply_to=message)
        if reply.has_error():
            return Message(reply.error, reply_to=message)
        return Message(copy_records(reply.content), reply_to=message)
