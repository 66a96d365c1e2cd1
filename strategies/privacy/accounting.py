r"""How privacy losses add up: over publications, over the pictures of one person, over the steps of DP-SGD.

Two notations: sigma is the standard deviation of the noise in units of the clipping norm, q the probability with which
each image (or person) is in a batch, independently of the others (Poisson sampling).
"""

import math
import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import gammaln, logsumexp
from scipy.stats import binom

ORDERS: NDArray[np.float64] = np.concatenate([np.arange(1.1, 11, 0.1), np.arange(11, 65), [80, 128, 256, 512]])
"""Orders at which Renyi divergences are taken."""
_LARGEST = 20_000_000
"""Numbers that one divergence is integrated from, at most."""


def optimal_composition(epsilon: float, times: int, delta: float) -> float:
    r"""Return the least epsilon' such that any `times` epsilon-DP mechanisms together are (epsilon', delta)-DP.

    Kairouz, Oh and Viswanath 2015, theorem 3.3: for :math:`i = 0 \ldots \lfloor k / 2 \rfloor`,
    :math:`((k - 2i) \epsilon, \delta_i)` with :math:`\delta_i = \sum_{l < i} \binom k l (e^{(k - l) \epsilon} -
    e^{(k - 2i + l) \epsilon}) / (1 + e^\epsilon)^k`; no smaller pair holds for all mechanisms.

    Raises:
        ValueError: When a number is out of its range.

    Examples:
        >>> optimal_composition(0.1, 100, 0.0), round(optimal_composition(0.1, 100, 1e-6), 1)
        (10.0, 4.8)
    """
    if not epsilon >= 0 or times < 1 or not 0 <= delta < 1:
        raise ValueError(
            f"epsilon is 0 or more, times 1 or more and delta in [0, 1), not {epsilon}, {times} and {delta}"
        )
    best = times * epsilon
    for less in range(1, times // 2 + 1):
        failed = np.arange(less)
        choices = gammaln(times + 1) - gammaln(failed + 1) - gammaln(times - failed + 1)
        gap = np.log(-np.expm1((2 * failed - 2 * less) * epsilon)) if epsilon else np.full(less, -np.inf)
        logarithm = logsumexp(choices + (times - failed) * epsilon + gap) - times * np.logaddexp(0, epsilon)
        if logarithm > (math.log(delta) if delta else -math.inf):
            break
        best = (times - 2 * less) * epsilon
    return best


def advantage_bound(epsilon: float, delta: float) -> float:
    r"""Return the largest membership advantage, TPR - FPR, that (epsilon, delta) allows any attacker.

    :math:`(e^\epsilon - 1 + 2 \delta) / (e^\epsilon + 1)` (Humphries et al. 2023, theorem 1; it is where the two
    lines that bound TPR and FPR meet, Kairouz, Oh and Viswanath 2015).

    Examples:
        >>> round(advantage_bound(1.0, 1e-5), 4), advantage_bound(0.0, 0.25)
        (0.4621, 0.25)
    """
    return math.tanh(epsilon / 2) + 2 * delta / (math.exp(min(epsilon, 700.0)) + 1)


def dp_sgd_epsilon(sigma: float, sampling_rate: float, steps: int, delta: float, images: int = 1) -> float:
    r"""Return epsilon of DP-SGD for a person with `images` images, by Renyi differential privacy.

    Of k images of one person, :math:`j \sim \mathrm{Binomial}(k, q)` are in a batch and move the clipped sum by at
    most j: all that one step can show is on which side of

    .. math:: \mathcal N(0, \sigma^2) \quad\text{and}\quad \sum_j \Pr[j] \, \mathcal N(j, \sigma^2)

    the batch is (Ganesh 2024, "Tight group-level DP guarantees for DP-SGD with sampling via mixture of Gaussians
    mechanisms", theorem 3.1); the divergence in both directions is integrated numerically. With one image it is the
    sampled Gaussian of Mironov, Talwar and Zhang 2019.

    Args:
        sigma: Noise by clipping norm; 0 for no noise.
        sampling_rate: q, the probability that an image is in a batch.
        delta: Between 0 and 1.
        images: k, the images of one person.

    Raises:
        ValueError: When a number is out of its range.

    Examples:
        >>> round(dp_sgd_epsilon(1.1, 0.01, 1000, 1e-5), 2), round(dp_sgd_epsilon(1.1, 0.01, 1000, 1e-5, images=8), 1)
        (1.71, 18.7)
    """
    if not sigma >= 0 or not 0 <= sampling_rate <= 1 or steps < 0 or not 0 < delta < 1 or images < 1:
        raise ValueError(
            "sigma and steps are 0 or more, the sampling rate lies between 0 and 1, delta strictly between them, "
            f"and a person has an image: not {sigma}, {steps}, {sampling_rate}, {delta} and {images}"
        )
    if sampling_rate == 0 or steps == 0:
        return 0.0
    if sigma == 0:
        return math.inf
    divergences = steps * np.array([dp_sgd_divergence(order, sigma, sampling_rate, images) for order in ORDERS])
    return _converted(divergences, delta)


def dp_sgd_divergence(order: float, sigma: float, sampling_rate: float, images: int) -> float:
    """Return the larger Renyi divergence between noise alone and noise with a person's images (natural logarithm).

    Where that takes too many numbers, return that of all images being in every batch, which is not less.
    """
    if 16 * (order * images / sigma + 12) * (images + 1) > _LARGEST:
        return order * (images / sigma) ** 2 / 2
    shifts = np.arange(images + 1)
    chances = binom.logpmf(shifts, images, sampling_rate)
    # Of both integrands the mass lies within `order` shifts of the outermost means; the step is fine enough that the
    # trapezoidal rule, which converges geometrically for Gaussians, is exact in double precision.
    reach = order * images + 12 * sigma
    points = np.arange(-reach, reach + 1e-9, sigma / 8)
    ratio = logsumexp(chances[:, None] + (2 * shifts[:, None] * points - shifts[:, None] ** 2) / (2 * sigma**2), axis=0)
    log_null = -(points**2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi)) + math.log(sigma / 8)
    moments = [logsumexp(log_null + order * ratio), logsumexp(log_null + (1 - order) * ratio)]
    return float(max(0.0, *moments)) / (order - 1)


def _converted(divergences: NDArray[np.float64], delta: float) -> float:
    """Return epsilon for a delta (Canonne, Kamath and Steinke 2020, proposition 12)."""
    epsilons = divergences + np.log1p(-1 / ORDERS) - (math.log(delta) + np.log(ORDERS)) / (ORDERS - 1)
    return max(0.0, float(np.min(epsilons)))


def concentrated_epsilon(rho: float, delta: float) -> float:
    """Return epsilon for a delta of what is rho-zero-concentrated private (Bun and Steinke 2016), by its Renyi curve.

    Examples:
        >>> round(concentrated_epsilon(0.1, 1e-5), 2)
        1.91
    """
    return _converted(rho * ORDERS, delta)


def prv_epsilon(sigma: float, sampling_rate: float, steps: int, delta: float) -> float:
    """Return epsilon of DP-SGD by Opacus's accountant of privacy loss random variables (Gopi, Lee and Wutschitz 2021).

    It is an upper bound, up to .01 over the truth: less than Renyi accounting tells, whose bound stands in where
    numbers are too extreme for Opacus's.
    """
    from opacus.accountants import PRVAccountant  # noqa: PLC0415  (three seconds)

    accountant = PRVAccountant()
    accountant.history = [(sigma, sampling_rate, steps)]
    try:
        with warnings.catch_warnings(action="ignore"):  # of orders and logarithms that are left out afterwards
            return float(accountant.get_epsilon(delta))
    except (RuntimeError, ValueError):
        return dp_sgd_epsilon(sigma, sampling_rate, steps, delta)


def noise_for(epsilon: float, sampling_rate: float, steps: int, delta: float, images: int = 1) -> float:
    """Return the least sigma (to 1 in 1,000) for (epsilon, delta)-DP of DP-SGD for a person with `images` images.

    Raises:
        ValueError: When epsilon is not positive, or no noise is enough.

    Examples:
        >>> round(dp_sgd_epsilon(noise_for(2.0, 0.05, 100, 1e-5), 0.05, 100, 1e-5), 2)
        2.0
    """
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon is a positive number, not {epsilon}")
    least = most = 1.0

    def excess(sigma: float) -> float:
        return dp_sgd_epsilon(sigma, sampling_rate, steps, delta, images) - epsilon

    while excess(most) > 0:
        least, most = most, 2 * most
        if most > 1e5:
            raise ValueError(
                f"no noise can be shown to make {steps} steps ({epsilon}, {delta})-DP; choose a larger epsilon or delta"
            )
    while least > 0.05 and excess(least) <= 0:
        least, most = least / 2, least
    return 1.001 * (float(brentq(excess, least, most, rtol=1e-3)) if least < most and excess(least) > 0 else least)
