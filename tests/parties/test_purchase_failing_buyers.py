"""Buyers that fail a step or lie about money, and what they do not take from a cloud."""

from typing import Any

import pytest
from conftest import Play, small
from money import check_money

from parties.adversaries.buyers import WrongKey
from parties.purchase.basket import Wish
from parties.purchase.buyer import Buyer
from parties.purchase.offer import Outcome
from parties.workflow import WorkflowFailed
from protocol.encoding.canonical import canonical
from protocol.messages.base import Acknowledgement
from protocol.messages.purchase import Invitation, Invoice, Parcel, SignedPayment, VouchedRequest


class TestBuyersThatFail:
    def failing(self, step: str, **methods: Any) -> type[Buyer]:
        def fail(self: Buyer, message: Any) -> Any:
            raise RuntimeError(f"cannot {step}")

        fail.__annotations__ = dict(getattr(Buyer, step).__annotations__)
        return type("Failing", (Buyer,), {step: fail})

    def test_no_request_is_no_purchase(self, play_purchase: Play) -> None:
        with pytest.raises(WorkflowFailed, match="cannot request"):
            play_purchase(small(), buyer=self.failing("request"))

    def test_no_payment_frees_everybody_and_the_winners_share_the_deposit(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=self.failing("pay"))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}
        deposit = -(-played.world.buyer.budget // 20)
        assert played.profit("buyer-2") == -deposit == -played.outcome.penalties
        assert sum(offer.compensation for offer in played.record.winners) == deposit
        for offer in played.record.winners:
            assert played.profit(f"seller-{offer.seller}") > 0

    def test_who_acknowledges_nothing_gets_nothing_and_pays_for_having_asked(self, play_purchase: Play) -> None:
        """It has the sealed images, and not what they open with. Sellers get the bonds."""
        played = play_purchase(small(), buyer=self.failing("receive"))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNCLAIMED}
        assert played.outcome.paid_total == 0 < played.outcome.penalties
        assert not list(played.world.buyer.store.glob("*.png"))

    @pytest.mark.parametrize("step", ["notify", "verify", "settle"])
    def test_silence_after_delivery_is_acceptance(self, play_purchase: Play, step: str) -> None:
        played = play_purchase(small(), buyer=self.failing(step))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_budget_that_is_not_there_is_not_spent(self, play_purchase: Play) -> None:
        class Boasts(Buyer):
            def request(self, invitation: Invitation) -> VouchedRequest:
                self.budget = 100 * 10_000
                return super().request(invitation)

        played = play_purchase(small(sellers={"deposit": 50.0}), buyer=Boasts)
        assert played.outcome.paid_total + played.outcome.commission <= played.cloud.deposits["buyer"]
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_payment_of_another_amount_is_none(self, play_purchase: Play) -> None:
        class Haggles(Buyer):
            def pay(self, invoice: Invoice) -> SignedPayment:
                honest = super().pay(invoice)
                less = honest.payment.model_copy(update={"amount": honest.payment.amount - 1})
                key = self.key_of(invoice.request_id)
                return SignedPayment(payment=less, signature=key.sign("payment", canonical(less)))

        played = play_purchase(small(), buyer=Haggles)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}
        assert played.record.failures[0].reason == "the payment is not the amount of the invoice"

    def test_a_cloud_that_is_set_back_twice_gets_orders_for_its_invoice(self, play_purchase: Play) -> None:
        class Asked(Buyer):
            def pay(self, invoice: Invoice) -> SignedPayment:
                for later in (0, 4, 0):
                    signed = super().pay(invoice.model_copy(update={"deliver_by": invoice.deliver_by + later}))
                return signed

        played = play_purchase(small(), buyer=Asked)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_key_that_is_not_the_one_in_the_order_convicts_the_buyer(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=WrongKey)
        check_money(played)
        assert played.outcome.upheld == played.outcome.selected
        assert "key" in str(played.record.winners[0].verdict)


class TestTheCloudIsWatched:
    def test_a_buyer_refuses_an_invoice_over_its_budget(self, play_purchase: Play) -> None:
        class Poor(Buyer):
            def asked(self, request_id: bytes) -> Wish:
                return super().asked(request_id).model_copy(update={"budget": 1})

        played = play_purchase(small(), buyer=Poor)
        assert played.record.failures[0][0] == "pay"
        assert "over the budget" in played.record.failures[0][2]

    def test_a_parcel_that_was_changed_on_the_way_is_refused(self, play_purchase: Play) -> None:
        class Misled(Buyer):
            def receive(self, parcel: Parcel) -> Acknowledgement:
                changed = tuple(item.model_copy(update={"blob": item.blob + b"x"}) for item in parcel.items)
                return super().receive(parcel.model_copy(update={"items": changed}))

        played = play_purchase(small(), buyer=Misled)
        assert {step for step, _, _ in played.record.failures} == {"receive"}
        assert "not the one its seller signed for" in played.record.failures[0][2]
        assert not list(played.world.buyer.store.glob("*.png"))
