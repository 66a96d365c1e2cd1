"""A party that adds a masked summand to a sum."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parties.party import Party, step
from parties.secure_sum.own import Added, Begun, Drawn, Met, Shown, Taken, Told
from parties.secure_sum.statements import UnsafeSum, row_of
from parties.secure_sum.summand import Summand, quantised
from protocol.crypto.signing import derive
from protocol.encoding.canonical import digest
from protocol.messages.base import ProtocolMessage, Voucher
from protocol.messages.secure_sum import (
    AddCall,
    Advertisement,
    Chosen,
    Confirmation,
    Crowd,
    DealtShares,
    Inbox,
    KeyCall,
    MaskedValues,
    Neighbours,
    Present,
    Round,
    ShowCall,
    ShownShares,
    TakenShares,
)
from strategies.privacy.secure_sum import Masked
from strategies.privacy.sum_graph import CORRUPT, FEWEST

M = TypeVar("M", bound=ProtocolMessage)
_OWN = (Met, Drawn, Taken, Added, Told)
_OVER = "this sum is over, or was not begun, or a step of it was left out"


class AddingParty(Party):
    """Takes part in sums: the cloud sees the total and no summand, even if it lies (Bonawitz et al. 2017).

    Steps, of each sum:

    1. ``keys``: make keys, of random numbers: when the sum is over they are forgotten, and nobody can open it again;
    2. ``meet``: draw neighbours;
    3. ``deal``: check their keys, and deal shares of its masks' secrets among them;
    4. ``take``: open the shares that others have dealt;
    5. ``add``, which each role implements with `behind_masks`;
    6. ``confirm``: sign who is said to be present;
    7. ``show``: show shares that remove the masks from the total, if those who hold its own have signed the same.

    Each question about a sum is answered once and for good, in whatever conversation: the same one again gets the same
    answer, or none when the sum is over, and another one none at all.
    """

    fewest: int = FEWEST
    """Clients that have to be in a sum."""
    corrupt: float = CORRUPT
    """Share of clients that the cloud plays together with, at most; of sums in which not everybody is a neighbour."""

    @step("keys")
    def keys(self, call: KeyCall) -> Advertisement:
        """Make keys for a sum; those of an earlier one of the training are forgotten."""
        with self._once("keys", call.round, call) as before:
            begun = self._kept(Begun, call.round)
            if begun is None or begun.round != call.round:
                if before:
                    raise UnsafeSum("this sum is over, or was begun in another conversation")
                self._forget(call.round)
                begun = Begun(round=call.round, fresh=derive(self.secret, "sum", self.entropy(32)))
                self.memory.keep(_slot(Begun, call.round), begun)
        identity = self.identity
        return self._summand(call.round).advertisement(identity, self.voucher(identity.public))

    @step("meet")
    def meet(self, crowd: Crowd) -> Chosen:
        """Draw neighbours."""
        with self._once("meet", crowd.round, crowd):
            summand = self._summand(crowd.round)
            met = summand.meet(crowd, row_of(summand.advertisement(self.identity, None)))
            self.memory.keep(_slot(Met, crowd.round), met)
        return Chosen(places=met.places)

    @step("deal")
    def deal(self, neighbours: Neighbours) -> DealtShares:
        """Deal shares of the masks' secrets."""
        round = neighbours.round
        with self._once("deal", round, neighbours):
            met = self._recall(Met, round)
            drawn, dealt = self._summand(round).deal(met, neighbours, self.identity.public, self._check_neighbour)
            self.memory.keep(_slot(Drawn, round), drawn)
        return dealt

    @step("take")
    def take(self, inbox: Inbox) -> TakenShares:
        """Open what others have dealt."""
        round = inbox.round
        with self._once("take", round, inbox):
            taken, answer = self._summand(round).take(self._recall(Met, round), self._recall(Drawn, round), inbox)
            self.memory.keep(_slot(Taken, round), taken)
        return answer

    def behind_masks(self, call: AddCall, summand: Callable[[], NDArray[np.float64]]) -> MaskedValues:
        """Return this party's masked summand.

        Only once: two summands behind the same masks would reveal their difference.

        Args:
            summand: Computes it.

        Raises:
            UnsafeSum: When something else was added to this sum, or too few take part.
            BadSummand: When it is out of range.
        """
        round = call.round
        self.goes(round, "behind masks")
        with self._once("add", round, call):
            met, drawn, taken = (self._recall(Met, round), self._recall(Drawn, round), self._recall(Taken, round))
            values = self.integers(call, summand())
            fewest = self.needed(call)
            added = Added(dealt=call.dealt, fewest=fewest, values=hashlib.sha256(values.tobytes()).digest())
            earlier = self._kept(Added, round)
            if earlier is not None and earlier.values != added.values:
                raise UnsafeSum("the summand is not the one that was added to this sum")
            masked = self._summand(round).add(values, met, drawn, taken, added)
            self.memory.keep(_slot(Added, round), added)
        return masked

    def goes(self, round: Round, way: str) -> None:
        """Refuse to answer a round of a training in two ways: the plain answers of all show what their sum hides.

        Raises:
            UnsafeSum: When it was answered in another way.
        """
        name = f"way {len(round.training)} {round.training} {round.number}"
        before = (self.facts.get(name) or way.encode()).decode()
        if before != way:
            raise UnsafeSum(f"this round was answered {before} already, and is not answered {way}")
        self.facts.put(name, way.encode())

    def integers(self, call: AddCall, values: NDArray[np.float64]) -> Masked:
        """Return a summand as the integers that are added up: here in fixed point."""
        return quantised(values)

    def needed(self, call: AddCall) -> int:
        """Return how many clients have to be in this sum."""
        return self.fewest

    @step("confirm")
    def confirm(self, present: Present) -> Confirmation:
        """Sign who is said to be present."""
        round = present.round
        with self._once("confirm", round, present):
            told, answer = self._summand(round).confirm(
                self._recall(Met, round), self._recall(Taken, round), self._recall(Added, round), present, self.identity
            )
            self.memory.keep(_slot(Told, round), told)
        return answer

    @step("show")
    def show(self, call: ShowCall) -> ShownShares:
        """Show shares, and forget all secrets of the sum."""
        round = call.round
        with self._once("show", round, call) as before:
            if before and self.memory.keeps(_slot(Shown, round)):
                latest = self.memory.recall(_slot(Shown, round), Shown)
                if latest.round == round:
                    return latest.answer
            own = (self._recall(Met, round), self._recall(Drawn, round), self._recall(Taken, round))
            shown = self._summand(round).show(*own, self._recall(Added, round), self._recall(Told, round), call)
            self._forget(round)
            self.memory.keep(_slot(Shown, round), Shown(round=round, answer=shown))
        return shown

    def _check_neighbour(self, identity: bytes, voucher: Voucher | None) -> None:
        self.check_holder(identity, voucher, self.role)

    def _summand(self, round: Round) -> Summand:
        """Return this party in a sum, which has to be the latest of its training: what is kept is of that one."""
        begun = self._kept(Begun, round)
        if begun is None or begun.round != round:
            raise UnsafeSum(_OVER)
        return Summand(round, begun.fresh, self.fewest, self.corrupt)

    @contextmanager
    def _once(self, step: str, round: Round, question: ProtocolMessage) -> Iterator[bool]:
        """Remember for good what was asked, once it is answered; refuse any other question about the same sum.

        Yields whether it was asked before.
        """
        name, asked = f"sum {len(round.training)} {round.training} {round.number} {step}", digest(question)
        before = self.facts.get(name)
        if before is not None and before != asked:
            raise UnsafeSum(f"another question to {step} was answered for this sum already")
        yield before is not None
        self.facts.put(name, asked)

    def _kept(self, kind: type[M], round: Round) -> M | None:
        """Return what is remembered of the latest sum of a training, None where it is nothing."""
        name = _slot(kind, round)
        return self.memory.recall(name, kind) if self.memory.keeps(name) else None

    def _recall(self, kind: type[M], round: Round) -> M:
        kept = self._kept(kind, round)
        if kept is None:
            raise UnsafeSum(_OVER)
        return kept

    def _forget(self, round: Round) -> None:
        for kind in (Begun, *_OWN, Shown):
            self.memory.forget(_slot(kind, round))


def _slot(kind: type[ProtocolMessage], round: Round) -> str:
    """Name what is remembered of the latest sum of a training."""
    return f"sum {kind.kind()} {round.training}"
