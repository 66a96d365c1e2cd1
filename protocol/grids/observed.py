"""A grid with observers of its messages."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from protocol.encoding.codec import encoded_size
from protocol.encoding.streaming import blobs_of
from protocol.grids.forwarding import ForwardingGrid
from protocol.messages.base import BlobReference


@dataclass(frozen=True)
class Envelope:
    """One message as it crossed the wire.

    Attributes:
        source, target: Node ids.
        step: The action asked for or answered to (``bid`` of ``query.bid``, or ``train``).
        kind: The name of the message, ``Error`` for a party that failed.
        size: Bytes of content, blobs that go by way of the vault included.
        content: The content itself, None for an error. For views; never logged.
    """

    source: int
    target: int
    step: str
    kind: str
    size: int
    content: RecordDict | None


class ObservedGrid(ForwardingGrid):
    """Any grid, with each message shown to an observer as it is sent and as its reply comes in.

    Args:
        observe: Called with each `Envelope`, questions and answers alike, in a deterministic order where the grid's own
            order is.
    """

    def __init__(self, grid: Grid, observe: Callable[[Envelope], None]) -> None:
        super().__init__(grid)
        self._observe = observe

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages on, each one seen first."""
        return self._grid.push_messages(self._seen(messages))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return replies, each one seen."""
        return list(self._seen(self._grid.pull_messages(message_ids)))

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and return the replies, all of them seen."""
        return list(self._seen(self._grid.send_and_receive(list(self._seen(messages)), timeout=timeout)))

    def _seen(self, messages: Iterable[Message]) -> Iterable[Message]:
        for message in messages:
            self._observe(_envelope(message))
            yield message


def _envelope(message: Message) -> Envelope:
    content = message.content if message.has_content() else None
    header = None if content is None else content.get("message")
    kind = str(header.get("kind", "records"))[:80] if isinstance(header, ConfigRecord) else "records"
    return Envelope(
        source=message.metadata.src_node_id,
        target=message.metadata.dst_node_id,
        step=message.metadata.message_type.partition(".")[2] or message.metadata.message_type,
        kind="Error" if content is None else kind,
        size=0 if content is None else encoded_size(content) + _referred(content),
        content=content,
    )


def _referred(content: RecordDict) -> int:
    return sum(len(blob) for blob in blobs_of(content).values() if isinstance(blob, BlobReference))
