"""Who told whom what kind of message: bytes and time, never contents."""

import json
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import IO

from flwr.app import RecordDict

from protocol.encoding.codec import decode
from protocol.grids import Envelope
from protocol.messages.base import ProtocolMessage
from simulations.reports.model import Flow


class TrafficLog:
    """Writes one line of JSON per message and adds up flows.

    Args:
        stream: ``messages.jsonl``.
    """

    names: Mapping[int, str]
    """Party names by node id, ``role`` or ``role-n``; they are there before any message."""
    answers: Counter[str]
    """How many messages each party has sent, by its name."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.names = {}
        self._start = time.perf_counter()
        self._flows: dict[tuple[str, str, str, str], tuple[int, int]] = {}
        self.answers: Counter[str] = Counter()

    def observe(self, envelope: Envelope) -> None:
        """Record one message."""
        source, target = self.names[envelope.source], self.names[envelope.target]
        line = {
            "time": round(time.perf_counter() - self._start, 6),
            "from": source,
            "to": target,
            "step": envelope.step,
            "kind": envelope.kind,
            "bytes": envelope.size,
        }
        self._stream.write(json.dumps(line) + "\n")
        self.answers[source] += 1
        key = (source.partition("-")[0], target.partition("-")[0], envelope.step, envelope.kind)
        messages, size = self._flows.get(key, (0, 0))
        self._flows[key] = (messages + 1, size + envelope.size)

    @property
    def flows(self) -> list[Flow]:
        """All flows, in the order in which they began."""
        return [
            Flow(source=source, target=target, step=step, kind=kind, messages=messages, bytes=size)
            for (source, target, step, kind), (messages, size) in self._flows.items()
        ]


class View:
    """What one party received, or all, as far as an attack or a report needs.

    Args:
        observer: The party's node id; None: all parties.
        kinds: Which messages to keep.
    """

    def __init__(self, observer: int | None, *kinds: type[ProtocolMessage]) -> None:
        self._observer = observer
        self._kinds = {kind.kind(): kind for kind in kinds}
        self._kept: list[tuple[int, str, RecordDict]] = []

    def observe(self, envelope: Envelope) -> None:
        """Keep a message if it came to this party."""
        if self._observer in (None, envelope.target) and envelope.kind in self._kinds and envelope.content is not None:
            self._kept.append((envelope.source, envelope.kind, envelope.content))

    def received(self, senders: Container[int] | None = None) -> Iterator[tuple[int, ProtocolMessage]]:
        """Yield messages with the node ids of their senders, in the order they came: all, or those of some senders."""
        for source, kind, content in self._kept:
            if senders is None or source in senders:
                yield source, decode(content, self._kinds[kind])
