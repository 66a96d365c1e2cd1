"""Who is honest in a purchase loses nothing by what others do, the cloud included."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import Play, small
from durable import BUYER, WISH
from flwr.app import Context, Error, Message
from flwr.clientapp.typing import ClientAppCallable
from money import check_money
from test_deadlines import Timed

from parties.adversaries.bidding import Flooding
from parties.adversaries.buyers import FalseComplaint
from parties.adversaries.delivery import SwappedDelivery
from parties.broker import name_of
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from parties.purchase.statements import statement
from parties.workflow import WorkflowFailed
from protocol.encoding.canonical import canonical
from protocol.exchange import CLOUD_FAILED, NOT_AT_FAULT
from protocol.messages.purchase import (
    Bids,
    CallForBids,
    Delivery,
    DeliveryOrder,
    Invitation,
    Invoice,
    Parcel,
    ShowCall,
    Shown,
    SignedOrder,
    SignedPayment,
    VouchedRequest,
)
from protocol.storage.ledger import Posting, Transfer
from protocol.storage.vault import Vault
from simulations.workflows.purchase.world import PurchaseWorld

NAME = name_of(BUYER, WISH)
EVERYBODY = {"buyer": 1200, "seller": 2000}


def damaged(blob: bytes) -> bytes:
    return blob[:-1] + bytes([blob[-1] ^ 1])


class TestTheBuyersSide:
    def test_a_buyer_that_has_no_more_than_its_budget_can_complain(self, play_purchase: Play) -> None:
        played = play_purchase(
            small(),
            sellers=SwappedDelivery,
            change_cloud=lambda cloud: replace(cloud, deposits=EVERYBODY),
        )
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.REFUNDED}
        assert played.profit("buyer-2") > 0

    def test_a_buyer_never_spends_what_it_has_set_aside_elsewhere(self, play_purchase: Play) -> None:
        """Its other purchases, or whoever empties its account, come too late once it has made its request."""

        class Spends(Seller):
            def bid(self, call: CallForBids) -> Bids:
                ledger = played_cloud[0].ledger
                left = ledger.balance("buyer-2")

                def spend(posting: Posting) -> bytes:
                    if left:
                        posting.transfer([Transfer("buyer-2", "mint", left, "spent elsewhere")])
                    return b""

                ledger.once("elsewhere", b"", spend)
                return super().bid(call)

        played_cloud: list[Cloud] = []

        def remember(cloud: Cloud) -> Cloud:
            played_cloud.append(cloud)
            return cloud

        played = play_purchase(small(), sellers=Spends, change_cloud=remember)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_checking_time_grows_with_what_there_is_to_check(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Noise is not sold to a buyer that needs its time for each image, however short the cloud's patience."""
        monkeypatch.setattr("parties.purchase.disputes.CHECKING", 10.0)
        timed = Timed(play_purchase)

        class Slow(Buyer):
            def judge(self, number: int, *rest: Any, **more: Any) -> str | None:
                timed.clock.now += 10.0
                return super().judge(number, *rest, **more)

        played = play_purchase(
            small(),
            buyer=Slow,
            sellers=SwappedDelivery,
            change_cloud=lambda cloud: replace(cloud, clock=timed.clock, patience=6.0),
        )
        assert len(played.record.winners) > 2
        assert {offer.outcome for offer in played.record.winners} == {Outcome.REFUNDED}

    @pytest.mark.parametrize("part", [2, 3])
    def test_what_was_confirmed_in_parts_counts(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch, part: int
    ) -> None:
        """A buyer that fails in the middle has complained about what came before."""
        monkeypatch.setattr("parties.purchase.waves.PARCEL_BYTES", 1)

        class Fails(Buyer):
            def verify(self, call: Any) -> Any:
                self.calls = getattr(self, "calls", 0) + 1
                if self.calls >= part:
                    raise RuntimeError("no more")
                return super().verify(call)

        played = play_purchase(small(), buyer=Fails, sellers=SwappedDelivery)
        outcomes = [offer.outcome for offer in played.record.winners]
        assert outcomes.count(Outcome.REFUNDED) == part - 1 < len(outcomes)

    def test_a_buyer_that_missed_the_call_opens_what_it_pays_for_with_its_statement(self, play_purchase: Play) -> None:
        class Misses(Buyer):
            def verify(self, call: Any) -> Any:
                raise RuntimeError("away")

        played = play_purchase(small(), buyer=Misses)
        assert len(list(played.world.buyer.store.glob("*.png"))) == played.outcome.verified > 0

    def test_a_statement_asked_for_long_afterwards_says_what_became_of_everything(self, play_purchase: Play) -> None:
        """By the ledger alone: what was paid and opens, what was refunded, and nothing of bonds or of others."""
        played = play_purchase(small(), sellers=OneInTwo)
        told = statement(played.cloud, "buyer-2")
        outcomes = {offer.bid_id: offer for offer in played.record.winners}
        assert {line.bid for line in told.lines} == outcomes.keys()
        for line in told.lines:
            offer = outcomes[line.bid]
            assert line.amount == (-(offer.payment + offer.commission) if offer.paid else 0)
            assert line.outcome == str(offer.outcome)
        assert {release.bid for release in told.releases} == {bid for bid, offer in outcomes.items() if offer.paid}
        assert {Outcome.ACCEPTED, Outcome.REFUNDED} == {offer.outcome for offer in outcomes.values()}
        assert told.balance == played.ledger.balance("buyer-2")
        assert statement(played.cloud, "seller-3").lines == ()

    def test_what_this_buyer_has_lost_itself_is_not_complained_about(self, play_purchase: Play) -> None:
        """Or bit rot in its folder would cost it the bonds, and sellers their stakes."""

        class Loses(Buyer):
            def verify(self, call: Any) -> Any:
                first, second, *_ = sorted((self.store / "sealed").iterdir())
                first.unlink()
                second.write_bytes(damaged(second.read_bytes()))
                return super().verify(call)

        played = play_purchase(small(), buyer=Loses)
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_parcel_that_is_lost_once_costs_nothing(self, play_purchase: Play) -> None:
        """The cloud sends it again; or one broken connection would cost an honest buyer all its bonds."""

        class Interrupted(Buyer):
            def receive(self, parcel: Parcel) -> Any:
                self.parcels = getattr(self, "parcels", 0) + 1
                if self.parcels == 1:
                    raise RuntimeError("interrupted")
                return super().receive(parcel)

        played = play_purchase(small(), buyer=Interrupted)
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_one_damaged_image_of_a_parcel_costs_the_others_nothing(self, play_purchase: Play) -> None:
        class Damaged(Buyer):
            def receive(self, parcel: Parcel) -> Any:
                first, *rest = parcel.items
                blob = damaged(bytes(first.blob))  # type: ignore[arg-type]
                return super().receive(
                    parcel.model_copy(update={"items": (first.model_copy(update={"blob": blob}), *rest)})
                )

        played = play_purchase(small(), buyer=Damaged)
        check_money(played)
        outcomes = [offer.outcome for offer in played.record.winners]
        assert outcomes.count(Outcome.UNCLAIMED) == 1
        assert outcomes.count(Outcome.ACCEPTED) == len(outcomes) - 1
        assert len(list(played.world.buyer.store.glob("*.png"))) == len(outcomes) - 1


class TestTheSellersSide:
    def test_one_key_for_all_orders_is_refused_and_costs_the_deposit(self, play_purchase: Play) -> None:
        class OneKey(Buyer):
            def pay(self, invoice: Invoice) -> SignedPayment:
                honest = super().pay(invoice)
                key = self.key_of(invoice.request_id)
                first = honest.payment.orders[0].order.delivery_key
                orders = []
                for signed in honest.payment.orders:
                    order = signed.order.model_copy(update={"delivery_key": first})
                    orders.append(SignedOrder(order=order, signature=key.sign("order", canonical(order))))
                payment = honest.payment.model_copy(update={"orders": tuple(orders)})
                return SignedPayment(payment=payment, signature=key.sign("payment", canonical(payment)))

        played = play_purchase(small(), buyer=OneKey)
        check_money(played)
        assert "two orders name the same key" in played.record.failures[0].reason
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}
        assert played.outcome.penalties > 0

    def test_a_false_complaint_about_what_the_vault_has_lost_is_decided_all_the_same(self, play_purchase: Play) -> None:
        """The buyer shows what it got; the seller is paid, and gets the bond."""
        played = play_purchase(small(), buyer=losing(FalseComplaint))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UPHELD}

    def test_a_buyer_that_does_not_show_what_it_complains_about_has_accepted(self, play_purchase: Play) -> None:
        class Hides(losing(FalseComplaint)):  # type: ignore[misc]
            def show(self, call: ShowCall) -> Shown:
                return Shown(blob=b"something else")

        played = play_purchase(small(), buyer=Hides)
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_cheat_is_found_out_though_the_vault_has_lost_the_image(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=losing(Buyer), sellers=SwappedDelivery)
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.REFUNDED}

    def test_what_the_vault_loses_before_the_buyer_has_it_is_nobodys_fault(
        self, play_purchase: Play, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = Vault.put

        def loses(self: Vault, *arguments: Any, **more: Any) -> Any:
            stored = put(self, *arguments, **more)
            self.delete(stored.digest)
            return stored

        monkeypatch.setattr(Vault, "put", loses)
        played = play_purchase(small())
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.LOST}
        assert played.outcome.penalties == played.outcome.paid_total == 0

    def test_more_bids_than_allowed_are_not_heard(self, play_purchase: Play) -> None:
        played = play_purchase(small(cloud={"most_bids": 1}))
        assert {offer.index for offer in played.record.offers} == {0}

        class Pushes(Seller):
            def choose(self, call: CallForBids, features: Any) -> Any:
                return super().choose(call.model_copy(update={"terms": small_terms(call)}), features)

            def bid(self, call: CallForBids) -> Bids:
                return super().bid(call.model_copy(update={"terms": small_terms(call)}))

        def small_terms(call: CallForBids) -> Any:
            return call.terms.model_copy(update={"most_bids": 100})

        played = play_purchase(small(cloud={"most_bids": 1}), sellers=Pushes)
        assert {offer.index for offer in played.record.offers} == {0}
        assert ("the seller made more than 1 bids") in {why for _, why in played.record.rejected}

    def test_who_bids_next_to_nothing_and_never_delivers_pays_for_it(self, play_purchase: Play) -> None:
        """It drives out the others with a hundred copies at a cent, and the buyer has more afterwards than before."""

        class Griefer(Flooding):
            def price(self, image: int) -> int:
                return 1

            def deliver(self, asked: DeliveryOrder) -> Delivery:
                raise RuntimeError("never")

        scenario = small(seed=2, sellers={"count": 6, "noise": 0.0}, buyer={"quality": "quantity"})

        def first_is_griefer(world: PurchaseWorld) -> PurchaseWorld:
            held = world.sellers[0]
            party = Griefer(held.party.secret, held.party.album, held.party.costs, held.party.featurizer)
            griefer = replace(held, party=party, labels=np.resize(held.labels, len(party.album)))
            return replace(world, sellers=[griefer, *world.sellers[1:]])

        played = play_purchase(scenario, change_world=first_is_griefer)
        lost = [offer for offer in played.record.winners if offer.seller == 3]
        least = played.cloud.terms.least_stake
        assert len(lost) > 10
        assert played.profit("seller-3") == -least * len(lost)
        assert played.profit("buyer-2") + played.outcome.paid_total + played.outcome.commission == least * len(lost)
        assert all(played.profit(f"seller-{node}") >= 0 for node in range(4, 9))

    def test_commission_on_the_smallest_amount_is_not_nothing(self, play_purchase: Play) -> None:
        played = play_purchase(small(sellers={"price": {"model": "identical", "mean": 0.05}}, buyer={"budget": 0.1}))
        assert 0 < played.outcome.paid_total < 20
        assert played.outcome.commission == 1


class OneInTwo(SwappedDelivery):
    """Delivers every second picture."""

    def picture(self, image: int) -> Any:
        return super().picture(image) if image % 2 else self.album[image]


def losing(role: type[Buyer]) -> type[Buyer]:
    """A buyer of this kind, whose cloud loses all sealed images before they are disputed."""

    class Unlucky(role):  # type: ignore[misc,valid-type]
        def verify(self, call: Any) -> Any:
            for file in (self.store.parent / "vault").iterdir():
                file.unlink()
            return super().verify(call)

    return Unlucky


class TestRequests:
    @pytest.mark.parametrize("shape", [(1, 5, 3), (64, 63, 3), (640, 640, 3)])
    def test_a_sample_is_no_larger_than_the_model_needs(self, play_purchase: Play, shape: tuple[int, ...]) -> None:
        class Shows(Buyer):
            def request(self, invitation: Invitation) -> VouchedRequest:
                self.featurizer = Unprepared(self.featurizer)
                self.samples = [np.zeros(shape, np.uint8)]
                return super().request(invitation)

        with pytest.raises(WorkflowFailed, match="the request shows a sample of"):
            play_purchase(small(), buyer=Shows)


class Unprepared:
    """A model whose user does not cut pictures."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def prepare(self, picture: Any) -> Any:
        return picture

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@pytest.mark.parametrize("code", [CLOUD_FAILED, 2])
@pytest.mark.parametrize("excuse", NOT_AT_FAULT)
def test_no_seller_excuses_itself_in_the_clouds_name(play_purchase: Play, excuse: str, code: int) -> None:
    def lies(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if message.metadata.message_type == "query.deliver":
            return Message(Error(code=code, reason=excuse), reply_to=message)
        return call_next(message, context)

    played = play_purchase(small(), sellers=type("Liar", (Seller,), {"mods": (lies,)}))
    check_money(played)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.UNDELIVERED}
    assert played.outcome.penalties == sum(offer.bid.bid.stake for offer in played.record.winners) > 0
