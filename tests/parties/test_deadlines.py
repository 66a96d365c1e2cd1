"""What comes too late counts as not having come; the clock is passed in and nobody sleeps."""

from dataclasses import replace
from typing import Any

import pytest
from conftest import Play, Played, small

from parties.adversaries.buyers import FalseComplaint
from parties.adversaries.delivery import SwappedDelivery
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from protocol.exchange import GRACE

PATIENCE = 600.0


class Clock:
    """Unix time, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.5

    def __call__(self) -> float:
        return self.now


def slow(role: type[Any], step: str, clock: Clock, seconds: float) -> type[Any]:
    """A party that takes its time over one step."""

    def method(self: Any, message: Any) -> Any:
        clock.now += seconds
        return getattr(role, step)(self, message)

    method.__annotations__ = dict(getattr(role, step).__annotations__)
    return type("Slow", (role,), {step: method})


class Timed:
    """Play a purchase in which one role is slow at one step."""

    def __init__(self, play_purchase: Play) -> None:
        self.clock = Clock()
        self._play = play_purchase

    def __call__(self, role: type[Any], step: str, seconds: float, **others: Any) -> Played:
        party = {f"{role.role}s" if role.role == "seller" else "buyer": slow(role, step, self.clock, seconds)}

        def change(cloud: Cloud) -> Cloud:
            return replace(cloud, clock=self.clock, patience=PATIENCE)

        return self._play(small(sellers={"album": {"images": 1}}), change_cloud=change, **party, **others)


@pytest.fixture
def timed(play_purchase: Play) -> Timed:
    return Timed(play_purchase)


def test_slow_but_in_time_is_fine(timed: Timed) -> None:
    played = timed(Buyer, "verify", PATIENCE - 1)
    assert not played.record.failures
    assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}


def test_what_arrives_with_the_deadline_is_still_taken_in(timed: Timed) -> None:
    """A grid that waits until the deadline hands over what it has a moment after it."""
    played = timed(Buyer, "pay", PATIENCE + GRACE / 2)
    assert all(offer.order is not None for offer in played.record.winners)


def test_a_late_delivery_is_refunded_and_costs_the_stake(timed: Timed) -> None:
    played = timed(Seller, "deliver", PATIENCE + 60)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNDELIVERED}
    assert {(step, why) for step, _, why in played.record.failures} >= {
        ("deliver", "the answer came after the deadline")
    }
    assert played.outcome.paid_total == 0
    assert played.outcome.refunded_total > 0
    stakes = sum(offer.bid.bid.stake for offer in played.record.winners if offer.asked)
    assert played.profit("buyer-2") == stakes == played.outcome.penalties > 0


def test_who_was_never_asked_keeps_its_stake(timed: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that stalls until the deadline takes the others' time, not their money."""
    monkeypatch.setattr("parties.purchase.courier.FIRST_WAVE", 1)
    played = timed(Seller, "deliver", PATIENCE + 60)
    asked = [offer for offer in played.record.winners if offer.asked]
    assert len(asked) == 1 < len(played.record.winners)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNDELIVERED}
    losers = {f"seller-{offer.seller}" for offer in played.record.winners if played.profit(f"seller-{offer.seller}")}
    assert losers == {f"seller-{offer.seller}" for offer in asked}


def test_nobody_is_asked_who_has_no_time_left(timed: Timed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or one that answers in the last second would take the stakes of all that come after it."""
    monkeypatch.setattr("parties.purchase.courier.FIRST_WAVE", 1)
    played = timed(Seller, "deliver", PATIENCE - 1)
    assert sum(offer.asked for offer in played.record.winners) == 1
    assert played.outcome.penalties == 0 < played.outcome.paid_total


def test_late_bids_are_none(timed: Timed) -> None:
    played = timed(Seller, "bid", PATIENCE + 60)
    assert played.outcome.bids == 0
    assert not [escrow for escrow in played.ledger.escrows() if escrow.state == "pending"]


def test_a_late_payment_frees_everybody_and_costs_the_deposit(timed: Timed) -> None:
    played = timed(Buyer, "pay", PATIENCE + 60)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}
    assert played.profit("buyer-2") == -played.outcome.penalties < 0


@pytest.mark.parametrize("complaining", [Buyer, FalseComplaint])
def test_a_late_confirmation_is_silence_and_sellers_are_paid(timed: Timed, complaining: type[Buyer]) -> None:
    played = timed(complaining, "verify", PATIENCE + 60)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}
    assert played.outcome.paid_total > 0
    assert ("verify", played.record.buyer, "the answer came after the deadline") in played.record.failures


def test_even_a_justified_complaint_must_come_in_time(timed: Timed) -> None:
    assert timed(Buyer, "verify", 0.0, sellers=SwappedDelivery).outcome.paid_total == 0
    assert timed(Buyer, "verify", PATIENCE + 60, sellers=SwappedDelivery).outcome.paid_total > 0
