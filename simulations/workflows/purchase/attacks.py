"""Attacks as functions of what a party received and of public knowledge; only their scores see the truth."""

import functools
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parties.album import Pixels
from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Bid, Bids, CallForBids, Privacy
from simulations.data import digits, pets
from simulations.data.cohort import Cohort
from simulations.evaluation import Guesses, mean
from simulations.reports.evaluation import Estimate
from simulations.reports.model import Learned
from simulations.reports.rows import interval
from simulations.reports.words import count, percent
from simulations.runs.seeding import torch_generator
from simulations.runs.views import View
from simulations.workflows.purchase.scoring import ScoredPurchase, Trade, located
from strategies.attacks.feature_inversion import Inverted, invert
from strategies.features.featurizer import VECTOR_UNITS, Featurizer, prepare
from strategies.features.localisation import localise
from strategies.features.signatures import LATTICE

PUBLIC_PICTURES = 1000
"""Public pictures that the inversion attack compares with, at most."""
NEIGHBOURS = 15
"""Of them that vote on what a picture shows."""
ATTACKED = 500
"""Offers on which an attack is scored, at most."""


@dataclass(frozen=True, eq=False)
class PublicPictures:
    """What an attacker has: labelled pictures of the kind that is traded, and the public model.

    Attributes:
        knows: Whose pictures, in words.
        basic: Whether features are fc8 vectors, as in the paper's basic mode.
        featurizer: With its decoder.
        class_names: What the labels mean.
        labels: (m,)
        pictures: (m, 64, 64, 3)
        features: (m, 2), or (m, D) in the basic mode.
    """

    knows: str
    basic: bool
    featurizer: Featurizer
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    features: NDArray[np.int64]

    def decode(self, features: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the fc8 features that features stand for."""
        if not self.basic:
            return self.featurizer.decode(features)
        fc8: NDArray[np.float32] = (features / VECTOR_UNITS).astype(np.float32)
        return fc8

    def featurise(self, pictures: Iterable[Pixels]) -> NDArray[np.int64]:
        """Return the features of pictures."""
        return self.featurizer.vectors(pictures) if self.basic else self.featurizer.features(pictures)

    def exactly(self) -> "PublicPictures":
        """Return the same for fc8 vectors: what is attacked where nothing is blurred or left out."""
        features = self.featurizer.vectors(self.pictures)
        return replace(self, basic=True, features=features)


@functools.lru_cache(maxsize=2)
def public_pictures(dataset: str, featurizer: Featurizer, basic: bool = False) -> PublicPictures | None:
    """Return the public pictures of a data set, none of which is traded; None where there are none."""
    if dataset == "pets":
        names, labels = pets.BREEDS, np.resize(np.arange(len(pets.BREEDS)), PUBLIC_PICTURES)
        drawn = pets.draw(labels, 64, torch_generator(0, "public pictures"), "public")
    elif dataset == "digits":
        scans, labels = digits.read("public")
        names, drawn = digits.CLASSES, np.stack([prepare(scan) for scan in scans])
    else:
        return None
    knows = f"{len(drawn):,} public pictures, the public model and its decoder"
    features = featurizer.vectors(drawn) if basic else featurizer.features(drawn)
    return PublicPictures(knows, basic, featurizer, names, labels, drawn, features)


def known_to_attackers(scored: ScoredPurchase) -> PublicPictures | None:
    """Return the pictures that the inversion attack on a purchase may use.

    They are public ones of the data set. Of a user's own folder they are those of every second seller, as if they were
    public, and only pictures of the others are attacked. None where there are no labels, and for a featurizer that is
    too slow to run over a thousand pictures in passing.
    """
    cloud, names = scored.scenario.cloud, scored.world.class_names
    basic = cloud.privacy is Privacy.BASIC
    if cloud.featurizer != "small":
        return None
    if scored.world.cohort is not None:
        return _of_cohort(scored.world.cohort, scored.featurizer, basic)
    if not scored.scenario.sellers.album.folder:
        return public_pictures(scored.scenario.dataset, scored.featurizer, basic)
    known = [(held, image) for held in scored.world.sellers[::2] for image in np.flatnonzero(held.labels >= 0).tolist()]
    known = known[:PUBLIC_PICTURES]
    if not names or len(known) < NEIGHBOURS:
        return None
    pictures = np.stack([prepare(held.party.album[image]) for held, image in known])
    labels = np.array([held.labels[image] for held, image in known], dtype=np.int64)
    features = scored.featurizer.vectors(pictures) if basic else scored.featurizer.features(pictures)
    knows = f"{len(known):,} pictures of every second seller with their classes, the public model and its decoder"
    return PublicPictures(knows, basic, scored.featurizer, names, labels, pictures, features)


def _of_cohort(cohort: Cohort, featurizer: Featurizer, basic: bool) -> PublicPictures:
    some = cohort.public.part(slice(PUBLIC_PICTURES))
    pictures = np.stack([prepare(picture) for picture in some.pictures])
    features = featurizer.vectors(some.pictures) if basic else featurizer.features(some.pictures)
    knows = f"{count(len(some), 'public image')}, the public model and its decoder"
    return PublicPictures(knows, basic, featurizer, cohort.classes, cohort.classes_of(some), pictures, features)


def attackable(scored: ScoredPurchase) -> list[Trade]:
    """Return some of the offers whose class is known and which the attacker does not have, spread over all of them."""
    if not scored.scenario.sellers.album.folder:
        return sampled(scored.trades, scored.world.class_names)
    known = {id(held) for held in scored.world.sellers[::2]}
    return sampled([trade for trade in scored.trades if id(trade.held) not in known], scored.world.class_names)


def bids_in(view: View, senders: Container[int] | None = None) -> list[Bid]:
    """Return the bids that a party received, from all or from some."""
    messages = (message for _, message in view.received(senders) if isinstance(message, Bids))
    return [signed.bid for message in messages for signed in message.bids]


def seen_features(bids: Sequence[Bid], call: CallForBids) -> NDArray[np.int64]:
    """Return the feature of each bid as the cloud knows it: as it was sent, or by the localisation attack, (n, 2)."""
    if all(bid.feature is not None for bid in bids):
        return np.array([bid.feature for bid in bids], dtype=np.int64).reshape(len(bids), -1)
    signatures = np.array([bid.signature_points for bid in bids], dtype=np.uint16)
    return np.rint(localise(signatures, call.salt, call.terms.reach)).astype(np.int64).clip(0, LATTICE - 1)


def invert_bids(bids: Sequence[Bid], call: CallForBids, public: PublicPictures) -> Inverted:
    """Guess what the pictures on offer show and how they look."""
    return invert_features(seen_features(bids, call), public)


def invert_features(features: NDArray[np.int64], public: PublicPictures) -> Inverted:
    """Guess what pictures with these features show and how they look."""
    return invert(features, public.decode, public.features, public.labels, public.pictures, NEIGHBOURS)


def sampled(traded: Sequence[Trade], class_names: tuple[str, ...]) -> list[Trade]:
    """Return some of the trades whose class is known, spread evenly over all of them."""
    known = [trade for trade in traded if trade.held.labels[trade.image] >= 0 and class_names]
    return [known[index] for index in np.linspace(0, len(known) - 1, min(len(known), ATTACKED)).astype(int)]


def named_rightly(
    inverted: Inverted, public: PublicPictures, traded: Sequence[Trade], class_names: tuple[str, ...]
) -> Guesses:
    """Say which guesses name the class of a picture; guess i is about trade i."""
    true = [class_names[trade.held.labels[trade.image]] for trade in traded]
    hits = [public.class_names[guess] == name for guess, name in zip(inverted.labels, true, strict=True)]
    return Guesses.of(hits, [trade.offer.seller for trade in traded])


def most_frequent(traded: Sequence[Trade]) -> float:
    """Return the success of always naming the class that is most frequent among pictures."""
    return float(np.bincount([trade.held.labels[trade.image] for trade in traded]).max()) / len(traded)


def likeness(inverted: Inverted, public: PublicPictures, traded: Sequence[Trade]) -> Estimate:
    """Return the share of the pixels' variance that the attack's pictures explain.

    1 is the very picture, 0 no better than showing the mean of the public pictures each time, below 0 worse.
    """
    dull = public.pictures.mean(axis=0)
    errors = np.empty((len(traded), 2))
    for index, trade in enumerate(traded):
        picture = prepare(trade.picture).astype(np.float64)
        errors[index] = ((picture - inverted.pictures[index]) ** 2).mean(), ((picture - dull) ** 2).mean()
    return mean(1 - errors[:, 0] / errors[:, 1].mean(), [trade.offer.seller for trade in traded])


def learned(scored: ScoredPurchase, cloud_view: View) -> list[Learned]:
    """Say what each party learned, by observer."""
    record, traded = scored.record, scored.trades
    bought = sum(trade.offer.paid for trade in traded)
    opened = sum(trade.offer.receipt is not None for trade in traded)
    disputed = sum(trade.offer.verdict is not None for trade in traded)
    lines = [
        Learned(
            observer="sellers", what="the buyer's samples", detail=f"all {len(scored.world.samples)}{_size(record)}"
        ),
        Learned(observer="sellers", what="the buyer's budget, quality and name", detail="nothing"),
        Learned(observer="sellers", what="other sellers' bids", detail="nothing"),
        Learned(observer="buyer", what="images", detail=f"the {opened} that were delivered, {bought} of them paid for"),
        Learned(
            observer="buyer",
            what="sellers' names",
            detail="none: each image has its own key; but who asks one price for all its images links them by it",
        ),
        Learned(observer="buyer", what="prices", detail=f"of {count(len(record.winners), 'selected image')}"),
        Learned(observer="cloud", what="images", detail=f"{disputed} (only those in dispute), and the samples"),
        Learned(
            observer="cloud", what="prices, and who offers them", detail=f"of {count(len(record.offers), 'offer')}"
        ),
    ]
    return [*lines, _localisation(record, traded, cloud_view), *_inversion(scored, cloud_view)]


def _localisation(record: PurchaseRecord, traded: list[Trade], view: View) -> Learned:
    """Measure how well the cloud can place images in the feature plane, by attacking its own view."""
    what = "features of images on offer"
    if record.call is None or not traded:
        return Learned(observer="cloud", what=what, detail="nothing: there was no bid")
    if record.call.terms.privacy is Privacy.BASIC:
        dimensions = record.targets.shape[1]
        detail = f"all {len(traded):,}, exactly: the whole fc8 vectors of {dimensions:,} numbers (basic mode)"
        return Learned(observer="cloud", what=what, detail=detail)
    if record.call.terms.privacy is Privacy.LEVEL1:
        return Learned(observer="cloud", what=what, detail=f"all {len(traded):,}, exactly (level 1)")
    checked = located(traded)
    guesses = seen_features(seen_bids(view, checked), record.call)
    errors = np.linalg.norm(guesses - np.array([trade.feature for trade in checked]), axis=1)
    radius = record.call.terms.radius
    return Learned(
        observer="cloud",
        what=what,
        detail=(
            f"{len(traded):,} by their signatures: the localisation attack has a median error of "
            f"{np.median(errors):.0f} lattice units{_of(checked, traded)}, "
            f"{percent(float(np.median(errors)) / radius)} of R (95 % within {np.quantile(errors, 0.95):.0f}). Level 2 "
            "blurs features, it does not hide them."
        ),
    )


def seen_bids(view: View, traded: Sequence[Trade]) -> list[Bid]:
    """Return the bids behind some trades as they are in a view."""
    seen = {bid.pseudonym: bid for bid in bids_in(view, {trade.offer.seller for trade in traded})}
    return [seen[trade.offer.bid.bid.pseudonym] for trade in traded]


def _of(checked: Sequence[Trade], traded: Sequence[Trade]) -> str:
    return "" if len(checked) == len(traded) else f" on the {len(checked):,} that were checked"


def _inversion(scored: ScoredPurchase, view: View) -> Iterator[Learned]:
    """Measure what the cloud can tell of pictures on offer from their features, by attacking its own view."""
    record, names = scored.record, scored.world.class_names
    public, traded = known_to_attackers(scored), attackable(scored)
    if record.call is None or public is None or not traded:
        return
    inverted = invert_bids(seen_bids(view, traded), record.call, public)
    found, like = named_rightly(inverted, public, traded, names).rate, likeness(inverted, public, traded)
    yield Learned(
        observer="cloud",
        what="classes of images on offer",
        detail=(
            f"the inversion attack (knows {public.knows}) has an accuracy of {interval(found, 1)} on "
            f"{count(len(traded), 'image')}; majority-class baseline {percent(most_frequent(traded))}. Its "
            f"reconstructions explain {percent(like.value)} of the pixels' variance."
        ),
    )


def _size(record: PurchaseRecord) -> str:
    if record.call is None:
        return ""
    height, width, _ = record.call.samples[0].shape
    return f", at {width} x {height}"
