"""Every mechanism against its definition in exact arithmetic, against every lie, and against the best possible set."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from mechanism_oracles import (
    Payments,
    Value,
    additive,
    best_value,
    chen_gravin_lu_by_definition,
    clock_by_definition,
    literal_payments,
    profitable_lie,
    singer_by_definition,
    skewed_values,
    small_costs,
)

from strategies.features.coverage import SignaturePoints, Squares
from strategies.mechanisms import MECHANISMS, Award, chen_gravin_lu, descending_clock, singer

SMALL_MARKETS = 1500
RESERVE = 5


@dataclass(frozen=True)
class Market:
    """Bids of known values under one mechanism; only costs vary."""

    award: Callable[[Sequence[int]], Award]
    by_definition: Callable[[Sequence[int]], Payments]
    value: Value


def as_payments(award: Award) -> Payments:
    return dict(zip(award.winners.tolist(), award.payments.tolist(), strict=True))


class MechanismContract(ABC):
    """What holds for every mechanism."""

    small_market_count = SMALL_MARKETS
    dearest: int | None = None
    """Bids above this one are out by rule."""

    @abstractmethod
    def market(self, generator: np.random.Generator, bids: int, budget: int) -> Market:
        """Draw the public side of a market."""

    @abstractmethod
    def guaranteed(self, won: int, best: int) -> bool:
        """Whether the value won keeps the mechanism's promise, given the best possible value."""

    def small_markets(self) -> Iterator[tuple[Market, list[int], int]]:
        generator = np.random.default_rng(20)
        for _ in range(self.small_market_count):
            costs, budget = small_costs(generator)
            yield self.market(generator, len(costs), budget), costs, budget

    def test_no_lie_ever_pays(self) -> None:
        for market, costs, budget in self.small_markets():
            lies = range(budget + 2)
            found = profitable_lie(
                lambda bids, market=market: as_payments(market.award(bids)), costs, lies, range(len(costs))
            )
            assert found is None, (costs, budget, found)

    def test_equals_its_definition_and_keeps_its_promise(self) -> None:
        for market, costs, budget in self.small_markets():
            award = market.award(costs)
            assert as_payments(award) == market.by_definition(costs), (costs, budget)
            assert award.total <= budget
            assert all(payment >= costs[bid] for bid, payment in as_payments(award).items())
            best = best_value(market.value, costs, budget, self.dearest)
            assert self.guaranteed(market.value(award.winners.tolist()), best), (costs, budget)

    def test_equals_its_definition_in_larger_markets(self) -> None:
        generator = np.random.default_rng(30)
        for _ in range(40):
            budget = int(generator.integers(0, 400))
            market, costs = self.market(generator, 30, budget), generator.integers(0, 60, 30).tolist()
            assert as_payments(market.award(costs)) == market.by_definition(costs), (costs, budget)

    @pytest.mark.parametrize("bids", [200, 2000])
    @pytest.mark.parametrize("price", [3, 300])
    def test_no_lie_near_the_boundary_pays_in_large_markets(self, bids: int, price: int) -> None:
        generator = np.random.default_rng(bids + price)
        budget = price * bids // 5
        costs = generator.integers(0, 2 * price + 1, bids).tolist()
        market = self.market(generator, bids, budget)
        award = market.award(costs)
        payments = as_payments(award)
        assert award.total <= budget
        assert all(payment >= costs[bid] for bid, payment in payments.items())
        for bidder in generator.choice(bids, 12, replace=False).tolist():
            around = [payments.get(bidder, costs[bidder]), costs[bidder]]
            lies = {0, budget, *(max(0, bid + step) for bid in around for step in (-1, 1))}
            assert profitable_lie(lambda bids: as_payments(market.award(bids)), costs, lies, [bidder]) is None

    @pytest.mark.parametrize(
        ("costs", "budget"),
        [([], 10), ([], 0), ([0, 1, 0, 2], 0), ([11, 12, 13], 10), ([0, 0, 0], 10), ([10], 10), ([4, 4, 4, 4], 10)],
    )
    def test_edges(self, costs: list[int], budget: int) -> None:
        market = self.market(np.random.default_rng(1), len(costs), budget)
        award = market.award(costs)
        assert as_payments(award) == market.by_definition(costs)
        assert award.winners.dtype == award.payments.dtype == np.int64
        assert np.all(np.diff(award.winners) > 0)

    def test_same_bids_same_award(self) -> None:
        generator = np.random.default_rng(5)
        market, costs = self.market(generator, 200, 500), generator.integers(0, 20, 200)
        before = costs.copy()
        first, second = market.award(costs), market.award(costs)
        assert as_payments(first) == as_payments(second)
        assert np.array_equal(costs, before)

    @pytest.mark.parametrize("costs", [[-1, 2], [0.5, 2.0], [1, 2, 3], [[1, 2]]])
    def test_bad_costs_are_refused(self, costs: list) -> None:
        market = self.market(np.random.default_rng(1), 2, 10)
        with pytest.raises(ValueError, match=r"^(costs|tie)"):
            market.award(costs)

    def test_bad_budgets_are_refused(self) -> None:
        for budget in (-1, 1.5):
            with pytest.raises(ValueError, match="budget must be a whole number"):
                self.market(np.random.default_rng(1), 2, budget).award([1, 2])


# Quantity -------------------------------------------------------------------------------------------------------------


class TestSinger(MechanismContract):
    def market(self, generator: np.random.Generator, bids: int, budget: int) -> Market:
        tie = generator.permutation(bids)
        return Market(
            award=lambda costs: singer(np.array(costs), budget, tie),
            by_definition=lambda costs: singer_by_definition(costs, budget, tie),
            value=len,
        )

    def guaranteed(self, won: int, best: int) -> bool:
        return best <= 2 * won

    def test_half_is_reached_exactly(self) -> None:
        award = singer(np.array([1, 5, 5]), 9, np.arange(3))
        assert (len(award.winners), best_value(len, [1, 5, 5], 9)) == (1, 2)


# Matching degree ------------------------------------------------------------------------------------------------------


class TestChenGravinLu(MechanismContract):
    def market(self, generator: np.random.Generator, bids: int, budget: int) -> Market:
        values, tie = skewed_values(generator, bids), generator.permutation(bids)
        return Market(
            award=lambda costs: chen_gravin_lu(np.array(values, int), np.array(costs), budget, tie),
            by_definition=lambda costs: chen_gravin_lu_by_definition(values, costs, budget, tie),
            value=lambda chosen: sum(values[i] for i in chosen),
        )

    def guaranteed(self, won: int, best: int) -> bool:
        short = best - 2 * won
        return short <= 0 or short**2 <= 2 * won**2

    def test_lies_pay_without_the_last_gate(self) -> None:
        generator = np.random.default_rng(20)
        lies = 0
        for _ in range(SMALL_MARKETS):
            costs, budget = small_costs(generator)
            values, tie = skewed_values(generator, len(costs)), generator.permutation(len(costs))

            def ungated(bids: Sequence[int], values=values, budget=budget, tie=tie) -> Payments:
                return chen_gravin_lu_by_definition(values, bids, budget, tie, last_gate=False)

            lies += profitable_lie(ungated, costs, range(budget + 2), range(len(costs))) is not None
        assert lies > 0

    def test_many_winners_near_the_gate(self) -> None:
        generator = np.random.default_rng(3)
        values = np.append(generator.integers(1, 21, 40), 150)
        costs, tie = np.append(generator.integers(0, 30, 40), 30), generator.permutation(41)
        gated = 0
        for budget in range(300, 500, 4):
            expected = chen_gravin_lu_by_definition(values.tolist(), costs.tolist(), budget, tie)
            ungated = chen_gravin_lu_by_definition(values.tolist(), costs.tolist(), budget, tie, last_gate=False)
            gated += sum(expected[i] < ungated[i] for i in expected)
            assert as_payments(chen_gravin_lu(values, costs, budget, tie)) == expected
        assert gated > 10

    def test_worthless_bids_never_win(self) -> None:
        award = chen_gravin_lu(np.zeros(3, int), np.zeros(3, int), 10, np.arange(3))
        assert len(award.winners) == 0

    def test_beyond_exact_arithmetic_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"2\*\*51"):
            chen_gravin_lu(np.array([2**20, 1]), np.array([1, 1]), 2**31, np.arange(2))


# Diversity ------------------------------------------------------------------------------------------------------------


class ClockContract(MechanismContract):
    alpha = 1.15
    reserve: int | None = None

    @abstractmethod
    def draw(self, generator: np.random.Generator, bids: int) -> tuple[Squares | SignaturePoints, list[set]]:
        """Draw what every bid covers, twice: as a coverage and as sets."""

    def market(self, generator: np.random.Generator, bids: int, budget: int) -> Market:
        coverage, sets = self.draw(generator, bids)
        order = generator.permutation(bids)
        ceiling = budget if self.reserve is None else min(budget, self.reserve)

        def value(chosen: Collection[int]) -> int:
            return len(set().union(*(sets[i] for i in chosen)))

        return Market(
            award=lambda costs: descending_clock(
                coverage, np.array(costs), budget, order, self.alpha, reserve=self.reserve
            ),
            by_definition=lambda costs: clock_by_definition(value, costs, budget, order.tolist(), self.alpha, ceiling),
            value=value,
        )

    def guaranteed(self, won: int, best: int) -> bool:
        return won * (self.alpha**2 + 2 * self.alpha - 1) >= best * (self.alpha - 1)


class SquaresContract(ClockContract):
    def draw(self, generator: np.random.Generator, bids: int) -> tuple[Squares, list[set]]:
        reach = int(generator.integers(1, 4))
        centres = generator.integers(reach, 2 * reach + 3 + int(3 * bids**0.5), (bids, 2))
        sets = [
            set(itertools.product(range(x - reach, x + reach), range(y - reach, y + reach)))
            for x, y in centres.tolist()
        ]
        return Squares(centres, reach), sets


class TestDescendingClockOnSquares(SquaresContract):
    def test_bad_order_alpha_and_budget_are_refused(self) -> None:
        squares, costs = Squares(np.array([[1, 1], [9, 9]]), 2), np.array([1, 1])
        with pytest.raises(ValueError, match="permutation"):
            descending_clock(squares, costs, 10, np.array([1, 1]))
        for alpha in (1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match="alpha"):
                descending_clock(squares, costs, 10, np.arange(2), alpha=alpha)
        with pytest.raises(ValueError, match=r"2\*\*63"):
            descending_clock(squares, costs, 2**60, np.arange(2))


class TestDescendingClockWithLargeSteps(SquaresContract):
    small_market_count = 500
    alpha = 1 + math.sqrt(2)


class TestDescendingClockWithReserve(SquaresContract):
    small_market_count = 500
    reserve = RESERVE
    dearest = RESERVE

    def test_no_price_exceeds_the_reserve(self) -> None:
        squares = Squares(np.array([[100, 100], [900, 900]]), 50)
        without = descending_clock(squares, np.array([1, 1]), 100, np.arange(2))
        with_reserve = descending_clock(squares, np.array([1, 1]), 100, np.arange(2), reserve=3)
        assert as_payments(with_reserve) == {0: 3, 1: 3}
        assert without.total > 90


class TestDescendingClockOnSignatures(ClockContract):
    small_market_count = 500

    def draw(self, generator: np.random.Generator, bids: int) -> tuple[SignaturePoints, list[set]]:
        signatures = generator.integers(0, 3 + bids // 20, (bids, 4, 2))
        return SignaturePoints(signatures), [set(map(tuple, signature)) for signature in signatures.tolist()]


# The paper's rule -----------------------------------------------------------------------------------------------------


class TestTheRuleAsThePaperStatesIt:
    def test_a_winner_can_lose_by_asking_less(self) -> None:
        weights, sets = (3, 9, 3, 9, 1), ({1, 3, 4}, {1, 2, 3}, {1, 2}, {0, 3})

        def value(chosen: Collection[int]) -> int:
            return sum(weights[point] for point in set().union(*(sets[i] for i in chosen)))

        others = [Fraction(29, 2), Fraction(2), Fraction(15, 2)]
        assert 0 in literal_payments(value, [Fraction(7, 2), *others], 20)
        assert 0 not in literal_payments(value, [Fraction(1, 2), *others], 20)

    def test_a_known_lie_pays(self) -> None:
        costs = [Fraction(15), Fraction(37, 4)]
        assert literal_payments(additive(2, 5), costs, 30)[1] - costs[1] == Fraction(23, 4)
        assert literal_payments(additive(2, 5), [costs[0], Fraction(67, 4)], 30)[1] - costs[1] == Fraction(83, 4)

    def test_the_search_finds_lies(self) -> None:
        generator = np.random.default_rng(20)
        lies = 0
        for _ in range(SMALL_MARKETS // 5):
            costs, budget = small_costs(generator)
            value = additive(*skewed_values(generator, len(costs)))
            bids = [Fraction(cost + 1) for cost in costs]
            asks = [Fraction(ask) for ask in range(1, budget + 2)]
            found = profitable_lie(
                lambda bids, value=value, budget=budget: literal_payments(value, bids, budget),
                bids,
                asks,
                range(len(bids)),
            )
            lies += found is not None
        assert lies > 5

    def test_critical_payments_break_the_budget(self) -> None:
        costs, grid = [Fraction(1), Fraction(1, 10)], [Fraction(step, 110) for step in range(1, 1101)]
        critical = [
            max(bid for bid in grid if i in literal_payments(additive(10, 1), [*costs[:i], bid, *costs[i + 1 :]], 10))
            for i in range(2)
        ]
        assert sum(critical) == Fraction(115, 11) > 10


def test_the_registry_names_every_mechanism_and_every_quality() -> None:
    assert all(name == each.name and each.summary and each.guarantee for name, each in MECHANISMS.items())
    served = set().union(*(each.qualities for each in MECHANISMS.values()))
    assert served == {"quantity", "matching", "diversity", "diversity-weighted"}
