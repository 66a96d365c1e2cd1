"""The paper's own mechanism and its repairs, the baselines and the bounds, against definitions in exact arithmetic."""

from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from mechanism_oracles import additive, best_value, greedy, literal_payments

from strategies.features.additive import Additive
from strategies.features.bundles import bundled
from strategies.features.coverage import SignaturePoints, Squares
from strategies.features.matching import matching_degree
from strategies.features.signatures import signature_table
from strategies.mechanisms import (
    AGENTS,
    MECHANISMS,
    QUALITIES,
    Award,
    BrokenAward,
    Market,
    descending_clock,
    mechanism,
    singer,
    upper_bound,
)
from strategies.mechanisms.auditing.cases import draw_case
from strategies.mechanisms.critical_payments import critical_payments
from strategies.mechanisms.density_greedy import proportional_share
from strategies.mechanisms.mechanism import declared_mechanisms
from strategies.mechanisms.selection import Offers, default_mechanism, select
from strategies.mechanisms.share_clock import share_clock

SMALL_MARKETS = 120


def payments(award: Award) -> dict[int, int]:
    return dict(zip(award.winners.tolist(), award.payments.tolist(), strict=True))


def small_squares(generator: np.random.Generator, bids: int) -> Squares:
    reach = int(generator.integers(1, 4))
    return Squares(generator.integers(reach, 2 * reach + 3 + int(3 * bids**0.5), (bids, 2)), reach)


def small_markets(draw: Callable[[np.random.Generator, int], Squares | Additive]) -> Iterator[Market]:
    """Markets of a few bids, some above the budget, some alike; costs of 1 or more, as in the protocol."""
    generator = np.random.default_rng(4)
    for _ in range(SMALL_MARKETS):
        bids, budget = int(generator.integers(0, 8)), int(generator.integers(2, 40))
        costs = generator.integers(1, generator.choice([3, budget + 2]), bids)
        yield Market(draw(generator, bids), costs, budget, np.arange(bids))


def admitted(market: Market) -> tuple[list[int], Callable[[Collection[int]], int], list[Fraction]]:
    """The bids that ask no more than the budget, what sets of them are worth, and what they ask."""
    among = [bid for bid in range(len(market)) if market.costs[bid] <= market.budget]
    return (
        among,
        lambda chosen: market.value.value([among[i] for i in chosen]),
        [Fraction(int(market.costs[bid])) for bid in among],
    )


class TestBeacon:
    def test_equals_its_definition_with_ties_and_duplicates(self) -> None:
        for market in small_markets(small_squares):
            among, value, costs = admitted(market)
            if sum(2 * cost <= market.budget for cost in costs) > 1:
                chosen, _ = greedy(value, costs, market.budget)
                expected = {among[i]: int(greedy(value, costs, market.budget, left_out=i)[1]) for i in chosen}
            else:
                order = sorted(range(len(costs)), key=costs.__getitem__)
                seconds = [market.budget, *(int(costs[i]) for i in order[1:2])]
                expected = {among[i]: min(seconds) for i in order[:1]}
            assert payments(MECHANISMS["beacon"].award(market)) == expected

    def test_on_signatures_too(self) -> None:
        generator = np.random.default_rng(2)
        for _ in range(50):
            points = generator.integers(0, 3, (6, 2, 2))
            points[:, 1] += 5  # two points each
            market = Market(SignaturePoints(points), generator.integers(1, 8, 6), 30, np.arange(6))
            _, value, costs = admitted(market)
            chosen, _ = greedy(value, costs, market.budget)
            expected = {i: int(greedy(value, costs, market.budget, left_out=i)[1]) for i in chosen}
            assert payments(MECHANISMS["beacon"].award(market)) == expected

    def test_it_loses_the_best_image_where_values_differ(self) -> None:
        unequal = Market(Additive(np.array([100, 1])), np.array([600, 1]), 1000, np.arange(2))
        assert payments(MECHANISMS["crowdbuy-max"].award(unequal)).keys() == {0}
        assert MECHANISMS["beacon"].refusal("matching", "images") is not None
        assert MECHANISMS["beacon"].refusal("diversity", "sellers") is not None
        assert MECHANISMS["beacon"].rule(unequal).winners.tolist() == [1]


def crowded(kind: str, generator: np.random.Generator, bids: int) -> Squares | SignaturePoints | Additive:
    """Bids that overlap a lot, some exactly."""
    if kind == "squares":
        reach = int(generator.integers(1, 5))
        width = 2 * reach + 3 + int(generator.integers(1, 4) * bids**0.5)
        return Squares(generator.integers(reach, width, (bids, 2)), reach)
    if kind == "signatures":
        points = generator.integers(0, 3 + bids // int(generator.integers(2, 8)), (bids, 3, 2))
        points[:, :, 0] = np.arange(3)
        return SignaturePoints(points)
    return Additive(generator.integers(1, 6, bids))


class TestCriticalPayments:
    """Against the greedy run again without each winner."""

    @pytest.mark.parametrize("kind", ["squares", "signatures", "additive"])
    @pytest.mark.parametrize("markets", [250, pytest.param(10_000, marks=pytest.mark.slow)])
    def test_equal_naive_ones_with_ties_and_duplicates(self, kind: str, markets: int) -> None:
        generator = np.random.default_rng(8)
        winners = 0
        for _ in range(markets):
            bids = int(generator.integers(1, 40))
            value = crowded(kind, generator, bids)
            costs = generator.integers(1, generator.choice([3, 10, 60]), bids)
            budget = int(generator.integers(4, 40 * bids))
            covered = value.uncovered()
            chosen, most = critical_payments(covered, costs, budget)
            winners += len(chosen)
            assert chosen.tolist() == proportional_share(covered, costs, budget, -1)[0].tolist()
            assert most.tolist() == [proportional_share(covered, costs, budget, bid)[2] for bid in chosen]
        assert winners > markets


class TestThePapersRule:
    def draw(self, generator: np.random.Generator, bids: int) -> Additive:
        return Additive(generator.integers(1, 12, bids))

    def test_equals_its_definition_at_beacons_payments(self) -> None:
        for market in small_markets(self.draw):
            among, value, costs = admitted(market)
            expected = {among[i]: int(paid) for i, paid in literal_payments(value, costs, market.budget).items()}
            assert payments(MECHANISMS["crowdbuy-max"].award(market)) == expected

    def test_equals_its_definition_at_critical_payments(self) -> None:
        broken = 0
        for market in islice(small_markets(self.draw), 60):
            among, value, costs = admitted(market)

            def wins(bid: int, asked: int, value=value, costs=costs, market=market) -> bool:
                bids = [*costs[:bid], Fraction(asked), *costs[bid + 1 :]]
                return bid in literal_payments(value, bids, market.budget)

            won = literal_payments(value, costs, market.budget)
            expected = {among[i]: max(asked for asked in range(1, market.budget + 1) if wins(i, asked)) for i in won}
            if sum(expected.values()) > market.budget:
                broken += 1
                with pytest.raises(BrokenAward, match=r"crowdbuy-max-myerson pays \d+ of a budget of"):
                    MECHANISMS["crowdbuy-max-myerson"].award(market)
            else:
                assert payments(MECHANISMS["crowdbuy-max-myerson"].award(market)) == expected
        assert broken > 0

    def test_critical_payments_exceed_the_budget(self) -> None:
        market = Market(Additive(np.array([10, 1])), np.array([100, 10]), 1000, np.arange(2))
        with pytest.raises(BrokenAward, match="pays 1045 of a budget of 1000"):
            MECHANISMS["crowdbuy-max-myerson"].award(market)


class TestBaselinesAndBounds:
    @pytest.mark.parametrize("name", ["first-price", "random", "public-cost"])
    def test_they_pay_what_is_asked_within_the_budget(self, name: str) -> None:
        for market in small_markets(small_squares):
            award = MECHANISMS[name].award(market)
            assert award.total <= market.budget
            assert award.payments.tolist() == market.costs[award.winners].tolist()

    def test_the_bounds_enclose_the_optimum(self) -> None:
        for draw in (small_squares, lambda generator, bids: Additive(generator.integers(0, 9, bids))):
            for market in small_markets(draw):
                best = best_value(market.value.value, market.costs.tolist(), market.budget)
                reached = market.value.value(MECHANISMS["public-cost"].award(market).winners)
                assert (1 - 1 / np.e) / 2 * best <= reached <= best <= upper_bound(market) + 1e-9

    def test_random_has_no_favourites(self) -> None:
        costs = np.full(4, 5)
        won = [
            MECHANISMS["random"].award(Market(Additive(np.ones(4, int)), costs, 5, ranks)).winners.tolist()
            for ranks in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 2, 3])
        ]
        assert won == [[0], [3], [1]]


class TestEveryMechanism:
    @pytest.mark.parametrize("name", MECHANISMS)
    def test_no_bids_no_award(self, name: str) -> None:
        market = Market(Squares(np.empty((0, 2), np.int64), 3), np.empty(0, np.int64), 10, np.empty(0, np.int64))
        if MECHANISMS[name].qualities == {"quantity"}:
            market = Market(Additive(np.empty(0, np.int64)), market.costs, 10, market.ranks)
        if name != "chen-gravin-lu":
            assert len(MECHANISMS[name].award(market).winners) == 0

    @pytest.mark.parametrize("quality", QUALITIES)
    @pytest.mark.parametrize("agents", AGENTS)
    def test_every_default_serves_its_quality(self, quality: str, agents: str) -> None:
        assert default_mechanism(quality, agents).refusal(quality, agents) is None

    @pytest.mark.parametrize("name", ["singer", "descending-clock", "beacon", "crowdbuy-max", "first-price"])
    def test_no_payment_exceeds_its_ceiling_and_dearer_bids_are_out(self, name: str) -> None:
        generator = np.random.default_rng(7)
        value = Additive(np.ones(20, int)) if name == "singer" else small_squares(generator, 20)
        costs = generator.integers(1, 9, 20)
        award = MECHANISMS[name].award(Market(value, costs, 300, np.arange(20), np.full(20, 6)))
        assert len(award.winners)
        assert award.payments.max() <= 6
        assert np.all(costs[award.winners] <= 6)

    def test_too_much_for_exact_arithmetic_is_refused(self) -> None:
        market = Market(Additive(np.full(9, 2**40)), np.ones(9, int), 2**30, np.arange(9))
        for name in ("beacon", "crowdbuy-max", "first-price", "public-cost"):
            with pytest.raises(ValueError, match=r"2\*\*63"):
                MECHANISMS[name].award(market)


class TestBundles:
    @pytest.mark.parametrize("kind", ["squares", "signatures"])
    def test_a_bundle_is_worth_what_its_images_cover(self, kind: str) -> None:
        generator = np.random.default_rng(5)
        for _ in range(60):
            owners = np.concatenate([np.arange(4), generator.integers(0, 4, 6)])
            coverage = (
                small_squares(generator, 10)
                if kind == "squares"
                else SignaturePoints(generator.integers(0, 4, (10, 2, 2)))
            )
            bundles = bundled(coverage, owners, 4)
            assert len(bundles) == 4
            for chosen in ([], [2], [0, 3], [0, 1, 2, 3]):
                assert bundles.value(chosen) == coverage.value(np.flatnonzero(np.isin(owners, chosen)))
            kept = bundles.subset([3, 1])
            assert kept.value([0]) == bundles.value([3])
            market = Market(bundles, generator.integers(1, 9, 4), 20, np.arange(4))
            best = best_value(bundles.value, market.costs.tolist(), 20)
            award = MECHANISMS["descending-clock"].award(market)
            assert award.total <= 20
            assert bundles.value(award.winners) <= best <= upper_bound(market)
            assert bundles.value(MECHANISMS["public-cost"].award(market).winners) * 4 >= best

    @pytest.mark.parametrize("quality", QUALITIES)
    def test_sellers_win_with_all_their_images_or_none(self, quality: str) -> None:
        generator = np.random.default_rng(6)
        owners = np.repeat(np.arange(8), 3)
        prices = generator.integers(10, 60, 24)
        offers = Offers(generator.integers(1000, 1400, (24, 2)), None, prices)
        chosen = select(
            offers,
            np.array([[1200, 1200]]),
            quality=quality,
            budget=900,
            radius=1000,
            reach=50,
            ranks=generator.permutation(24),
            owners=owners,
            ceiling=100,
        )
        assert len(chosen.winners) % 3 == 0
        assert len(chosen.winners) > 0
        assert np.all(np.bincount(owners[chosen.winners], minlength=8) % 3 == 0)
        assert np.all(chosen.payments >= prices[chosen.winners])
        assert chosen.payments.sum() <= min(900, 100 * len(chosen.winners))

    def test_mechanisms_for_images_refuse_bundles(self) -> None:
        offers = Offers(np.array([[5, 5]]), None, np.array([1]))
        with pytest.raises(ValueError, match="singer does not serve sellers as agents"):
            select(
                offers,
                np.array([[6, 6]]),
                quality="quantity",
                budget=9,
                radius=9,
                reach=1,
                ranks=np.array([0]),
                owners=np.array([0]),
                mechanism=MECHANISMS["singer"],
            )


class TestWeightedDiversity:
    """Area counts by how well it matches."""

    def draw(self, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        targets = np.array([[5000, 5000], [9000, 5000]])
        features = (targets[generator.integers(0, 2, 200)] + generator.normal(0, 900, (200, 2))).astype(np.int64)
        return features, targets, generator.integers(30, 200, 200), generator.permutation(200)

    @pytest.mark.parametrize("level", [1, 2])
    def test_it_buys_what_matches_better_and_covers_somewhat_less(self, level: int) -> None:
        generator = np.random.default_rng(9)
        features, targets, prices, ranks = self.draw(generator)
        signed = signature_table(b"s", 200, 4).sign(features).astype(np.int64)
        offers = Offers(features, None, prices) if level == 1 else Offers(None, signed, prices)
        won = {
            quality: select(offers, targets, quality=quality, budget=4000, radius=2000, reach=200, ranks=ranks).winners
            for quality in ("diversity", "diversity-weighted")
        }
        degrees = {name: matching_degree(features[bids], targets, 2000).mean() for name, bids in won.items()}
        areas = {name: Squares(features[bids], 200).union_area() for name, bids in won.items()}
        assert degrees["diversity-weighted"] > degrees["diversity"] + 0.02
        assert areas["diversity-weighted"] > 0.7 * areas["diversity"]

    def test_weighted_points_are_monotone_submodular(self) -> None:
        generator = np.random.default_rng(10)
        for _ in range(50):
            points = generator.integers(0, 4, (6, 3, 2))
            value = SignaturePoints(points, (points.sum(axis=2) * 3) % 7)
            small, large, bid = [0, 1], [0, 1, 2, 3], 5
            gain = [value.value([*chosen, bid]) - value.value(chosen) for chosen in (small, large)]
            assert gain[0] >= gain[1] >= 0
            expected = {tuple(point) for each in points[large].reshape(-1, 2).tolist() for point in [each]}
            assert value.value(large) == sum(sum(point) * 3 % 7 for point in expected)


class TestOwnMechanisms:
    def test_a_rule_that_breaks_its_word_is_stopped(self) -> None:
        market = Market(Additive(np.ones(3, int)), np.array([4, 5, 6]), 10, np.arange(3))

        @mechanism("cheap")
        def cheap(market: Market) -> Award:
            """Pays nothing."""
            return Award(np.array([0]), np.array([0]))

        @mechanism("lavish")
        def lavish(market: Market) -> Award:
            """Buys everything."""
            return Award(np.arange(3), market.costs)

        @mechanism("twice")
        def twice(market: Market) -> Award:
            """Buys one image twice."""
            return Award(np.array([0, 0]), np.array([5, 5]))

        own = declared_mechanisms({"a": cheap, "b": lavish, "c": twice})
        for name, why in (
            ("cheap", "pays less than it asks"),
            ("lavish", "pays 15 of a budget of 10"),
            ("twice", "tw"),
        ):
            with pytest.raises(BrokenAward, match=why):
                own[name].award(market)

    @pytest.mark.parametrize(
        ("name", "settings", "why"),
        [
            ("B!", {}, "invalid mechanism name 'B!'"),
            ("b", {"qualities": ["beauty"]}, "serves .'beauty'."),
            ("b", {"qualities": []}, "serves nothing"),
            ("b", {"agents": ["phones"]}, "serves .'phones'."),
        ],
    )
    def test_mistakes_in_a_declaration(self, name: str, settings: dict, why: str) -> None:
        with pytest.raises(TypeError, match=why):
            mechanism(name, **settings)

    def test_it_says_what_it_does(self) -> None:
        with pytest.raises(TypeError, match="has no docstring"):
            mechanism("silent")(lambda market: Award(market.order, market.costs))


def test_the_value_oracle_agrees() -> None:
    values = np.array([3, 1, 4])
    assert Additive(values).value([0, 2]) == additive(*values.tolist())([0, 2])


class TestClocksOfSmallMarkets:
    def test_without_overlap_it_buys_what_singer_does_but_for_the_steps_of_the_price(self) -> None:
        generator = np.random.default_rng(1)
        for _ in range(40):
            bids = int(generator.integers(1, 60))
            apart = Squares(np.stack([np.arange(bids) * 900, np.full(bids, 9)], axis=1), 400)
            costs, budget = generator.integers(20, 200, bids), int(generator.integers(100, 4000))
            ranks = generator.permutation(bids)
            ours = share_clock(Market(apart, costs, budget, ranks))
            theirs = singer(costs, budget, ranks)
            assert len(theirs.winners) - 1 <= len(ours.winners) <= len(theirs.winners) + 1
            assert ours.total <= budget

    def test_it_never_loses_much_to_quantity_on_the_auditors_markets(self) -> None:
        generator = np.random.default_rng(2)
        shares: dict[bool, list[float]] = {False: [], True: []}
        for number in range(330):
            market = draw_case("diversity", "images", generator, large=number >= 300).market
            bought = market.value.value(singer(market.costs, market.budget, market.ranks).winners)
            if bought:
                covered = market.value.value(MECHANISMS["clock"].award(market).winners)
                shares[number >= 300].append(covered / bought)
        assert min(shares[False]) > 0.4
        assert min(shares[True]) > 0.8
        assert np.mean(shares[False]) > 0.97
        assert np.mean(shares[True]) > 0.97

    def test_bundles_and_large_markets_keep_the_guarantee_of_the_descending_clock(self) -> None:
        generator = np.random.default_rng(3)
        unequal = Additive(np.array([100, 1, 1]))
        large = Squares(generator.integers(500, 9000, (1000, 2)), 100)
        for value in (unequal, large):
            market = Market(value, generator.integers(1, 9, len(value)), 90, np.arange(len(value)))
            guaranteed = descending_clock(value, market.costs, 90, market.order, 1.3)
            assert payments(MECHANISMS["clock"].award(market)) == payments(guaranteed)
