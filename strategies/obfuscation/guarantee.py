"""What random mixing with noise (Lee et al. 2019) promises, in the terms of differential privacy."""

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr

_RANGE = 255


def mixing_epsilon(sigma: float, images: int, pixels: int, epochs: int, delta: float) -> float:
    r"""Return the epsilon of (epsilon, delta) differential privacy of all mixtures of ``dp-mix`` together.

    Groups must be drawn unconstrained and without repetition, so that replacing one image, with its label, changes one
    mixture per epoch: by :math:`255 \sqrt{3 \cdot \mathrm{pixels}} / k` at most, and its label's shares by
    :math:`\sqrt 2 / k`, whose noise is sigma / 255. E epochs of Gaussian mechanisms are one with
    :math:`\mu = \frac{255}{k \sigma} \sqrt{E (3 \cdot \mathrm{pixels} + 2)}`, for which delta is known exactly (Balle
    and Wang 2018, theorem 8). Mixtures are whole numbers of parts, and the noise that is added to them is exactly that
    of the mechanism, rounded, which costs nothing. No amplification by sampling is claimed.

    Args:
        sigma: The setting of the technique, in units of 0..255.
        images: Images per mixture, k, all of one weight.
        pixels: Of one image, three values each.
        epochs: In which the set is published afresh.
        delta: Between 0 and 1.

    Raises:
        ValueError: When a number is out of its range.

    Examples:
        >>> round(mixing_epsilon(sigma=40, images=128, pixels=28 * 28, epochs=1, delta=1e-5), 1)
        12.7
    """
    if min(sigma, images, pixels, epochs) <= 0 or not 0 < delta < 1:
        raise ValueError("sigma, images, pixels and epochs are positive, and delta lies between 0 and 1")
    ratio = _RANGE / (images * sigma) * math.sqrt(epochs * (3 * pixels + 2))

    def excess(epsilon: float) -> float:
        lost = log_ndtr(ratio / 2 - epsilon / ratio)
        gained = epsilon + log_ndtr(-ratio / 2 - epsilon / ratio)
        return float(math.exp(lost) * -math.expm1(min(0.0, gained - lost)) - delta)

    if excess(0) <= 0:
        return 0.0
    # Beyond it the tail is below delta, for a Gaussian's tail is below exp(-t^2 / 2).
    largest = ratio * (ratio / 2 + math.sqrt(-2 * math.log(delta)))
    return float(brentq(excess, 0, largest, xtol=1e-9))
