"""CrowdBuy's Figs. 7 to 9: what each quality buys at the paper's size, beside its rule as written and a bound.

13,000 images match the ten samples, the budget is 5,000 coins and prices have mean 1 and variance 0.4 (section VI.C).
The paper's features cannot be had without its photographs: ours are drawn around ten samples, normal in each number,
such that 80 % of a category lie within R of its centroid, as the paper measures.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from parties.workflow import Progress
from protocol.compute.workshop import Workshop
from simulations.reports.model import versions
from simulations.reports.reproduction import Cell, Claim, Interval, ReproductionReport, Row, judge
from simulations.reports.words import percent
from simulations.runs.seeding import numpy_generator, secret
from strategies.features.coverage import SignaturePoints, Squares
from strategies.features.matching import is_candidate, matching_degree
from strategies.features.signatures import signature_table
from strategies.mechanisms import MECHANISMS, Market
from strategies.mechanisms.selection import Offers, select

OFFERED, SAMPLES, COIN = 13_000, 10, 100
BUDGET, VARIANCE, FLOOR = 5_000 * COIN, 0.4, 0.05
RADIUS, REACH, SIZE = 4000, 300, 4
"""The paper's R, d and k."""
PRICES = ("identical", "uniform", "normal")
SYSTEMS = {"level1": "CrowdBuy", "level2": "CrowdBuy++"}
RULES = {
    "quantity": ("quantity", "singer"),
    "matching": ("matching", "chen-gravin-lu"),
    "diversity": ("diversity", "clock"),
    "weighted": ("diversity-weighted", "clock"),
    "beacon": ("diversity", "beacon"),
    "crowdbuy-max": ("diversity", "crowdbuy-max"),
}
"""Columns: a quality and the mechanism that serves it."""
BOUND = "public-cost"
COLUMNS = (*RULES, BOUND)
FIGURES = {
    "quantity": "Fig. 7, images bought of those on offer",
    "matching": "Fig. 8, mean matching degree",
    "diversity": "Fig. 9, area of all that is on offer",
}
PAPER: Mapping[tuple[str, str, str, str], float] = {
    **{("quantity", "identical", system, column): 5000 / 13_000 for system in SYSTEMS for column in COLUMNS[:3]},
    **{("quantity", "uniform", system, "quantity"): 5669 / 13_000 for system in SYSTEMS},
    **{("quantity", "normal", system, "quantity"): 6019 / 13_000 for system in SYSTEMS},
    ("quantity", "uniform", "level1", "diversity"): 5000 / 13_000,
    ("quantity", "normal", "level1", "diversity"): 5011 / 13_000,
    ("quantity", "uniform", "level2", "diversity"): 4969 / 13_000,
    ("quantity", "normal", "level2", "diversity"): 5038 / 13_000,
    ("matching", "identical", "level1", "matching"): 0.58,
    ("matching", "uniform", "level1", "matching"): 0.50,
    ("matching", "normal", "level1", "matching"): 0.51,
    **{("matching", prices, "level1", "quantity"): 0.4 for prices in PRICES},
    **{("matching", prices, "level1", "diversity"): 0.37 for prices in PRICES},
}
"""Numbers in the text of section VI.C and D, by figure, prices, system and column; Fig. 9 has none."""

Scores = tuple[float, float, float]
"""One number for each of `FIGURES`."""
Numbers = dict[tuple[str, str, str, str], list[float]]


@dataclass(frozen=True)
class Offered:
    """What is on offer in one world: features, (n, 2), the samples', (m, 2), and an order, (n,)."""

    features: NDArray[np.int64]
    samples: NDArray[np.int64]
    ranks: NDArray[np.int64]


def offered(seed: int) -> Offered:
    """Draw `OFFERED` images that match one of ten samples."""
    generator = numpy_generator(seed, "selection", "features")
    samples = generator.integers(8_000, 57_000, (SAMPLES, 2))
    spread = RADIUS / np.sqrt(2 * np.log(5))
    drawn = np.rint(
        samples[generator.integers(0, SAMPLES, 2 * OFFERED)] + generator.normal(0, spread, (2 * OFFERED, 2))
    )
    features = drawn[is_candidate(drawn, samples, RADIUS)][:OFFERED].astype(np.int64)
    return Offered(features, samples, generator.permutation(OFFERED))


def drawn_prices(seed: int, model: str) -> NDArray[np.int64]:
    """Draw prices of mean 1 and variance 0.4 before they are cut off below at `FLOOR`; minor units."""
    generator, spread = numpy_generator(seed, "selection", model), VARIANCE**0.5
    if model == "identical":
        prices = np.ones(OFFERED)
    elif model == "uniform":
        prices = generator.uniform(1 - 3**0.5 * spread, 1 + 3**0.5 * spread, OFFERED)
    else:
        prices = generator.normal(1, spread, OFFERED)
    return np.asarray(np.rint(np.maximum(prices, FLOOR) * COIN), dtype=np.int64)


def measured(
    world: Offered, prices: NDArray[np.int64], seed: int, system: str
) -> dict[str, tuple[float, float, float]]:
    """Return what each rule buys: its number, its mean matching degree and the area it covers, as shares."""
    exact = system == "level1"
    signatures = signature_table(secret(seed, "selection salt"), REACH, SIZE).sign(world.features).astype(np.int64)
    offers = Offers(world.features if exact else None, None if exact else signatures, prices)
    everything = Squares(world.features, REACH)
    whole = everything.union_area()

    def scores(won: NDArray[np.int64]) -> Scores:
        degree = matching_degree(world.features[won], world.samples, RADIUS).mean() if len(won) else 0.0
        return len(won) / OFFERED, float(degree), everything.union_area(won) / whole

    bought = {}
    for column, (quality, mechanism) in RULES.items():
        selection = select(
            offers,
            world.samples,
            quality=quality,
            budget=BUDGET,
            radius=RADIUS,
            reach=REACH,
            ranks=world.ranks,
            mechanism=MECHANISMS[mechanism],
        )
        bought[column] = scores(selection.winners)
    coverage = everything if exact else SignaturePoints(signatures)
    bought[BOUND] = scores(MECHANISMS[BOUND].award(Market(coverage, prices, BUDGET, world.ranks)).winners)
    return bought


def reproduce(seeds: Sequence[int], workshop: Workshop, progress: Progress) -> ReproductionReport:
    """Run the experiment; nothing is trained.

    Args:
        seeds: Worlds; at least two, for an interval.
    """
    start = time.perf_counter()
    numbers: Numbers = defaultdict(list)
    cases = list(product(seeds, PRICES, SYSTEMS))
    for number, (seed, model, system) in enumerate(cases):
        progress("selecting images", number, len(cases))
        found = measured(offered(seed), drawn_prices(seed, model), seed, system)
        for column, scores in found.items():
            for figure, score in zip(FIGURES, scores, strict=True):
                numbers[figure, model, system, column].append(score)
    return ReproductionReport(
        name="crowdbuy-selection",
        title="CrowdBuy, Figs. 7 to 9: what each quality buys from 13,000 images",
        summary=_summary(numbers),
        settings=_settings(seeds),
        columns=list(COLUMNS),
        rows=[
            Row(
                what=(FIGURES[figure], f"prices {model}", SYSTEMS[system]),
                cells={
                    column: Cell(
                        paper=PAPER.get((figure, model, system, column)),
                        ours=Interval.of(numbers[figure, model, system, column]),
                    )
                    for column in COLUMNS
                },
            )
            for figure, model, system in product(FIGURES, PRICES, SYSTEMS)
        ],
        claims=_claims(numbers),
        seeds=list(seeds),
        equipment=workshop.equipment,
        devices={},
        seconds=round(time.perf_counter() - start, 3),
        versions=versions(),
    )


def _claims(numbers: Numbers) -> list[Claim]:
    def worst(figure: str, column: str, less: str | float, models: Sequence[str]) -> list[float]:
        """Return what a column leads another, or a number, by in the worst of some settings; per seed."""
        leads = [
            np.array(numbers[figure, model, system, column])
            - (np.array(numbers[figure, model, system, less]) if isinstance(less, str) else less)
            for model, system in product(models, SYSTEMS)
        ]
        least: list[float] = np.min(leads, axis=0).tolist()
        return least

    def lead(figure: str, better: str, *others: str, models: Sequence[str] = PRICES) -> dict[str, Sequence[float]]:
        return {f"{better} - {other}": worst(figure, better, other, models) for other in others}

    unequal = PRICES[1:]
    return [
        judge(
            "Fig. 7: the quantity driven mechanism purchases most images where prices differ.",
            lead("quantity", "quantity", "matching", "diversity", models=unequal),
        ),
        judge(
            "Fig. 7: the image quantity of the diversity driven mechanism is the smallest.",
            lead("quantity", "quantity", "diversity", models=unequal)
            | lead("quantity", "matching", "diversity", models=unequal),
        ),
        judge(
            "Fig. 7: at identical prices the buyer can always buy 5,000 images, whatever the quality.",
            {
                f"{column} - 5,000": worst("quantity", column, 5000 / OFFERED - 1e-9, PRICES[:1])
                for column in ("quantity", "matching", "diversity")
            },
        ),
        judge(
            "Fig. 8: the matching driven mechanism has the highest matching degree in all cases.",
            lead("matching", "matching", "quantity", "diversity"),
        ),
        judge(
            "Fig. 8: the diversity driven mechanism has the lowest matching degree.",
            lead("matching", "quantity", "diversity") | lead("matching", "matching", "diversity"),
        ),
        judge(
            "Fig. 9: the diversity driven mechanism has the best diversity in all cases.",
            lead("diversity", "diversity", "quantity", "matching"),
        ),
        judge(
            "Fig. 9: the matching driven mechanism has the worst diversity in all cases.",
            lead("diversity", "quantity", "matching") | lead("diversity", "diversity", "matching"),
        ),
    ]


def _summary(numbers: Numbers) -> str:
    covered = {
        column: np.mean([numbers["diversity", model, system, column] for model, system in product(PRICES, SYSTEMS)])
        for column in COLUMNS
    }
    said = ", ".join(f"{column} {percent(float(share))}" for column, share in covered.items())
    return (
        f"Area covered, as a share of what all {OFFERED:,} images cover, mean of all prices and both systems: {said}."
    )


def _settings(seeds: Sequence[int]) -> list[str]:
    spreads = {
        model: np.mean([np.var(drawn_prices(seed, model) / COIN) for seed in seeds]) for model in ("uniform", "normal")
    }
    return [
        f"{OFFERED:,} images match one of {SAMPLES} samples; the budget is {BUDGET // COIN:,} coins. Features are "
        f"drawn around the samples, 80 % of a category within R = {RADIUS:,} of its sample; d = {REACH}, k = {SIZE}. "
        "The paper: photographs of ten breeds of dogs.",
        f"Prices: 1 coin; uniform or normal with mean 1 and variance {VARIANCE}, and none below {FLOOR} coins, which "
        f"leaves variances of {spreads['uniform']:.2f} and {spreads['normal']:.2f}.",
        "Columns: the default mechanism of each quality; weighted: diversity-weighted; beacon and crowdbuy-max: the "
        "paper's diversity without and with its single best image, which makes no difference between images of equal "
        "area; public-cost: what a buyer buys that knows all prices, a bound.",
        "Shares: of the images on offer (the paper's numbers divided by 13,000), of a perfect match, of the area that "
        "all images cover. The paper's 5,000 diverse images for 5,000 coins at a price of 1 cannot come from critical "
        "payments, whose winners ask no more than half the budget together.",
    ]
