"""Bids that come again: what they end where nobody checks, and that they are refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cheating import of_cheats, with_cheats
from conftest import Play, small

from parties.purchase.checks import bid_refusal
from parties.purchase.record import PurchaseRecord
from parties.purchase.workflow import Purchase
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.grids import LocalGrid
from protocol.messages.purchase import CallForBids, SignedBid
from protocol.storage.ledger import EscrowExists, Ledger
from protocol.storage.vault import Vault
from simulations.workflows.purchase.play import make_cloud
from simulations.workflows.purchase.world import build
from strategies.features.featurizer import Featurizer

MATCHING: dict[str, Any] = {"sellers": {"noise": 0.0}, "cloud": {"privacy": "level1"}}
Twice = Callable[[], list[PurchaseRecord]]


def test_the_same_bid_twice_ends_a_purchase_that_takes_it_for_two(
    play_purchase: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parties.purchase.workflow.bid_refusal", lambda *_: None)
    with pytest.raises(EscrowExists):
        play_purchase(with_cheats("replayed-bids", **MATCHING))


def test_the_second_of_two_is_refused_and_changes_nothing(play_purchase: Play) -> None:
    honest = play_purchase(small(**MATCHING))
    played = play_purchase(with_cheats("replayed-bids", **MATCHING))
    assert played.outcome.rejected == len(of_cheats(played)) > 0
    assert {why for _, why in played.record.rejected} == {"it repeats another bid"}
    assert played.ledger.balances() == honest.ledger.balances()


@pytest.fixture
def twice(tmp_path: Path, featurizer: Featurizer) -> Twice:
    """Play two purchases among the same parties, which remember the first."""

    def go() -> list[PurchaseRecord]:
        scenario = with_cheats("replayed-bids", **MATCHING)
        world = build(scenario, featurizer, tmp_path / "bought")
        grid = LocalGrid([world.buyer.client_app(), *(held.party.client_app() for held in world.sellers)])
        cloud = make_cloud(scenario, featurizer, Ledger(), Vault(str(tmp_path / "vault")))
        clouds = (cloud, replace(cloud, secret=bytes(32), ledger=Ledger()))
        with task_identity(1):
            return [Purchase(each, Exchange(grid, each.clock)).run() for each in clouds]

    return go


def test_bids_on_an_earlier_request_end_a_purchase_that_does_not_look(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buyer does look: it pays for none of them, and so for nothing."""

    def any_request(signed: SignedBid, call: CallForBids, *others: Any) -> str | None:
        asked = {name: getattr(signed.bid, name) for name in ("request_id", "buyer", "expires_at")}
        return bid_refusal(signed, call.model_copy(update=asked), *others)

    monkeypatch.setattr("parties.purchase.workflow.bid_refusal", any_request)
    first, second = twice()
    assert any(offer.paid for offer in first.offers)
    assert second.winners
    assert not any(offer.paid for offer in second.offers)
    assert any("did not sign for this request" in why for _, _, why in second.failures)


def test_bids_on_an_earlier_request_are_refused(twice: Twice) -> None:
    first, second = twice()
    assert {why for _, why in second.rejected} == {"it answers another request"}
    replayed = {seller for seller, _ in second.rejected}
    assert replayed == {seller for seller, _ in first.rejected}
    assert second.winners
    assert all(offer.paid and offer.seller not in replayed for offer in second.winners)
