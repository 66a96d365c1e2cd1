"""Numbers of a comparison: of several seeds together, differences of people, and the rule of the chooser."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from simulations.reports.evaluation import Estimate
from simulations.studies.compare.choose import Question, choose
from simulations.studies.compare.combining import Difference, difference, holm, over_seeds
from simulations.studies.compare.report import MethodRow, Risk, Worth
from simulations.studies.compare.table import CRITERIA


class TestNumbersOfSeeds:
    def test_seeds_that_agree_narrow_the_interval_and_those_that_do_not_widen_it(self) -> None:
        one = Estimate(value=0.5, low=0.4, high=0.6, n=50)
        alike = over_seeds([one] * 4)
        assert (alike.value, alike.n) == (0.5, 200)
        assert alike.high - alike.low == pytest.approx(0.1)
        apart = over_seeds([one.model_copy(update={"value": x, "low": x - 0.1, "high": x + 0.1}) for x in (0.2, 0.8)])
        assert apart.high - apart.low > 0.9

    def test_one_seed_is_left_as_it_is(self) -> None:
        one = Estimate(value=0.5, low=0.35, high=0.7, n=50)
        assert over_seeds([one]) == one

    @given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=30))
    def test_one_seed_is_the_paired_t_test(self, pairs: list[tuple[float, float]]) -> None:
        one, other = (dict(enumerate(each)) for each in zip(*pairs, strict=True))
        found = difference([(one, other)])
        assert found is not None
        judge = ttest_rel(list(one.values()), list(other.values()))
        assert found.mean == pytest.approx(np.mean([a - b for a, b in pairs]))
        if found.error > 1e-6:
            assert found.p == pytest.approx(judge.pvalue, abs=1e-6)
            interval = judge.confidence_interval(0.95)
            assert found.interval(0.05) == pytest.approx((interval.low, interval.high), abs=1e-6)

    def test_only_people_of_both_are_compared_and_seeds_count_where_they_differ(self) -> None:
        found = difference([({1: 1.0, 2: 0.0, 9: 1.0}, {1: 0.0, 2: 0.0, 3: 1.0})])
        assert found is not None
        assert (found.mean, found.people) == (0.5, 2)
        assert difference([({1: 1.0}, {2: 1.0})]) is None
        seeds = [({n: x + n % 2 / 100 for n in range(20)}, dict.fromkeys(range(20), 0.0)) for x in (0.1, 0.5, 0.9)]
        apart = difference(seeds)
        assert apart is not None
        assert apart.freedom == 2

    @given(st.lists(st.floats(-3, 3), min_size=1, max_size=12))
    def test_holm_shows_what_it_shows_by_definition(self, means: list[float]) -> None:
        found = [Difference(mean, 0.5, 40, 41, 1) for mean in means]
        values = sorted(each.p for each in found)
        count = next((k for k, p in enumerate(values) if p > 0.05 / (len(values) - k)), len(values))
        judged = holm(found)
        assert sum(each.shown for each in judged) == count
        for each in judged:
            assert each.low <= each.high
            if each.shown:
                assert each.low >= 0 or each.high <= 0


def row(name: str, retained: float, risks: dict[str, float], whom: tuple[Any, ...] = ("cloud",)) -> MethodRow:
    def sure(value: float) -> Estimate:
        return Estimate(value=value, low=value, high=value, n=10)

    return MethodRow(
        name=name, title=name, workflow="publish", shares="", promise=None, costs=(), whole_run=False, pictures=(),
        seen_by="", runs=("a",),
        worth=Worth(task="", retained=sure(retained), accuracy=sure(0.5), baseline=0.5, ceiling=None, runs=("a",)),
        risks=tuple(
            Risk(
                observer="the cloud", whom=whom, criterion=criterion, what="", attack="x", knows="", risk=sure(risk),
                rate=sure(risk), reference=0.0, victims=5, runs=("a",),
            )
            for criterion, risk in risks.items()
        ),
    )  # fmt: skip


class TestChooser:
    def test_what_remains_is_useful_enough_and_leaks_little_to_whom_one_distrusts(self) -> None:
        everything = dict.fromkeys(CRITERIA, 0.0)
        rows = [
            row("good", 0.9, everything),
            row("useless", 0.1, everything),
            row("leaky", 0.9, {**everything, "linkability": 0.6}),
            row("to the buyer", 0.9, {**everything, "linkability": 0.6}, ("participants",)),
        ]
        answers = {each.name: each.against for each in choose(Question(), rows)}
        assert answers["good"] == ()
        assert answers["useless"] == ("it retains 10\N{NO-BREAK SPACE}% of the utility",)
        assert answers["leaky"] == ("linkability by the cloud: risk 60\N{NO-BREAK SPACE}%",)
        assert answers["to the buyer"] == ()

    def test_what_was_not_measured_is_said(self) -> None:
        (answer,) = choose(Question(), [row("a", 0.9, {})])
        assert len(answer.open) == len(CRITERIA)

    def test_sums_need_owners(self) -> None:
        rows = [row("federate:secure-sum", 0.9, dict.fromkeys(CRITERIA, 0.0))]
        assert choose(Question(owners=4), rows)[0].against == ()
        assert choose(Question(owners=2), rows)[0].against
