"""Asking parties typed questions over any Flower grid."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.messages.base import ProtocolMessage
from protocol.storage.vault import Vault

R = TypeVar("R", bound=ProtocolMessage)
Expected = type[R] | tuple[type[R], ...]
"""The message that an answer has to be, or several of which it has to be one."""

GRACE = 5.0
"""Seconds after a deadline in which what arrived before it is still accepted.

A party with less time than that until its deadline is not asked to deliver.
"""
LATE = "the answer came after the deadline"
SILENT = "no answer"
"""Why there is no answer from a silent party."""
LOST = "the cloud has lost the answer"
"""Why there is none where the party is not at fault."""


class Failed(str):
    """Why there is no answer from a party."""


@dataclass(frozen=True)
class Replies(Generic[R]):
    """What came back: readable answers by node id, and why there is none from the others."""

    answers: dict[int, R]
    failures: dict[int, str]


def ask(
    grid: Grid,
    step: str,
    questions: Mapping[int, ProtocolMessage],
    answer: Expected[R],
    timeout: float | None = None,
) -> Replies[R]:
    """Ask each node its question and read the answers.

    A party that raises, stays silent or answers something else is a failure of that party alone.

    Args:
        grid: Any implementation of Flower's grid.
        step: The step to ask for; sent as the message type ``query.<step>``.
        questions: One question per node id. Equal objects are encoded once.
        answer: The message each answer has to be, or one of several.
        timeout: Seconds to wait, which is also each question's time to live; those silent by then are failures.

    Returns:
        Answers and failures, each in ascending order of node ids.
    """
    return _sorted_out(_ask(grid, step, questions, answer, timeout, step))


def roles_on(grid: Grid) -> dict[int, str] | None:
    """Return the role that each node's certificate names; None on a grid without certificates, by its `roles`."""
    roles: Callable[[], dict[int, str] | None] | None = getattr(grid, "roles", None)
    return None if roles is None else roles()


class Exchange:
    """A workflow's questions to its parties, their answers, and the time: all that it cannot compute itself.

    A workflow that gets its input through its exchange alone can be replayed from a journal
    (see `protocol.journal.JournaledExchange`); this exchange keeps none.

    Args:
        clock: Unix time.
        conversation: A unique name, for parties that keep their memory of conversations apart and across restarts (see
            `parties.store`): messages name it and their number.
    """

    def __init__(self, grid: Grid, clock: Callable[[], float] = time.time, conversation: str = "") -> None:
        self.grid = grid
        self.clock = clock
        self._conversation = conversation
        self._asked = 0

    def now(self) -> float:
        """Return the time, Unix seconds."""
        return self.clock()

    def node_ids(self) -> list[int]:
        """Return who is attached, ascending."""
        return sorted(self.grid.get_node_ids())

    def roles(self) -> Mapping[int, str] | None:
        """Return the role that each node's certificate names; None where there are no certificates."""
        return roles_on(self.grid)

    def read(self, kind: str, reading: Callable[[], str]) -> str:
        """Return what may change between readings, such as settings."""
        return reading()

    def ask(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[R],
        deadline: float | None = None,
        absence: float = math.inf,
        until: float = math.inf,
    ) -> Replies[R]:
        """Ask parties and return all answers; see `each`."""
        return _sorted_out(self.each(step, questions, answer, deadline, absence, until))

    def each(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[R],
        deadline: float | None = None,
        absence: float = math.inf,
        until: float = math.inf,
    ) -> Iterator[tuple[int, R | Failed]]:
        """Ask parties and yield what each answered, or why it did not, in ascending order of node ids.

        Args:
            step, questions, answer: See `ask`.
            deadline: Unix seconds. What comes more than `GRACE` after it is no answer.
            absence: Seconds for which a party that has left is still waited for, where the grid does not see to that.
            until: Unix seconds at which to stop waiting, if that is before the deadline.
        """
        timeout = self._left(deadline, until)
        self._asked += 1
        group = f"{self._conversation}/{self._asked}" if self._conversation else step
        heard = _ask(self.grid, step, questions, answer, timeout, group)
        late = deadline is not None and self.clock() > deadline + GRACE
        for node_id, reply in heard:
            yield node_id, reply if isinstance(reply, Failed) or not late else Failed(LATE)

    def _left(self, deadline: float | None, until: float) -> float | None:
        """Return for how many seconds to wait from now on; None for ever."""
        end = min(math.inf if deadline is None else deadline, until)
        return None if end == math.inf else max(0.0, end - self.clock())

    def close(self, vault: Vault, kept: Iterable[str]) -> None:
        """The workflow has ended, and what it kept in the vault has expired."""
        for digest in kept:
            vault.delete(digest)


def read_reply(content: RecordDict | None, failure: str | None, answer: Expected[R]) -> R | Failed:
    """Return the answer in a reply's content, or why there is none."""
    if content is None:
        return Failed(failure or SILENT)
    try:
        return decode(content, *(answer if isinstance(answer, tuple) else (answer,)))
    except UnreadableMessage as unreadable:
        return Failed(str(unreadable))


def opened(reply: Message) -> tuple[RecordDict | None, str | None]:
    """Return the content of a reply, or the reason of its error."""
    if reply.has_error():
        return None, reason_of(reply.error)
    return reply.content, None


def reason_of(error: Error) -> str:
    r"""Return why a party failed, as text that can be stored, and of which there is a line.

    Examples:
        >>> reason_of(Error(code=2, reason=" \n")), reason_of(Error(code=2, reason="n\0"))
        ('error 2', 'n')
    """
    reason = (error.reason or "").replace("\0", "").encode("utf-8", "replace").decode()
    return reason.strip() or f"error {error.code}"


def messages_for(
    grid: Grid, step: str, questions: Mapping[int, ProtocolMessage], group: str, ttl: float | None = None
) -> list[Message]:
    """Make the messages of a question, in ascending order of node ids; equal objects are encoded once."""
    different = {id(question): question for question in questions.values()}
    encoded = {key: encode(question) for key, question in different.items()}
    return [
        grid.create_message(encoded[id(question)], f"query.{step}", node_id, group_id=group, ttl=ttl)
        for node_id, question in sorted(questions.items())
    ]


def _ask(
    grid: Grid,
    step: str,
    questions: Mapping[int, ProtocolMessage],
    answer: Expected[R],
    timeout: float | None,
    group: str,
) -> list[tuple[int, R | Failed]]:
    heard: dict[int, R | Failed] = dict.fromkeys(sorted(questions), Failed(SILENT))
    for reply in grid.send_and_receive(messages_for(grid, step, questions, group, timeout), timeout=timeout):
        if reply.metadata.src_node_id in heard:
            heard[reply.metadata.src_node_id] = read_reply(*opened(reply), answer)
    return list(heard.items())


def _sorted_out(heard: Iterable[tuple[int, R | Failed]]) -> Replies[R]:
    replies: Replies[R] = Replies({}, {})
    for node_id, reply in heard:
        if isinstance(reply, Failed):
            replies.failures[node_id] = str(reply)
        else:
            replies.answers[node_id] = reply
    return replies
