"""The exchange of a server that says other things than its program does."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from protocol.exchange import Exchange, Expected, Failed, Heads
from protocol.messages.base import ProtocolMessage
from protocol.storage.vault import Vault

R = TypeVar("R", bound=ProtocolMessage)


class MeddledExchange(Exchange):
    """Stands before another exchange, and changes questions and answers.

    A cheat overrides `question` and `answer`; the workflow sees neither.

    Args:
        inner: The exchange of an honest server.
    """

    def __init__(self, inner: Exchange) -> None:
        super().__init__(inner.grid, inner.clock)
        self._inner = inner

    def question(self, node_id: int, question: ProtocolMessage) -> ProtocolMessage:
        """Return what a party is asked instead."""
        return question

    def answer(self, node_id: int, answer: R) -> R:
        """Return what the workflow hears instead."""
        return answer

    @property
    def streams(self) -> bool:
        """Whether blobs in answers may be referred to."""
        return self._inner.streams

    def now(self) -> float:
        """Return the time, by the clock."""
        return self._inner.now()

    def node_ids(self) -> list[int]:
        """Return who is attached, ascending."""
        return self._inner.node_ids()

    def ledgers(self) -> Heads | None:
        """Return what is remembered of parties' privacy ledgers."""
        return self._inner.ledgers()

    def roles(self) -> Mapping[int, str] | None:
        """Return the role that each node's certificate names."""
        return self._inner.roles()

    def read(self, kind: str, reading: Callable[[], str]) -> str:
        """Return what may change between readings."""
        return self._inner.read(kind, reading)

    def each(
        self, step: str, questions: Mapping[int, ProtocolMessage], answer: Expected[R], *rest: Any, **more: Any
    ) -> Iterator[tuple[int, R | Failed]]:
        """Ask parties, and yield their answers, both changed; see `Exchange.each`."""
        asked = {node_id: self.question(node_id, question) for node_id, question in questions.items()}
        for node_id, reply in self._inner.each(step, asked, answer, *rest, **more):
            yield node_id, reply if isinstance(reply, Failed) else self.answer(node_id, reply)

    def close(self, vault: Vault, kept: Iterable[str]) -> None:
        """The workflow has ended."""
        self._inner.close(vault, kept)
