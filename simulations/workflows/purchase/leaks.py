"""What leaks of pictures in a purchase beyond what parties are meant to learn, as rows of the report."""

from collections.abc import Iterable, Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from protocol.messages.purchase import CallForBids, Invoice, Privacy
from simulations.evaluation import Guesses, leak, mean, proportion, ranked, utility
from simulations.reports.evaluation import NOTHING, Leak, Promise, Utility
from simulations.runs.seeding import numpy_generator, secret
from simulations.runs.views import View
from simulations.workflows.purchase.attacks import (
    attackable,
    invert_bids,
    invert_features,
    known_to_attackers,
    likeness,
    most_frequent,
    named_rightly,
    seen_bids,
)
from simulations.workflows.purchase.collusion.linking import link
from simulations.workflows.purchase.scoring import ScoredPurchase, located
from strategies.features.localisation import localise_over_requests
from strategies.features.signatures import on_lattice, signature_table

REQUESTS = (1, 2, 5, 10)
"""Of how many requests with fresh salts the localisation attack has the answers."""
LOCATED = 200
"""Offers that are located, at most."""


def method_of(scored: ScoredPurchase) -> str:
    """Return the way of sharing: the level of privacy."""
    return str(scored.scenario.cloud.privacy)


def leaks(scored: ScoredPurchase, cloud_view: View, buyer_view: View, more: Iterable[Leak] = ()) -> list[Leak]:
    """Attack what cloud and buyer received, and score.

    Args:
        more: Rows that are scored elsewhere.
    """
    call = scored.record.call
    if call is None or not scored.trades:
        return []
    return ranked(
        [
            *_inferred(scored, cloud_view, call),
            *_located(scored, call),
            *_linked(scored, buyer_view),
            *_linked_by_both(scored, cloud_view, buyer_view),
            *more,
        ]
    )


def _inferred(scored: ScoredPurchase, view: View, call: CallForBids) -> Iterator[Leak]:
    """The cloud infers what is on offer, from features as it has them; undefended they are fc8 vectors."""
    public, traded, names = known_to_attackers(scored), attackable(scored), scored.world.class_names
    if public is None or not traded:
        return
    inverted = invert_bids(seen_bids(view, traded), call, public)
    ceiling = None
    if not public.basic:
        exactly = public.exactly()
        bare = invert_features(exactly.featurise(trade.picture for trade in traded), exactly)
        ceiling = named_rightly(bare, exactly, traded, names)
    yield leak(
        method_of(scored), "the cloud", "inference", "the class of an image on offer",
        attack="inversion: the nearest known pictures vote", knows=public.knows,
        shared=named_rightly(inverted, public, traded, names), baseline=most_frequent(traded), ceiling=ceiling,
        measures={"explained variance": likeness(inverted, public, traded)},
    )  # fmt: skip


def _located(scored: ScoredPurchase, call: CallForBids) -> Iterator[Leak]:
    """The cloud locates features behind signatures, from one request and from several."""
    if call.terms.privacy is not Privacy.LEVEL2:
        return
    known = [trade for trade in located(scored.trades) if trade.held.adversary is None]  # others sign what they like
    known = [known[index] for index in np.linspace(0, len(known) - 1, min(len(known), LOCATED)).astype(int)]
    points = np.array([trade.feature for trade in known], dtype=np.int64).reshape(-1, 2)
    inside = on_lattice(points)
    points, sellers = points[inside], np.array([trade.offer.seller for trade in known])[inside]
    if not len(points):
        return
    tolerance = scored.featurizer.calibration.tolerance
    reach, size = call.terms.reach, call.terms.signature_size
    salts = [call.salt, *(secret(scored.scenario.seed, "salt", number)[:16] for number in range(1, max(REQUESTS)))]
    signatures = [signature_table(salt, reach, size).sign(points) for salt in salts]
    for requests in REQUESTS:
        guesses = localise_over_requests(signatures[:requests], salts[:requests], reach)
        away = np.linalg.norm(guesses - points, axis=1)
        yield leak(
            method_of(scored), "the cloud", "reconstruction", "the feature of an image on offer, within the tolerance",
            attack=f"localisation over {requests} request{'' if requests == 1 else 's'}",
            knows="the salts" if requests == 1 else "the salts; sellers sign the same images anew for each request",
            budget=float(requests),
            shared=Guesses.of(np.abs(guesses - points).max(axis=1) <= tolerance, sellers),
            baseline=proportion(np.abs(points - np.median(points, axis=0)).max(axis=1) <= tolerance, sellers),
            ceiling=Guesses.of(np.ones(len(points)), sellers),
            measures={"error, lattice units": mean(away, sellers)},
        )  # fmt: skip


def _linked(scored: ScoredPurchase, view: View) -> Iterator[Leak]:
    """The buyer says of pairs of images whether they share a seller: they do where they have the same price."""
    owners = {trade.offer.bid.bid.image_commitment: trade.offer.seller for trade in scored.trades}
    invoices = [message for _, message in view.received() if isinstance(message, Invoice)]
    items = [item.bid.bid for each in invoices for item in each.items if item.bid.bid.image_commitment in owners]
    prices = np.array([bid.price for bid in items])
    sellers = np.array([owners[bid.image_commitment] for bid in items])
    pairs = np.array(list(combinations(range(len(items)), 2)), dtype=np.int64).reshape(-1, 2)
    together = sellers[pairs[:, 0]] == sellers[pairs[:, 1]]
    if not together.any() or together.all():
        return
    apart = np.flatnonzero(~together)
    count = min(int(together.sum()), len(apart))
    generator = numpy_generator(scored.scenario.seed, "pairs")
    chosen = np.concatenate([
        generator.permutation(np.flatnonzero(together))[:count], generator.permutation(apart)[:count]
    ])  # fmt: skip
    said = same_price(prices)
    yield leak(
        method_of(scored), "the buyer", "linkability", "whether two bought images share a seller",
        attack="the same price", knows="nothing more",
        shared=Guesses.of((said == together)[chosen], sellers[pairs[chosen, 0]]), baseline=0.5,
        measures={
            "recall": proportion(said[together]),
            **({"precision": proportion(together[said])} if said.any() else {}),
        },
    )  # fmt: skip


def same_price(prices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say of all pairs of images, in the order of `itertools.combinations`, whether they have the same price.

    Examples:
        >>> same_price(np.array([5, 7, 5])).tolist()
        [False, True, False]
    """
    first, second = np.triu_indices(len(prices), 1)
    return np.asarray(prices[first] == prices[second])


def _linked_by_both(scored: ScoredPurchase, cloud_view: View, buyer_view: View) -> Iterator[Leak]:
    """Cloud and buyer together say who sold each picture, where the scenario lets them."""
    named = link(cloud_view, buyer_view) if "cloud-buyer" in scored.scenario.collusion else {}
    found = [trade for trade in scored.trades if trade.offer.bid_id in named]
    if not found:
        return
    sellers = np.array([trade.offer.seller for trade in found])
    yield leak(
        method_of(scored), "the cloud and the buyer together", "linkability", "who sold an image",
        attack="the commitments that both have seen", knows="nothing more",
        shared=Guesses.of([named[trade.offer.bid_id] == trade.offer.seller for trade in found], sellers),
        baseline=float(np.unique(sellers, return_counts=True)[1].max()) / len(sellers),
    )  # fmt: skip


def useful(scored: ScoredPurchase) -> list[Utility]:
    """Say how much of what was bought shows what was asked for, beside the share of that on offer."""
    known = [trade for trade in scored.trades if trade.wanted is not None]
    bought = [trade for trade in known if trade.offer.paid]
    if not bought:
        return []
    share = sum(bool(trade.wanted) for trade in known) / len(known)
    right = Guesses.of([bool(trade.wanted) for trade in bought], [trade.offer.seller for trade in bought])
    return [utility(method_of(scored), "a bought image shows what was asked for", right, share, None)]


def promises(scored: ScoredPurchase) -> list[Promise]:
    """Say what is proven of features: nothing."""
    said = {
        Privacy.BASIC: "features are sent as they are",
        Privacy.LEVEL1: "features of two numbers are sent as they are",
        Privacy.LEVEL2: "signatures blur features by some tens of units, and less with every request",
    }
    epsilon = scored.scenario.sellers.noise_before_hashing
    if epsilon is not None:
        proven = (
            "geo-indistinguishability of features that match: of two that lie r lattice units apart, a signature is at "
            f"most exp({epsilon:g} r) times as likely as of the other, but for a probability of 0.000013, over all "
            "requests, as the noise is drawn once per image; that they match is shown. Images are sealed to keys of "
            "the buyer"
        )
        return [Promise(method=method_of(scored), proven=proven)]
    return [Promise(method=method_of(scored), proven=f"{NOTHING} of features: {said[scored.scenario.cloud.privacy]}; "
                    "images are sealed to keys of the buyer")]  # fmt: skip
