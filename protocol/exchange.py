"""Asking parties typed questions over any Flower grid."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from protocol.encoding.bounds import Bound, bound_of, with_bound
from protocol.encoding.codec import UnreadableMessage, decode, encode
from protocol.encoding.streaming import streams
from protocol.messages.base import LedgerHead, ProtocolMessage
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
CLOUD_FAILED = 7
"""The code of an error by which a grid says that it is the cloud that failed."""
LOST = "the cloud has lost the answer"
NO_ROOM = "the cloud had no room for the answer"
NOT_AT_FAULT = (LOST, NO_ROOM)
"""Why there is none where the party is not at fault; no party can say so itself."""


class Failed(str):
    r"""Why there is no answer from a party; it may quote the party, so it holds no character that controls anything.

    Examples:
        >>> Failed("no\x00\x1b[2Jway\n")
        'no  [2Jway\n'
    """

    def __new__(cls, why: str) -> "Failed":
        """Take a sentence, or a traceback."""
        if not why.isprintable():
            why = "".join(letter if letter.isprintable() or letter in "\n\t" else " " for letter in why)
        return super().__new__(cls, why)


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
    replies = _ask(grid, step, questions, answer, timeout, step)
    return _sorted_out(_heard(grid, questions, replies, answer))


def roles_on(grid: Grid) -> dict[int, str] | None:
    """Return the role that each node's certificate names; None on a grid without certificates, by its `roles`."""
    roles: Callable[[], dict[int, str] | None] | None = getattr(grid, "roles", None)
    return None if roles is None else roles()


class Heads(Protocol):
    """What the cloud remembers of parties' privacy ledgers."""

    def heads(self) -> Mapping[int, LedgerHead]:
        """Return the latest head of each party that has one, by node id."""

    def keep_heads(self, told: Mapping[int, LedgerHead]) -> None:
        """Remember heads; an older one than is remembered is left out."""


def heads_on(grid: Grid) -> Heads | None:
    """Return the memory of heads that a grid has, by its `ledgers`; None where nothing is remembered."""
    ledgers: Callable[[], Heads | None] | None = getattr(grid, "ledgers", None)
    return None if ledgers is None else ledgers()


class Exchange:
    """A workflow's questions to its parties, their answers, and the time: all that it cannot compute itself.

    A workflow that gets its input through its exchange alone can be replayed from a journal
    (see `protocol.journal.JournaledExchange`); this exchange keeps none.

    Args:
        clock: Seconds. Unix time where deadlines reach parties; else one that does not jump.
        conversation: A unique name, for parties that keep their memory of conversations apart and across restarts (see
            `parties.store`): messages name it and their number.
    """

    def __init__(self, grid: Grid, clock: Callable[[], float] = time.monotonic, conversation: str = "") -> None:
        self.grid = grid
        self.clock = clock
        self._conversation = conversation
        self._asked = 0

    @property
    def streams(self) -> bool:
        """Whether blobs in answers may be referred to instead of being brought."""
        return streams(self.grid)

    def now(self) -> float:
        """Return the time, by the clock."""
        return self.clock()

    def node_ids(self) -> list[int]:
        """Return who is attached, ascending."""
        return sorted(self.grid.get_node_ids())

    def roles(self) -> Mapping[int, str] | None:
        """Return the role that each node's certificate names; None where there are no certificates."""
        return roles_on(self.grid)

    def ledgers(self) -> Heads | None:
        """Return what is remembered of parties' privacy ledgers; None where nothing is."""
        return heads_on(self.grid)

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
        bound: Bound | None = None,
    ) -> Replies[R]:
        """Ask parties and return all answers; see `each`."""
        return _sorted_out(self.each(step, questions, answer, deadline, absence, until, bound))

    def each(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[R],
        deadline: float | None = None,
        absence: float = math.inf,
        until: float = math.inf,
        bound: Bound | None = None,
    ) -> Iterator[tuple[int, R | Failed]]:
        """Ask parties and yield what each answered, or why it did not, in ascending order of node ids.

        Args:
            step, questions, answer: See `ask`.
            deadline: By the clock. What comes more than `GRACE` after it is no answer.
            absence: Seconds for which a party that has left is still waited for, where the grid does not see to that.
            until: When, by the clock, to stop waiting, if that is before the deadline.
            bound: How large an answer may be, if less than its kind allows.
        """
        timeout = self._left(deadline, until)
        self._asked += 1
        group = f"{self._conversation}/{self._asked}" if self._conversation else step
        replies = _ask(self.grid, step, questions, answer, timeout, group, bound)
        late = deadline is not None and self.clock() > deadline + GRACE
        for node_id, reply in _heard(self.grid, questions, replies, answer):
            yield node_id, reply if isinstance(reply, Failed) or not late else Failed(LATE)
            del reply  # a large answer goes before the next one is read

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
        return decode(content, *_kinds(answer))
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
    reason = Failed(error.reason or "").strip() or f"error {error.code}"
    return f"it said: {reason}" if reason in NOT_AT_FAULT and error.code != CLOUD_FAILED else reason


def messages_for(
    grid: Grid,
    step: str,
    questions: Mapping[int, ProtocolMessage],
    answer: Expected[R],
    group: str,
    ttl: float | None = None,
    bound: Bound | None = None,
) -> list[Message]:
    """Make the messages of a question, in ascending order of node ids; equal objects are encoded once."""
    different = {id(question): question for question in questions.values()}
    encoded = {key: encode(question) for key, question in different.items()}
    bound = bound or bound_of(*_kinds(answer))
    return [
        with_bound(grid.create_message(encoded[id(question)], f"query.{step}", node_id, group_id=group, ttl=ttl), bound)
        for node_id, question in sorted(questions.items())
    ]


def _kinds(answer: Expected[R]) -> tuple[type[R], ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _ask(
    grid: Grid,
    step: str,
    questions: Mapping[int, ProtocolMessage],
    answer: Expected[R],
    timeout: float | None,
    group: str,
    bound: Bound | None = None,
) -> Iterable[Message]:
    messages = messages_for(grid, step, questions, answer, group, timeout, bound)
    return grid.send_and_receive(messages, timeout=timeout)


def _heard(
    grid: Grid, questions: Iterable[int], replies: Iterable[Message], answer: Expected[R]
) -> Iterator[tuple[int, R | Failed]]:
    """Yield each node's answer, or why there is none, in ascending order of node ids.

    A grid that streams returns an iterator in this order, and reads each reply from the vault when its turn comes. What
    stands before such a grid may return a list in any order.
    """
    if not (streams(grid) and isinstance(replies, Iterator)):
        replies = sorted(replies, key=lambda reply: reply.metadata.src_node_id)
    silent = deque(sorted(questions))
    for reply in replies:
        while silent and silent[0] < reply.metadata.src_node_id:
            yield silent.popleft(), Failed(SILENT)
        if silent and silent[0] == reply.metadata.src_node_id:
            yield silent.popleft(), read_reply(*opened(reply), answer)
        del reply
    for node_id in silent:
        yield node_id, Failed(SILENT)


def _sorted_out(heard: Iterable[tuple[int, R | Failed]]) -> Replies[R]:
    replies: Replies[R] = Replies({}, {})
    for node_id, reply in heard:
        if isinstance(reply, Failed):
            replies.failures[node_id] = str(reply)
        else:
            replies.answers[node_id] = reply
    return replies
