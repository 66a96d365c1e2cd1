"""From bids to winners: matched-image decision, then the mechanism that serves the wanted quality.

CrowdBuy, section IV.A (decision), IV.C (selection and payments) and V.C (the same on signatures).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strategies.features.coverage import SignaturePoints, Squares
from strategies.features.matching import is_candidate, matching_degree
from strategies.features.signatures import centroids
from strategies.mechanisms import Award, chen_gravin_lu, descending_clock, singer

MATCHING_UNIT = 1 << 16
"""Matching degrees enter the mechanisms as integers in units of 1 / 65,536, so that ratios compare exactly."""

DEFAULT_MECHANISMS = {"quantity": "singer", "matching": "chen-gravin-lu", "diversity": "descending-clock"}


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
) -> Selection:
    """Choose images of one quality within a budget.

    Args:
        targets: (m, D); features of the buyer's samples, the target centroids O.
        quality: ``quantity`` (`singer`), ``matching`` (`chen_gravin_lu`) or ``diversity`` (`descending_clock`; needs D
            = 2: the union of hypercubes in 1,000 dimensions cannot be computed, section IV.D).
        budget: What payments may add up to, minor units, commission already set aside.
        radius, reach: The paper's R and d, in the features' units.
        ranks: (n,); public order of the offers, fixed before bidding; breaks ties.

    Returns:
        Payments add up to at most `budget`; each is at least the winner's declared price.

    Raises:
        ValueError: When there is no such quality, or diversity is wanted of features of other than two dimensions.
    """
    points = offers.points
    exact = offers.features is not None
    matched = is_candidate(points, targets, radius, exclude_zero=exact)
    candidates = np.flatnonzero(matched).astype(np.int64)
    prices, order = offers.prices[candidates], ranks[candidates]
    if quality == "quantity":
        award = singer(prices, budget, order)
    elif quality == "matching":
        degrees = np.rint(matching_degree(points[candidates], targets, radius) * MATCHING_UNIT).astype(np.int64)
        award = chen_gravin_lu(degrees, prices, budget, order)
    elif quality == "diversity":
        award = _diversity(offers, candidates, reach, prices, budget, order)
    else:
        raise ValueError(f"there is no quality {quality!r}; choose quantity, matching or diversity")
    return Selection(candidates, candidates[award.winners], award.payments)


def tie_ranks(seed: bytes, keys: Sequence[bytes]) -> NDArray[np.int64]:
    """Rank offers in an order that no party can choose: by SHA-256 of a seed fixed before bidding and the key."""
    hashes = [hashlib.sha256(seed + key).digest() for key in keys]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(keys)), key=hashes.__getitem__)] = np.arange(len(keys))
    return ranks


def _diversity(
    offers: Offers,
    candidates: NDArray[np.int64],
    reach: int,
    prices: NDArray[np.int64],
    budget: int,
    ranks: NDArray[np.int64],
) -> Award:
    coverage: Squares | SignaturePoints
    if offers.features is not None:
        if offers.features.shape[1] != 2:
            raise ValueError(f"diversity needs features of 2 dimensions, not {offers.features.shape[1]}")
        coverage = Squares(offers.features[candidates], reach)
    else:
        assert offers.signatures is not None
        coverage = SignaturePoints(offers.signatures[candidates])
    return descending_clock(coverage, prices, budget, np.argsort(ranks, kind="stable"))
