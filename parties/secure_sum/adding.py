"""A party that adds a masked summand to a sum."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from parties.party import Party, step
from parties.secure_sum.summand import Summand, UnsafeSum
from protocol.encoding.canonical import digest
from protocol.messages.base import Digest, ProtocolMessage
from protocol.messages.secure_sum import (
    AddCall,
    DealtShares,
    KeyCall,
    MaskedValues,
    Roster,
    Round,
    RoundKeys,
    ShowCall,
    ShownShares,
)


class Added(ProtocolMessage):
    """A party's latest sum: which one, and the message."""

    round: Round
    call: Digest


class AddingParty(Party):
    """Takes part in sums: the cloud sees the total and no summand (Bonawitz et al. 2017).

    Steps, of each sum:

    1. ``keys``: make keys;
    2. ``deal``: deal shares of its masks' seeds among the peers;
    3. ``add``, which each role implements with `behind_masks`;
    4. ``show``: show shares, once, that remove the masks from the total.
    """

    @step("keys")
    def keys(self, call: KeyCall) -> RoundKeys:
        """Make keys for a sum."""
        return Summand(self.secret, call.round).keys()

    @step("deal")
    def deal(self, roster: Roster) -> DealtShares:
        """Deal shares of the masks' seeds."""
        self.memory.keep(_kept("roster", roster.round), roster)
        return Summand(self.secret, roster.round).deal(roster)

    def behind_masks(self, call: AddCall, summand: Callable[[], NDArray[np.float64]]) -> MaskedValues:
        """Return this party's masked summand.

        Only once: two summands behind the same masks would reveal their difference.

        Args:
            summand: Computes it.

        Raises:
            UnsafeSum: When something else was added to this sum, or a later one of the same training, or too few have
                dealt.
        """
        roster = self.memory.recall(_kept("roster", call.round), Roster)
        added = Added(round=call.round, call=digest(call))
        latest = self._added(call.round)
        if latest is not None and latest != added and latest.round.number >= call.round.number:
            raise UnsafeSum("something else was added to this sum or a later one already")
        values = summand()
        self.memory.keep(_kept("added", call.round), added)
        return MaskedValues(values=Summand(self.secret, call.round).add(values, roster, call.dealt))

    @step("show")
    def show(self, call: ShowCall) -> ShownShares:
        """Show shares."""
        added = self._added(call.round)
        if added is None or added.round != call.round:
            raise UnsafeSum("nothing was added to this sum")
        try:
            asked = self.memory.recall(_kept("shown", call.round), ShowCall)
        except KeyError:
            asked = call
        if asked.round == call.round and asked != call:
            raise UnsafeSum("other shares of this sum were shown already")
        self.memory.keep(_kept("shown", call.round), call)
        roster = self.memory.recall(_kept("roster", call.round), Roster)
        return Summand(self.secret, call.round).show(call, roster)

    def _added(self, round: Round) -> Added | None:
        try:
            return self.memory.recall(_kept("added", round), Added)
        except KeyError:
            return None


def _kept(what: str, round: Round) -> str:
    """Name what is remembered of the latest sum of a training; sums of one training have rising numbers.

    Trainings are apart, so that another one cannot make a party forget what it has shown.
    """
    return f"{what} {round.training}"
