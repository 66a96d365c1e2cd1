"""A cloud that favours some sellers: what it moves, what it costs, and that nobody can tell."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Play, Played, small

from parties.purchase.auction import Auction, by_the_rules
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from protocol.messages.purchase import Privacy
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.purchase.collusion import Favouring, friends
from simulations.workflows.purchase.report.model import PurchaseReport
from strategies.mechanisms.selection import Selection

FEW = {"cloud": {"friends": 0.25}, "sellers": {"noise": 0.0}}


def favour(play: Play, favouring: Favouring, **changes: Any) -> Played:
    return play(small(**changes), change_cloud=lambda cloud: replace(cloud, auctioneer=favouring))


def earned(played: Played, nodes: list[int]) -> int:
    return sum(played.profit(f"seller-{node}") for node in nodes)


@pytest.fixture
def favouring(play_purchase: Play) -> Favouring:
    scenario = small(**FEW)
    return Favouring(friends(scenario, play_purchase(scenario).world))


@pytest.mark.parametrize("privacy", [Privacy.LEVEL1, Privacy.LEVEL2])
@pytest.mark.parametrize("quality", ["quantity", "matching"])
def test_friends_take_the_budget_and_nobody_notices(
    play_purchase: Play, favouring: Favouring, privacy: Privacy, quality: str
) -> None:
    changes: dict[str, Any] = {**FEW, "cloud": {"privacy": privacy}, "buyer": {"quality": quality}}
    honest = play_purchase(small(**changes))
    played = favour(play_purchase, favouring, **changes)
    assert not played.record.failures
    assert not played.record.rejected
    assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}
    assert {offer.seller for offer in played.record.winners} <= set(favouring.favoured)
    assert all(offer.payment >= offer.bid.bid.price for offer in played.record.winners)
    assert earned(played, favouring.favoured) == played.outcome.paid_total
    assert earned(played, favouring.favoured) > 1.5 * earned(honest, favouring.favoured)
    assert played.outcome.verified < honest.outcome.verified


def test_the_buyer_gets_less_of_what_it_asked_for(play_purchase: Play, favouring: Favouring) -> None:
    honest = play_purchase(small(**FEW)).outcome
    played = favour(play_purchase, favouring, **FEW).outcome
    assert played.quality.diversity < 0.8 * honest.quality.diversity
    assert (played.bids, played.candidates) == (honest.bids, honest.candidates)


def test_revealed_bids_would_show_it(play_purchase: Play, favouring: Favouring) -> None:
    """The rules are public and draw nothing: all bids give it away, and those that the cloud let in do not."""
    held: list[tuple[Auction, Selection]] = []

    def honest(cloud: Cloud) -> Cloud:
        def auctioneer(auction: Auction) -> Selection:
            held.append((auction, by_the_rules(auction)))
            return held[-1][1]

        return replace(cloud, auctioneer=auctioneer)

    play_purchase(small(**FEW), change_cloud=honest)
    favour(play_purchase, favouring, **FEW)
    auction, honestly = held[0]
    assert favouring.auction is not None
    assert favouring.awarded is not None
    again = by_the_rules(favouring.auction)
    assert np.array_equal(again.winners, honestly.winners)
    assert np.array_equal(again.payments, honestly.payments)
    assert not np.array_equal(again.winners, favouring.awarded.winners)
    own = np.flatnonzero(np.isin(auction.sellers, favouring.favoured))
    without_others = by_the_rules(auction.among(own))
    assert np.array_equal(own[without_others.winners], favouring.awarded.winners)
    assert np.array_equal(without_others.payments, favouring.awarded.payments)


def test_without_a_friend_all_is_by_the_rules(play_purchase: Play) -> None:
    honest = play_purchase(small())
    assert favour(play_purchase, Favouring([])).ledger.balances() == honest.ledger.balances()


def test_the_report_says_what_it_moved_and_who_can_tell(tmp_path: Path) -> None:
    report = run(load("purchase-favours", ["sellers.count=20", "sellers.album.images=3"]), tmp_path / "out")
    assert isinstance(report, PurchaseReport)
    told = {line.what: line.detail for line in report.learned if line.observer == "cloud and its friends together"}
    assert "to the 2 friends of the cloud; an honest cloud would have awarded" in told["coins moved"]
    assert f"it was sold {report.outcome.selected} image" in told["what the buyer lost"]
    assert told["who can tell"].startswith("no party: ")
    assert "cloud and its friends together" in (tmp_path / "out" / "report.html").read_text()
