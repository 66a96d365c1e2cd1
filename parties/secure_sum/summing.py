"""The cloud's part in a secure sum: it passes on sealed shares and removes masks from the total."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parties.secure_sum.summand import LIMIT, mask_purpose
from parties.workflow import PATIENCE, Record, Workflow, WorkflowFailed
from protocol.crypto.pairwise import agreed, public_key
from protocol.exchange import Exchange
from protocol.messages.secure_sum import (
    AddCall,
    DealtShares,
    KeyCall,
    MaskedValues,
    Peer,
    Roster,
    RoundKeys,
    SealedShares,
    ShowCall,
    ShownShare,
    ShownShares,
)
from strategies.privacy.secure_sum import Masked, mask, reconstruct, restore

M = TypeVar("M")


@dataclass
class Summed(Record):
    """A sum.

    Attributes:
        total: (n,), exactly the sum of what those present quantised.
        present: Node ids of those whose values are in it.
    """

    total: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    present: list[int] = field(default_factory=list)


class SecureSum(Workflow[Summed]):
    """A sum of what clients compute; up to half of them may be lost on the way.

    1. clients make keys for this sum; 2. each deals shares of the seeds of its masks to the others; 3. each adds its
    values behind masks; 4. those present show shares that remove the masks from the total, and from no single value.

    A client whose keys, values or shares cannot be used is a failure of its own, like one that is lost. The total is
    compared with what so many summands can come to: a summand that is not one is seen, not whose it is.

    Args:
        exchange: Asks the clients.
        clients: Node ids.
        call: The question to all of them; who has dealt is filled in.
        patience: Seconds that they have for each step.
    """

    STEPS = ("keys", "deal", "add", "show")

    def __init__(self, exchange: Exchange, clients: Sequence[int], call: AddCall, patience: float = PATIENCE) -> None:
        super().__init__(exchange, Summed(), patience)
        self.clients = clients
        self.call = call

    def run(self) -> Summed:
        """Sum.

        Raises:
            WorkflowFailed: When too few clients are left to remove the masks, or the total cannot be one.
        """
        round, clients = self.call.round, self.clients
        asked = self._usable(
            "keys", self.ask("keys", dict.fromkeys(clients, KeyCall(round=round)), RoundKeys), _bad_keys
        )
        self._enough(len(asked), 2, "made keys")
        places = {node_id: place for place, node_id in enumerate(asked, 1)}
        peers = tuple(Peer(place=places[node_id], keys=keys) for node_id, keys in asked.items())
        threshold = len(peers) // 2 + 1
        rosters: dict[int, Roster] = {
            node_id: Roster(round=round, you=place, threshold=threshold, peers=peers)
            for node_id, place in places.items()
        }
        dealt = self.ask("deal", rosters, DealtShares)
        self._enough(len(dealt), threshold, "dealt shares")
        question = self.call.model_copy(update={"dealt": tuple(places[node_id] for node_id in dealt)})
        added = self.ask("add", dict.fromkeys(dealt, question), MaskedValues)
        size = 1 + len(self.call.model)
        added = self._usable("add", added, lambda answer: _bad_size(answer, size))
        present = sorted(places[node_id] for node_id in added)
        absent = sorted(places[node_id] for node_id in dealt if node_id not in added)
        self._enough(len(present), threshold, "were left in a sum")
        total: Masked = np.sum([answer.values for answer in added.values()], axis=0, dtype=np.uint64)
        inboxes = _inboxes(dealt, places)
        shows = {
            node_id: ShowCall(round=round, present=tuple(present), absent=tuple(absent), shares=inboxes[node_id])
            for node_id in added
        }
        shown = self.ask("show", shows, ShownShares)
        self._enough(len(shown), threshold, "showed shares")
        own = _shares(present, threshold, {places[node_id]: each.own_masks for node_id, each in shown.items()})
        keys = _shares(absent, threshold, {places[node_id]: each.mask_keys for node_id, each in shown.items()})
        for place, shares in own.items():
            total = total - mask(_restored(shares, threshold, f"the own mask of place {place}"), len(total))
        public = {peer.place: peer.keys.masks for peer in peers}
        for place, shares in keys.items():
            private = _restored(shares, threshold, f"the mask key of place {place}")
            if public_key(private) != public[place]:
                raise WorkflowFailed(f"the shares of a lost client's key do not give it back (place {place})")
            for other in present:
                seed = mask(agreed(private, public[other], mask_purpose(round)), len(total))
                total = total - seed if other < place else total + seed
        self.record.total, self.record.present = restore(total), sorted(added)
        if np.abs(self.record.total).max(initial=0.0) > LIMIT * len(present):
            raise WorkflowFailed("a summand of a sum is none, or a share was false: the total is out of range")
        return self.record

    def _enough(self, number: int, needed: int, what: str) -> None:
        """End the sum where too few are left; to ask them more would only let each of them refuse."""
        if number < needed:
            raise WorkflowFailed(f"{number} of {len(self.clients)} clients {what}, and {needed} are needed")

    def _usable(self, step: str, answers: Mapping[int, M], refusal: Callable[[M], str | None]) -> dict[int, M]:
        """Record those whose answers cannot be used, and return the others."""
        refused = {node_id: why for node_id, answer in answers.items() if (why := refusal(answer)) is not None}
        self.record.fail(step, refused)
        return {node_id: answer for node_id, answer in answers.items() if node_id not in refused}


def _bad_keys(keys: RoundKeys) -> str | None:
    """Return why nobody could agree on a secret with these keys."""
    try:
        for key in (keys.masks, keys.shares):
            agreed(bytes(range(32)), key, "trial")
    except ValueError:
        return "its keys are none that a secret can be agreed on with"
    return None


def _bad_size(answer: MaskedValues, size: int) -> str | None:
    return None if len(answer.values) == size else f"it adds {len(answer.values)} values, and a summand has {size}"


def _restored(shares: Mapping[int, bytes], threshold: int, what: str) -> bytes:
    try:
        if len(shares) == threshold:
            return reconstruct(shares)
    except ValueError:
        pass
    raise WorkflowFailed(f"the shares of {what} do not give it back")


def _shares(
    owners: Sequence[int], threshold: int, shown: Mapping[int, Sequence[ShownShare]]
) -> dict[int, dict[int, bytes]]:
    """Sort shown shares by the owner of their secret, as many of each as are needed."""
    found: dict[int, dict[int, bytes]] = {place: {} for place in owners}
    for shower, revealed in shown.items():
        for each in revealed:
            if each.place in found and len(found[each.place]) < threshold:
                found[each.place][shower] = each.value
    return found


def _inboxes(dealt: dict[int, DealtShares], places: dict[int, int]) -> dict[int, tuple[SealedShares, ...]]:
    """Sort sealed shares by recipient; those with a false source are dropped."""
    by_place: dict[int, list[SealedShares]] = {places[node_id]: [] for node_id in dealt}
    for node_id, answer in dealt.items():
        for each in answer.shares:
            if each.source == places[node_id] and each.target in by_place:
                by_place[each.target].append(each)
    return {node_id: tuple(by_place[places[node_id]]) for node_id in dealt}
