"""A whole purchase among honest parties: who gets what."""

import numpy as np
import pytest
from conftest import Play, small
from money import check_money
from PIL import Image

from parties.purchase.offer import Outcome
from parties.purchase.seller import OpenBid, Seller
from protocol.encoding.canonical import canonical
from protocol.encoding.codec import decode
from protocol.messages.purchase import CallForBids, Feature, Parcel, SignedBid, Statement
from simulations.workflows.purchase.words import summary


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
    assert kinds["VouchedRequest"] == kinds["Invoice"] == kinds["SignedPayment"] == kinds["SignedConfirmation"] == 1
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


def test_big_deliveries_come_in_waves(play_purchase: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parties.purchase.waves.WAVE_BYTES", 1)
    played = play_purchase(small())
    check_money(played)
    assert played.outcome.verified == played.outcome.selected
    kinds = [envelope.kind for envelope in played.envelopes if envelope.kind in {"DeliveryOrder", "Delivery"}]
    first = kinds.index("Delivery")
    assert first > 1
    assert kinds[2 * first :] == ["DeliveryOrder", "Delivery"] * (played.outcome.selected - first)
    assert first < played.outcome.selected


def test_parcels_are_as_large_as_may_be_and_no_larger(play_purchase: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = {offer.receipt.receipt.length for offer in play_purchase(small()).record.winners if offer.receipt}
    assert len(sealed) == 1
    monkeypatch.setattr("parties.purchase.waves.PARCEL_BYTES", 3 * sealed.pop())
    played = play_purchase(small())
    packed = [decode(each.content, Parcel) for each in played.envelopes if each.kind == "Parcel" and each.content]
    assert [len(parcel.items) for parcel in packed] == [3, 3, 3, 1]
    assert played.outcome.verified == played.outcome.selected == 10


def test_everybody_is_told_what_became_of_its_own_pictures_and_what_it_got(play_purchase: Play) -> None:
    played = play_purchase(small())
    told = {
        each.target: decode(each.content, Statement)
        for each in played.envelopes
        if each.kind == "Statement" and each.content
    }
    buyer, sold = told.pop(played.record.buyer), {offer.bid_id: offer for offer in played.record.winners}
    assert {line.bid: -line.amount for line in buyer.lines} == {
        bid: offer.payment + offer.commission for bid, offer in sold.items()
    }
    assert set(told) == {offer.seller for offer in played.record.offers}
    for seller, statement in told.items():
        made = {offer.bid_id: offer for offer in played.record.offers if offer.seller == seller}
        assert {line.bid: line.outcome for line in statement.lines} == {bid: each.outcome for bid, each in made.items()}
        assert {line.bid: line.amount for line in statement.lines if line.amount} == {
            bid: offer.payment for bid, offer in made.items() if bid in sold
        }
        assert sum(line.amount for line in statement.lines) == played.profit(f"seller-{seller}")
        assert statement.balance == played.ledger.balance(f"seller-{seller}")


def test_waves_do_not_change_the_outcome(play_purchase: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = play_purchase(small()).outcome
    monkeypatch.setattr("parties.purchase.waves.WAVE_BYTES", 1)
    assert play_purchase(small()).outcome == whole


class Forges(Seller):
    """Bids with signatures that no feature has, spread so that they cover more."""

    def _bid(self, call: CallForBids, image: int, feature: Feature) -> OpenBid:
        made = super()._bid(call, image, feature)
        points = tuple(
            (x, (y + 7 * place) % 65_536) for place, (x, y) in enumerate(made.bid.bid.signature_points or ())
        )
        bid = made.bid.bid.model_copy(update={"signature_points": points})
        signature = self.pseudonym(call.request_id, image).sign("bid", canonical(bid))
        return made.model_copy(update={"bid": SignedBid(bid=bid, signature=signature)})


def test_forged_signatures_are_refused_before_the_auction(play_purchase: Play) -> None:
    played = play_purchase(small(), sellers=Forges)
    assert played.outcome.bids == 0
    assert {why for _, why in played.record.rejected} == {"its signature is one that no feature has"}
    assert all(played.profit(name) == 0 for name in played.ledger.balances() if name != "mint")
