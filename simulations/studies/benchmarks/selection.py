"""The time to select winners and payments among a million bids, for each dataset quality."""

import numpy as np
from numpy.typing import NDArray

from simulations.studies.benchmarks.measurement import Measurement, median_seconds
from strategies.features.coverage import SignaturePoints, Squares
from strategies.features.matching import is_candidate, matching_degree
from strategies.features.signatures import signature_table
from strategies.mechanisms import MECHANISMS, Market, chen_gravin_lu, descending_clock, singer

SIZES = (13_000, 100_000, 1_000_000)  # the paper's own size first
RADIUS, REACH, SIZE = 4000, 300, 4
BUDGET = 500_000
TURNS = 3


def measure() -> list[Measurement]:
    """Time every mechanism, payments included, on images of ten categories; medians, in one thread.

    Features are drawn around ten samples, within R = 4000 of them, which holds 80 % of a category. Costs are uniform
    with mean 1.00 and standard deviation 0.40; the budget is 5000.00.
    """
    _time(1000)  # compiles
    return [measurement for bids in SIZES for measurement in _time(bids)]


def _time(bids: int) -> list[Measurement]:
    generator = np.random.default_rng(bids)
    features, samples = _features(bids, generator)
    costs = np.rint(generator.uniform(31, 169, bids)).astype(np.int64)
    degrees = np.rint(65536 * matching_degree(features, samples, RADIUS)).astype(np.int64)
    order = generator.permutation(bids)
    squares = Squares(features, REACH)
    points = SignaturePoints(signature_table(b"benchmark", REACH, SIZE).sign(features))
    at_most = {1_000_000: (0.5, 0.5, 2.0)}.get(bids, (None, None, None))
    exact = {13_000: 1.0, 100_000: 4.0, 1_000_000: 60.0}.get(bids)
    market = Market(squares, costs, BUDGET, order)
    return [
        Measurement(
            f"quantity, {bids:,} bids", median_seconds(TURNS, lambda _: singer(costs, BUDGET, order)), "s", at_most[0]
        ),
        Measurement(
            f"matching degree, {bids:,} bids",
            median_seconds(TURNS, lambda _: chen_gravin_lu(degrees, costs, BUDGET, order)),
            "s",
            at_most[1],
        ),
        Measurement(
            f"diversity, {bids:,} bids",
            median_seconds(TURNS, lambda _: descending_clock(squares, costs, BUDGET, order)),
            "s",
            at_most[2],
        ),
        Measurement(
            f"diversity by beacon, {bids:,} bids",
            median_seconds(1 if bids > 100_000 else TURNS, lambda _: MECHANISMS["beacon"].award(market)),
            "s",
            exact,
        ),
        Measurement(
            f"diversity on signatures, {bids:,} bids",
            median_seconds(TURNS, lambda _: descending_clock(points, costs, BUDGET, order)),
            "s",
        ),
    ]


def _features(bids: int, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw candidate features around ten samples."""
    samples = generator.integers(16_000, 46_000, (10, 2))
    spread = RADIUS / np.sqrt(2 * np.log(5))
    drawn = np.rint(samples[generator.integers(0, 10, 2 * bids)] + generator.normal(0, spread, (2 * bids, 2)))
    return drawn[is_candidate(drawn, samples, RADIUS)][:bids].astype(np.int64), samples
