"""The paper's basic mode: bids with fc8 vectors (section III.B)."""

import numpy as np
import pytest
from conftest import Play, small
from numpy.typing import NDArray

from parties.adversaries.bidding import IrrelevantImages
from parties.adversaries.delivery import SwappedDelivery
from parties.purchase.checks import bid_refusal
from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from protocol.encoding.canonical import canonical
from protocol.errors import BadScenario
from protocol.messages.purchase import CallForBids, Feature, SignedBid
from simulations.scenarios.files import load
from strategies.features.featurizer import Featurizer
from strategies.mechanisms.selection import Offers, select

BASIC = {"privacy": "basic"}


@pytest.mark.parametrize("quality", ["quantity", "matching"])
def test_an_honest_purchase(play_purchase: Play, featurizer: Featurizer, quality: str) -> None:
    played = play_purchase(small(cloud=BASIC, buyer={"quality": quality}))
    outcome, record = played.outcome, played.record
    assert not record.failures
    assert not record.rejected
    assert 0 < outcome.selected == outcome.delivered == outcome.verified
    assert outcome.precision is not None
    assert outcome.precision > 0.9
    assert len(list(played.world.buyer.store.glob("*.png"))) == outcome.verified
    pictures = [trade.picture for trade in played.trades]
    bids = np.array([trade.offer.bid.bid.feature for trade in played.trades])
    assert np.array_equal(bids, featurizer.vectors(pictures))
    assert bids.shape[1] == 30
    assert {offer.bid.bid.signature_points for offer in record.offers} == {None}
    distances = np.linalg.norm(bids[:, None] - record.targets, axis=2).min(axis=1)
    within = distances <= featurizer.calibration.vector_radius
    assert [trade.offer.candidate for trade in played.trades] == within.tolist()


def test_the_samples_radius_is_the_vectors_own(play_purchase: Play, featurizer: Featurizer) -> None:
    terms = play_purchase(small(cloud=BASIC, buyer={"quality": "quantity"})).cloud.terms
    calibration = featurizer.calibration
    assert (terms.radius, terms.tolerance) == (calibration.vector_radius, calibration.vector_tolerance)


def test_nothing_matches(play_purchase: Play) -> None:
    lonely = {"noise": 1.0, "count": 2, "album": {"images": 1}}
    played = play_purchase(small(cloud=BASIC, buyer={"quality": "quantity"}, sellers=lonely))
    assert played.outcome.bids == played.outcome.selected == 0


class Tampers(Seller):
    """Offers everything, and claims a sample's vector but for one number."""

    def choose(self, call: CallForBids, features: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.arange(len(features))

    def claim(self, call: CallForBids, feature: Feature) -> Feature:
        first, *others = self.featurizer.vectors(call.samples)[0].tolist()
        return first + 40, *others


class Nudges(Seller):
    """Claims its own vector with one number just beyond the tolerance."""

    def claim(self, call: CallForBids, feature: Feature) -> Feature:
        *others, last = feature
        return *others, last + call.terms.tolerance + 1


@pytest.mark.parametrize("cheat", [Tampers, Nudges, SwappedDelivery])
def test_a_cheat_is_caught(play_purchase: Play, cheat: type[Seller]) -> None:
    played = play_purchase(small(cloud=BASIC, buyer={"quality": "quantity"}), sellers=cheat)
    assert {offer.outcome for offer in played.record.winners} == {Outcome.REFUNDED}
    assert played.outcome.paid_total == 0
    assert played.profit("buyer-2") > 0


def test_irrelevant_images_are_offered_and_do_not_match(play_purchase: Play) -> None:
    scenario = small(cloud=BASIC, buyer={"quality": "quantity"}, sellers={"noise": 0.8})
    played = play_purchase(scenario, sellers=IrrelevantImages)
    assert played.outcome.bids == sum(len(held.party.album) for held in played.world.sellers)
    assert 0 < played.outcome.candidates < played.outcome.bids


def test_a_vector_of_another_length_is_refused(play_purchase: Play) -> None:
    played = play_purchase(small(cloud=BASIC, buyer={"quality": "quantity"}))
    call, offer = played.record.call, played.record.offers[0]
    assert call is not None
    held = played.world.sellers[offer.seller - played.record.sellers[0]]
    keys = (held.party.pseudonym(call.request_id, image) for image in range(len(held.party.album)))
    key = next(key for key in keys if key.public == offer.bid.bid.pseudonym)
    for feature, refusal in (((1, 2), "2 numbers, not 30"), ((0,) * 31, "31 numbers, not 30")):
        bid = offer.bid.bid.model_copy(update={"feature": feature})
        signed = SignedBid(bid=bid, signature=key.sign("bid", canonical(bid)))
        assert refusal in str(bid_refusal(signed, call, set(), 30))
    assert bid_refusal(offer.bid, call, set(), 30) is None


def test_diversity_of_vectors_is_refused() -> None:
    with pytest.raises(BadScenario, match=r"union of hypercubes .* cannot be computed .* quantity or matching"):
        load("purchase", ["cloud.privacy=basic", "buyer.quality=diversity"])
    offers = Offers(np.zeros((1, 3), np.int64), None, np.array([5]))
    with pytest.raises(ValueError, match="diversity needs features of 2 dimensions, not 3"):
        select(offers, np.ones((1, 3), np.int64), quality="diversity", budget=9, radius=9, reach=1, ranks=np.array([0]))
