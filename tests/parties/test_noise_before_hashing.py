"""Sellers' noise on features before they are hashed: drawn once per image, proven, and what it costs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from conftest import Play, small

from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from parties.purchase.seller import Seller
from protocol.errors import BadScenario
from protocol.messages.purchase import Feature
from simulations.scenarios.files import load
from simulations.workflows.purchase.leaks import promises
from strategies.features.planar_laplace import noisy_point
from strategies.features.signatures import centroids
from strategies.privacy.stream import Stream

EPSILON = 1 / 75


def test_the_noise_has_the_planar_laplace_distribution() -> None:
    moved = np.array(
        [noisy_point((30_000, 30_000), EPSILON, Stream(number.to_bytes(32))) for number in range(4000)]
    ) - np.array([30_000, 30_000])
    distance = np.hypot(*moved.T)
    assert distance.mean() == pytest.approx(2 / EPSILON, rel=0.05)
    assert (distance**2).mean() == pytest.approx(6 / EPSILON**2, rel=0.1)
    assert np.abs(moved.mean(axis=0)).max() < 8


@pytest.mark.parametrize("epsilon", [0.0, -1.0, float("nan"), float("inf")])
def test_no_noise_without_an_epsilon(epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon is"):
        noisy_point((1, 2), epsilon, Stream(bytes(32)))


def test_it_stays_on_the_lattice() -> None:
    points = np.array([noisy_point((0, 65_535), 1e-5, Stream(number.to_bytes(32))) for number in range(50)])
    assert points.min() >= 0
    assert points.max() <= 65_535


def test_one_draw_per_image_for_good_and_another_for_each_image_and_epsilon(play_purchase: Play) -> None:
    played = play_purchase(small(sellers={"noise_before_hashing": EPSILON}))
    seller = next(held.party for held in played.world.sellers if len(held.party.album) > 1)
    first = [seller.hashed(image, (30_000, 30_000)) for image in (0, 0, 1)]
    assert first[0] == first[1] != first[2]
    seller.noise = 1 / 76
    assert seller.hashed(0, (30_000, 30_000)) != first[0]
    seller.noise = None
    assert seller.hashed(0, (30_000, 30_000)) == (30_000, 30_000)


def test_a_purchase_goes_on_as_before_with_larger_errors_at_the_cloud(play_purchase: Play) -> None:
    errors = {}
    for epsilon in (None, EPSILON):
        played = play_purchase(small(sellers={"noise_before_hashing": epsilon}))
        assert played.by_outcome(Outcome.REFUNDED) == []
        assert played.outcome.verified > 3
        shown = [trade for trade in played.trades if trade.feature is not None]
        seen = centroids(np.array([trade.offer.bid.bid.signature_points for trade in shown]))
        errors[epsilon] = np.linalg.norm(seen - np.array([trade.feature for trade in shown]), axis=1).mean()
        proven = promises(played)[0].proven
        assert ("geo-indistinguishability" in proven) == (epsilon is not None)
    assert errors[EPSILON] > errors[None] + 30


def test_no_bids_where_the_terms_leave_no_room_for_the_noise(play_purchase: Play) -> None:
    without = replace_terms(displacement=100)
    played = play_purchase(small(sellers={"noise_before_hashing": EPSILON}), change_cloud=without)
    assert played.outcome.bids == 0
    assert "no room for the noise" in played.record.failures[0].line


def test_a_signature_from_farther_away_is_refused(play_purchase: Play) -> None:
    class Elsewhere(Seller):
        def hashed(self, image: int, feature: Feature) -> Feature:
            return min(65_535, feature[0] + 2500), feature[1]

    played = play_purchase(small(sellers={"noise_before_hashing": EPSILON}), sellers=Elsewhere)
    assert played.outcome.verified == 0
    assert len(played.by_outcome(Outcome.REFUNDED)) == len(played.record.winners) > 0


def replace_terms(**changes: int) -> Callable[[Cloud], Cloud]:
    return lambda cloud: replace(cloud, terms=cloud.terms.model_copy(update=changes))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["sellers.noise_before_hashing=0.01", "cloud.privacy=level1"], "set cloud.privacy to level2"),
        (["sellers.noise_before_hashing=0"], "sellers.noise_before_hashing"),
        (["sellers.noise_before_hashing=0.01", "cloud.arbitration=paper"], "set cloud.arbitration to sound"),
    ],
)
def test_mistakes(settings: list[str], why: str) -> None:
    with pytest.raises(BadScenario, match=why):
        load("purchase", settings)
