"""From bids to winners: matched-image decision, then the mechanism that serves the wanted quality.

CrowdBuy, section IV.A (decision), IV.C (selection and payments) and V.C (the same on signatures).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.features.additive import Additive
from strategies.features.bundles import bundled
from strategies.features.coverage import SignaturePoints, Squares
from strategies.features.matching import is_candidate, matching_degree
from strategies.features.signatures import LATTICE, centroids
from strategies.mechanisms import (
    BUNDLE_MECHANISMS,
    DEFAULT_MECHANISMS,
    MECHANISMS,
    QUALITIES,
    Market,
    Mechanism,
)

CELLS = 8
"""Cells along an image's side in which weighted coverage is counted."""
WEIGHT_UNIT = 1 << 8
"""The worth of a point at a sample; others are worth less in proportion to their matching degree."""
MATCHING_UNIT = 1 << 16
"""Matching degrees enter the mechanisms as integers in units of 1 / 65,536, so that ratios compare exactly."""


@dataclass(frozen=True)
class Offers:
    """What the cloud knows of n images on offer.

    Attributes:
        features: (n, D); fc8 vectors in the basic mode, lattice features (D = 2) at level 1.
        signatures: (n, k, 2); MinHash signatures, at level 2.
        prices: (n,); declared prices, minor units.
    """

    features: NDArray[np.int64] | None
    signatures: NDArray[np.int64] | None
    prices: NDArray[np.int64]

    @property
    def points(self) -> NDArray[np.float64]:
        """Where the cloud takes the images to be: their features, or their signatures' centroids (V.C)."""
        if self.features is not None:
            return self.features.astype(np.float64)
        assert self.signatures is not None
        return centroids(self.signatures.astype(np.uint16))


@dataclass(frozen=True)
class Selection:
    """Which offers match, which of them win, and what each winner is paid.

    Attributes:
        candidates: (c,); indices of the offers that match, ascending.
        winners: (w,); indices of the offers that win, ascending.
        payments: (w,); minor units, one per winner.
    """

    candidates: NDArray[np.int64]
    winners: NDArray[np.int64]
    payments: NDArray[np.int64]


def select(
    offers: Offers,
    targets: NDArray[np.int64],
    *,
    quality: str,
    budget: int,
    radius: int,
    reach: int,
    ranks: NDArray[np.int64],
    mechanism: Mechanism | None = None,
    owners: NDArray[np.int64] | None = None,
    ceiling: int | None = None,
) -> Selection:
    """Choose images of one quality within a budget.

    Args:
        targets: (m, D); features of the buyer's samples, the target centroids O.
        quality: One of `QUALITIES`. Diversity needs D = 2: the union of hypercubes in 1,000 dimensions cannot be
            computed (section IV.D). ``diversity-weighted`` counts what is covered by how well it matches.
        budget: What payments may add up to, minor units, commission already set aside.
        radius, reach: The paper's R and d, in the features' units.
        ranks: (n,); public order of the offers, fixed before bidding; breaks ties.
        mechanism: Decides; None: the quality's default.
        owners: (n,); who offers each image, where sellers are the agents: of one seller all images that match are
            bought, or none. None: images are.
        ceiling: The most that an image may be paid, minor units; of a bundle, on average. None: the budget.

    Returns:
        Payments add up to at most `budget`; each is at least the winner's declared price.

    Raises:
        ValueError: When there is no such quality, the mechanism does not serve it, or diversity is wanted of features
            of other than two dimensions.
    """
    agents = "images" if owners is None else "sellers"
    mechanism = mechanism or default_mechanism(quality, agents)
    if refusal := mechanism.refusal(quality, agents):
        raise ValueError(refusal)
    candidates, value = matching_offers(offers, targets, quality=quality, radius=radius, reach=reach)
    prices, order = offers.prices[candidates], ranks[candidates]
    if owners is None:
        ceilings = np.full(len(candidates), budget if ceiling is None else ceiling, np.int64)
        award = mechanism.award(Market(value, prices, budget, order, ceilings))
        return Selection(candidates, candidates[award.winners], award.payments)
    won, payments = _bundles_won(mechanism, value, prices, budget, order, owners[candidates], ceiling)
    return Selection(candidates, candidates[won], payments)


def matching_offers(
    offers: Offers, targets: NDArray[np.int64], *, quality: str, radius: int, reach: int
) -> tuple[NDArray[np.int64], Additive | Squares | SignaturePoints]:
    """Return which offers match, by their indices, and what sets of these are worth.

    Args:
        targets, quality, radius, reach: As of `select`.

    Raises:
        ValueError: As `select` does.
    """
    points = offers.points
    matched = is_candidate(points, targets, radius, exclude_zero=offers.features is not None)
    candidates = np.flatnonzero(matched).astype(np.int64)
    if quality == "quantity":
        return candidates, Additive(np.ones(len(candidates), np.int64))
    if quality == "matching":
        degrees = matching_degree(points[candidates], targets, radius)
        return candidates, Additive(np.rint(degrees * MATCHING_UNIT).astype(np.int64))
    if quality == "diversity":
        return candidates, _coverage(offers, candidates, reach)
    if quality == "diversity-weighted":
        return candidates, _weighted_coverage(offers, candidates, targets, radius, reach)
    raise ValueError(f"there is no quality {quality!r}; choose one of {', '.join(QUALITIES)}")


def default_mechanism(quality: str, agents: str) -> Mechanism:
    """Return the mechanism of a quality where nobody names one.

    Examples:
        >>> default_mechanism("quantity", "images").name, default_mechanism("quantity", "sellers").name
        ('singer', 'chen-gravin-lu')
    """
    defaults = DEFAULT_MECHANISMS if agents == "images" else BUNDLE_MECHANISMS
    if quality not in defaults:
        raise ValueError(f"there is no quality {quality!r}; choose one of {', '.join(QUALITIES)}")
    return MECHANISMS[defaults[quality]]


def tie_ranks(seed: bytes, keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Rank offers in an order that no party can choose: by SHA-256 of a seed fixed before bidding and the key."""
    hashes = [hashlib.sha256(seed + key).digest() for key in keys]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(keys)), key=hashes.__getitem__)] = np.arange(len(keys))
    return ranks


def _coverage(offers: Offers, candidates: NDArray[np.int64], reach: int) -> Squares | SignaturePoints:
    if offers.features is not None:
        if offers.features.shape[1] != 2:
            raise ValueError(f"diversity needs features of 2 dimensions, not {offers.features.shape[1]}")
        return Squares(offers.features[candidates], reach)
    assert offers.signatures is not None
    return SignaturePoints(offers.signatures[candidates])


def _weighted_coverage(
    offers: Offers, candidates: NDArray[np.int64], targets: NDArray[np.int64], radius: int, reach: int
) -> SignaturePoints:
    """Return what images cover, each point worth its own matching degree, so that what lies beyond R is worth nothing.

    At level 1 the points are the middles of square cells, `CELLS` to an image's side; at level 2 its signature's.
    """
    if offers.features is None:
        assert offers.signatures is not None
        points = places = offers.signatures[candidates]
    else:
        if offers.features.shape[1] != 2:
            raise ValueError(f"diversity needs features of 2 dimensions, not {offers.features.shape[1]}")
        side = max(1, -(-2 * reach // CELLS))
        first = np.maximum(offers.features[candidates] - reach, 0) // side
        cells = np.arange(2 * reach // side)
        points = first[:, None] + np.stack(np.meshgrid(cells, cells, indexing="ij"), -1).reshape(-1, 2)
        places = points * side + side // 2
    degrees = matching_degree(places.reshape(-1, 2), targets, radius).reshape(places.shape[:2])
    return SignaturePoints(points.clip(0, LATTICE - 1), np.rint(degrees * WEIGHT_UNIT).astype(np.int64))


def _bundles_won(
    mechanism: Mechanism,
    value: Additive | Squares | SignaturePoints,
    prices: NDArray[np.int64],
    budget: int,
    ranks: NDArray[np.int64],
    owners: NDArray[np.int64],
    ceiling: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold an auction among sellers; return the images that win, ascending, and what each is paid.

    A bundle asks the sum of its prices, comes in the order where its first image does, and its images share equally
    what it is paid above that.
    """
    _, numbers, sizes = np.unique(owners, return_inverse=True, return_counts=True)
    first = np.full(len(sizes), np.iinfo(np.int64).max)
    np.minimum.at(first, numbers, ranks)
    asked = np.zeros(len(sizes), np.int64)
    np.add.at(asked, numbers, prices)
    ceilings = np.full(len(sizes), budget, np.int64) if ceiling is None else sizes * ceiling
    worth = value.bundled(numbers, len(sizes)) if isinstance(value, Additive) else bundled(value, numbers, len(sizes))
    award = mechanism.award(Market(worth, asked, budget, first, ceilings))
    paid = dict(zip(award.winners.tolist(), award.payments.tolist(), strict=True))
    images, payments = [], []
    for bundle, payment in paid.items():
        members = np.flatnonzero(numbers == bundle)
        each, rest = divmod(payment - int(asked[bundle]), len(members))
        images += members.tolist()
        payments += [int(prices[image]) + each + (place < rest) for place, image in enumerate(members)]
    upward = np.argsort(np.array(images, np.int64), kind="stable")
    return np.array(images, np.int64)[upward], np.array(payments, np.int64)[upward]
