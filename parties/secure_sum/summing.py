"""The cloud's part in a secure sum: it passes on what clients seal for each other, and removes masks from the total."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parties.secure_sum.board import Board
from parties.secure_sum.statements import is_signed, row_of
from parties.secure_sum.summand import LIMIT
from parties.secure_sum.unmasking import Unmasking
from parties.workflow import PATIENCE, Record, Workflow, WorkflowFailed
from protocol.crypto.certificates import CertificateError
from protocol.crypto.pairwise import LowOrderKey, PairwiseKey
from protocol.exchange import Exchange
from protocol.messages.base import ProtocolMessage, Voucher
from protocol.messages.secure_sum import (
    AddCall,
    Advertisement,
    Chosen,
    Confirmation,
    DealtShares,
    KeyCall,
    MaskedValues,
    Round,
    ShownShares,
    TakenShares,
)
from strategies.privacy.secure_sum import Masked, restore
from strategies.privacy.sum_graph import CORRUPT, DROPPING, FEWEST, SumGraph, choose_graph

M = TypeVar("M", bound=ProtocolMessage)
_UNSIGNED = "it has not signed who is present"


@dataclass
class Summed(Record):
    """A sum.

    Attributes:
        total: (n,), exactly the sum of what those present quantised.
        integers: (n,), the same before it was scaled.
        present: Node ids of those whose values are in it.
        graph: How many clients there were, how many neighbours each drew, and how many restore a secret.
    """

    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    integers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    present: list[int] = field(default_factory=list)
    graph: SumGraph | None = None


class SecureSum(Workflow[Summed]):
    """A sum of what clients compute; see `protocol.messages.secure_sum` for its steps.

    A client whose keys, values or shares cannot be used is a failure of its own, like one that is lost, and the sum is
    that of the others. Of one that shows shares which were not dealt to it, or has dealt shares of nothing, it is known
    who that is. The total is compared with what so many summands can come to: a summand that is not one is seen, not
    whose it is.

    Args:
        exchange: Asks the clients.
        clients: Node ids.
        call: The question to all of them; who takes part is filled in.
        patience: Seconds that they have for each step.
        size: Numbers in a summand; None: one more than the model has.
        corrupt, dropping: Shares of clients that are corrupt, and drop out, at most (`strategies.privacy.sum_graph`).
        check: Called with each client's identity and voucher; raises `CertificateError` where peers would refuse it.
    """

    STEPS = ("keys", "meet", "deal", "take", "add", "confirm", "show")

    def __init__(
        self,
        exchange: Exchange,
        clients: Sequence[int],
        call: AddCall,
        patience: float = PATIENCE,
        size: int | None = None,
        corrupt: float = CORRUPT,
        dropping: float = DROPPING,
        check: Callable[[bytes, Voucher | None], None] = lambda identity, voucher: None,
    ) -> None:
        super().__init__(exchange, Summed(), patience)
        self.clients = clients
        self.call = call
        self.size = 1 + len(call.model) if size is None else size
        self._shares = corrupt, dropping
        self._check = check
        self._nodes: list[int] = []

    def run(self) -> Summed:
        """Sum.

        Raises:
            WorkflowFailed: When too few clients are left to remove the masks, or the total cannot be one.
        """
        board = self._met()
        least = board.graph.least
        part = self._dealt(board)
        self._enough(len(part), least, "dealt shares")
        bits = board.bits(part)
        question = self.call.model_copy(update={"dealt": bits})
        added = self._asked("add", dict.fromkeys(part, question), MaskedValues, self._bad_values(board))
        self._enough(len(added), least, "were left in a sum")
        for place, answer in added.items():
            board.added[place] = answer.tags
        present = board.bits(added)
        confirmed = self._asked(
            "confirm",
            {place: board.present(place, present) for place in board.with_holders(added)},
            Confirmation,
            lambda place, answer: None if board.is_signed(place, bits, present, answer.signature) else _UNSIGNED,
        )
        self._enough(len(confirmed), least, "confirmed who is present")
        shown = self._asked(
            "show",
            board.shows({place: answer.signature for place, answer in confirmed.items()}),
            ShownShares,
            lambda place, answer: _bad_size(len(answer.shares), len(board.drawers(place)[0]), "shares"),
        )
        self._enough(len(shown), least, "showed shares")
        total: Masked = np.sum([answer.values for answer in added.values()], axis=0, dtype=np.uint64)
        total = self._unmasked(board, total, part, added, shown)
        self.record.integers, self.record.total = total.view(np.int64), restore(total)
        self.record.present = sorted(self._nodes[place] for place in added)
        if np.abs(self.record.total).max(initial=0.0) > LIMIT * len(added):
            raise WorkflowFailed("a summand of a sum is none: the total is out of range")
        return self.record

    def _met(self) -> Board:
        """Let clients make keys and draw neighbours."""
        round = self.call.round
        made = self.ask("keys", dict.fromkeys(self.clients, KeyCall(round=round)), Advertisement)
        refused = _bad_keys(round, made, self._check)
        self.record.fail("keys", refused)
        made = {node_id: answer for node_id, answer in made.items() if node_id not in refused}
        self._enough(len(made), FEWEST, "made keys")
        self._nodes = list(made)
        graph = self.record.graph = choose_graph(len(made), *self._shares)
        vouchers = [each.voucher for each in made.values() if each.voucher is not None]
        vouchers = vouchers if len(vouchers) == len(made) else []  # peers with certificates refuse those without
        board = Board(round, graph, [row_of(each) for each in made.values()], vouchers)
        crowds = {place: board.crowd(place) for place in range(len(made))}
        drawn = self._asked("meet", crowds, Chosen, lambda place, answer: board.choose(place, answer.places))
        self._enough(len(drawn), graph.least, "drew neighbours")
        neighbours = {place: board.neighbours(place) for place in drawn}
        self._asked("deal", neighbours, DealtShares, board.deal)
        return board

    def _dealt(self, board: Board) -> list[int]:
        """Pass on shares, and return the places of those of whose secrets enough are held."""
        self._enough(len(board.own_masks), board.graph.least, "dealt shares")
        board.sort()
        inboxes = {place: board.inbox(place) for place in board.own_masks}
        taken = self._asked("take", inboxes, TakenShares)
        refused = {place: {each - 1 for each in answer.refused.tolist()} for place, answer in taken.items()}
        part = set(taken)
        complaints = Counter(each for refusals in refused.values() for each in refusals)
        most = board.graph.neighbours // 3  # so many may complain of one that is honest
        false = [place for place in sorted(part) if complaints[place] > most]
        self.record.fail("deal", {self._nodes[place]: "the shares that it dealt do not open" for place in false})
        part -= set(false)
        while poor := {p for p, held in board.holders(part, refused).items() if held < board.graph.threshold}:
            part -= poor
        return sorted(part)

    def _unmasked(
        self,
        board: Board,
        total: Masked,
        part: Collection[int],
        added: Collection[int],
        shown: Mapping[int, ShownShares],
    ) -> Masked:
        unmasking = Unmasking(board)
        total = unmasking.remove(total, part, added, shown)
        for step, places, reason in (
            ("show", unmasking.false_showers, "it shows a share that nobody dealt"),
            ("deal", unmasking.false_dealers, "the shares that it dealt do not give its secret back"),
        ):
            self.record.fail(step, {self._nodes[place]: reason for place in sorted(places)})
        if unmasking.lost or unmasking.false_dealers:
            first = min(unmasking.lost | unmasking.false_dealers)
            raise WorkflowFailed(f"the shares of the secret of place {first + 1} do not give it back")
        return total

    def _asked(
        self,
        step: str,
        questions: Mapping[int, ProtocolMessage],
        kind: type[M],
        refusal: Callable[[int, M], str | None] = lambda place, answer: None,
    ) -> dict[int, M]:
        """Ask by place, and return the answers that can be used; whose cannot is recorded."""
        nodes = {self._nodes[place]: place for place in questions}
        answers = self.ask(step, {self._nodes[place]: each for place, each in questions.items()}, kind)
        found, refused = {}, {}
        for node_id, answer in answers.items():
            if (why := refusal(nodes[node_id], answer)) is None:
                found[nodes[node_id]] = answer
            else:
                refused[node_id] = why
        self.record.fail(step, refused)
        return found

    def _bad_values(self, board: Board) -> Callable[[int, MaskedValues], str | None]:
        def refusal(place: int, answer: MaskedValues) -> str | None:
            if len(answer.values) != self.size:
                return f"it adds {len(answer.values)} values, and a summand has {self.size}"
            return _bad_size(len(answer.tags), board.graph.neighbours, "tags")

        return refusal

    def _enough(self, number: int, needed: int, what: str) -> None:
        """End the sum where too few are left; to ask them more would only let each of them refuse."""
        if number < needed:
            raise WorkflowFailed(f"{number} of {len(self.clients)} clients {what}, and {needed} are needed")


def _bad_keys(
    round: Round, made: Mapping[int, Advertisement], check: Callable[[bytes, Voucher | None], None]
) -> dict[int, str]:
    """Return whose keys its peers would refuse, and why: of two with the same key, the second."""
    trial, known, refused = PairwiseKey(bytes(range(32))), set[bytes](), {}
    for node_id, each in made.items():
        try:
            trial.agreed(each.masks), trial.agreed(each.shares)
            check(each.identity, each.voucher)
        except LowOrderKey:
            refused[node_id] = "its keys are none that a secret can be agreed on with"
            continue
        except CertificateError as error:
            refused[node_id] = str(error)
            continue
        own = {each.masks, each.shares, each.identity}
        if not is_signed(round, row_of(each)):
            refused[node_id] = "its keys are not signed for this sum"
        elif own & known or len(own) < 3:
            refused[node_id] = "its keys are those of another client"
        known |= own
    return refused


def _bad_size(found: int, wanted: int, what: str) -> str | None:
    return None if found == wanted else f"it sends {found} {what}, and {wanted} are wanted"
