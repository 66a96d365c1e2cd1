"""Noise that many add together hides each of them as much as is said, and the sum is that of their vectors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from strategies.privacy.accounting import concentrated_epsilon, noise_for
from strategies.privacy.distributed_noise import BITS, DistributedNoise, noise_of, rotate, rotate_back
from strategies.privacy.stream import Stream

ROTATION = b"r" * 32


def stream(number: int) -> Stream:
    return Stream(number.to_bytes(32))


@given(st.integers(0, 9), st.integers(0, 2**32))
def test_a_rotation_keeps_norms_and_is_undone(power: int, seed: int) -> None:
    vector = np.random.default_rng(seed).normal(size=2**power)
    turned = rotate(vector, ROTATION)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(vector))
    assert np.allclose(rotate_back(turned, ROTATION), vector)


def test_a_rotation_leaves_no_large_number() -> None:
    vector = np.zeros(1024)
    vector[7] = 1.0
    assert np.abs(rotate(vector, ROTATION)).max() == pytest.approx(1 / 32)


def test_the_sum_is_that_of_the_clipped_vectors_with_noise_of_the_promised_size() -> None:
    noise = DistributedNoise(700, 2.0, 0.1)
    generator = np.random.default_rng(1)
    vectors = [generator.normal(size=700) * scale for scale in (1, 10, 0.001, 0)] * 10
    total = np.sum([noise.encode(each, ROTATION, stream(i)) for i, each in enumerate(vectors)], axis=0)
    clipped = [each * min(1.0, 2.0 / max(np.linalg.norm(each), 1e-9)) for each in vectors]
    error = noise.decode(total, ROTATION) - np.sum(clipped, axis=0)
    assert stats.kstest(error / (0.1 * math.sqrt(40)), "norm").pvalue > 1e-3


def test_the_noise_of_a_client_is_discrete_and_gaussian() -> None:
    noise = DistributedNoise(4096, 1e-9, 1.0)
    drawn = noise.encode(np.zeros(4096), ROTATION, stream(1)) / 2.0**BITS
    assert stats.kstest(drawn, "norm").pvalue > 1e-3


def test_no_rounded_vector_is_farther_than_the_sensitivity_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a coarse grid, where rounding is felt."""
    monkeypatch.setattr("strategies.privacy.distributed_noise.BITS", 0)
    monkeypatch.setattr(
        "strategies.privacy.distributed_noise.discrete_gaussian", lambda bits, size, stream: np.zeros(size, np.int64)
    )
    noise = DistributedNoise(256, 1.0, 0.25)
    generator = np.random.default_rng(1)
    norms = [
        np.linalg.norm(noise.encode(generator.normal(size=256) * 9, ROTATION, stream(i)) * noise.grid)
        for i in range(200)
    ]
    assert max(norms) <= noise.sensitivity
    assert max(norms) > 1.5  # more than the clipping norm


def test_epsilon_is_that_of_the_central_gaussian_but_for_what_rounding_costs() -> None:
    rounds, clients, delta = 15, 14, 1e-4
    noise = noise_of(8.0, 14_674, 1.0, clients, rounds, delta)
    assert noise.epsilon(clients, rounds, delta) == pytest.approx(8.0, rel=1e-4)
    assert noise.sigma * math.sqrt(clients) == pytest.approx(noise_for(8.0, 1.0, rounds, delta), rel=0.02)
    assert noise.epsilon(2 * clients, rounds, delta) < 5.5
    assert noise.epsilon(clients // 2, rounds, delta) > 11
    coarse = concentrated_epsilon(rounds * 1.0 / (2 * clients * noise.sigma**2), delta)
    assert coarse <= noise.epsilon(clients, rounds, delta)


@pytest.mark.parametrize("arguments", [(0, 1.0, 1.0), (5, 0.0, 1.0), (5, 1.0, 0.0), (5, math.inf, 1.0), (5, 1.0, 1e-9)])
def test_what_is_no_noise_is_refused(arguments: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="noise"):
        DistributedNoise(*arguments)


def test_an_epsilon_that_is_none_is_refused() -> None:
    for epsilon in (0.0, math.inf, 1e-9):
        with pytest.raises(ValueError, match="epsilon"):
            noise_of(epsilon, 10, 1.0, 5, 1, 1e-5)
