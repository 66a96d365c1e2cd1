"""The audit of a mechanism."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from strategies.mechanisms.auditing.cases import Case, Stakes, draw_case
from strategies.mechanisms.auditing.deviations import (
    Deviation,
    cloning,
    lies,
    ring,
    splitting,
    utility,
    withholding,
)
from strategies.mechanisms.auditing.violation import Violation, smallest, violation
from strategies.mechanisms.mechanism import BrokenAward, Mechanism

LARGE_SHARE = 50
"""One case in so many is large."""
LOOKED_AT = 4
"""Bids of a large case that lie."""
FLAT = Stakes(of=lambda price: 1, deposit=2)
"""Every bid locks the same, and a seller can afford two."""


@dataclass(frozen=True)
class Gain:
    """The most that somebody was found to gain by one kind of deviation.

    Attributes:
        kind: What is tried.
        gain: Above the truth, minor units.
        budget: Of the market in which it is gained.
    """

    kind: str
    gain: int
    budget: int


@dataclass
class Audit:
    """What an audit has found so far.

    Attributes:
        quality, agents: What the mechanism was audited for.
        cases, deviations: How many were tried.
        violations: Broken promises; after the first one of a pair of quality and agents no more is looked for.
        gains: The largest gain, relative to the budget, by each kind of deviation that is not promised to gain nothing.
    """

    quality: str
    agents: str
    cases: int = 0
    deviations: int = 0
    violations: list[Violation] = field(default_factory=list)
    gains: dict[str, Gain] = field(default_factory=dict)


def audit(
    mechanism: Mechanism,
    quality: str,
    agents: str,
    *,
    cases: int,
    generator: np.random.Generator,
    stakes: Stakes = FLAT,
) -> Audit:
    """Look for profitable lies of one bid, for payments above the budget or below a price, and for gains of others.

    A mechanism that claims to be truthful breaks its word where one bid gains by asking anything but its cost. What
    sellers of several images, copies, split bundles and rings gain is only measured.

    Args:
        cases: How many markets to draw.
        stakes: What bids lock in every second market, where deposits are too small for all bids of a seller.
    """
    found = Audit(quality, agents)
    for number in range(cases):
        case = draw_case(quality, agents, generator, large=number % LARGE_SHARE == LARGE_SHARE - 1)
        found.cases += 1
        staked = replace(case, stakes=stakes) if number % 2 else case
        broken = _broken_promise(mechanism, staked, generator, found)
        if broken is not None:
            found.violations.append(smallest(mechanism, broken))
            return found
        if len(case.market) < LOOKED_AT * 2:
            _measure(mechanism, case, generator, found)
    return found


@dataclass(frozen=True)
class Best:
    """The best of some deviations: what it gains above the truth (0: none does), its kind, and how many were tried."""

    gain: int
    kind: str
    tried: int


def best_of(mechanism: Mechanism, case: Case, deviations: Iterable[Deviation]) -> Best:
    """Try deviations, and return the best."""
    best, kind, tried = 0, "", 0
    truths: dict[tuple[int, ...], int] = {}
    for deviation in deviations:
        tried += 1
        if deviation.honest not in truths:
            truths[deviation.honest] = utility(mechanism, case, case.market.costs, deviation.honest)
        gain = utility(mechanism, deviation.case, deviation.costs, deviation.bids) - truths[deviation.honest]
        if gain > best:
            best, kind = gain, deviation.kind
    return Best(best, kind, tried)


def _broken_promise(mechanism: Mechanism, case: Case, generator: np.random.Generator, found: Audit) -> Violation | None:
    """Return the first broken promise in a case, None where all are kept."""
    count, costs = len(case.market), case.market.costs
    large = count > LOOKED_AT * 2
    bids = generator.choice(count, min(count, LOOKED_AT), replace=False).tolist() if large else list(range(count))
    try:
        truths = [utility(mechanism, case, costs, (bid,)) for bid in bids]
    except BrokenAward as broken:
        return Violation(case, None, 0, 0, 0, str(broken))
    for bid, truth in zip(bids, truths, strict=True):
        for lie in lies(case, bid, generator, 12 if large else None):
            found.deviations += 1
            try:
                gain = utility(mechanism, lie.case, costs, lie.bids) - truth
            except BrokenAward:
                gain = 1
            if gain > 0 and (broken_now := violation(mechanism, case, bid, int(lie.case.market.costs[bid]))):
                if mechanism.truthful or broken_now.bid is None:
                    return broken_now
                _keep(found, Gain(lie.kind, gain, case.market.budget))
    return None


def _measure(mechanism: Mechanism, case: Case, generator: np.random.Generator, found: Audit) -> None:
    """Measure what nobody promises to rule out."""
    tried: list[Deviation] = []
    for owner in np.unique(case.owners).tolist():
        tried += [*withholding(case, owner), *cloning(case, owner)]
        tried += splitting(case, owner) if found.agents == "sellers" else []
    kinds = {deviation.kind: [each for each in tried if each.kind == deviation.kind] for deviation in tried}
    for kind, deviations in kinds.items():
        best = best_of(mechanism, case, deviations)
        found.deviations += best.tried
        _keep(found, Gain(kind, best.gain, case.market.budget))
    for members in (2, 3):
        best = best_of(mechanism, case, ring(case, mechanism, generator, members))
        found.deviations += best.tried
        if best.tried:
            _keep(found, Gain(f"a ring of {members}", best.gain, case.market.budget))


def _keep(found: Audit, gain: Gain) -> None:
    before = found.gains.get(gain.kind)
    if before is None or gain.gain * before.budget > before.gain * gain.budget:
        found.gains[gain.kind] = gain
