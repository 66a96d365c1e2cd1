"""What bidders may try instead of the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategies.features.additive import Additive
from strategies.mechanisms.auditing.cases import Case
from strategies.mechanisms.market import Market
from strategies.mechanisms.mechanism import Mechanism

ASKS = ("asking more", "asking less")
"""Lies of one bid about its cost: no truthful mechanism lets them pay."""


@dataclass(frozen=True, eq=False)
class Deviation:
    """What somebody tries.

    Attributes:
        kind: In a word or two.
        case: The market, with the costs as they are declared.
        costs: (n,); the true costs of its bids.
        bids: Those of the deviator.
        honest: The bids of the deviator when it tells the truth, by their indices in the honest case.
    """

    kind: str
    case: Case
    costs: NDArray[np.int64]
    bids: tuple[int, ...]
    honest: tuple[int, ...]


def utility(mechanism: Mechanism, case: Case, costs: NDArray[np.int64], bids: Sequence[int]) -> int:
    """Return what somebody gains with some bids: payments less true costs; it may lose a stake instead of delivering.

    Raises:
        BrokenAward: When the mechanism breaks its word.
    """
    market, stands = case.market, np.arange(len(case.market))
    if case.stakes is not None:
        stands = np.flatnonzero(case.stakes.admitted(market.costs, case.owners))
        market = market.among(stands)
    award = mechanism.award(market)
    total = 0
    for bid, payment in zip(stands[award.winners].tolist(), award.payments.tolist(), strict=True):
        if bid in bids:
            profit = payment - int(costs[bid])
            asked = int(case.market.costs[bid])
            total += profit if case.stakes is None else max(profit, -case.stakes.of(asked))
    return total


def lies(case: Case, bid: int, generator: np.random.Generator, most: int | None = None) -> Iterator[Deviation]:
    """Yield lies of one bid about its cost: at every bound that a rule may have, next to it, and at random."""
    market, cost = case.market, int(case.market.costs[bid])
    asks = _asks(case, bid, generator)
    if most is not None and len(asks) > most:
        asks = generator.choice(asks, most, replace=False).tolist()
    for asked in asks:
        kind = ASKS[0] if asked > cost else ASKS[1]
        declared = replace(case, market=market.asking(_with(market.costs, bid, asked)))
        yield Deviation(kind, declared, market.costs, (bid,), (bid,))


def withholding(case: Case, owner: int) -> Iterator[Deviation]:
    """Yield the ways to hold back one of several images."""
    own = np.flatnonzero(case.owners == owner)
    for bid in own if len(own) > 1 else ():
        kept = np.flatnonzero(np.arange(len(case.market)) != bid)
        fewer = case.among(kept)
        bids = tuple(np.flatnonzero(fewer.owners == owner).tolist())
        yield Deviation("withholding an image", fewer, fewer.market.costs, bids, tuple(own.tolist()))


def cloning(case: Case, owner: int) -> Iterator[Deviation]:
    """Yield the ways to sell one image twice: the copy asks what the original does, and costs nothing."""
    own = np.flatnonzero(case.owners == owner)
    for bid in own:
        more = case.among(np.append(np.arange(len(case.market)), bid))
        ranks = np.append(case.market.ranks, len(case.market))
        more = replace(more, market=replace(more.market, ranks=ranks))
        bids = tuple(np.flatnonzero(more.owners == owner).tolist())
        costs = _with(more.market.costs, len(case.market), 0)
        yield Deviation("selling a copy", more, costs, bids, tuple(own.tolist()))


def splitting(case: Case, owner: int) -> Iterator[Deviation]:
    """Yield the ways to sell a bundle of additive value as two, under two names."""
    value = case.market.value
    if not isinstance(value, Additive):
        return
    for bid in np.flatnonzero(case.owners == owner).tolist():
        half, cost = int(value.values[bid]) // 2, int(case.market.costs[bid]) // 2
        if not half or not cost:
            continue
        last, other = len(case.market), int(case.owners.max()) + 1
        values = np.append(_with(value.values, bid, int(value.values[bid]) - half), half)
        costs = np.append(_with(case.market.costs, bid, int(case.market.costs[bid]) - cost), cost)
        ranks = np.append(case.market.ranks, last)
        market = Market(Additive(values), costs, case.market.budget, ranks)
        split = Case(market, np.append(case.owners, other), case.stakes)
        yield Deviation("selling a bundle as two", split, costs, (int(bid), last), (int(bid),))


def ring(case: Case, mechanism: Mechanism, generator: np.random.Generator, members: int) -> Iterator[Deviation]:
    """Yield what a few bids that share their profits come to ask, each in turn what is best for all of them."""
    count = len(case.market)
    if count < members:
        return
    bids = tuple(generator.choice(count, members, replace=False).tolist())
    asked = case.market.costs.copy()
    best = utility(mechanism, case, case.market.costs, bids)
    for bid in bids * 2:
        for ask in _asks(case, bid, generator):
            tried = _with(asked, bid, ask)
            declared = replace(case, market=case.market.asking(tried))
            gained = utility(mechanism, declared, case.market.costs, bids)
            yield Deviation(f"a ring of {members}", declared, case.market.costs, bids, bids)
            if gained > best:
                best, asked = gained, tried


def _asks(case: Case, bid: int, generator: np.random.Generator) -> list[int]:
    market = case.market
    cost, budget = int(market.costs[bid]), market.budget
    others, drawn = market.costs[:12].tolist(), generator.integers(1, budget + 2, 4).tolist()
    near = {1, cost // 2, budget // 2, budget, *others, *drawn}
    asks = {ask + step for ask in near for step in (-1, 0, 1)}
    return sorted(ask for ask in asks if ask >= 1 and ask != cost)


def _with(numbers: NDArray[np.int64], place: int | np.int64, number: int) -> NDArray[np.int64]:
    changed = numbers.copy()
    changed[place] = number
    return changed
