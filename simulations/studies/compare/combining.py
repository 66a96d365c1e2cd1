"""Numbers of several seeds together, and differences of two methods, person by person."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from simulations.evaluation.estimates import CONFIDENCE, estimate
from simulations.reports.evaluation import Estimate

LEVEL = 1 - CONFIDENCE


def over_seeds(found: Sequence[Estimate], most: float = math.inf) -> Estimate:
    """Return the mean over seeds with its interval.

    Each limit is as far away as those of the seeds allow together (MOVER: Zou and Donner 2008). Where the seeds differ
    by more than their own intervals explain, it is Student's over seeds, if that is wider.

    Args:
        most: No value is above it.

    Examples:
        >>> one = Estimate(value=0.5, low=0.4, high=0.6, n=100)
        >>> both = over_seeds([one, one])
        >>> (round(both.low, 3), round(both.high, 3), both.n)
        (0.429, 0.571, 200)
    """
    values = np.array([each.value for each in found])
    count, value = len(found), float(values.mean())
    below = math.sqrt(sum((each.value - each.low) ** 2 for each in found)) / count
    above = math.sqrt(sum((each.high - each.value) ** 2 for each in found)) / count
    if count > 1:
        within = float(np.mean([((each.high - each.low) / 4) ** 2 for each in found]))
        between = float(values.var(ddof=1))
        if between > within:
            half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1)) * math.sqrt(between / count)
            below, above = max(below, half), max(above, half)
    return estimate(value, max(0.0, value - below), min(most, value + above), sum(each.n for each in found))


@dataclass(frozen=True)
class Difference:
    """A mean difference of two methods over seeds and people.

    Attributes:
        people: In all seeds together.
        error: Its standard error.
        freedom: Degrees of freedom of Student's t.
    """

    mean: float
    error: float
    freedom: int
    people: int
    seeds: int

    @property
    def p(self) -> float:
        """The probability of a difference as large, either way, if there is none."""
        if not self.error:
            return 1.0 if not self.mean else 0.0
        return float(2 * student.sf(abs(self.mean) / self.error, self.freedom))

    def interval(self, level: float) -> tuple[float, float]:
        """Return its interval at the confidence 1 - level."""
        half = float(student.ppf(1 - level / 2, self.freedom)) * self.error
        return self.mean - half, self.mean + half


def difference(seeds: Sequence[tuple[Mapping[int, float], Mapping[int, float]]]) -> Difference | None:
    """Compare two methods on the people that both have numbers of; None where these are fewer than two.

    People are drawn anew with each seed. Where seeds differ by no more than their people explain, people are what is
    independent; else seeds are (Bancroft 1964: pooled after a test, here at F = 1).

    Args:
        seeds: For each, the numbers of one method and of the other by person.

    Examples:
        >>> found = difference([({1: 1.0, 2: 0.5, 3: 1.0}, {1: 0.5, 2: 0.25, 3: 0.0})])
        >>> round(found.mean, 2), found.people, found.freedom
        (0.58, 3, 2)
    """
    pairs: list[NDArray[np.float64]] = []
    for one, other in seeds:
        both = sorted(one.keys() & other.keys())
        if both:
            pairs.append(np.array([one[person] - other[person] for person in both]))
    people = sum(map(len, pairs))
    if people < 2 or not pairs:
        return None
    mean, count = float(np.concatenate(pairs).mean()), len(pairs)
    freedom = people - count
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in pairs) / freedom if freedom else math.inf
    if count > 1:
        between = sum(len(each) * (float(each.mean()) - mean) ** 2 for each in pairs) / (count - 1)
        if between > within:
            return Difference(mean, math.sqrt(between / people), count - 1, people, count)
    return Difference(mean, math.sqrt(within / people), freedom, people, count) if freedom else None


@dataclass(frozen=True)
class Judged:
    """A difference among several.

    Attributes:
        low, high: Its interval, corrected for how many there are (Holm 1979).
        shown: Whether it is not 0, so corrected.
    """

    low: float
    high: float
    shown: bool


def holm(found: Sequence[Difference], level: float = LEVEL) -> list[Judged]:
    """Judge several differences together: with probability 1 - level none is said to be shown that is not there.

    The one with the smallest p of k is tested, and has its interval, at level / k, the next at level / (k - 1), and so
    on; after the first that is not shown none is.

    Examples:
        >>> large, small = Difference(1.0, 0.1, 30, 31, 1), Difference(0.1, 0.06, 30, 31, 1)
        >>> [each.shown for each in holm([small, large])]
        [False, True]
    """
    order = sorted(range(len(found)), key=lambda place: found[place].p)
    judged: dict[int, Judged] = {}
    shown = True
    for rank, place in enumerate(order):
        each = level / (len(found) - rank)
        shown = shown and found[place].p <= each
        judged[place] = Judged(*found[place].interval(each), shown)
    return [judged[place] for place in range(len(found))]
