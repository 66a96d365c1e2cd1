"""Attacks as functions of what a party received and of public knowledge; only their scores see the truth."""

import functools
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parties.purchase.record import PurchaseRecord
from protocol.messages.purchase import Bid, Bids, CallForBids, Privacy
from simulations.data import digits, pets
from simulations.reports.model import Learned
from simulations.reports.words import count, percent
from simulations.runs.seeding import numpy_generator, torch_generator
from simulations.runs.views import View
from simulations.workflows.purchase.scoring import ScoredPurchase, Trade, located
from strategies.attacks.feature_inversion import Inverted, invert
from strategies.features.featurizer import Featurizer, prepare
from strategies.features.localisation import localise
from strategies.features.signatures import LATTICE

PUBLIC_PICTURES = 1000
"""Public pictures that the inversion attack compares with."""
ATTACKED = 500
"""Offers on which an attack is scored, at most."""


@dataclass(frozen=True, eq=False)
class PublicPictures:
    """What anybody knows: labelled pictures of the kind that is traded, none of which is, and the public model.

    Attributes:
        featurizer: With its decoder.
        class_names: What the labels mean.
        labels: (m,)
        pictures: (m, 64, 64, 3)
        features: (m, 2)
    """

    featurizer: Featurizer
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    pictures: NDArray[np.uint8]
    features: NDArray[np.int64]


@functools.lru_cache(maxsize=1)
def public_pictures(dataset: str, featurizer: Featurizer) -> PublicPictures | None:
    """Return the public pictures of a data set, None where there are none."""
    if dataset == "pets":
        names, labels = pets.BREEDS, np.resize(np.arange(len(pets.BREEDS)), PUBLIC_PICTURES)
        drawn = pets.draw(labels, 64, torch_generator(0, "public pictures"), "public")
    elif dataset == "digits":
        scans, labels = digits.read("public")
        names, drawn = digits.CLASSES, np.stack([prepare(scan) for scan in scans])
    else:
        return None
    return PublicPictures(featurizer, names, labels, drawn, featurizer.features(drawn))


def known_to_attackers(scored: ScoredPurchase) -> PublicPictures | None:
    """Return the public pictures that the inversion attack on a purchase may use.

    None where there are none: for people's own folders, in basic mode (whose vectors it is not written for) and for a
    featurizer that is too slow to run over a thousand pictures in passing.
    """
    cloud = scored.scenario.cloud
    if scored.scenario.sellers.album.folder or cloud.privacy is Privacy.BASIC or cloud.featurizer != "small":
        return None
    return public_pictures(scored.scenario.dataset, scored.featurizer)


def bids_in(view: View, senders: Container[int] | None = None) -> list[Bid]:
    """Return the bids that a party received, from all or from some."""
    messages = (message for _, message in view.received(senders) if isinstance(message, Bids))
    return [signed.bid for message in messages for signed in message.bids]


def seen_features(bids: Sequence[Bid], call: CallForBids) -> NDArray[np.int64]:
    """Return the feature of each bid as the cloud knows it: as it was sent, or by the localisation attack, (n, 2)."""
    if all(bid.feature is not None for bid in bids):
        return np.array([bid.feature for bid in bids], dtype=np.int64).reshape(-1, 2)
    signatures = np.array([bid.signature_points for bid in bids], dtype=np.uint16)
    return np.rint(localise(signatures, call.salt, call.terms.reach)).astype(np.int64).clip(0, LATTICE - 1)


def invert_bids(bids: Sequence[Bid], call: CallForBids, public: PublicPictures) -> Inverted:
    """Guess what the pictures on offer show and how they look."""
    return invert(seen_features(bids, call), public.featurizer.decode, public.features, public.labels, public.pictures)


@dataclass(frozen=True)
class Estimate:
    """A share and its 95 % bootstrap confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{percent(self.value)} (95 % interval: {100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class InversionScore:
    """How well the inversion attack did, by the truth.

    Attributes:
        offers: Pictures it was scored on.
        named: Share of them whose class it names.
        guessed: The same of always guessing the class that is most frequent among them.
        likeness: Share of the pixels' variance that its pictures explain: 1 is the very picture, 0 no better than
            showing the mean of the public pictures each time, below 0 worse.
    """

    offers: int
    named: Estimate
    guessed: float
    likeness: Estimate


def sampled(traded: Sequence[Trade], class_names: tuple[str, ...]) -> list[Trade]:
    """Return some of the trades whose class is known, spread evenly over all of them."""
    known = [trade for trade in traded if trade.held.labels[trade.image] >= 0 and class_names]
    return [known[index] for index in np.linspace(0, len(known) - 1, min(len(known), ATTACKED)).astype(int)]


def score_inversion(
    inverted: Inverted, public: PublicPictures, traded: Sequence[Trade], class_names: tuple[str, ...]
) -> InversionScore:
    """Compare the attack's guesses with the truth; guess i is about trade i, and there is at least one."""
    true = [class_names[trade.held.labels[trade.image]] for trade in traded]
    hits = np.array([public.class_names[guess] == name for guess, name in zip(inverted.labels, true, strict=True)])
    mean = public.pictures.mean(axis=0)
    errors = np.empty((len(traded), 2))
    for index, trade in enumerate(traded):
        picture = prepare(trade.picture).astype(np.float64)
        errors[index] = ((picture - inverted.pictures[index]) ** 2).mean(), ((picture - mean) ** 2).mean()
    draws = numpy_generator(0, "bootstrap").integers(0, len(traded), (1000, len(traded)))
    resampled = errors[draws].mean(axis=1)
    return InversionScore(
        len(traded),
        Estimate(float(hits.mean()), *np.quantile(hits[draws].mean(axis=1), (0.025, 0.975)).tolist()),
        max(true.count(name) for name in set(true)) / len(true),
        Estimate(
            float(1 - errors[:, 0].mean() / errors[:, 1].mean()),
            *np.quantile(1 - resampled[:, 0] / resampled[:, 1], (0.025, 0.975)).tolist(),
        ),
    )


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
            detail="none, nor which images share a seller: each has its own key",
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
    guesses = seen_features(_seen(view, checked), record.call)
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


def _seen(view: View, traded: Sequence[Trade]) -> list[Bid]:
    """Return the bids behind some trades as they are in a view."""
    seen = {bid.pseudonym: bid for bid in bids_in(view, {trade.offer.seller for trade in traded})}
    return [seen[trade.offer.bid.bid.pseudonym] for trade in traded]


def _of(checked: Sequence[Trade], traded: Sequence[Trade]) -> str:
    return "" if len(checked) == len(traded) else f" on the {len(checked):,} that were checked"


def _inversion(scored: ScoredPurchase, view: View) -> Iterator[Learned]:
    """Measure what the cloud can tell of pictures on offer from their features, by attacking its own view."""
    record, names = scored.record, scored.world.class_names
    public = known_to_attackers(scored)
    traded = sampled(scored.trades, names)
    if record.call is None or public is None or not traded:
        return
    inverted = invert_bids(_seen(view, traded), record.call, public)
    found = score_inversion(inverted, public, traded, names)
    yield Learned(
        observer="cloud",
        what="classes of images on offer",
        detail=(
            f"the inversion attack (public decoder, public images) has an accuracy of {found.named} on "
            f"{count(found.offers, 'image')}; majority-class baseline {percent(found.guessed)}. Its reconstructions "
            f"explain {found.likeness} of the pixels' variance."
        ),
    )


def _size(record: PurchaseRecord) -> str:
    if record.call is None:
        return ""
    height, width, _ = record.call.samples[0].shape
    return f", at {width} x {height}"
