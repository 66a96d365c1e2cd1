"""What is said of an attack in numbers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

from simulations.evaluation import Guesses, mean, proportion
from simulations.evaluation.estimates import estimate
from simulations.reports.evaluation import Estimate
from simulations.workflows.outsource.tradeoff import Labels
from strategies.attacks.membership import Scores, membership
from strategies.privacy.auditing import audited_in_one_run

Found = dict[str, Any]
"""Fields of an `AttackScore`."""
AUDITED = 4
"""An audit guesses about one in so many candidates."""
DELTA, ERROR = 1e-5, 0.05
"""Of the guarantee of dp-mix; and the probability that an audit says too much."""
SHOWN_EPSILON = "epsilon_at_least"
AS_SENT = "as sent"
"""No attack, but a CNN for clean images."""
ALIKE = 0.6
"""Below this dSSIM people recognise images (Tables 2 and 3: thresholds of .61 to .66)."""


class AttackScore(BaseModel):
    """How well one attack does.

    Attributes:
        title, knows: What the attack is, and what it needs beside the view.
        fails: Why it does not apply; then all numbers are None.
        measure: What `after` is a share of, in words.
        scored: Pictures on which it was scored.
        after: The attack's share.
        low, high: Its 95 % interval (Wilson) over the pictures.
        before: The same without the attack, where that makes sense.
        chance: What guessing gives: the share of the most frequent answer.
        dissimilarity: Mean dSSIM between a restored picture and the nearest of its images.
        dissimilarity_before: The same of the published pictures.
        alike: Share of restored pictures whose dSSIM is below `ALIKE`.
        seconds: Wall time of the attack.
    """

    model_config = ConfigDict(frozen=True)

    title: str
    knows: str
    fails: str | None = None
    measure: str = ""
    scored: int = 0
    after: float | None = None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    chance: float | None = None
    dissimilarity: float | None = None
    dissimilarity_before: float | None = None
    alike: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Guessed:
    """What an attack guessed, beside the truth.

    Attributes:
        shared, undefended: Which guesses are right: on what the service saw, and on the originals.
        baseline: The share of the most frequent answer.
        measures: On other scales.
        restored: What it restores, (side, side, 3), of some of the people.
    """

    shared: Guesses
    undefended: Guesses | None
    baseline: float
    measures: dict[str, Estimate]
    restored: dict[int, NDArray[np.uint8]] = field(default_factory=dict)


SHOWN = 6
"""People of whom restored pictures are kept."""


def of_first_people(pictures: NDArray[np.uint8], people: NDArray[np.int64]) -> dict[int, NDArray[np.uint8]]:
    """Return the first picture of each of the first people, (side, side, 3)."""
    known, places = np.unique(people, return_index=True)
    some = zip(known.tolist(), places.tolist(), strict=True)
    return {person: pictures[place] for person, place in some if 0 <= person < SHOWN}


def share(right: NDArray[np.bool_]) -> Found:
    """Return a share with its 95 % interval."""
    low, high = interval(int(right.sum()), len(right))
    return {"scored": len(right), "after": float(right.mean()), "low": low, "high": high}


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927).

    Examples:
        >>> [round(end, 2) for end in interval(8, 10)]
        [0.49, 0.94]
    """
    found = binomtest(right, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def most_frequent(answers: Labels) -> float:
    """Return the share of the most frequent answer."""
    return float(np.bincount(answers).max() / len(answers))


def placed(scores: Scores, members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of others that score below each member; of equal ones, half."""
    ordered, inside = np.sort(scores[~members]), scores[members]
    placed: NDArray[np.float64] = (np.searchsorted(ordered, inside) + np.searchsorted(ordered, inside, "right")) / 2
    return placed / len(ordered)


def told_apart(
    scores: Scores, undefended: Scores, order: NDArray[np.int64], seed: int, people: NDArray[np.int64]
) -> Guessed:
    """Compare scores of candidates with who is the owner's, and audit what they show (`audited_in_one_run`).

    Args:
        scores, undefended: (2 n,), of what the service saw, and of the originals.
        order: (2 n,), which image each candidate is; the first n are the owner's.
        seed: Of the halves on which thresholds are chosen.
        people: (2 n,), who is in each image.
    """
    members = order < len(order) // 2
    found, plain = (membership(each, members, np.random.default_rng(seed)) for each in (scores, undefended))
    ranked = np.argsort(scores, kind="stable")
    half = max(1, len(order) // AUDITED // 2)
    right = int(members[ranked[-half:]].sum() + (~members[ranked[:half]]).sum())
    epsilon = audited_in_one_run(right, 2 * half, len(order), DELTA, ERROR)
    return Guessed(
        Guesses.of(found.right, people[order]),
        Guesses.of(plain.right, people[order]),
        0.5,
        {
            "auc": mean(placed(scores, members)),
            "tpr_at_1_percent_fpr": proportion(found.caught[members]),
            SHOWN_EPSILON: estimate(epsilon, epsilon, epsilon, len(order)),
        },
    )
