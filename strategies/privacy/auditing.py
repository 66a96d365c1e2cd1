"""A guarantee tried out: how much privacy an event that was counted on neighbours proves to be lost."""

import math

from scipy.stats import beta


def audited_epsilon(hits: int, trials: int, other_hits: int, other_trials: int, delta: float, error: float) -> float:
    r"""Return an epsilon that a mechanism exceeds, with an error of probability `error` at most.

    Of (epsilon, delta)-DP follows :math:`p \le e^\epsilon p' + \delta` for the probability of any event on one input
    and on its neighbour. So a lower limit on p and an upper limit on p' (Clopper and Pearson 1934, half of the error
    each) give a lower limit on epsilon (Jagielski, Ullman and Oprea 2020, section 3).

    Args:
        hits, trials: How often the event was seen on one input.
        other_hits, other_trials: How often on its neighbour. The event must have been chosen beforehand, or on other
            draws.
        delta: The delta that is granted.
        error: Probability of saying too much, such as .001.

    Returns:
        0 or more.

    Examples:
        >>> round(audited_epsilon(900, 1000, 100, 1000, 0.0, 0.001), 2)
        1.86
    """
    if not 0 <= hits <= trials or not 0 <= other_hits <= other_trials or min(trials, other_trials) < 1:
        raise ValueError(f"{hits} hits in {trials} trials and {other_hits} in {other_trials} cannot be")
    least = float(beta.ppf(error / 2, hits, trials - hits + 1)) if hits else 0.0
    most = (
        float(beta.ppf(1 - error / 2, other_hits + 1, other_trials - other_hits)) if other_hits < other_trials else 1.0
    )
    return max(0.0, math.log((least - delta) / most)) if least > delta else 0.0
