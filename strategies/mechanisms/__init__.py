"""Mechanisms: which bids win within a budget, and what each winner is paid.

To add one, write its module with one function from a `Market` to an `Award`, and add it to `MECHANISMS`.
"""

from functools import partial

from strategies.features.additive import Additive
from strategies.mechanisms.award import Award
from strategies.mechanisms.baselines import first_price, public_cost, random_order, upper_bound
from strategies.mechanisms.beacon import beacon
from strategies.mechanisms.chen_gravin_lu import chen_gravin_lu
from strategies.mechanisms.crowdbuy_max import crowdbuy_max
from strategies.mechanisms.descending_clock import descending_clock
from strategies.mechanisms.market import Market
from strategies.mechanisms.mechanism import AGENTS, QUALITIES, BrokenAward, Mechanism, declared_mechanisms, mechanism
from strategies.mechanisms.share_clock import clock, share_clock
from strategies.mechanisms.singer import singer

__all__ = [
    "AGENTS",
    "BUNDLE_MECHANISMS",
    "DEFAULT_MECHANISMS",
    "MECHANISMS",
    "QUALITIES",
    "SOUND_MECHANISMS",
    "Award",
    "BrokenAward",
    "Market",
    "Mechanism",
    "chen_gravin_lu",
    "declared_mechanisms",
    "descending_clock",
    "mechanism",
    "singer",
    "upper_bound",
]


def _singer(market: Market) -> Award:
    return singer(market.costs, market.budget, market.ranks)


def _chen_gravin_lu(market: Market) -> Award:
    assert isinstance(market.value, Additive)
    return chen_gravin_lu(market.value.values, market.costs, market.budget, market.ranks)


def _descending_clock(market: Market) -> Award:
    return descending_clock(market.value, market.costs, market.budget, market.order, reserve=market.ceilings)


_BOTH = frozenset(AGENTS)
_IMAGES = frozenset({"images"})
_ALL = frozenset(QUALITIES)

_LISTED = (
    Mechanism(
        "singer",
        "the cheapest images, all at one price (Singer 2010)",
        frozenset({"quantity"}),
        _IMAGES,
        truthful=True,
        guarantee="truthful, within the budget; at least 1/2 of the images that the budget could buy at known costs",
        rule=_singer,
    ),
    Mechanism(
        "chen-gravin-lu",
        "most value per cost, or the single best bid (Chen, Gravin and Lu 2011)",
        frozenset({"quantity", "matching"}),
        _BOTH,
        truthful=True,
        guarantee="truthful, within the budget; at least 1/(2 + sqrt 2) = 0.29 of the optimum at known costs",
        rule=_chen_gravin_lu,
    ),
    Mechanism(
        "descending-clock",
        "falling posted prices until the acceptors cover what they cost (Cui et al. 2026)",
        frozenset({"diversity", "diversity-weighted"}),
        _BOTH,
        truthful=True,
        guarantee="obviously truthful, within the budget; at least (alpha - 1)/(alpha^2 + 2 alpha - 1) of the optimum"
        " at known costs",
        rule=_descending_clock,
    ),
    Mechanism(
        "share-clock",
        "one falling price per new coverage, until everybody who accepts can be paid",
        frozenset({"diversity", "diversity-weighted"}),
        _IMAGES,
        truthful=True,
        guarantee="obviously truthful, within the budget; none on the value",
        rule=share_clock,
    ),
    Mechanism(
        "clock",
        "share-clock where fewer than 1,000 bids match and none dominates, else descending-clock with alpha 1.3",
        frozenset({"diversity", "diversity-weighted"}),
        _BOTH,
        truthful=True,
        guarantee="obviously truthful, within the budget; of 1,000 bids or more at least 0.09 of the optimum at known"
        " costs",
        rule=clock,
    ),
    Mechanism(
        "beacon",
        "most new coverage per cost within half the budget, at critical payments (BEACON's greedy, 2016)",
        frozenset({"diversity"}),
        _IMAGES,
        truthful=True,
        guarantee="truthful, within the budget, for images of equal coverage",
        rule=beacon,
    ),
    Mechanism(
        "crowdbuy-max",
        "CrowdBuy's rule as written: beacon's greedy or the single best image, at BEACON's payments",
        frozenset({"matching", "diversity", "diversity-weighted"}),
        _IMAGES,
        truthful=True,
        guarantee="claimed by the paper: truthful, (e - 1)/(5 e) of the optimum. It is manipulable: see `parley audit"
        " truthfulness`",
        rule=crowdbuy_max,
        manipulable=True,
    ),
    Mechanism(
        "crowdbuy-max-myerson",
        "the same rule, each winner paid the most that it could have asked and won",
        frozenset({"matching", "diversity", "diversity-weighted"}),
        _IMAGES,
        truthful=True,
        guarantee="claimed by the paper: truthful, within the budget. It is neither: see `parley audit truthfulness`",
        rule=partial(crowdbuy_max, payments="myerson"),
        manipulable=True,
    ),
    Mechanism(
        "first-price",
        "most value per price asked, paid what is asked",
        _ALL,
        _BOTH,
        truthful=False,
        guarantee="within the budget; sellers gain by asking more",
        rule=first_price,
    ),
    Mechanism(
        "random",
        "a random order, paid what is asked",
        _ALL,
        _BOTH,
        truthful=False,
        guarantee="within the budget; sellers gain by asking more",
        rule=random_order,
    ),
    Mechanism(
        "public-cost",
        "what a buyer buys that knows all costs",
        _ALL,
        _BOTH,
        truthful=False,
        guarantee="a bound, not a mechanism: at least (1 - 1/e)/2 = 0.32 of the optimum",
        rule=public_cost,
        bound=True,
    ),
)
MECHANISMS = {each.name: each for each in _LISTED}
"""Mechanisms by name."""

SOUND_MECHANISMS = {name: each for name, each in MECHANISMS.items() if each.truthful and not each.manipulable}
"""Those that keep the truthfulness that they claim, and are quick at any number of bids: CrowdBuy's rule under critical
payments takes 23 s for 2,000."""

DEFAULT_MECHANISMS = {
    "quantity": "singer",
    "matching": "chen-gravin-lu",
    "diversity": "clock",
    "diversity-weighted": "clock",
}
"""The mechanism of each quality where nobody names one, for images as agents."""
BUNDLE_MECHANISMS = {
    "quantity": "chen-gravin-lu",
    "matching": "chen-gravin-lu",
    "diversity": "clock",
    "diversity-weighted": "clock",
}
"""The same for sellers as agents: bundles are not worth equally much, so `singer` and `beacon` cannot serve them."""
