"""Sellers that bid well and deliver badly, messages that are none, and buyers: what they hurt, and what blunts it."""

import tracemalloc
from typing import Any, ClassVar

import pytest
from cheating import Careless, believing, gain, of_cheats, with_cheats
from conftest import Play, Played, small

from parties.adversaries import ADVERSARIES
from parties.purchase.offer import Outcome
from parties.purchase.workflow import Purchase
from protocol.disputes.arbitration import Fault, Verdict
from protocol.encoding.codec import UnreadableMessage

MATCHING: dict[str, Any] = {"sellers": {"noise": 0.0}}


def outcomes(played: Played) -> set[Outcome]:
    return {trade.offer.outcome for trade in of_cheats(played) if trade.offer.won}


class TestJunkCiphertext:
    def test_it_is_paid_where_nobody_opens_it(self, play_purchase: Play) -> None:
        played = play_purchase(with_cheats("junk-ciphertext", **MATCHING), buyer=Careless)
        assert outcomes(played) == {Outcome.ACCEPTED}
        assert gain(played) > 0

    def test_it_loses_the_money_and_the_stake(self, play_purchase: Play) -> None:
        played = play_purchase(with_cheats("junk-ciphertext", **MATCHING))
        assert outcomes(played) == {Outcome.REFUNDED}
        assert gain(played) < 0
        cheated = [trade.offer for trade in of_cheats(played) if trade.offer.verdict]
        assert all("does not open" in str(offer.verdict) for offer in cheated)


class TestNoDelivery:
    """Whoever never delivers, or too late, hurts a buyer that gets nothing for it; the stake makes it costly."""

    @pytest.mark.parametrize("name", ["dropping-out", "straggler"])
    def test_the_buyer_goes_without(self, play_purchase: Play, name: str) -> None:
        honest = play_purchase(small(**MATCHING))
        played = play_purchase(with_cheats(name, cloud={"stake": 0.0, "least_stake": 0.0}, **MATCHING))
        assert outcomes(played) == {Outcome.UNDELIVERED}
        assert played.outcome.verified < honest.outcome.verified
        assert gain(played) == 0

    @pytest.mark.parametrize("name", ["dropping-out", "straggler"])
    def test_it_costs_the_stake_and_the_buyer_has_its_money_back(self, play_purchase: Play, name: str) -> None:
        played = play_purchase(with_cheats(name, **MATCHING))
        stakes = sum(trade.offer.bid.bid.stake for trade in of_cheats(played) if trade.offer.won)
        assert gain(played) == -stakes < 0
        assert played.outcome.refunded_total > 0
        assert played.outcome.penalties == stakes

    def test_slow_but_in_time_is_paid_and_holds_up_nobody(self, play_purchase: Play) -> None:
        honest = play_purchase(small(**MATCHING))
        played = play_purchase(with_cheats("straggler", settings={"seconds": 1000.0}, **MATCHING))
        assert any(trade.offer.won for trade in of_cheats(played))
        assert played.outcome.verified == played.outcome.selected
        assert played.ledger.balances() == honest.ledger.balances()

    def test_who_is_late_to_bid_is_not_there(self, play_purchase: Play) -> None:
        played = play_purchase(with_cheats("straggler", settings={"step": "bid"}, **MATCHING))
        assert not of_cheats(played)
        assert {why for step, _, why in played.record.failures if step == "bid"} == {"no answer"}
        assert played.outcome.verified == played.outcome.selected > 0


class TestReplay:
    def test_one_picture_is_paid_several_times_where_receipts_are_not_tied_to_orders(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("parties.purchase.courier.delivery_refusal", lambda delivery, offer, streamed: None)
        played = play_purchase(with_cheats("replay", 1.0, **MATCHING), buyer=Careless)
        paid = [offer for offer in played.record.offers if offer.paid]
        assert len({offer.blob for offer in paid}) < len(paid) == played.outcome.selected

    def test_a_receipt_is_good_for_one_order(self, play_purchase: Play) -> None:
        played = play_purchase(with_cheats("replay", 1.0, **MATCHING))
        paid = [offer for offer in played.record.offers if offer.paid]
        assert len({offer.blob for offer in paid}) == len(paid) < played.outcome.selected
        assert Outcome.UNDELIVERED in outcomes(played)
        assert any("another order" in why or "not signed" in why for _, _, why in played.record.failures)


class TestMalformedMessages:
    @pytest.mark.parametrize("name", ["malformed-messages", "oversized-messages"])
    def test_one_of_them_ends_a_purchase_that_does_not_contain_it(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        class Uncaught(Exception):
            """What nobody raises."""

        monkeypatch.setattr("protocol.exchange.UnreadableMessage", Uncaught)
        with pytest.raises(UnreadableMessage):
            play_purchase(with_cheats(name, **MATCHING))

    @pytest.mark.parametrize(("name", "why"), [("malformed-messages", "price"), ("oversized-messages", "claims")])
    def test_it_is_a_failure_of_its_sender_alone(self, play_purchase: Play, name: str, why: str) -> None:
        played = play_purchase(with_cheats(name, **MATCHING))
        cheats = sum(held.adversary is not None for held in played.world.sellers)
        assert cheats == len(played.record.failures) == 4
        assert all(why in reason for _, _, reason in played.record.failures)
        assert not of_cheats(played)
        assert played.outcome.verified == played.outcome.selected > 0

    def test_what_a_header_claims_is_allocated_by_flower_and_not_by_us(self, play_purchase: Play) -> None:
        tracemalloc.start()
        played = play_purchase(with_cheats("oversized-messages", 0.1, **MATCHING))
        ours = tracemalloc.get_traced_memory()[1]
        content = next(
            envelope.content
            for envelope in played.envelopes
            if envelope.kind == "Bids" and envelope.content and envelope.content.array_records["arrays"]
        )
        array = content.array_records["arrays"]["bids"]
        tracemalloc.reset_peak()
        with pytest.raises(ValueError, match=r"EOF|array"):
            array.numpy()
        naive = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert naive >= 300_000_000 > 4 * ours


class TestBuyers:
    @pytest.mark.parametrize("name", ["false-complaint", "wrong-key"])
    def test_a_complaint_pays_where_the_buyer_is_believed(self, play_purchase: Play, name: str) -> None:
        played = play_purchase(small(adversaries={name: 1.0}), change_cloud=believing)
        assert played.outcome.paid_total == 0
        assert len(list(played.world.buyer.store.glob("*.png"))) == played.outcome.selected > 0

    @pytest.mark.parametrize(("name", "why"), [("false-complaint", "was offered"), ("wrong-key", "key")])
    def test_evidence_convicts_the_buyer(self, play_purchase: Play, name: str, why: str) -> None:
        played = play_purchase(small(adversaries={name: 1.0}))
        assert played.outcome.upheld == played.outcome.complaints == played.outcome.selected > 0
        assert played.outcome.refunded_total == 0 < played.outcome.penalties
        assert why in played.record.winners[0].verdict.reason  # type: ignore[union-attr]

    def test_silence_pays_where_only_a_confirmation_is_paid_for(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def only_what_is_confirmed(purchase: Purchase) -> None:
            confirm(purchase)
            for offer in purchase.record.winners:
                offer.verdict = Verdict(Fault.SELLER, "the buyer did not confirm it")

        confirm = Purchase._verify
        monkeypatch.setattr(Purchase, "_verify", only_what_is_confirmed)
        played = play_purchase(small(adversaries={"silence-after-delivery": 1.0}, cloud={"bond": 0.0}))
        assert played.outcome.paid_total == 0
        assert len(list(played.world.buyer.store.glob("*.png"))) == played.outcome.selected > 0

    def test_silence_after_delivery_is_acceptance(self, play_purchase: Play) -> None:
        played = play_purchase(small(adversaries={"silence-after-delivery": 1.0}))
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}
        assert {step for step, _, _ in played.record.failures} == {"verify"}


class TestEveryAdversary:
    """What holds of money whatever anybody does."""

    ALL: ClassVar[list[str]] = sorted(name for name, cheat in ADVERSARIES.items() if cheat.role in ("seller", "buyer"))

    @pytest.mark.parametrize("name", ALL)
    def test_it_plays_and_money_adds_up(self, play_purchase: Play, name: str) -> None:
        few = {"count": 6, "album": {"images": 2}, "noise": 0.0}
        played = play_purchase(small(adversaries={name: 0.5}, sellers=few, buyer={"samples": {"count": 3}}))
        balances = played.ledger.balances()
        assert sum(balances.values()) == 0
        assert all(balance >= 0 for account, balance in balances.items() if account != "mint")
        assert not [escrow for escrow in played.ledger.escrows() if escrow.state == "pending"]
        assert played.outcome.bids > 0
