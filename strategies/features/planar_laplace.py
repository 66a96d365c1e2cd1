"""Planar Laplace noise: the protection of a feature that comes with a guarantee."""

import numpy as np
from numpy.typing import NDArray


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
