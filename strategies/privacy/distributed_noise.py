r"""Noise that many add to a sum, so that it hides each of them, and nobody sees a summand without noise.

Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation"
(ICML 2021), algorithms 1 and 2. A vector is clipped to the norm c, rotated so that no value is large, and rounded at
random to the grid :math:`\gamma`; then integers from a discrete Gaussian are added.

Rounding moves a vector, so that two sums differ by more than c (theorem 1 there, with the rotated dimension d):

.. math:: \Delta^2 = \min\{c^2 + \gamma^2 d / 4 + \sqrt{2 \ln(1/\beta)} \, \gamma (c + \gamma \sqrt d / 2),
    \; (c + \gamma \sqrt d)^2\}

It holds for the integers that are sent, whatever a floating-point number did before: who exceeds it rounds again. A sum
of discrete Gaussians is not quite one; with :math:`\tau = 10 \sum_{k < m} e^{-2 \pi^2 (\sigma / \gamma)^2 k / (k + 1)}`
a sum with the noise of m clients is :math:`\frac12 \varepsilon^2`-concentrated private for

.. math:: \varepsilon = \min\{\sqrt{\Delta^2 / (m \sigma^2) + 2 \tau d}, \; \Delta / (\sqrt m \sigma) + \tau \sqrt d\}.

Who takes part knows its own noise: against a cloud that plays together with some of the m, theirs does not count.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from strategies.privacy.accounting import concentrated_epsilon
from strategies.privacy.discrete_noise import discrete_gaussian
from strategies.privacy.stream import Stream

BITS = 12
"""The noise of a client has a standard deviation of 2^12 grid units, so that rounding costs next to nothing."""
_BETA = math.exp(-0.5)


@dataclass(frozen=True)
class DistributedNoise:
    """What each client adds.

    Attributes:
        size: Numbers in a vector.
        clipping: Its norm, at most.
        sigma: Standard deviation of the noise of one client, in each number.
    """

    size: int
    clipping: float
    sigma: float

    def __post_init__(self) -> None:
        """Refuse what is no noise."""
        if self.size < 1 or not 0 < self.clipping < math.inf or not 0 < self.sigma < math.inf:
            raise ValueError(
                f"noise needs numbers, a clipping norm and a standard deviation above 0, not {self.size},"
                f" {self.clipping} and {self.sigma}"
            )
        if self.clipping / self.sigma > 2.0 ** (40 - BITS):
            raise ValueError(f"noise of {self.sigma} is too little next to {self.clipping} for a grid")

    @property
    def grid(self) -> float:
        """What an integer stands for, gamma."""
        return self.sigma / 2.0**BITS

    @property
    def rotated(self) -> int:
        """Integers that are sent, d: a power of two."""
        return 1 << (self.size - 1).bit_length()

    @property
    def sensitivity(self) -> float:
        """How far one client moves a sum, Delta."""
        c, step, root = self.clipping, self.grid, math.sqrt(self.rotated)
        likely = c**2 + step**2 * self.rotated / 4 + math.sqrt(-2 * math.log(_BETA)) * step * (c + step * root / 2)
        return math.sqrt(min(likely, (c + step * root) ** 2))

    def concentrated(self, clients: int) -> float:
        """Return rho, half of epsilon squared, of one sum with the noise of so many clients."""
        variance = clients * self.sigma**2
        ratio = 2 * math.pi**2 * 4.0**BITS
        k = np.arange(1, clients)
        tau = 10 * float(np.exp(-ratio * k / (k + 1)).sum())
        first = math.sqrt(self.sensitivity**2 / variance + 2 * tau * self.rotated)
        second = self.sensitivity / math.sqrt(variance) + tau * math.sqrt(self.rotated)
        return min(first, second) ** 2 / 2

    def epsilon(self, clients: int, sums: int, delta: float) -> float:
        """Return epsilon of a client over so many sums, each with the noise of so many clients."""
        return concentrated_epsilon(sums * self.concentrated(clients), delta)

    def encode(self, vector: NDArray[np.float64], rotation: bytes, stream: Stream) -> NDArray[np.int64]:
        """Return a client's integers, with its noise (algorithm 1).

        Args:
            vector: (size,)
            rotation: 32 bytes that all clients of a sum share.
            stream: The client's own, of this question alone.

        Returns:
            (rotated,)
        """
        norm = float(np.linalg.norm(vector))
        clipped = vector * min(1.0, self.clipping / norm) if norm else vector
        flat = rotate(np.pad(clipped, (0, self.rotated - self.size)), rotation) / self.grid
        most = self.sensitivity / self.grid
        while True:
            low = np.floor(flat)
            rounded = low + (stream.uniform(len(flat)) < flat - low)
            if float(np.square(rounded).sum()) <= most**2:
                return rounded.astype(np.int64) + discrete_gaussian(BITS, len(flat), stream)

    def decode(self, total: NDArray[np.int64], rotation: bytes) -> NDArray[np.float64]:
        """Return the sum of vectors behind the sum of their integers (algorithm 2); (size,)."""
        return rotate_back(total.astype(np.float64) * self.grid, rotation)[: self.size]


def noise_of(epsilon: float, size: int, clipping: float, clients: int, sums: int, delta: float) -> DistributedNoise:
    """Return the least noise for (epsilon, delta) over so many sums, each with the noise of so many clients.

    Raises:
        ValueError: When epsilon is not positive, or no noise is enough.

    Examples:
        >>> round(noise_of(2.0, 1000, 1.0, 30, 10, 1e-5).epsilon(30, 10, 1e-5), 3)
        2.0
    """
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon is a positive number, not {epsilon}")

    def excess(logarithm: float) -> float:
        return DistributedNoise(size, clipping, clipping * math.exp(logarithm)).epsilon(clients, sums, delta) - epsilon

    least, most = math.log(1e-6), math.log(1e6)
    if excess(most) > 0 or excess(least) < 0:
        raise ValueError(f"no noise makes {sums} sums ({epsilon}, {delta})-DP; choose another epsilon or delta")
    logarithm = brentq(excess, least, most, xtol=1e-6)
    return DistributedNoise(size, clipping, clipping * math.exp(logarithm + 2e-6))


def rotate(vector: NDArray[np.float64], rotation: bytes) -> NDArray[np.float64]:
    """Return a vector of 2^k numbers rotated: signs at random, then the Walsh-Hadamard transform."""
    return _transformed(vector * _signs(len(vector), rotation))


def rotate_back(vector: NDArray[np.float64], rotation: bytes) -> NDArray[np.float64]:
    """Undo `rotate`."""
    return _transformed(vector) * _signs(len(vector), rotation)


def _signs(size: int, rotation: bytes) -> NDArray[np.float64]:
    return np.where(Stream(rotation).bits(1, size) > 0, np.float64(-1.0), np.float64(1.0))


def _transformed(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Walsh-Hadamard transform, which is its own inverse and keeps norms."""
    size, half = len(vector), 1
    values = vector / math.sqrt(size)
    while half < size:
        pairs = values.reshape(-1, 2, half)
        above = pairs[:, 0].copy()
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = above - pairs[:, 1]
        half *= 2
    return values
