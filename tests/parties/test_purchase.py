"""A whole purchase, honest and not: who gets what."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from conftest import Play, Played, small
from PIL import Image

from parties.adversaries.bidding import ForgedFeatures, IrrelevantImages
from parties.adversaries.buyers import FalseComplaint, WrongKey
from parties.adversaries.delivery import SwappedDelivery
from parties.buyer import Buyer, Wish
from parties.cloud import Cloud
from parties.offer import Outcome
from parties.record import PurchaseFailed
from parties.seller import Seller
from protocol.arbitration import Deal, Fault, Featurize, Verdict
from protocol.messages.purchase import (
    Acknowledgement,
    Bids,
    CallForBids,
    Delivery,
    DeliveryOrder,
    Invitation,
    Invoice,
    Parcel,
    SelectionNotice,
    SignedPayment,
    SignedRequest,
    Statement,
)
from simulations.report.compile import summary


def check_money(played: Played) -> None:
    """What holds of money in every purchase, whatever anybody did."""
    outcome, balances = played.outcome, played.ledger.balances()
    assert sum(balances.values()) == 0
    assert all(balance >= 0 for name, balance in balances.items() if name != "mint")
    assert outcome.paid_total + outcome.commission <= outcome.budget
    assert balances["cloud"] == outcome.commission
    assert not [escrow for escrow in played.ledger.escrows() if escrow.state == "pending"]
    bonds = sum(o.payment // 10 for o in played.by_outcome(Outcome.UPHELD))
    stakes = sum(o.bid.bid.stake for o in played.record.winners if o.forfeited)
    assert played.profit("buyer-2") == stakes - bonds - outcome.paid_total - outcome.commission


@pytest.mark.parametrize("privacy", ["level1", "level2"])
@pytest.mark.parametrize("quality", ["quantity", "matching", "diversity"])
def test_an_honest_purchase(play_purchase: Play, privacy: str, quality: str) -> None:
    played = play_purchase(small(cloud={"privacy": privacy}, buyer={"quality": quality}))
    outcome, record = played.outcome, played.record
    check_money(played)
    assert not record.failures
    assert not record.rejected
    assert 0 < outcome.selected <= outcome.candidates <= outcome.bids
    assert outcome.selected == outcome.delivered == outcome.verified == outcome.quality.quantity
    assert outcome.complaints == outcome.refunded_total == outcome.penalties == 0
    for offer in record.winners:
        assert offer.payment >= offer.bid.bid.price
        assert offer.outcome is Outcome.ACCEPTED
    saved = sorted(played.world.buyer.store.glob("*.png"))
    assert len(saved) == outcome.verified


def test_the_buyer_gets_the_very_pictures_that_were_offered(play_purchase: Play) -> None:
    played = play_purchase(small())
    bought = {np.asarray(Image.open(path)).tobytes() for path in played.world.buyer.store.glob("*.png")}
    assert bought == {trade.picture.tobytes() for trade in played.trades if trade.offer.paid}


def test_each_level_shows_the_cloud_what_it_says(play_purchase: Play) -> None:
    first = play_purchase(small(cloud={"privacy": "level1"})).record.offers
    second = play_purchase(small(cloud={"privacy": "level2"})).record.offers
    assert all(o.bid.bid.feature is not None and o.bid.bid.signature_points is None for o in first)
    assert all(o.bid.bid.feature is None and len(o.bid.bid.signature_points or ()) == 4 for o in second)


def test_every_step_is_a_message_through_the_grid(play_purchase: Play) -> None:
    played = play_purchase(small())
    sellers = len(played.record.sellers)
    bidders = len({offer.seller for offer in played.record.offers})
    kinds: dict[str, int] = {}
    for envelope in played.envelopes:
        kinds[envelope.kind] = kinds.get(envelope.kind, 0) + 1
    winners = played.outcome.selected
    assert kinds["CallForBids"] == kinds["Bids"] == sellers
    assert kinds["SignedRequest"] == kinds["Invoice"] == kinds["SignedPayment"] == kinds["SignedConfirmation"] == 1
    assert kinds["SelectionNotice"] == bidders
    assert kinds["DeliveryOrder"] == kinds["Delivery"] == winners
    assert kinds["Statement"] == bidders + 1


def test_the_same_seed_gives_the_same_outcome_and_another_seed_another(play_purchase: Play) -> None:
    digests = [play_purchase(small(seed=seed)).outcome.digest for seed in (3, 3, 4)]
    assert digests[0] == digests[1] != digests[2]


def test_nothing_of_a_seller_reaches_the_buyer(play_purchase: Play) -> None:
    played = play_purchase(small())
    secrets = [held.party.identity.public for held in played.world.sellers]
    secrets += [held.party.secret for held in played.world.sellers]
    for envelope in played.envelopes:
        if envelope.target == played.record.buyer and envelope.content is not None:
            seen = repr(dict(envelope.content["fields"].items()))  # type: ignore[union-attr]
            assert not any(repr(secret)[2:-1] in seen for secret in secrets)
    keys = [offer.bid.bid.pseudonym for offer in played.record.offers]
    assert len(set(keys)) == len(keys)


def test_a_pseudonym_does_not_come_back_in_another_request(play_purchase: Play) -> None:
    first = {offer.bid.bid.pseudonym for offer in play_purchase(small()).record.offers}
    again = play_purchase(small(buyer={"budget": 11.0}))
    assert not first & {offer.bid.bid.pseudonym for offer in again.record.offers}


class TestNothingToBuy:
    def test_a_budget_too_small(self, play_purchase: Play) -> None:
        played = play_purchase(small(buyer={"budget": 0.02}))
        check_money(played)
        assert played.outcome.candidates > 0
        assert played.outcome.selected == played.outcome.paid_total == 0

    def test_nothing_matches(self, play_purchase: Play) -> None:
        lonely = {"noise": 1.0, "count": 2, "album": {"images": 1}}
        played = play_purchase(small(dataset="digits", sellers=lonely, buyer={"samples": {"count": 1, "classes": 1}}))
        check_money(played)
        assert played.outcome.bids == played.outcome.candidates == played.outcome.selected == 0
        assert played.outcome.precision is None
        assert summary(played.outcome) == "Nothing was bought: no image in any album matches the samples."


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

    def deliver(self, asked: DeliveryOrder) -> Delivery:
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
            def deliver(self, asked: DeliveryOrder) -> Delivery:
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


class Believing:
    """An arbiter that takes a buyer's word: what disputes cost without the sound construction."""

    def __call__(self, deal: Deal, blob: bytes, key: bytes, featurize: Featurize) -> Verdict:
        return Verdict(Fault.SELLER, "the buyer says so")


class Careless(Buyer):
    """Accepts whatever arrives: an undefended buyer."""

    def judge(self, number: int, deal: Deal, private_key: bytes, *, check_feature: bool) -> None:
        super().judge(number, deal, private_key, check_feature=check_feature)


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
        assert len(list((played.world.buyer.store / "refused").glob("*.png"))) == played.outcome.selected


class TestFalseComplaint:
    def test_it_pays_where_the_buyer_is_believed(self, play_purchase: Play) -> None:
        def believing(cloud: Cloud) -> Cloud:
            return replace(cloud, arbiter=Believing())

        played = play_purchase(small(), buyer=FalseComplaint, change_cloud=believing)
        assert played.outcome.paid_total == 0
        assert len(list(played.world.buyer.store.glob("*.png"))) == played.outcome.selected > 0

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


class TestBuyersThatFail:
    def failing(self, step: str, **methods: Any) -> type[Buyer]:
        def fail(self: Buyer, message: Any) -> Any:
            raise RuntimeError(f"cannot {step}")

        fail.__annotations__ = dict(getattr(Buyer, step).__annotations__)
        return type("Failing", (Buyer,), {step: fail})

    def test_no_request_is_no_purchase(self, play_purchase: Play) -> None:
        with pytest.raises(PurchaseFailed, match="cannot request"):
            play_purchase(small(), buyer=self.failing("request"))

    def test_no_payment_frees_everybody(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=self.failing("pay"))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}
        assert played.profit("buyer-2") == played.outcome.penalties == 0

    @pytest.mark.parametrize("step", ["notify", "receive", "verify", "settle"])
    def test_silence_after_delivery_is_acceptance(self, play_purchase: Play, step: str) -> None:
        played = play_purchase(small(), buyer=self.failing(step))
        check_money(played)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.ACCEPTED}

    def test_a_budget_that_is_not_there_is_not_spent(self, play_purchase: Play) -> None:
        class Boasts(Buyer):
            def request(self, invitation: Invitation) -> SignedRequest:
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
                return honest.model_copy(update={"payment": less})

        played = play_purchase(small(), buyer=Haggles)
        assert {offer.outcome for offer in played.record.winners} == {Outcome.UNPAID}

    def test_a_key_that_is_not_the_one_in_the_order_convicts_the_buyer(self, play_purchase: Play) -> None:
        played = play_purchase(small(), buyer=WrongKey)
        check_money(played)
        assert played.outcome.upheld == played.outcome.selected
        assert "key" in str(played.record.winners[0].verdict)


class TestTheCloudIsWatched:
    def test_a_buyer_refuses_an_invoice_over_its_budget(self, play_purchase: Play) -> None:
        class Poor(Buyer):
            def request(self, invitation: Invitation) -> SignedRequest:
                signed = super().request(invitation)
                self.memory.keep("wish", self.memory.recall("wish", Wish).model_copy(update={"budget": 1}))
                return signed

        played = play_purchase(small(), buyer=Poor)
        assert played.record.failures[0][0] == "pay"
        assert "over the budget" in played.record.failures[0][2]

    def test_a_parcel_that_was_changed_on_the_way_is_refused(self, play_purchase: Play) -> None:
        class Misled(Buyer):
            def receive(self, parcel: Parcel) -> Acknowledgement:
                changed = tuple(item.model_copy(update={"blob": item.blob[:-1] + b"x"}) for item in parcel.items)
                return super().receive(parcel.model_copy(update={"items": changed}))

        played = play_purchase(small(), buyer=Misled)
        assert {step for step, _, _ in played.record.failures} == {"receive"}
        assert "not the one its seller signed for" in played.record.failures[0][2]
        assert not list(played.world.buyer.store.glob("*.png"))


def test_big_deliveries_come_in_waves(play_purchase: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.delivery.WAVE_BYTES", 1)
    played = play_purchase(small())
    check_money(played)
    assert played.outcome.verified == played.outcome.selected
    parcels = [envelope for envelope in played.envelopes if envelope.kind == "Parcel"]
    assert len(parcels) >= played.outcome.selected - 8


def test_waves_do_not_change_the_outcome(play_purchase: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play_purchase(small()).outcome
    monkeypatch.setattr("parties.delivery.WAVE_BYTES", 1)
    assert play_purchase(small()).outcome == whole
