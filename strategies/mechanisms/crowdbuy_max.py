"""CrowdBuy's rule as its section IV.C states it, under both readings of its payments. Bidders can manipulate it."""

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from strategies.mechanisms.award import Award, no_winner
from strategies.mechanisms.critical_payments import critical_payments
from strategies.mechanisms.density_greedy import marginal_values, proportional_share, require_exact
from strategies.mechanisms.market import Market, Value


def crowdbuy_max(market: Market, payments: Literal["beacon", "myerson"] = "beacon") -> Award:
    """Buy greedily as `beacon` does, or the single most valuable bid alone where that is worth more.

    "We find the image with the largest value as a candidate, compare its value with that of the greedy selected set
    (...), then select the larger one. (...) we can find the critical payments for selected sellers."

    Payments are read in two ways. ``beacon``: what the greedy alone would have let a bid ask, and the whole budget to a
    single winner; then lies pay, as a bid also moves the comparison. ``myerson``: the most that a bid could have asked
    and won under the whole rule; then payments may exceed the budget, and as the rule is not monotone (a winner can
    lose by asking less), lies pay all the same.

    Args:
        market: Bids.
        payments: How winners are paid.

    Raises:
        ValueError: When budget and values are too large for exact arithmetic.

    References:
        CrowdBuy, section IV.C, theorem 4, whose ratio (1 - e) / (5 e) is a misprint of (e - 1) / (5 e).
    """
    require_exact(market)
    order = market.order
    rule = _Rule(market.value.subset(order), market.costs[order], market.budget)
    won = rule.winners(rule.costs)
    if not won:
        return no_winner()
    paid = [rule.beacon_payment(bid) if payments == "beacon" else rule.myerson_payment(bid) for bid in won]
    upward = np.argsort(order[won])
    return Award(order[won][upward], np.array(paid, np.int64)[upward])


class _Rule:
    """The rule over bids in their public order, none of which asks more than the budget."""

    def __init__(self, value: Value, costs: NDArray[np.int64], budget: int) -> None:
        self.costs = costs
        self._value, self._budget, self._covered = value, budget, value.uncovered()
        alone = marginal_values(self._covered, np.empty(0, np.int64), len(costs))
        self._star = int(np.argmax(alone)) if len(costs) else -1
        self._best = int(alone.max(initial=0))

    def winners(self, costs: NDArray[np.int64]) -> list[int]:
        """Return who wins where bids ask these costs."""
        chosen, added, _ = proportional_share(self._covered, costs, self._budget, -1)
        won: list[int] = chosen.tolist()
        return [self._star] if self._best > added.sum() else won

    @cached_property
    def _asked_at_most(self) -> dict[int, int]:
        """By what each choice of the greedy alone could have asked."""
        chosen, most = critical_payments(self._covered, self.costs, self._budget)
        return dict(zip(chosen.tolist(), most.tolist(), strict=True))

    def beacon_payment(self, bid: int) -> int:
        """Return what the greedy alone would have let a winner ask; the budget, where it wins by itself."""
        return self._asked_at_most.get(bid, self._budget)

    def myerson_payment(self, bid: int) -> int:
        """Return the most that a winner could have asked and won."""
        if bid not in self._asked_at_most:
            most = proportional_share(self._covered, self.costs, self._budget, bid)[2]
        else:
            most = self._asked_at_most[bid]
        if bid == self._star and self._wins(bid, most + 1):
            # Above `most` it can only win by itself, and the more it asks, the more the greedy buys before it comes up.
            higher = range(most + 1, self._budget + 1)
            return int(most + bisect_left(higher, True, key=lambda asked: not self._wins(bid, asked)))
        if self._wins(bid, most):
            return most
        return max(asked for asked in self._turns(bid, most) if self._wins(bid, asked))

    def _wins(self, bid: int, asked: int) -> bool:
        costs = self.costs.copy()
        costs[bid] = asked
        return bid in self.winners(costs)

    def _turns(self, bid: int, most: int) -> Iterator[int]:
        """Yield its own cost and the largest bids, up to `most`, that come up before each choice of the others."""
        yield int(self.costs[bid])
        chosen, _, _ = proportional_share(self._covered, self.costs, self._budget, bid)
        for place in range(len(chosen) + 1):
            gains = marginal_values(self._covered, chosen[:place], len(self.costs))
            worth, own = self._value.value(chosen[:place]), int(gains[bid])
            others = [chosen[place]] if place < len(chosen) else np.flatnonzero(gains)
            turns = [own * int(self.costs[other]) // int(gains[other]) for other in others]
            turns += [turn - 1 for turn in turns] + [self._budget * own // (2 * (worth + own))] * (own > 0)
            yield from (min(most, turn) for turn in turns if turn >= self.costs[bid])
