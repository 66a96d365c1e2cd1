"""Numbers with their intervals; people are what is drawn, never images of one person as if they were independent."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from simulations.reports.evaluation import Estimate

CONFIDENCE = 0.95
_Z = float(norm.ppf((1 + CONFIDENCE) / 2))
_DIGITS = 6


def estimate(value: float, low: float, high: float, n: int) -> Estimate:
    """Return an estimate, rounded as reports are."""
    value, low, high = (round(float(each), _DIGITS) + 0.0 for each in (value, low, high))
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)


def constant(value: float) -> Estimate:
    """Return a number that is known: chance, or a bound."""
    return estimate(value, value, value, 0)


def proportion(hits: ArrayLike, people: ArrayLike | None = None) -> Estimate:
    """Return a rate of success with Wilson's interval.

    Guesses about one person are not independent: the interval is that of as many independent guesses as have the
    variance that the rate has between people (Korn and Graubard 1998), and of as many as there are people where all
    guesses are right or wrong, of which a bootstrap would make an interval without any width.

    Args:
        hits: (n,), true or 1 for a success; parts of one where a guess is a share.
        people: (n,), whom each guess is about; None: all about different ones.

    Raises:
        ValueError: When there are no guesses.

    Examples:
        >>> found = proportion([1, 1, 1, 0])
        >>> (found.value, round(found.low, 2), round(found.high, 2), found.n)
        (0.75, 0.3, 0.95, 4)
        >>> alike = proportion([1, 1, 0, 0], people=[1, 1, 2, 2])
        >>> (alike.value, round(alike.low, 2), round(alike.high, 2))
        (0.5, 0.05, 0.95)
    """
    right = np.asarray(hits, dtype=np.float64).ravel()
    if not right.size:
        raise ValueError("a rate needs at least one guess")
    rate, count = float(right.mean()), len(right)
    low, high = wilson(rate, count if people is None else _independent(right, np.asarray(people)))
    return estimate(rate, low, high, count)


def wilson(rate: float, count: float) -> tuple[float, float]:
    """Return Wilson's interval of a rate; the number of guesses may be a fraction.

    Examples:
        >>> from scipy.stats import binomtest
        >>> tuple(binomtest(3, 8).proportion_ci(method="wilson")) == wilson(3 / 8, 8)
        True
    """
    square = _Z * _Z
    middle = (rate + square / (2 * count)) / (1 + square / count)
    half = _Z / (1 + square / count) * math.sqrt(rate * (1 - rate) / count + square / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def _independent(right: NDArray[np.float64], people: NDArray[np.generic]) -> float:
    """Return how many independent guesses these amount to."""
    _, whose = np.unique(people, return_inverse=True)
    sizes = np.bincount(whose).astype(np.float64)
    persons, count, rate = len(sizes), len(right), float(right.mean())
    if persons == count:
        return count
    spread = persons / max(1, persons - 1) * float(((np.bincount(whose, right) - rate * sizes) ** 2).sum()) / count**2
    binomial = rate * (1 - rate)
    return persons if persons == 1 or not binomial * spread else float(np.clip(binomial / spread, 1.0, count))


def mean(values: ArrayLike, people: ArrayLike | None = None) -> Estimate:
    """Return a mean with Student's interval over people: of their means, weighted by how many values each has.

    Args:
        values: (n,) finite.
        people: (n,), whom each value is about; None: all about different ones.

    Examples:
        >>> found = mean([1.0, 2.0, 3.0])
        >>> (found.value, round(found.low, 2), round(found.high, 2))
        (2.0, -0.48, 4.48)
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    whose = np.arange(len(given)) if people is None else np.unique(np.asarray(people), return_inverse=True)[1]
    sizes = np.bincount(whose)
    persons, value = len(sizes), float(given.mean())
    if persons == 1:
        return estimate(value, value, value, len(given))
    away = np.bincount(whose, given) - value * sizes
    error = math.sqrt(persons / (persons - 1) * float((away**2).sum())) / len(given)
    half = float(t.ppf((1 + CONFIDENCE) / 2, persons - 1)) * error
    return estimate(value, value - half, value + half, len(given))


def ratio(above: Estimate, below: Estimate) -> Estimate:
    """Return a ratio of two numbers that are not negative, with its interval recovered from theirs.

    Donner and Zou, "Closed-form confidence intervals for functions of the normal mean and standard deviation", 2012,
    section 3 (MOVER-R): each limit is as far away as the limits of both together. A limit that nothing bounds is
    infinite.

    Raises:
        ValueError: When the lower one is 0.

    Examples:
        >>> from simulations.evaluation.estimates import constant
        >>> ratio(proportion([1, 0]), constant(0.5)).value
        1.0
    """
    if below.value <= 0:
        raise ValueError("a ratio needs something to be compared with")
    x, y = above.value, below.value
    low = _limit(x, y, above.low, below.high, -1)
    high = math.inf if below.low <= 0 else _limit(x, y, above.high, below.low, 1)
    return estimate(x / y, max(0.0, low), high, above.n)


def _limit(x: float, y: float, to_x: float, to_y: float, sign: int) -> float:
    scale = to_y * (2 * y - to_y)
    if scale <= 0:  # so wide that this limit is not bounded
        return 0.0 if sign < 0 else math.inf
    inside = (x * y) ** 2 - to_x * (2 * x - to_x) * scale
    return (x * y + sign * math.sqrt(max(0.0, inside))) / scale


def risk(rate: Estimate, reference: Estimate) -> Estimate:
    """Return ``(rate - reference) / (1 - reference)``, cut at 0: what the attack adds to what one had without it.

    Giomi et al., "A unified framework for quantifying privacy risk in synthetic data" (anonymeter), PoPETs 2023,
    section 4; here with limits that are not symmetric. Where nothing is left to add, the risk is 0.

    Examples:
        >>> from simulations.evaluation.estimates import constant
        >>> risk(constant(0.75), constant(0.5)).value
        0.5
    """
    if reference.value >= 1:
        return estimate(0.0, 0.0, 1.0, rate.n)
    return _cut(complement(ratio(complement(rate), complement(reference))))


def averted(found: Estimate, undefended: Estimate) -> Estimate | None:
    """Return ``1 - risk / risk of the undefended form``, in 0..1; None where there was no risk."""
    return None if undefended.value <= 0 else _cut(complement(ratio(found, undefended)))


def complement(found: Estimate) -> Estimate:
    """Return one less a number."""
    return Estimate(value=1 - found.value, low=1 - found.high, high=1 - found.low, n=found.n)


def _cut(found: Estimate) -> Estimate:
    value, low, high = (min(1.0, max(0.0, each)) for each in (found.value, found.low, found.high))
    return estimate(value, low, high, found.n)
