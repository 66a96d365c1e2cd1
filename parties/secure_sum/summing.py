"""The cloud's part in a sum of which it sees no summand: it carries sealed shares and takes masks off the total."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parties.secure_sum.summand import mask_purpose
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
    ShownShares,
)
from strategies.privacy.secure_sum import Masked, mask, reconstruct, restore

PATIENCE = 3600.0


class SumFailed(Exception):
    """Too few clients were left to take the masks off; the text says how many."""


@dataclass(frozen=True)
class Summed:
    """A sum.

    Attributes
    ----------
    total : (n,) float64
        Exactly the sum of what those present quantised.
    present : list of int
        Node ids of those whose values are in it.
    failures : list of (str, int, str)
        Step, node id and reason of each client that was lost.
    """

    total: NDArray[np.float64]
    present: list[int]
    failures: list[tuple[str, int, str]]


def secure_sum(
    exchange: Exchange,
    clients: Sequence[int],
    call: AddCall,
) -> Summed:
    """Sum what clients compute; up to half of them may be lost on the way.

    Parameters
    ----------
    exchange : Exchange
    clients : sequence of int
        Node ids.
    call : AddCall
        What all of them are asked; who has dealt is filled in.

    Raises
    ------
    SumFailed
        When too few are left.
    """
    failures: list[tuple[str, int, str]] = []
    round = call.round

    def deadline() -> float:
        return exchange.now() + PATIENCE

    asked = exchange.ask("keys", dict.fromkeys(clients, KeyCall(round=round)), RoundKeys, deadline())
    failures += [("keys", node_id, why) for node_id, why in asked.failures.items()]
    places = {node_id: place for place, node_id in enumerate(asked.answers, 1)}
    peers = tuple(Peer(place=places[node_id], keys=keys) for node_id, keys in asked.answers.items())
    threshold = len(peers) // 2 + 1
    rosters: dict[int, Roster] = {
        node_id: Roster(round=round, you=place, threshold=threshold, peers=peers) for node_id, place in places.items()
    }
    dealt = exchange.ask("deal", rosters, DealtShares, deadline())
    failures += [("deal", node_id, why) for node_id, why in dealt.failures.items()]
    question = call.model_copy(update={"dealt": tuple(places[node_id] for node_id in dealt.answers)})
    added = exchange.ask("add", dict.fromkeys(dealt.answers, question), MaskedValues, deadline())
    failures += [("add", node_id, why) for node_id, why in added.failures.items()]
    present = sorted(places[node_id] for node_id in added.answers)
    absent = sorted(places[node_id] for node_id in dealt.answers if node_id not in added.answers)
    if len(present) < threshold:
        raise SumFailed(f"{len(present)} of {len(clients)} clients were left of a sum, and it takes {threshold}")
    total: Masked = np.sum([answer.values for answer in added.answers.values()], axis=0, dtype=np.uint64)
    inboxes = _inboxes(dealt.answers, places)
    shows = {
        node_id: ShowCall(round=round, present=tuple(present), absent=tuple(absent), shares=inboxes[node_id])
        for node_id in added.answers
    }
    shown = exchange.ask("show", shows, ShownShares, deadline())
    failures += [("show", node_id, why) for node_id, why in shown.failures.items()]
    if len(shown.answers) < threshold:
        raise SumFailed(f"{len(shown.answers)} of {len(clients)} clients showed shares, and it takes {threshold}")
    own: dict[int, dict[int, bytes]] = {place: {} for place in present}
    keys: dict[int, dict[int, bytes]] = {place: {} for place in absent}
    for node_id, answer in shown.answers.items():
        for target, revealed in ((own, answer.own_masks), (keys, answer.mask_keys)):
            for each in revealed:
                if len(target.get(each.place, ())) < threshold and each.place in target:
                    target[each.place][places[node_id]] = each.value
    for shares in own.values():
        total = total - mask(reconstruct(shares), len(total))
    public = {peer.place: peer.keys.masks for peer in peers}
    for place, shares in keys.items():
        private = reconstruct(shares)
        if public_key(private) != public[place]:
            raise SumFailed(f"the shares of a lost client's key do not give it back (place {place})")
        for other in present:
            seed = mask(agreed(private, public[other], mask_purpose(round)), len(total))
            total = total - seed if other < place else total + seed
    return Summed(restore(total), sorted(added.answers), failures)


def _inboxes(dealt: dict[int, DealtShares], places: dict[int, int]) -> dict[int, tuple[SealedShares, ...]]:
    """Sort sealed shares by whom they are for; those that name another source than their sender are left out."""
    by_place: dict[int, list[SealedShares]] = {places[node_id]: [] for node_id in dealt}
    for node_id, answer in dealt.items():
        for each in answer.shares:
            if each.source == places[node_id] and each.target in by_place:
                by_place[each.target].append(each)
    return {node_id: tuple(by_place[places[node_id]]) for node_id in dealt}
