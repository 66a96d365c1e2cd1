"""The nodes that live in one process."""

import logging
import math
import time
import traceback
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from flwr.app import Context, Error, Message, RecordDict, UserConfig
from flwr.clientapp import ClientApp

from protocol.encoding.codec import copy_records
from protocol.errors import ProtocolError
from protocol.exchange import SILENT
from protocol.flower import FIRST_NODE_ID, with_content
from protocol.grids.base import APP_FAILED, GIVEN_UP, TOO_LATE, UNKNOWN_NODE, of_a_party
from protocol.grids.guard import AppLeft, Guard, TimeIsUp

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
       `Context`; if it raises, tries to end the process (see `Guard`) or returns no `Message`, its state stays as it
       was and the answer is an `Error` with the traceback, or a sentence;
    3. an answer that comes more than the message's `ttl` after the app was asked, or bears such a time, is an `Error`,
       too, and one that takes longer than the timeout is given up; the app is interrupted then. How long others took
       does not count, as elsewhere they would all work at once, and nobody waits for one that says that it was slow;
    4. the answers are copied back.

    Args:
        apps: The app of each node here; one app may stand for many.
        total: How many nodes there are everywhere, ``num-partitions`` of their configuration.

    Attributes:
        worked: Seconds of CPU that each node has computed; what nodes prepare together counts to each alike.
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
        self.worked: defaultdict[int, float] = defaultdict(float)

    def deliver(self, messages: Sequence[Message], timeout: float | None = None) -> list[RecordDict | Error]:
        """Let nodes answer messages, in this order.

        Args:
            timeout: Seconds that each has; for one that takes longer there is an `Error` of code `GIVEN_UP`.
        """
        patience = math.inf if timeout is None else timeout
        with Guard() as guard:
            self._prepare(messages, guard)
            return [self._deliver(message, guard, patience) for message in messages]

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

    def _prepare(self, messages: Sequence[Message], guard: Guard) -> None:
        batches: dict[type[Shared], list[tuple[Shared, Message]]] = {}
        for message in messages:
            app = self._apps.get(message.metadata.dst_node_id)
            if isinstance(app, Shared):
                batches.setdefault(type(app), []).append((app, message))
        for kind, batch in batches.items():
            began = time.thread_time()
            try:
                guard.call(partial(kind.prepare, batch), math.inf)
            except Exception:
                if not self._told:  # once: ten thousand parties fail alike
                    self._told = True
                    _log.warning("a batched computation failed; its parties compute one by one", exc_info=True)
            each = (time.thread_time() - began) / len(batch)
            for _, message in batch:
                self.worked[message.metadata.dst_node_id] += each

    def _deliver(self, message: Message, guard: Guard, patience: float) -> RecordDict | Error:
        node_id, ttl = message.metadata.dst_node_id, message.metadata.ttl
        if node_id not in self._apps:
            return Error(code=UNKNOWN_NODE, reason=f"there is no node {node_id}")
        context = self._context(node_id)
        before = copy_records(context.state)
        received = with_content(message.metadata, copy_records(message.content))
        asked, start, began = time.time(), time.monotonic(), time.thread_time()
        try:
            reply = guard.call(partial(self._apps[node_id], received, context), min(ttl, patience))
            answer, said = _answer(reply, context, message.metadata.message_type), reply.metadata.created_at - asked
        except (Exception, TimeIsUp) as error:
            context.state = before
            answer, said = Error(code=APP_FAILED, reason=_reason(error)), 0.0
        self.worked[node_id] += time.thread_time() - began
        took = max(said, time.monotonic() - start)
        if took > min(ttl, patience):
            context.state = before
            return Error(code=TOO_LATE if took > ttl else GIVEN_UP, reason=SILENT)
        return answer


class NoAnswer(ProtocolError):
    """An app returned something that is no answer; the text says what."""


def _reason(error: BaseException) -> str:
    """Return why an app failed: its traceback, which ends in a sentence."""
    if isinstance(error, NoAnswer):
        return str(error)
    if isinstance(error, AppLeft):
        return f"{''.join(traceback.format_exception(error.__cause__))}{error}"
    return "".join(traceback.format_exception(error))


def _answer(reply: object, context: Context, message_type: str) -> RecordDict | Error:
    """Return what an app answered, copied.

    Raises:
        NoAnswer: When it is no message, or the app has put something else in the place of its state.
    """
    if not isinstance(reply, Message):
        what = "nothing" if reply is None else f"a {type(reply).__name__}"
        raise NoAnswer(
            f"the app answered {message_type} with {what}; it has to return a Message, such as Message(content,"
            " reply_to=message)"
        )
    if not isinstance(context.state, RecordDict):
        raise NoAnswer(f"the app made its context.state a {type(context.state).__name__}; it has to stay a RecordDict")
    if not reply.has_error():
        return copy_records(reply.content)
    return of_a_party(reply.error)
