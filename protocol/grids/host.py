"""The nodes that live in one process."""

import logging
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from protocol.encoding.codec import copy_records
from protocol.exchange import SILENT
from protocol.flower import FIRST_NODE_ID, with_content
from protocol.grids.base import APP_FAILED, TOO_LATE, UNKNOWN_NODE

_log = logging.getLogger(__name__)


class Shared(ClientApp):
    """An app that can compute with its like what the answers of all of them need, before each answers on its own."""

    @staticmethod
    def prepare(batch: Sequence[tuple[Any, Message]]) -> None:
        """Compute for many apps, each with its message, and leave with each what is its own; no answer may change."""


class NodeHost:
    """Nodes of one process, each an app with a `Context`, answering one after the other.

    Delivering a batch of messages works in four steps:

    1. apps that are `Shared` prepare together; if that fails, it is logged once, and each answers alone, so that only
       the one at fault fails;
    2. each app gets a copy of its message, so that no party's changes reach another, and answers with its own
       `Context`; if it raises, its state stays as it was and the answer is an `Error` with the traceback;
    3. an answer that bears a time more than the message's `ttl` after the app was asked is an `Error`, too: how long
       others took does not count, as elsewhere they would all work at once, and nobody waits for one that says that
       it was slow;
    4. the answers are copied back.

    Args:
        apps: The app of each node here; one app may stand for many.
        total: How many nodes there are everywhere, ``num-partitions`` of their configuration.
    """

    def __init__(
        self,
        apps: Mapping[int, ClientApp],
        total: int,
        run_id: int,
        run_config: UserConfig,
    ) -> None:
        self._apps = apps
        self._total = total
        self._run_id = run_id
        self._run_config = run_config
        self._contexts: dict[int, Context] = {}
        self._told = False

    def deliver(self, messages: Sequence[Message]) -> list[RecordDict | Error]:
        """Let nodes answer messages, in this order."""
        self._prepare(messages)
        return [self._deliver(message) for message in messages]

    def state(self, node_id: int) -> RecordDict:
        """Return what a node keeps between messages."""
        return self._context(node_id).state

    def restore(self, states: Iterable[tuple[int, RecordDict]]) -> None:
        """Put back what nodes kept."""
        for node_id, state in states:
            self._context(node_id).state = state

    def _context(self, node_id: int) -> Context:
        if node_id not in self._contexts:
            self._contexts[node_id] = Context(
                run_id=self._run_id,
                node_id=node_id,
                node_config={"partition-id": node_id - FIRST_NODE_ID, "num-partitions": self._total},
                state=RecordDict(),
                run_config=dict(self._run_config),
            )
        return self._contexts[node_id]

    def _prepare(self, messages: Sequence[Message]) -> None:
        batches: dict[type[Shared], list[tuple[Shared, Message]]] = {}
        for message in messages:
            app = self._apps.get(message.metadata.dst_node_id)
            if isinstance(app, Shared):
                batches.setdefault(type(app), []).append((app, message))
        for kind, batch in batches.items():
            try:
                kind.prepare(batch)
            except Exception:
                if not self._told:  # once: ten thousand parties fail alike
                    self._told = True
                    _log.warning("a batched computation failed; its parties compute one by one", exc_info=True)

    def _deliver(self, message: Message) -> RecordDict | Error:
        node_id = message.metadata.dst_node_id
        if node_id not in self._apps:
            return Error(code=UNKNOWN_NODE, reason=f"there is no node {node_id}")
        context = self._context(node_id)
        before = copy_records(context.state)
        received = with_content(message.metadata, copy_records(message.content))
        asked = time.time()
        try:
            reply = self._apps[node_id](received, context)
        except Exception:
            context.state = before
            return Error(code=APP_FAILED, reason=traceback.format_exc())
        if reply.metadata.created_at - asked > message.metadata.ttl:
            return Error(code=TOO_LATE, reason=SILENT)
        return reply.error if reply.has_error() else copy_records(reply.content)
