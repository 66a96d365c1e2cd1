"""Parties without defences and small markets, for tests that show what a cheat gains."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from conftest import Played, small

from parties.adversaries import Blackboard
from parties.adversaries.collusion import Colluder
from parties.adversaries.copies import Copies
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.seller import Seller
from protocol.disputes.arbitration import Deal, Fault, Featurize, Verdict
from protocol.flower import FIRST_NODE_ID
from simulations.runs.seeding import secret
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import Trade
from simulations.workflows.purchase.world import Held, PurchaseWorld
from strategies.features.matching import is_candidate

FIRST_SELLER = FIRST_NODE_ID + 1


class Careless(Buyer):
    """Accepts whatever arrives."""

    def judge(self, number: int, deal: Deal, blob: bytes, private_key: bytes, *, check_feature: bool) -> None:
        super().judge(number, deal, blob, private_key, check_feature=check_feature)

    def refusal_of(self, *_: Any) -> None:
        """Take any receipt for good."""


def believing(cloud: Cloud) -> Cloud:
    """A cloud whose arbiter takes the buyer's word."""

    def arbiter(deal: Deal, blob: bytes, key: bytes, featurize: Featurize) -> Verdict:
        return Verdict(Fault.SELLER, "the buyer says so")

    return replace(cloud, arbiter=arbiter)


def with_cheats(
    name: str, share: float = 0.34, settings: dict[str, Any] | None = None, **changes: Any
) -> PurchaseScenario:
    """The small scenario with a share of cheats among its sellers."""
    return small(adversaries={name: {"share": share, **(settings or {})}}, **changes)


def of_cheats(played: Played) -> list[Trade]:
    """The offers of sellers that cheat."""
    return [trade for trade in played.trades if trade.held.adversary is not None]


def gain(played: Played) -> int:
    """What all cheating sellers have more than they brought, minor units."""
    names = [
        f"seller-{node_id}"
        for node_id, held in enumerate(played.world.sellers, FIRST_SELLER)
        if held.adversary is not None
    ]
    return sum(played.profit(name) for name in names)


def originals_sold(played: Played) -> list[int]:
    """The pictures behind the copies that cheats sold, one number per copy; equal ones are copies of one picture."""
    sold = []
    for trade in of_cheats(played):
        album = trade.held.party.album
        assert isinstance(album, Copies)
        if trade.offer.paid:
            sold.append(id(album.original[trade.image % len(album.original)]))
    return sold


Costs = tuple[int, ...]


def market(*sellers: tuple[type[Seller], Costs]) -> Callable[[PurchaseWorld], PurchaseWorld]:
    """Sellers with pictures that match, one per cost, and nobody else; those of one class collude."""

    def change(world: PurchaseWorld) -> PurchaseWorld:
        featurizer = world.buyer.featurizer
        pictures = [held.party.album[image] for held in world.sellers for image in range(len(held.party.album))]
        targets = featurizer.features(world.samples)
        matching = np.flatnonzero(is_candidate(featurizer.features(pictures), targets, 2000)).tolist()
        boards: dict[type[Seller], Blackboard] = {}
        held = []
        for index, (role, costs) in enumerate(sellers):
            album = [pictures[matching.pop()] for _ in costs]
            party = role(secret(3, "market", index), album, list(costs), featurizer)
            if isinstance(party, Colluder):
                party.join(boards.setdefault(role, Blackboard()))
            labels = np.zeros(len(party.album), dtype=np.int64)
            held.append(Held(party, labels, None if role is Seller else "cheat", noise=False))
        return replace(world, sellers=held)

    return change


def surplus(played: Played, *indices: int) -> int:
    """What sellers of a market gained together, the cost of each picture they parted with taken off once."""
    total = 0
    for index in indices:
        party = played.world.sellers[index].party
        number = len(party.album.original) if isinstance(party.album, Copies) else len(party.album)
        mine = [t for t in played.trades if t.offer.seller == FIRST_SELLER + index and t.offer.paid]
        total += sum(t.offer.payment for t in mine) - sum(party.costs[i] for i in {t.image % number for t in mine})
    return total
