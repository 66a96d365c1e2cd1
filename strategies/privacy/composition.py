r"""Privacy losses that add up although each question may depend on all answers so far.

Each loss is bounded by Renyi divergences at fixed orders. At one order they add up, and who stops before the sum
exceeds a bound has lost no more than that, however the questions were chosen (Feldman and Zrnic 2021, "Individual
privacy accounting via a Renyi filter", theorem 4.3). Which order is the best depends on the answers, so each has an
equal share of delta: a run that one of them admits is a run of that order's filter, and their parts add up to delta.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from strategies.privacy.accounting import dp_sgd_divergence

ORDERS: NDArray[np.float64] = np.array(
    [1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, math.inf], dtype=np.float64
)
"""The last is that of pure differential privacy, which needs no delta."""
_FINITE = ORDERS[:-1]


@dataclass(frozen=True)
class Loss:
    """What releases tell at most about one subject.

    Attributes:
        divergences: Renyi divergences at `ORDERS` (natural logarithm).
        delta: The probability that the divergences do not hold, which is added apart.

    Examples:
        >>> ten = sum([pure(0.5)] * 10, Loss.none())
        >>> round(ten.epsilon(1e-6), 6), round(sum([pure(0.01)] * 1000, Loss.none()).epsilon(1e-6), 1)
        (5.0, 1.7)
    """

    divergences: NDArray[np.float64]
    delta: float = 0.0

    @classmethod
    def none(cls) -> "Loss":
        """Return the loss of nothing."""
        return cls(np.zeros(len(ORDERS)))

    def __add__(self, other: "Loss") -> "Loss":
        return Loss(self.divergences + other.divergences, self.delta + other.delta)

    def epsilon(self, delta: float) -> float:
        """Return an epsilon for a delta; infinite when the losses' own deltas exceed it.

        At each order by Canonne, Kamath and Steinke 2020, proposition 12.
        """
        left = delta - self.delta
        if left < 0:
            return math.inf
        best = float(self.divergences[-1])
        if left > 0:
            logarithm = math.log(left / len(_FINITE))
            converted = self.divergences[:-1] + np.log1p(-1 / _FINITE) - (logarithm + np.log(_FINITE)) / (_FINITE - 1)
            best = min(best, float(converted.min()))
        return max(0.0, best)


def pure(epsilon: float, delta: float = 0.0) -> Loss:
    r"""Return the loss of (epsilon, delta)-DP: :math:`\min(\epsilon, \alpha \epsilon^2 / 2)` at order alpha.

    Bun and Steinke 2016, proposition 3.3. A delta is the probability of losing everything (Kairouz, Oh and Viswanath
    2015, theorem 3.2: whatever is (epsilon, delta)-DP can be computed from what is epsilon-DP but for that).

    Raises:
        ValueError: When a number is out of its range.
    """
    if not epsilon >= 0 or not 0 <= delta <= 1:
        raise ValueError(f"epsilon is 0 or more and delta lies between 0 and 1, not {epsilon} and {delta}")
    return Loss(np.append(np.minimum(epsilon, _FINITE * epsilon**2 / 2), epsilon), delta)


def gaussian(sigma: float, times: int = 1) -> Loss:
    """Return the loss of Gaussian noise of `sigma` times what a subject can move (Mironov 2017, corollary 3)."""
    return Loss(times * ORDERS / (2 * sigma**2))


@cache
def dp_sgd(sigma: float, sampling_rate: float, steps: int, images: int = 1) -> Loss:
    """Return the loss of a subject of so many images in DP-SGD (see `accounting.dp_sgd_epsilon`).

    Examples:
        >>> from strategies.privacy.accounting import dp_sgd_epsilon
        >>> round(dp_sgd(1.1, 0.01, 1000).epsilon(1e-5), 1), round(dp_sgd_epsilon(1.1, 0.01, 1000, 1e-5), 1)
        (2.2, 1.7)
    """
    divergences = [dp_sgd_divergence(float(order), sigma, sampling_rate, images) for order in _FINITE]
    return Loss(steps * np.append(divergences, math.inf))
