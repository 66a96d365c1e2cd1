"""Attacks as functions of what a party received and of public knowledge; only their scores see the truth."""

import functools
from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.messages.purchase import Bid, Bids, CallForBids, Privacy
from simulations.datasets import digits, pets
from simulations.purchase.scoring import ScoredPurchase, Trade
from simulations.seeding import generator, torch_generator
from simulations.traffic import View
from strategies.featurizer import Featurizer, prepare
from strategies.inversion import Inverted, invert
from strategies.localisation import localise
from strategies.signatures import LATTICE

PUBLIC_PICTURES = 1000
"""Public pictures that the inversion attack compares with."""
ATTACKED = 500
"""Offers on which an attack is scored, at most."""


@dataclass(frozen=True, eq=False)
class PublicPictures:
    """What anybody knows: labelled pictures of the kind that is traded, none of which is, and the public model.

    Attributes
    ----------
    featurizer : Featurizer
        With its decoder.
    class_names : tuple of str
        What the labels mean.
    labels : (m,) int64
    pictures : (m, 64, 64, 3) uint8
    features : (m, 2) int64
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
        return f"{round(100 * self.value)} % (95 % confidence: {round(100 * self.low)} to {round(100 * self.high)})"


@dataclass(frozen=True)
class InversionScore:
    """How well the inversion attack did, by the truth.

    Attributes
    ----------
    offers : int
        Pictures it was scored on.
    named : Estimate
        Share of them whose class it names.
    guessed : float
        The same of always guessing the class that is most frequent among them.
    likeness : Estimate
        Share of the pixels' variance that its pictures explain: 1 is the very picture, 0 no better than showing the
        mean of the public pictures each time, below 0 worse.
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
    draws = generator(0, "bootstrap").integers(0, len(traded), (1000, len(traded)))
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
