"""Sellers that fail a step, and bids that are refused."""

from typing import Any

import pytest
from conftest import Play, small
from money import check_money

from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from protocol.messages.base import Acknowledgement
from protocol.messages.purchase import Bids, CallForBids, Delivery, DeliveryOrder, Refusal, SelectionNotice, Statement


class Raises(Seller):
    """Fails the step that its class names."""

    failing = ""

    def _fail(self, step: str) -> None:
        if step == self.failing:
            raise RuntimeError(f"cannot {step}")

    def bid(self, call: CallForBids) -> Bids:
        self._fail("bid")
        return super().bid(call)

    def notify(self, notice: SelectionNotice) -> Acknowledgement:
        self._fail("notify")
        return super().notify(notice)

    def deliver(self, asked: DeliveryOrder) -> Delivery | Refusal:
        self._fail("deliver")
        return super().deliver(asked)

    def settle(self, statement: Statement) -> Acknowledgement:
        self._fail("settle")
        return super().settle(statement)


class TestSellersThatFail:
    @pytest.mark.parametrize(("step", "outcome"), [("notify", Outcome.ACCEPTED), ("settle", Outcome.ACCEPTED)])
    def test_silence_at_a_notice_changes_nothing(self, play_purchase: Play, step: str, outcome: Outcome) -> None:
        played = play_purchase(small(), sellers=type("Silent", (Raises,), {"failing": step}))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {outcome}
        assert {failure[0] for failure in played.record.failures} == {step}

    def test_no_bids_at_all(self, play_purchase: Play) -> None:
        played = play_purchase(small(), sellers=type("Silent", (Raises,), {"failing": "bid"}))
        check_money(played)
        assert played.outcome.bids == 0
        assert len(played.record.failures) == len(played.record.sellers)

    def test_no_delivery_is_refunded_and_costs_the_stake(self, play_purchase: Play) -> None:
        played = play_purchase(small(), sellers=type("Silent", (Raises,), {"failing": "deliver"}))
        check_money(played)
        assert played.outcome.delivered == played.outcome.paid_total == 0
        assert played.outcome.penalties > 0
        assert played.outcome.refunded_total == sum(o.payment + o.commission for o in played.record.winners)
        assert {o.outcome for o in played.record.winners} == {Outcome.UNDELIVERED}

    def test_a_receipt_for_another_blob_is_no_delivery(self, play_purchase: Play) -> None:
        class Garbles(Seller):
            def deliver(self, asked: DeliveryOrder) -> Delivery | Refusal:
                honest = super().deliver(asked)
                return honest.model_copy(update={"blob": honest.blob + b"x"})

        played = play_purchase(small(), sellers=Garbles)
        check_money(played)
        assert {o.outcome for o in played.record.winners} == {Outcome.UNDELIVERED}
        assert "another blob" in played.record.failures[0][2]


class TestBidsThatAreRefused:
    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"price": 1}, "not signed"),
            ({"request_id": b"x" * 32}, "another request"),
            ({"expires_at": 0}, "another request"),
        ],
    )
    def test_a_changed_bid(self, play_purchase: Play, changes: dict[str, Any], why: str) -> None:
        class Tampers(Seller):
            def bid(self, call: CallForBids) -> Bids:
                bids = super().bid(call)
                changed = tuple(b.model_copy(update={"bid": b.bid.model_copy(update=changes)}) for b in bids.bids)
                return bids.model_copy(update={"bids": changed})

        played = play_purchase(small(), sellers=Tampers)
        check_money(played)
        assert played.outcome.bids == 0
        assert played.outcome.rejected > 0
        assert all(why in reason for _, reason in played.record.rejected)

    def test_the_same_bid_twice(self, play_purchase: Play) -> None:
        class Repeats(Seller):
            def bid(self, call: CallForBids) -> Bids:
                bids = super().bid(call)
                return bids.model_copy(update={"bids": bids.bids * 2})

        played = play_purchase(small(), sellers=Repeats)
        assert played.outcome.rejected == played.outcome.bids > 0

    def test_stakes_that_cannot_be_afforded(self, play_purchase: Play) -> None:
        played = play_purchase(small(sellers={"deposit": 0.15}))
        check_money(played)
        assert played.outcome.rejected > 0
        assert {reason for _, reason in played.record.rejected} == {"the seller cannot afford its stake"}
