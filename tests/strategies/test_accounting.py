"""Accountants against Google's dp-accounting and against brute force."""

import logging
import math

import dp_accounting as reference
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from strategies.privacy.accounting import (
    advantage_bound,
    dp_sgd_epsilon,
    noise_for,
    optimal_composition,
    prv_epsilon,
)
from strategies.privacy.auditing import audited_epsilon

DELTA = 1e-5
TRAININGS = [(1.97, 0.064, 157), (1.1, 0.01, 1000), (0.7, 0.02, 100), (4.0, 0.3, 50)]
"""Noise, sampling rate and steps; the first is the one of the specification."""


def by_reference(kind: type[PLDAccountant] | type[RdpAccountant], event: reference.DpEvent, steps: int) -> float:
    logging.getLogger("absl").setLevel(logging.ERROR)
    accountant = PLDAccountant(value_discretization_interval=1e-3) if kind is PLDAccountant else kind()
    accountant.compose(reference.SelfComposedDpEvent(event, steps))
    return float(accountant.get_epsilon(DELTA))


@pytest.mark.parametrize(("sigma", "rate", "steps"), TRAININGS)
def test_two_accountants_agree_with_the_reference_within_a_percent(sigma: float, rate: float, steps: int) -> None:
    event = reference.PoissonSampledDpEvent(rate, reference.GaussianDpEvent(sigma))
    by_renyi = by_reference(RdpAccountant, event, steps)
    assert dp_sgd_epsilon(sigma, rate, steps, DELTA) == pytest.approx(by_renyi, rel=0.01)
    assert prv_epsilon(sigma, rate, steps, DELTA) == pytest.approx(by_reference(PLDAccountant, event, steps), rel=0.01)


@pytest.mark.parametrize("images", [2, 3])
def test_people_with_many_images_lose_what_the_reference_says(images: int) -> None:
    """Renyi accounting is never below the truth (which the reference approaches), and not far above it."""
    sigma, rate, steps = TRAININGS[0]
    chances = binom.pmf(range(images + 1), images, rate)
    event = reference.dp_event.MixtureOfGaussiansDpEvent(sigma, list(range(images + 1)), list(chances))
    truth = by_reference(PLDAccountant, event, steps)
    assert truth < dp_sgd_epsilon(sigma, rate, steps, DELTA, images) < 1.12 * truth
    assert truth > 1.9 * dp_sgd_epsilon(sigma, rate, steps, DELTA)


@pytest.mark.slow
def test_noise_is_found_for_an_epsilon() -> None:
    for epsilon, images in ((0.3, 1), (20.0, 1), (2.0, 2)):
        sigma = noise_for(epsilon, 0.05, 100, DELTA, images)
        assert 0.98 * epsilon < dp_sgd_epsilon(sigma, 0.05, 100, DELTA, images) <= epsilon


@settings(max_examples=25)
@given(st.floats(0.01, 1.5), st.integers(1, 30), st.floats(1e-9, 0.5))
def test_the_optimal_composition_is_that_of_randomised_response(epsilon: float, times: int, delta: float) -> None:
    """Brute force: k answers, each true with probability e^eps / (1 + e^eps), dominate all eps-DP mechanisms."""
    found = optimal_composition(epsilon, times, delta)

    def needed(level: float) -> float:
        trues = np.arange(times + 1)
        share = 1 / (1 + math.exp(-epsilon))
        here, there = binom.pmf(trues, times, share), binom.pmf(times - trues, times, share)
        return float(np.maximum(0, here - math.exp(level) * there).sum())

    assert needed(found) <= delta * (1 + 1e-6) + 1e-12
    if found > 0 and found - 2 * epsilon >= 0:
        assert needed(found - 2 * epsilon) > delta * (1 - 1e-6)


@given(st.floats(0, 30), st.floats(0, 1))
def test_no_attack_within_the_lines_has_a_larger_advantage(epsilon: float, delta: float) -> None:
    """TPR <= e^eps FPR + delta, and the same of the complements: the best corner of that region."""
    false = np.linspace(0, 1, 2001)
    true = np.minimum.reduce([np.ones_like(false), math.exp(epsilon) * false + delta,
                              1 - math.exp(-epsilon) * (1 - delta - false)])  # fmt: skip
    assert (true - false).max() <= advantage_bound(epsilon, delta) + 1e-9
    corner = (1 - delta) / (1 + math.exp(epsilon))
    assert math.exp(epsilon) * corner + delta - corner == pytest.approx(advantage_bound(epsilon, delta), abs=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: noise_for(0.0, 0.1, 10, DELTA),
        lambda: noise_for(math.nan, 0.1, 10, DELTA),
        lambda: dp_sgd_epsilon(1.0, 1.5, 10, DELTA),
        lambda: dp_sgd_epsilon(1.0, 0.5, 10, 0.0),
        lambda: dp_sgd_epsilon(1.0, 0.5, 10, DELTA, 0),
        lambda: optimal_composition(-1.0, 3, 0.0),
        lambda: audited_epsilon(3, 2, 0, 2, 0.0, 0.01),
    ],
)
def test_numbers_out_of_range_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"not|cannot be"):
        call()  # type: ignore[operator]


def test_no_noise_and_no_steps() -> None:
    assert dp_sgd_epsilon(0.0, 0.1, 10, DELTA) == math.inf
    assert dp_sgd_epsilon(1.0, 0.1, 0, DELTA) == 0.0


def test_an_audit_says_too_much_as_rarely_as_promised() -> None:
    """Randomised response of epsilon 1, audited 2,000 times with an error of 5 %: at most 5 % above 1 (+ 4.5 sigma)."""
    generator = np.random.default_rng(1)
    share = math.e / (1 + math.e)
    found = [
        audited_epsilon(generator.binomial(300, share), 300, generator.binomial(300, 1 - share), 300, 0.0, 0.05)
        for _ in range(2000)
    ]
    assert np.mean(np.array(found) > 1) < 0.05 + 4.5 * math.sqrt(0.05 * 0.95 / 2000)
    assert np.median(found) > 0.6
