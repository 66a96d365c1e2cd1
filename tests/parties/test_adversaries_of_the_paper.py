"""The cheats of the paper (CrowdBuy, section II.C): what they gain where nobody looks, and lose where somebody does."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from cheating import Careless, believing
from conftest import Play, small
from money import check_money

from parties.adversaries.bidding import ForgedFeatures, IrrelevantImages
from parties.adversaries.buyers import FalseComplaint
from parties.adversaries.delivery import SwappedDelivery
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from protocol.disputes.arbitration import Fault
from simulations.workflows.purchase.words import summary


class TestSwappedDelivery:
    def test_it_pays_where_the_buyer_does_not_check(self, play_purchase: Play) -> None:
        played = play_purchase(small(), sellers=SwappedDelivery, buyer=Careless)
        assert played.outcome.paid_total > 0

    def test_it_loses_the_money_and_the_stake(self, play_purchase: Play) -> None:
        played = play_purchase(small(), sellers=SwappedDelivery)
        check_money(played)
        assert played.outcome.paid_total == played.outcome.verified == 0
        assert played.outcome.complaints == played.outcome.selected > 0
        verdicts = {offer.verdict.fault for offer in played.record.winners if offer.verdict}
        assert verdicts == {Fault.SELLER}
        for seller in {offer.seller for offer in played.record.winners}:
            assert played.profit(f"seller-{seller}") < 0
        assert played.outcome.kept_for_nothing == 0
        assert len(list((played.world.buyer.store / "refused").glob("*.png"))) == played.outcome.selected


class TestFalseComplaint:
    def test_it_pays_where_the_buyer_is_believed(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=FalseComplaint, change_cloud=believing)
        assert played.outcome.paid_total == 0
        assert len(list(played.world.buyer.store.glob("*.png"))) == played.outcome.selected > 0
        assert played.outcome.kept_for_nothing == played.outcome.selected
        assert f"keeps {played.outcome.selected} images unpaid" in summary(played.outcome)

    def test_the_buyer_pays_and_loses_its_bonds(self, play_purchase: Play) -> None:
        honest = play_purchase(small())
        played = play_purchase(small(), buyer=FalseComplaint)
        check_money(played)
        assert played.outcome.paid_total == honest.outcome.paid_total > 0
        assert played.outcome.upheld == played.outcome.selected
        assert played.profit("buyer-2") < honest.profit("buyer-2")
        for offer in played.record.winners:
            assert played.profit(f"seller-{offer.seller}") > 0


class TestIrrelevantImages:
    """The cloud's decision (section IV.A) is the defence; a radius that covers everything takes it away."""

    NOISY: ClassVar[Any] = {
        "sellers": {"noise": 0.5, "count": 30},
        "buyer": {"quality": "quantity", "budget": 40.0},
    }

    def test_they_are_sold_where_the_cloud_does_not_decide(self, play_purchase: Play) -> None:
        def undecided(cloud: Cloud) -> Cloud:
            return replace(cloud, terms=cloud.terms.model_copy(update={"radius": 65_536}))

        played = play_purchase(small(**self.NOISY), sellers=IrrelevantImages, change_cloud=undecided)
        assert played.outcome.precision is not None
        assert played.outcome.precision < 0.65

    def test_the_clouds_decision_keeps_them_out(self, play_purchase: Play) -> None:
        played = play_purchase(small(**self.NOISY), sellers=IrrelevantImages)
        assert played.outcome.bids > played.outcome.candidates
        assert played.outcome.precision is not None
        assert played.outcome.precision >= 0.9


class TestForgedFeatures:
    """A seller that claims a sample's neighbourhood for a picture that is elsewhere."""

    @pytest.mark.parametrize("privacy", ["level1", "level2"])
    def test_it_loses_when_features_are_checked(self, play_purchase: Play, privacy: str) -> None:
        scenario = small(cloud={"privacy": privacy}, buyer={"quality": "quantity"}, sellers={"noise": 1.0})
        played = play_purchase(scenario, sellers=ForgedFeatures)
        check_money(played)
        caught = [offer for offer in played.record.winners if offer.outcome is Outcome.REFUNDED]
        assert len(caught) >= 0.9 * len(played.record.winners) > 0

    def test_it_wins_when_nothing_is_checked(self, play_purchase: Play) -> None:
        scenario = small(buyer={"quality": "quantity", "checked": 0.0}, sellers={"noise": 1.0})
        played = play_purchase(scenario, sellers=ForgedFeatures)
        assert played.outcome.paid_total > 0
        assert played.outcome.complaints == 0
