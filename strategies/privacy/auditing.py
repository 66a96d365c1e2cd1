"""A guarantee tried out: how much privacy an event that was counted on neighbours proves to be lost."""

import math

from scipy.stats import beta, binom


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


def audited_in_one_run(right: int, guesses: int, canaries: int, delta: float, error: float) -> float:
    r"""Return an epsilon that a mechanism exceeds, by one run on many canaries, with an error of `error` at most.

    Each canary is in the input with probability 1/2, independently, and an auditor says of some of them whether it is.
    Of (epsilon, 0)-DP follows that no more of its guesses are right than if each were with probability
    :math:`e^\epsilon / (e^\epsilon + 1)`; delta adds to that (Steinke, Nasr and Jagielski 2023, theorem 5.2 and
    appendix D).

    Args:
        right, guesses: How many guesses are right, of how many; the auditor chooses whom to guess about.
        canaries: How many there are.
        delta: The delta that is granted.
        error: Probability of saying too much.

    Returns:
        0 or more.

    Raises:
        ValueError: When these cannot be.

    Examples:
        >>> round(audited_in_one_run(95, 100, 1000, 0.0, 0.05), 2), audited_in_one_run(50, 100, 1000, 1e-5, 0.05)
        (2.17, 0.0)
    """
    if not 0 <= right <= guesses <= canaries or guesses < 1:
        raise ValueError(f"{right} of {guesses} guesses about {canaries} canaries cannot be right")

    def chance(epsilon: float) -> float:
        """The probability of as many right guesses, at most, if that were epsilon."""
        share = 1 / (1 + math.exp(-epsilon))
        missed = binom.pmf(range(right - 1, -1, -1), guesses, share).cumsum()
        worst = max((part / (place + 1) for place, part in enumerate(missed)), default=0.0)
        return float(min(1.0, binom.sf(right - 1, guesses, share) + 2 * canaries * delta * worst))

    if chance(0.0) >= error:
        return 0.0
    low, high = 0.0, 1.0
    while chance(high) < error:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if chance(middle) < error else (low, middle)
    return low
