"""The auditor finds the lies that are known to pay, makes them small, and clears what keeps its word."""

import numpy as np
import pytest

from strategies.features.additive import Additive
from strategies.features.coverage import SignaturePoints
from strategies.mechanisms import MECHANISMS, Award, Market, mechanism
from strategies.mechanisms.auditing import Case, Stakes, audit, best_of
from strategies.mechanisms.auditing.deviations import cloning, lies, utility, withholding
from strategies.mechanisms.auditing.violation import smallest, violation
from strategies.mechanisms.mechanism import declared_mechanisms


def market(values: list[int], costs: list[int], budget: int) -> Market:
    return Market(Additive(np.array(values)), np.array(costs), budget, np.arange(len(costs)))


def weighted_coverage(weights: list[int], sets: list[set[int]]) -> SignaturePoints:
    """A point of weight w is w points; signatures are filled up by repeating a point."""
    points = [[(point, copy) for point in chosen for copy in range(weights[point])] for chosen in sets]
    longest = max(map(len, points))
    return SignaturePoints(np.array([each + each[:1] * (longest - len(each)) for each in points]))


class TestKnownCounterexamples:
    def test_under_the_papers_rule_a_winner_can_lose_by_asking_less(self) -> None:
        value = weighted_coverage([3, 9, 3, 9, 1], [{1, 3, 4}, {1, 2, 3}, {1, 2}, {0, 3}])
        won = [
            0 in MECHANISMS["crowdbuy-max"].award(Market(value, np.array([asked, 29, 4, 15]), 40, np.arange(4))).winners
            for asked in (7, 1)
        ]
        assert won == [True, False]
        paid_more = Market(value, np.array([1, 29, 4, 15]), 40, np.arange(4))
        case = Case(paid_more, np.arange(4))
        assert violation(MECHANISMS["crowdbuy-max"], case, 0, 7) is not None

    def test_under_critical_payments_the_same_lie_pays(self) -> None:
        value = weighted_coverage([3, 9, 3, 9, 1], [{1, 3, 4}, {1, 2, 3}, {1, 2}, {0, 3}])
        rule = MECHANISMS["crowdbuy-max-myerson"].rule  # without the check of the budget
        asks = np.array([1, 29, 4, 15]), np.array([7, 29, 4, 15])
        truth, lie = (rule(Market(value, costs, 40, np.arange(4))) for costs in asks)
        assert 0 not in truth.winners
        assert lie.payments[lie.winners == 0] >= 7

    def test_the_papers_rule_pays_a_lie_on_additive_values(self) -> None:
        case = Case(market([2, 5], [60, 37], 120), np.arange(2))  # in quarters: 15, 9.25 and 30
        found = violation(MECHANISMS["crowdbuy-max"], case, 1, 67)
        assert found is not None
        assert (found.truth, found.lie) == (23, 83)

    def test_critical_payments_for_the_papers_rule_exceed_the_budget(self) -> None:
        found = violation(
            MECHANISMS["crowdbuy-max-myerson"], Case(market([10, 1], [100, 10], 1000), np.arange(2)), 0, 99
        )
        assert found is not None
        assert found.bid is None
        assert "pays 1045 of a budget of 1000" in found.broken

    def test_withholding_an_image_can_pay(self) -> None:
        case = Case(market([1, 1, 1], [1, 1, 10], 10), np.array([0, 0, 1]))
        singer = MECHANISMS["singer"]
        assert utility(singer, case, case.market.costs, (0, 1)) == 8
        best = best_of(singer, case, withholding(case, 0))
        assert (best.gain, best.kind, best.tried) == (1, "withholding an image", 2)

    def test_a_copy_can_pay(self) -> None:
        case = Case(market([1, 1, 1], [1, 4, 4], 12), np.array([0, 1, 2]))
        assert utility(MECHANISMS["singer"], case, case.market.costs, (0,)) == 3
        assert best_of(MECHANISMS["singer"], case, cloning(case, 0)).gain == 4

    def test_with_stakes_that_grow_with_prices_shading_pays_where_the_deposit_binds(self) -> None:
        singer, costs = MECHANISMS["singer"], [60, 90, 100, 100]
        share = Stakes(of=lambda price: -(-price // 10), deposit=6)
        flat = Stakes(of=lambda price: 6, deposit=6)
        shaded = {}
        for name, stakes in (("share", share), ("flat", flat)):
            case = Case(market([1] * 4, costs, 400), np.arange(4), stakes)
            generator = np.random.default_rng(1)
            shaded[name] = best_of(singer, case, (lie for bid in range(4) for lie in lies(case, bid, generator)))
        assert shaded["share"].kind == "asking less"
        assert shaded["share"].gain > 0
        assert shaded["flat"].gain == 0


class TestAudit:
    @pytest.mark.parametrize("name", ["crowdbuy-max", "crowdbuy-max-myerson"])
    def test_the_papers_rule_is_guilty(self, name: str) -> None:
        found = audit(MECHANISMS[name], "matching", "images", cases=100, generator=np.random.default_rng(0))
        (broken,) = found.violations
        assert len(broken.case.market) <= 2
        assert list(broken.sentences())

    @pytest.mark.parametrize(
        ("name", "quality", "agents"),
        [
            ("singer", "quantity", "images"),
            ("chen-gravin-lu", "quantity", "sellers"),
            ("chen-gravin-lu", "matching", "images"),
            ("descending-clock", "diversity", "images"),
            ("share-clock", "diversity", "images"),
            ("clock", "diversity", "images"),
            ("clock", "diversity-weighted", "images"),
            ("clock", "diversity-weighted", "sellers"),
            ("descending-clock", "diversity", "sellers"),
            ("beacon", "diversity", "images"),
        ],
    )
    def test_what_keeps_its_word_is_cleared(self, name: str, quality: str, agents: str) -> None:
        found = audit(MECHANISMS[name], quality, agents, cases=8, generator=np.random.default_rng(3))
        assert found.violations == []
        assert found.cases == 8
        assert found.deviations > 500
        assert {"a ring of 2", "selling a copy"} <= found.gains.keys()

    def test_what_claims_nothing_is_only_measured(self) -> None:
        found = audit(MECHANISMS["first-price"], "quantity", "images", cases=8, generator=np.random.default_rng(3))
        assert found.violations == []
        assert found.gains["asking more"].gain > 0

    def test_large_markets_are_audited_too(self) -> None:
        found = audit(MECHANISMS["singer"], "quantity", "images", cases=50, generator=np.random.default_rng(3))
        assert found.violations == []

    def test_the_same_generator_the_same_audit(self) -> None:
        def gains() -> list:
            found = audit(MECHANISMS["singer"], "quantity", "images", cases=6, generator=np.random.default_rng(9))
            return [found.deviations, *sorted(map(str, found.gains.values()))]

        assert gains() == gains()


class TestCounterexamplesAreMinimal:
    def test_no_bid_can_be_left_out_and_no_number_made_smaller(self) -> None:
        @mechanism("liar", truthful=True)
        def liar(market: Market) -> Award:
            """The cheapest bid, paid the mean of the asks: not truthful."""
            if not len(market):
                return Award(market.order, market.costs)
            winner = np.argsort(market.costs, kind="stable")[:1]
            return Award(winner, np.maximum(market.costs[winner], int(market.costs.mean())))

        rule = declared_mechanisms({"": liar})["liar"]
        case = Case(market([3, 1, 4, 1], [20, 25, 30, 40], 50), np.arange(4))
        found = violation(rule, case, 0, 24)
        assert found is not None
        small = smallest(rule, found)
        assert (small.case.market.costs.tolist(), small.asked, small.case.market.budget) == ([1], 2, 2)
        assert small.case.market.value.total_value == 0
        assert (small.truth, small.lie) == (0, 1)

    def test_a_rule_that_fails_breaks_its_word(self) -> None:
        @mechanism("broken", truthful=True)
        def broken(market: Market) -> Award:
            """Fails where there are two bids."""
            if len(market) == 2:
                raise KeyError("two")
            return Award(market.order[:0], market.costs[:0])

        rule = declared_mechanisms({"": broken})["broken"]
        found = audit(rule, "quantity", "images", cases=40, generator=np.random.default_rng(0))
        assert "broken failed: KeyError" in next(found.violations[0].sentences())
        assert len(found.violations[0].case.market) == 2
