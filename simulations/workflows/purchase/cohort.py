"""What a purchase of a cohort's images leaks and is worth, on the scales on which workflows are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from protocol.compute.workshop import Workshop
from protocol.flower import FIRST_NODE_ID
from protocol.messages.purchase import CallForBids
from simulations.data.cohort import Cohort
from simulations.evaluation import Guesses, leak, utility
from simulations.reports.evaluation import Leak, Utility
from simulations.reports.model import Seen
from simulations.runs.seeding import numpy_generator
from simulations.runs.views import View
from simulations.runs.workshops import finished
from simulations.workflows.purchase.attacks import (
    PublicPictures,
    attackable,
    invert_bids,
    invert_features,
    known_to_attackers,
    seen_bids,
)
from simulations.workflows.purchase.scoring import ScoredPurchase, Trade
from strategies.learning.classifier import classify, train_classifier

BUYER = "the buyer"
SHOWN = 6
"""People whose pictures are shown."""
EPOCHS = 10
FEWEST = 4
"""Bought images to train on, at least."""


def people_of(traded: Sequence[Trade]) -> NDArray[np.int64]:
    """Return which person of the cohort offers each image."""
    return np.array([trade.offer.seller - FIRST_NODE_ID - 1 for trade in traded], dtype=np.int64)


def named(
    device: torch.device,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    others: NDArray[np.uint8],
    seed: int,
) -> NDArray[np.int64]:
    """Return what a CNN names in some pictures that learned from others, (m,): a workshop's job."""
    generator = torch.Generator().manual_seed(seed)
    network = train_classifier(pictures, labels, 2, generator, device=device, epochs=EPOCHS)
    return classify(network, others)


def leaks_of_cohort(
    method: str, scored: ScoredPurchase, view: View, call: CallForBids, workshop: Workshop
) -> Iterator[Leak]:
    """Score what cloud and buyer learn of the private attribute, and what the buyer sees because it buys it."""
    cohort, traded, public = scored.world.cohort, attackable(scored), known_to_attackers(scored)
    assert cohort is not None
    if not traded:
        return
    has = np.array([trade.held.labels[trade.image] % 2 for trade in traded])
    majority, people = float(max(has.mean(), 1 - has.mean())), people_of(traded)
    what = f"whether an image shows {cohort.private.replace('_', ' ').lower()}"
    if public is not None:
        private = replace(public, labels=public.labels % 2)
        guesses = invert_bids(seen_bids(view, traded), call, private).labels
        ceiling = None
        if not public.basic:
            exactly = _exactly(cohort, private)
            bare = invert_features(exactly.featurise(trade.picture for trade in traded), exactly)
            ceiling = Guesses.of(bare.labels == has, people)
        yield leak(
            method, "the cloud", "inference", what, attack="inversion: the nearest known pictures vote",
            knows=public.knows, shared=Guesses.of(guesses == has, people), baseline=majority, ceiling=ceiling,
        )  # fmt: skip
    paid = np.array([trade.offer.paid for trade in traded])
    known = cohort.public
    job = workshop.submit(
        named, known.pictures, known.column(cohort.private).astype(np.int64), _pictures(traded),
        int(numpy_generator(scored.scenario.seed, "buyer's recogniser").integers(2**62)),
    )  # fmt: skip
    shows = finished(workshop, [job], "looking at what was bought")[0].result()
    usual = int(known.column(cohort.private).mean() >= 0.5)
    said = np.where(paid, shows, usual)
    yield leak(
        method, BUYER, "inference", what, attack="a CNN on what it bought; of the rest, the more frequent",
        knows="public images with the attribute", shared=Guesses.of(said == has, people), baseline=majority,
        ceiling=Guesses.of(shows == has, people),
    )  # fmt: skip
    yield leak(
        method, BUYER, "reconstruction", "an image on offer, as it is", attack="none: it buys some", knows="",
        shared=Guesses.of(paid, people), baseline=0.0, ceiling=Guesses.of(np.ones(len(traded)), people),
    )  # fmt: skip


def _exactly(cohort: Cohort, public: PublicPictures) -> PublicPictures:
    features = public.featurizer.vectors(cohort.public.pictures[: len(public.labels)])
    return replace(public, basic=True, features=features)


def _pictures(traded: Sequence[Trade]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(trade.picture) for trade in traded])


def worth_of_cohort(method: str, scored: ScoredPurchase, workshop: Workshop) -> list[Utility]:
    """Say how well a CNN does the task that learned from what was bought, and one that learned from all images.

    The buyer sees what it bought, and labels it.
    """
    cohort = scored.world.cohort
    assert cohort is not None
    bought = [trade for trade in scored.trades if trade.offer.paid]
    labels = np.array([trade.held.labels[trade.image] // 2 for trade in bought], dtype=np.int64)
    truth = cohort.fresh.column(cohort.task).astype(np.int64)
    majority = float(max(truth.mean(), 1 - truth.mean()))
    seed = int(numpy_generator(scored.scenario.seed, "worth").integers(2**62))
    jobs = [
        workshop.submit(
            named, cohort.shared.pictures, cohort.shared.column(cohort.task).astype(np.int64), cohort.fresh.pictures,
            seed,
        )
    ]  # fmt: skip
    if len(bought) >= FEWEST:
        jobs.append(workshop.submit(named, _pictures(bought), labels, cohort.fresh.pictures, seed))
    ceiling, *own = (
        Guesses.of(end.result() == truth, cohort.fresh.persons)
        for end in finished(workshop, jobs, "training on what was bought")
    )
    usual = int(cohort.public.column(cohort.task).mean() >= 0.5)
    right = own[0] if own else Guesses.of(truth == usual, cohort.fresh.persons)
    return [utility(method, f"the task, by a CNN on the {len(bought):,} bought images", right, majority, ceiling)]


def seen_of_cohort(scored: ScoredPurchase, view: View, call: CallForBids) -> Seen | None:
    """Return what the cloud makes of the first people's first images on offer."""
    public = known_to_attackers(scored)
    first: dict[int, Trade] = {}
    for trade, person in zip(scored.trades, people_of(scored.trades).tolist(), strict=True):
        if person < SHOWN and (person not in first or trade.image < first[person].image):
            first[person] = trade
    if public is None or not first:
        return None
    inverted = invert_bids(seen_bids(view, list(first.values())), call, public)
    return Seen(
        "the cloud",
        "inversion: the mean of the nearest known pictures",
        dict(zip(first, inverted.pictures, strict=True)),
    )
