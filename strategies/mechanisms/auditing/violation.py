"""A case in which a mechanism breaks its word, made as small as it gets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strategies.features.additive import Additive
from strategies.features.bundles import SquareBundles
from strategies.features.coverage import SignaturePoints, Squares
from strategies.mechanisms.auditing.cases import Case
from strategies.mechanisms.auditing.deviations import utility
from strategies.mechanisms.market import Market, Value
from strategies.mechanisms.mechanism import BrokenAward, Mechanism


@dataclass(frozen=True, eq=False)
class Violation:
    """What a mechanism promises, and a market in which it does not keep it.

    Attributes:
        case: Costs are true.
        bid, asked: The bid that gains by asking this instead of its cost; None: the mechanism broke its word to all.
        truth, lie: What the bid gains by telling the truth, and by lying; minor units.
        broken: What the mechanism did to all.
    """

    case: Case
    bid: int | None
    asked: int
    truth: int
    lie: int
    broken: str = ""

    def sentences(self) -> Iterator[str]:
        """Yield the counterexample, line by line."""
        market = self.case.market
        if self.bid is None:
            yield f"{self.broken}:"
        else:
            cost = int(market.costs[self.bid])
            yield (
                f"bid {self.bid} gains {self.lie} by asking {self.asked} instead of its cost {cost}, which gains"
                f" {self.truth}:"
            )
        stakes = self.case.stakes
        yield f"  budget {market.budget}" + ("" if stakes is None else f", deposit {stakes.deposit}")
        for bid in range(len(market)):
            yield f"  bid {bid}: cost {market.costs[bid]}, rank {market.ranks[bid]}, {_described(market.value, bid)}"


def violation(mechanism: Mechanism, case: Case, bid: int, asked: int) -> Violation | None:
    """Return how a lie of one bid pays, or what goes wrong; None: nothing does."""
    declared = replace(case, market=case.market.asking(_replaced(case, bid, asked)))
    told = case
    try:
        truth = utility(mechanism, told, case.market.costs, (bid,))
        told = declared
        lie = utility(mechanism, told, case.market.costs, (bid,))
    except BrokenAward as broken:
        return Violation(told, None, 0, 0, 0, str(broken))
    return Violation(case, bid, asked, truth, lie) if lie > truth else None


def smallest(mechanism: Mechanism, found: Violation) -> Violation:
    """Return a violation of the same kind from which no bid can be left out and no number made smaller."""
    while True:
        smaller = next(filter(None, (attempt() for attempt in _smaller(mechanism, found))), None)
        if smaller is None:
            return found
        found = smaller


def _smaller(mechanism: Mechanism, found: Violation) -> Iterator[Callable[[], Violation | None]]:
    case, market = found.case, found.case.market

    def tried(case: Case, bid: int | None, asked: int) -> Callable[[], Violation | None]:
        def attempt() -> Violation | None:
            if bid is not None:
                again = violation(mechanism, case, bid, asked)
                return again if again is not None and again.bid is not None else None
            try:
                mechanism.award(case.market)
            except BrokenAward as broken:
                return Violation(case, None, 0, 0, 0, str(broken))
            return None

        return attempt

    for left_out in range(len(market)):
        if left_out != found.bid:
            kept = np.flatnonzero(np.arange(len(market)) != left_out)
            place = None if found.bid is None else found.bid - (left_out < found.bid)
            yield tried(case.among(kept), place, found.asked)
    if sorted(market.ranks) != list(market.ranks):
        yield tried(replace(case, market=replace(market, ranks=np.arange(len(market)))), found.bid, found.asked)
    for number in range(len(market)):
        for cost in _below(int(market.costs[number]), 1):
            changed = market.costs.copy()
            changed[number] = cost
            if number != found.bid or cost != found.asked:
                yield tried(replace(case, market=market.asking(changed)), found.bid, found.asked)
        if isinstance(market.value, Additive):
            for value in _below(int(market.value.values[number]), 0):
                values = market.value.values.copy()
                values[number] = value
                yield tried(replace(case, market=replace(market, value=Additive(values))), found.bid, found.asked)
    for budget in _below(market.budget, 1):
        smaller = Market(market.value, market.costs, budget, market.ranks)
        yield tried(replace(case, market=smaller), found.bid, found.asked)
    if found.bid is not None:
        for asked in _below(found.asked, 1):
            if asked != market.costs[found.bid]:
                yield tried(case, found.bid, asked)


def _below(number: int, least: int) -> list[int]:
    return sorted({each for each in (number // 2, number - 1) if least <= each < number})


def _replaced(case: Case, bid: int, asked: int) -> NDArray[np.int64]:
    changed = case.market.costs.copy()
    changed[bid] = asked
    return changed


def _described(value: Value, bid: int) -> str:
    match value:
        case Additive():
            return f"value {value.values[bid]}"
        case Squares():
            return f"square of side {2 * value.reach} around {tuple(value.centres[bid].tolist())}"
        case SignaturePoints():
            points = dict.fromkeys(tuple(point) for point in value.signatures[bid].tolist())
            return f"points {', '.join(map(str, points))}"
        case SquareBundles():
            centres = value.squares.centres[value.owners == bid].tolist()
            return f"squares of side {2 * value.squares.reach} around {', '.join(str(tuple(each)) for each in centres)}"
    return f"value {value.value([bid])}"
