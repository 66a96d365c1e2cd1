"""The common rows: intervals cover, risks are what they are defined as, and broken attacks are named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from simulations.evaluation import Guesses, constant, leak, mean, proportion, ranked, utility
from simulations.evaluation.estimates import averted, complement, ratio, risk
from simulations.reports.evaluation import Estimate, Leak

SHARES = st.floats(0, 1, allow_nan=False)


def row(shared: list[int], **others: Any) -> Leak:
    given = {"attack": "some attack", "knows": "nothing more", "baseline": 0.0, **others}
    return leak("method", "someone", "linkability", "who", shared=Guesses.of(shared), **given)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_independent_guesses_have_wilsons_interval_by_scipy(hits: list[bool]) -> None:
    found, known = proportion(hits), binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=2e-6)
    assert found.n == len(hits)


@given(st.lists(st.tuples(SHARES, st.integers(0, 8)), min_size=1, max_size=60))
def test_intervals_hold_their_value_and_lie_in_0_to_1(guesses: list[tuple[float, int]]) -> None:
    hits, people = zip(*guesses, strict=True)
    found = proportion(hits, people)
    assert 0 <= found.low <= found.value <= found.high <= 1
    least = mean(hits, people)
    assert least.low <= least.value <= least.high


def rates(generator: np.random.Generator, people: int, each: int, spread: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Guesses about people who are hard or easy to guess: a beta-binomial with a mean of 0.3."""
    share = generator.beta(0.3 * spread, 0.7 * spread, people) if spread else np.full(people, 0.3)
    return generator.random((people, each)) < share[:, None], np.arange(people).repeat(each)


@pytest.mark.parametrize(("people", "each", "spread"), [(40, 20, 1.0), (40, 20, 0.0), (100, 5, 0.3), (20, 1, 0.0)])
def test_intervals_over_people_cover(people: int, each: int, spread: float) -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        hits, whose = rates(generator, people, each, spread)
        found = proportion(hits.ravel(), whose)
        covered += found.low <= 0.3 <= found.high
    assert covered / 400 > 0.91


def test_images_of_one_person_are_not_independent() -> None:
    hits, people = np.repeat([1, 0] * 10, 50), np.arange(20).repeat(50)
    alike, apart = proportion(hits, people), proportion(hits)
    assert alike.high - alike.low > 5 * (apart.high - apart.low)
    assert proportion(np.ones(1000), people).low == pytest.approx(binomtest(20, 20).proportion_ci(method="wilson").low)


def test_risks_cover_with_a_control() -> None:
    """Rate 0.6 and control 0.2: a risk of 0.5."""
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        found = risk(proportion(generator.random(80) < 0.6), proportion(generator.random(60) < 0.2))
        covered += found.low <= 0.5 <= found.high
    assert covered / 400 > 0.92


@given(SHARES, SHARES)
def test_a_risk_is_what_an_attack_adds(rate: float, reference: float) -> None:
    found = risk(constant(rate), constant(reference)).value
    expected = 0.0 if round(reference, 6) >= 1 else max(0.0, (rate - reference) / (1 - reference))
    assert found == pytest.approx(min(1.0, expected), abs=1e-5 / max(1e-3, 1 - reference))


@given(st.integers(1, 40), st.integers(1, 40))
def test_ratios_hold_their_value(above: int, below: int) -> None:
    found = ratio(proportion([1] * above + [0] * 5), proportion([1] * below + [0] * 5))
    assert 0 <= found.low <= found.value <= found.high


def test_nothing_is_averted_where_nothing_changes_and_all_where_nothing_leaks() -> None:
    leaks = proportion([1] * 80 + [0] * 20)
    same, nothing = averted(leaks, leaks), averted(constant(0.0), leaks)
    assert same is not None
    assert nothing is not None
    assert (same.value, same.low, nothing.value) == (0.0, 0.0, 1.0)
    assert averted(leaks, constant(0.0)) is None
    assert complement(complement(leaks)) == pytest.approx(leaks)


def test_the_reference_is_the_better_of_baseline_and_control() -> None:
    shared, control = [1] * 60 + [0] * 40, Guesses.of([1] * 20 + [0] * 80)
    for baseline, expected in ((0.1, 0.5), (0.4, 1 / 3)):
        found = row(shared, baseline=baseline, control=control).risk
        assert found is not None
        assert found.value == pytest.approx(expected, abs=1e-5)


def test_an_attack_that_fails_on_the_originals_is_broken() -> None:
    useless = Guesses.of([1] * 10 + [0] * 90)
    broken = row([0] * 100, baseline=0.1, ceiling=useless)
    assert broken.broken
    assert broken.risk is None
    assert broken.averted is None
    works = row([0] * 100, baseline=0.1, ceiling=Guesses.of([1] * 90 + [0] * 10))
    assert not works.broken
    assert works.averted is not None
    assert works.averted.value == 1.0


def test_the_strongest_attack_comes_first_and_a_broken_one_never_does() -> None:
    weak, strong = row([1, 0, 0, 0] * 20), row([1, 1, 1, 0] * 20)
    broken = row([1] * 80, baseline=0.1, ceiling=Guesses.of([0] * 80))
    first, second, third = ranked([broken, weak, strong])
    assert (first.risk, second.risk, third.risk) == (strong.risk, weak.risk, None)
    assert [each.strongest for each in (first, second, third)] == [True, False, False]
    (only,) = ranked([broken])
    assert only.strongest
    assert only.risk is None


def test_utility_that_is_retained() -> None:
    best = Guesses.of([1] * 90 + [0] * 10)
    half = utility("method", "a task", Guesses.of([1] * 70 + [0] * 30), 0.5, best)
    assert half.retained is not None
    assert half.retained.value == pytest.approx(0.5)
    assert half.learns
    chance = utility("method", "a task", Guesses.of([1] * 50 + [0] * 50), 0.5, best)
    assert not chance.learns
    assert chance.retained is not None
    assert chance.retained.value == 0
    assert utility("method", "a task", Guesses.of([1, 0]), 0.5, Guesses.of([1, 0])).retained is None


def test_guesses_are_about_somebody() -> None:
    with pytest.raises(ValueError, match="2 guesses about 1 people"):
        Guesses.of([1, 0], [1])
    with pytest.raises(ValueError, match="at least one guess"):
        proportion([])
    assert isinstance(Guesses.of([1, 0]).rate, Estimate)
