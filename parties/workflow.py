"""The base of all workflows: roll call, questions, failures, and the record."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, NamedTuple, TypeVar

from protocol.crypto.certificates import ROLES
from protocol.encoding.bounds import Bound
from protocol.errors import PolicyRefusal, ProtocolError, last_sentence
from protocol.exchange import Exchange, Expected
from protocol.messages.base import Hello, Introduction, ProtocolMessage

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""
OnStep = Callable[[int, str], None]
"""Called with the number of each step as it begins, from 1, and its name."""
PATIENCE = 3600.0
"""Seconds that parties have to answer by default."""
RETURN = 30.0
"""Seconds for which the roll call waits for a party that has left."""
_REFUSAL = f"{PolicyRefusal.__module__}.{PolicyRefusal.__qualname__}: "


def unwatched(what: str, done: int, total: int) -> None:
    """Ignore progress."""


def any_step(number: int, name: str) -> None:
    """Ignore steps."""


class WorkflowFailed(ProtocolError):
    """A workflow that could not be finished; the text says why."""


class Failure(NamedTuple):
    """A step that a party failed: by an error, by silence, or by an answer that is refused."""

    step: str
    node_id: int
    reason: str

    @property
    def sentence(self) -> str:
        """The last line of the reason, which may be a traceback."""
        return last_sentence(self.reason)

    @property
    def refused(self) -> bool:
        """Whether the party's policy refused the step."""
        return self.reason.strip().splitlines()[-1].startswith(_REFUSAL)

    @property
    def line(self) -> str:
        """The step and the sentence."""
        return f"{self.step}: {self.sentence}"


@dataclass(kw_only=True)
class Record:
    """The cloud's record of a workflow; each workflow adds its own.

    Attributes:
        failures: In the order in which they happened.
    """

    failures: list[Failure] = field(default_factory=list)

    def fail(self, step: str, reasons: Mapping[int, str]) -> None:
        """Record who failed a step, and why."""
        self.failures += [Failure(step, node_id, reason) for node_id, reason in reasons.items()]


R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=ProtocolMessage)


class Workflow(ABC, Generic[R]):
    """A protocol from its first message to its last, as the cloud drives it.

    1. `run` begins each of `STEPS`, asks parties, and records their answers.
    2. A party that fails a step is recorded; the workflow goes on without it, or raises `WorkflowFailed`.
    3. All input comes through its exchange: with a journaled one it is replayed from the start after a crash
       (`protocol.journal`).

    Args:
        exchange: Asks the parties.
        record: The record so far.
        patience: Seconds that parties have for a step.
        on_step: Called as each step begins.
    """

    role: ClassVar[str]
    """What who drives it is called, among those that may cheat."""
    STEPS: ClassVar[tuple[str, ...]]
    """The names of the steps, in order."""

    def __init__(self, exchange: Exchange, record: R, patience: float, on_step: OnStep = any_step) -> None:
        self.exchange = exchange
        self.record = record
        self.patience = patience
        self._on_step = on_step

    @abstractmethod
    def run(self) -> R:
        """Play all steps, and return the record.

        Raises:
            WorkflowFailed: When it cannot be finished.
        """

    def begin(self, number: int, name: str = "") -> None:
        """Begin a step; with a name of its own where `STEPS` does not list it, such as a round."""
        self._on_step(number, name or self.STEPS[number - 1])

    def deadline(self) -> float:
        """Return when (Unix seconds) a step that begins now has to be done."""
        return self.exchange.now() + self.patience

    def present(self, role: str) -> list[int]:
        """Ask all nodes for their role; return the node ids of one role, ascending."""
        return self.roll_call().get(role, [])

    def roll_call(self) -> dict[str, list[int]]:
        """Ask all nodes for their role, and record who claims another one than it has; return node ids by role."""
        roll = roll_call(self.exchange, self.patience)
        self.record.fail("introduce", roll.impostors)
        return roll.present

    def ask(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        answer: Expected[M],
        deadline: float | None = None,
        absence: float = float("inf"),
        bound: Bound | None = None,
    ) -> dict[int, M]:
        """Ask parties, record failures, and return the answers by node id.

        Args:
            step, questions, answer, absence, bound: See `Exchange.each`.
            deadline: Unix seconds; else `deadline()`.
        """
        due = self.deadline() if deadline is None else deadline
        replies = self.exchange.ask(step, questions, answer, due, absence, bound=bound)
        self.record.fail(step, replies.failures)
        return replies.answers


@dataclass(frozen=True)
class RollCall:
    """Who is there.

    Attributes:
        present: Node ids by role, ascending. Silent nodes count as absent.
        impostors: Why a node is left out that claims a role which its certificate does not name.
    """

    present: dict[str, list[int]] = field(default_factory=dict)
    impostors: dict[int, str] = field(default_factory=dict)


def roll_call(exchange: Exchange, patience: float) -> RollCall:
    """Ask all nodes for their role.

    Where certificates vouch for roles, nobody has a role of theirs that its own certificate does not name. Roles that
    no certificate names are what parties say, and so are all of them within one program.

    Where the cloud has a memory of parties' privacy ledgers, each is told what it has said of its own: one whose store
    was replaced by an older copy finds out.
    """
    roll = RollCall()
    ledgers, hello = exchange.ledgers(), Hello()
    heads = {} if ledgers is None else ledgers.heads()
    everyone = {node_id: Hello(ledger=heads[node_id]) if node_id in heads else hello for node_id in exchange.node_ids()}
    replies = exchange.ask("introduce", everyone, Introduction, exchange.now() + patience, RETURN)
    if ledgers is not None:
        told = {node_id: each.ledger for node_id, each in replies.answers.items() if each.ledger is not None}
        ledgers.keep_heads(told)
    vouched = exchange.roles()
    for node_id, introduction in replies.answers.items():
        role = introduction.role
        if vouched is None or role not in ROLES or role == vouched.get(node_id):
            roll.present.setdefault(role, []).append(node_id)
        else:
            named = vouched.get(node_id, "nothing")
            roll.impostors[node_id] = f"it introduces itself as {role}, and its certificate names {named}"
    return roll
