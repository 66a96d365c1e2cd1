"""The inversion attack on a cloud's own view: what a feature gives away, and what noise takes back."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import Play, Played, small

from protocol.flower import SERVER_NODE_ID
from protocol.messages.purchase import Bid, Bids
from simulations.reports.evaluation import Estimate
from simulations.runs.views import View
from simulations.workflows.purchase.attacks import (
    PublicPictures,
    bids_in,
    invert_bids,
    likeness,
    most_frequent,
    named_rightly,
    public_pictures,
    sampled,
)
from strategies.features.featurizer import Featurizer
from strategies.features.planar_laplace import planar_laplace

MANY = {
    "buyer": {"budget": 1.0, "samples": {"count": 12, "classes": 6}},
    "sellers": {"count": 60, "noise": 0.5, "album": {"images": [4, 8]}},
}


@dataclass(frozen=True)
class Score:
    """How well the attack names classes and shows pictures, and of how many; `guessed`: the most frequent class."""

    offers: int
    named: Estimate
    guessed: float
    likeness: Estimate


@pytest.fixture
def attack(play_purchase: Play, featurizer: Featurizer) -> Callable[..., Score]:
    """Play, attack what the cloud received, and score; `change` protects the bids before they are attacked."""

    def go(privacy: str, change: Callable[[Bid], Bid] = lambda bid: bid) -> Score:
        quality = "matching" if privacy == "basic" else "diversity"
        played = play_purchase(
            small(cloud={"privacy": privacy}, **{**MANY, "buyer": {**MANY["buyer"], "quality": quality}})
        )
        bids = {bid.pseudonym: change(bid) for bid in bids_in(view_of(played))}
        public = public_pictures("pets", featurizer, privacy == "basic")
        assert public is not None
        assert played.record.call is not None
        traded = sampled(played.trades, played.world.class_names)
        inverted = invert_bids([bids[trade.offer.bid.bid.pseudonym] for trade in traded], played.record.call, public)
        named = named_rightly(inverted, public, traded, played.world.class_names).rate
        return Score(len(traded), named, most_frequent(traded), likeness(inverted, public, traded))

    return go


def view_of(played: Played) -> View:
    view = View(SERVER_NODE_ID, Bids)
    for envelope in played.envelopes:
        view.observe(envelope)
    return view


def test_a_feature_gives_the_class_away_and_not_the_picture(attack: Callable[..., Score]) -> None:
    score = attack("level1")
    assert score.offers > 100
    assert score.named.low > 0.75 > 2 * score.guessed
    assert score.named.low <= score.named.value <= score.named.high
    assert score.likeness.high < 0.25


def test_a_vector_gives_away_at_least_as_much(attack: Callable[..., Score]) -> None:
    vectors, points = attack("basic"), attack("level1")
    assert vectors.named.value >= points.named.value - 0.02
    assert vectors.likeness.value >= points.likeness.value - 0.02


def test_signatures_hide_next_to_nothing_from_it(attack: Callable[..., Score]) -> None:
    first, second = attack("level1"), attack("level2")
    assert second.named.value == pytest.approx(first.named.value, abs=0.04)


def test_noise_with_a_guarantee_does(attack: Callable[..., Score]) -> None:
    """Planar Laplace noise with a mean displacement of twice R: 2 / epsilon = 8,000."""
    generator = np.random.default_rng(0)

    def noisy(bid: Bid) -> Bid:
        point = planar_laplace(np.array([bid.feature]), 1 / 4000, generator).clip(0, 65_535).round().astype(int)[0]
        return bid.model_copy(update={"feature": (int(point[0]), int(point[1]))})

    assert attack("level1", noisy).named.high < 0.6 * attack("level1").named.low


def test_public_pictures_are_never_traded_ones(play_purchase: Play, featurizer: Featurizer) -> None:
    for dataset, classes in (("pets", 20), ("digits", 10)):
        public = public_pictures(dataset, featurizer)
        assert isinstance(public, PublicPictures)
        assert len(set(public.labels.tolist())) == classes
        played = play_purchase(small(dataset=dataset))
        traded = {featurizer.prepare(trade.picture).tobytes() for trade in played.trades}
        assert traded
        assert not traded & {picture.tobytes() for picture in public.pictures}


def test_what_nobody_knows_is_not_attacked(featurizer: Featurizer) -> None:
    assert public_pictures("folder", featurizer) is None


def test_a_perfect_guess_scores_one_and_the_mean_picture_nothing(play_purchase: Play, featurizer: Featurizer) -> None:
    played = play_purchase(small(sellers={"noise": 0.0}))
    public = public_pictures("pets", featurizer)
    assert public is not None
    names, traded = played.world.class_names, sampled(played.trades, played.world.class_names)
    assert played.record.call is not None
    guess = invert_bids([trade.offer.bid.bid for trade in traded], played.record.call, public)
    labels = np.array([trade.held.labels[trade.image] for trade in traded])
    true = guess._replace(labels=labels, pictures=np.stack([trade.picture for trade in traded]))
    assert named_rightly(true, public, traded, names).rate.value == likeness(true, public, traded).value == 1.0
    average = np.rint(public.pictures.mean(axis=0)).astype(np.uint8)
    dull = true._replace(pictures=np.stack([average] * len(traded)))
    assert likeness(dull, public, traded).value == pytest.approx(0, abs=1e-3)
    wrong = true._replace(labels=(labels + 1) % len(names))
    assert named_rightly(wrong, public, traded, names).rate.value == 0
