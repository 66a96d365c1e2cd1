"""Planar Laplace noise: the protection of a feature that comes with a guarantee."""

import numpy as np
from numpy.typing import NDArray

from strategies.features.signatures import LATTICE
from strategies.privacy.stream import Stream


def planar_laplace(
    features: NDArray[np.int64] | NDArray[np.float64], epsilon: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the features with planar Laplace noise: epsilon-geo-indistinguishable.

    Each becomes z = F + rho (cos t, sin t), t uniform and rho ~ Gamma(2, 1 / epsilon), so that its density obeys
    p(z | x) <= exp(epsilon |x - x'|) p(z | x') for all x, x'. What is computed from z alone (rounding, clipping to the
    lattice, hashing into a signature) keeps that guarantee. Every fresh draw for the same image spends epsilon again:
    draw once per image and keep the result.

    Args:
        features: (n, 2), the points to protect.
        epsilon: Privacy lost per lattice step; the mean displacement is 2 / epsilon steps.
        generator: The only source of randomness.

    Returns:
        (n, 2), points of the plane: neither rounded nor clipped.

    Raises:
        ValueError: When epsilon is not a positive number.

    References:
        Andres, Bordenabe, Chatzikokolakis and Palamidessi, "Geo-indistinguishability", CCS 2013.
    """
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon is {epsilon}: it must be a positive number of inverse lattice steps, such as 1 / 75")
    angle = generator.uniform(0.0, 2.0 * np.pi, len(features))
    radius = generator.gamma(2.0, 1.0 / epsilon, len(features))
    return np.asarray(features + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


FARTHEST = 14
"""Noise is cut off at this many times 1 / epsilon; it would go farther with a probability of 0.000013."""


def noise_reach(epsilon: float) -> int:
    """Return how far noise displaces a point at most, in lattice steps.

    Examples:
        >>> noise_reach(1 / 75)
        1050
    """
    return min(LATTICE - 1, int(np.ceil(FARTHEST / epsilon - 1e-9)))


def noisy_point(feature: tuple[int, ...], epsilon: float, stream: Stream) -> tuple[int, int]:
    """Return a lattice point with planar Laplace noise of a cryptographic stream, rounded and kept on the lattice.

    Two features r steps apart give any one point with probabilities within a factor of exp(epsilon r), but for the
    0.000013 that is cut off (`noise_reach`). One key of a
    stream for each image and epsilon draws one point for good: fresh ones would spend epsilon again.

    Args:
        feature: (x, y)
        epsilon: Privacy lost per lattice step; the mean displacement is 2 / epsilon steps.

    Raises:
        ValueError: When epsilon is not a positive number.

    Examples:
        >>> noisy_point((500, 900), 1 / 75, Stream(bytes(32))) == noisy_point((500, 900), 1 / 75, Stream(bytes(32)))
        True
    """
    if not 0 < epsilon < np.inf:
        raise ValueError(f"epsilon is {epsilon}: it must be a positive number of inverse lattice steps, such as 1 / 75")
    turn, first, second = stream.uniform(3)
    drawn = -(np.log1p(-first) + np.log1p(-second)) / epsilon  # the sum of two exponentials: Gamma(2, 1 / epsilon)
    radius = min(drawn, noise_reach(epsilon) - 1)
    x, y = (
        int(np.clip(np.rint(number + radius * towards), 0, LATTICE - 1))
        for number, towards in zip(feature, (np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)), strict=True)
    )
    return x, y
