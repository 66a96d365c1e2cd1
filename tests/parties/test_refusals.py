"""A seller that refuses to deliver keeps its stake with proof, and only with proof."""

from typing import Any

import pytest
from cheating import gain, of_cheats, with_cheats
from conftest import Play, small
from money import check_money

from parties.purchase.offer import Outcome
from parties.purchase.seller import OpenBid, OpenBids, Seller
from protocol.encoding.canonical import digest
from protocol.messages.purchase import CallForBids, DeliveryOrder, Feature, Refusal

MATCHING: dict[str, Any] = {"sellers": {"noise": 0.0}}


def test_it_goes_back_on_its_bids_for_nothing_where_a_refusal_is_believed(
    play_purchase: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parties.purchase.courier.convicts", lambda refusal, cloud: True)
    played = play_purchase(with_cheats("false-refusal", **MATCHING))
    refused = [trade.offer for trade in of_cheats(played) if trade.offer.won]
    assert {offer.outcome for offer in refused} == {Outcome.UNDELIVERED}
    assert gain(played) == played.outcome.penalties == 0


def test_a_false_refusal_costs_the_stake(play_purchase: Play) -> None:
    played = play_purchase(with_cheats("false-refusal", **MATCHING))
    check_money(played)
    refused = [trade.offer for trade in of_cheats(played) if trade.offer.won]
    assert gain(played) == -sum(offer.bid.bid.stake for offer in refused) < 0
    assert {why for _, _, why in played.record.failures} == {"the seller refused without proof"}


class Refuses(Seller):
    """Shows the very order that it got."""

    def deliver(self, asked: DeliveryOrder) -> Refusal:
        bids = (
            open_bid.bid for open_bid in self.memory.recall(f"bids-{asked.order.order.request_id.hex()}", OpenBids).bids
        )
        return Refusal(bid=next(bid for bid in bids if digest(bid) == asked.order.order.bid), asked=asked)


class ForAnotherBuyer(Refuses):
    """Says that its bid was for somebody else."""

    def deliver(self, asked: DeliveryOrder) -> Refusal:
        honest = super().deliver(asked)
        other = honest.bid.bid.model_copy(update={"buyer": self.identity.public})
        return honest.model_copy(update={"bid": honest.bid.model_copy(update={"bid": other})})


@pytest.mark.parametrize("role", [Refuses, ForAnotherBuyer])
def test_an_order_of_the_buyers_is_no_reason(play_purchase: Play, role: type[Seller]) -> None:
    played = play_purchase(small(), sellers=role)
    check_money(played)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNDELIVERED}
    assert played.outcome.penalties == sum(offer.bid.bid.stake for offer in played.record.winners) > 0
    assert {why for _, _, why in played.record.failures} == {"the seller refused without proof"}


def test_a_bid_for_another_buyer_is_refused_in_time(play_purchase: Play) -> None:
    """Or its seller could refuse the order with proof, and the cloud would have given it."""

    class Elsewhere(Seller):
        def _bid(self, call: CallForBids, image: int, feature: Feature) -> OpenBid:
            return super()._bid(call.model_copy(update={"buyer": self.identity.public}), image, feature)

    played = play_purchase(small(), sellers=Elsewhere)
    assert played.outcome.bids == 0
    assert {why for _, why in played.record.rejected} == {"it is for another buyer"}
