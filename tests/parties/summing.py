"""Parties that add numbers to sums, and clouds that lie about them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parties.party import Party, step
from parties.secure_sum.adding import AddingParty
from parties.secure_sum.board import Board
from parties.secure_sum.summand import LIMIT
from parties.secure_sum.summing import SecureSum, Summed
from parties.secure_sum.unmasking import Unmasking
from protocol.crypto.pairwise import PairwiseKey, expand
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import LocalGrid
from protocol.messages.secure_sum import AddCall, MaskedValues, Round, ShownShares
from strategies.privacy.secure_sum import Masked, mask, quantise, restore

ROUND = Round(training="test", number=1)
SIZE = 5


class Adder(AddingParty):
    """Adds five numbers of its own."""

    role = "client"

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self.numbers = np.random.default_rng(int.from_bytes(secret)).normal(size=SIZE)

    @step("add")
    def add(self, call: AddCall) -> MaskedValues:
        return self.behind_masks(call, lambda: self.numbers)


class Unguarded(Adder):
    """Answers whatever it is asked about a sum, however often, and forgets nothing."""

    @contextmanager
    def _once(self, step: str, round: Round, question: object) -> Iterator[bool]:
        yield False

    def _forget(self, round: Round) -> None:
        pass


def failing(step_name: str, role: type[Adder] = Adder) -> type[Adder]:
    """A party that does not answer one step."""

    def drop(self: object, question: object) -> Any:
        raise TimeoutError("no answer")

    return type("Silent", (role,), {step_name: drop})


def adders(count: int, *first: type[Adder], role: type[Adder] = Adder) -> list[Adder]:
    return [(first[i] if i < len(first) else role)((i + 1).to_bytes(32)) for i in range(count)]


def call(round: Round = ROUND) -> AddCall:
    return AddCall(round=round, model=np.zeros(1, np.float32))


def plain(parties: Collection[Adder]) -> NDArray[np.float64]:
    """What parties add, added up in the open."""
    return restore(np.sum([quantise(party.numbers, LIMIT) for party in parties], axis=0, dtype=np.uint64))


@contextmanager
def attached(parties: Sequence[Party], conversation: str = "") -> Iterator[Exchange]:
    with LocalGrid([party.client_app() for party in parties]) as grid, task_identity(1):
        yield Exchange(grid, conversation=conversation)


def nodes(count: int) -> list[int]:
    return list(range(FIRST_NODE_ID, FIRST_NODE_ID + count))


class Cloud(SecureSum):
    """A cloud that keeps everything, and lies in what it is told to lie in.

    Args:
        lies: By step, what is done to the questions, by place.
        loses: Places whose values it says have not arrived.
    """

    def __init__(
        self,
        exchange: Exchange,
        count: int,
        round: Round = ROUND,
        lies: Mapping[str, Callable[[dict[int, Any]], dict[int, Any]]] | None = None,
        loses: Collection[int] = (),
        **settings: Any,
    ) -> None:
        super().__init__(exchange, nodes(count), call(round), size=SIZE, **settings)
        self.lies, self.loses = lies or {}, loses
        self.asked: dict[str, dict[int, Any]] = {}
        self.answers: dict[str, dict[int, Any]] = {}
        self.board: Board

    def _asked(self, step: str, questions: Any, *told: Any) -> Any:
        self.asked[step] = self.lies.get(step, dict)(dict(questions))
        self.answers[step] = super()._asked(step, self.asked[step], *told)
        lost = self.loses if step == "add" else ()
        return {place: answer for place, answer in self.answers[step].items() if place not in lost}

    def _dealt(self, board: Board) -> list[int]:
        self.board = board
        return super()._dealt(board)

    def refusals(self, step: str) -> set[str]:
        """Why parties did not answer a step: the last lines."""
        return {failure.sentence for failure in self.record.failures if failure.step == step}

    def secret(self, place: int, shown: Mapping[int, ShownShares], present: bool) -> bytes:
        """Put a secret together of shares that were shown."""
        found = Unmasking(self.board)._secrets([place], {place} if present else set(), shown)
        return found[place]

    def read(self, place: int, own_mask: bytes, mask_key: bytes) -> NDArray[np.float64]:
        """Read what one party added, with both of its secrets."""
        values: Masked = self.answers["add"][place].values - mask(own_mask, SIZE)
        key = PairwiseKey(mask_key)
        for other in set(range(self.board.graph.clients)) - {place}:
            seed = expand(key.agreed(self.board.keys[other, :32].tobytes()), f"mask {ROUND.training} {ROUND.number}")
            values = values - mask(seed, SIZE) if other > place else values + mask(seed, SIZE)
        return restore(values)


def summed(parties: Sequence[Adder], **settings: Any) -> Summed:
    with attached(parties) as exchange:
        return Cloud(exchange, len(parties), **settings).run()
