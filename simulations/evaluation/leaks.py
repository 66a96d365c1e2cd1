"""Scores of attacks: the only place where guesses and the truth come together, but for workflows' own scales."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulations.evaluation import estimates
from simulations.evaluation.estimates import constant, proportion
from simulations.reports.evaluation import Criterion, Estimate, Leak, Utility


@dataclass(frozen=True, eq=False)
class Guesses:
    """Guesses beside the truth.

    Attributes:
        hits: (n,) in 0..1; which were right.
        people: (n,); whom each was about.
    """

    hits: NDArray[np.float64]
    people: NDArray[np.int64]

    @classmethod
    def of(cls, hits: ArrayLike, people: ArrayLike | None = None) -> "Guesses":
        """Return guesses; without `people` each is about another one."""
        right = np.asarray(hits, dtype=np.float64).ravel()
        whose = np.arange(len(right)) if people is None else np.asarray(people, dtype=np.int64).ravel()
        if len(whose) != len(right):
            raise ValueError(f"{len(right)} guesses about {len(whose)} people")
        return cls(right, whose)

    @property
    def by_person(self) -> dict[int, float]:
        """Mean success by person."""
        people, whose, sizes = np.unique(self.people, return_inverse=True, return_counts=True)
        means = np.bincount(whose, self.hits) / sizes
        return dict(zip(people.tolist(), means.tolist(), strict=True))

    @property
    def rate(self) -> Estimate:
        """The share of them that are right."""
        return proportion(self.hits, self.people)


def leak(
    method: str,
    observer: str,
    criterion: Criterion,
    what: str,
    *,
    attack: str,
    knows: str,
    shared: Guesses,
    baseline: Estimate | float,
    control: Guesses | None = None,
    ceiling: Guesses | None = None,
    budget: float = 1.0,
    measures: Mapping[str, Estimate] | None = None,
) -> Leak:
    """Score one attack.

    Args:
        method, observer, criterion, what, attack, knows, budget, measures: See `Leak`.
        shared: Its guesses on what was shared.
        baseline: Success of the same attacker without it.
        control: Its guesses on what was not shared.
        ceiling: Its guesses on the undefended form of what was shared.

    Examples:
        >>> guesses = Guesses.of([1] * 60 + [0] * 40)
        >>> row = leak("plain", "the public", "linkability", "who", attack="a CNN", knows="photos", shared=guesses,
        ...     baseline=0.2)
        >>> (row.rate.value, row.risk.value)
        (0.6, 0.5)
    """
    known = constant(baseline) if isinstance(baseline, float) else baseline
    rate, unshared = shared.rate, None if control is None else control.rate
    undefended = None if ceiling is None else ceiling.rate
    reference = max((each for each in (known, unshared) if each is not None), key=lambda each: each.value)
    least = None if undefended is None else estimates.risk(undefended, reference)
    broken = least is not None and least.low <= 0
    risk = None if broken else estimates.risk(rate, reference)
    return Leak(
        method=method,
        observer=observer,
        criterion=criterion,
        what=what,
        attack=attack,
        knows=knows,
        budget=budget,
        victims=len(np.unique(shared.people)),
        rate=rate,
        baseline=known,
        control=unshared,
        ceiling=undefended,
        risk=risk,
        averted=None if risk is None or least is None else estimates.averted(risk, least),
        broken=broken,
        measures=dict(measures or {}),
        people=shared.by_person,
    )


def ranked(leaks: Iterable[Leak]) -> list[Leak]:
    """Put the strongest attack of each method, observer and criterion first, and mark it.

    Methods, observers and criteria stay in the order in which they came. Where every attack is broken, the first one
    stands for them.
    """
    groups: dict[tuple[str, str, str], list[Leak]] = {}
    for each in leaks:
        groups.setdefault((each.method, each.observer, each.criterion), []).append(each)
    rows = []
    for group in groups.values():
        group.sort(key=lambda each: -1.0 if each.risk is None else each.risk.value, reverse=True)
        rows += [each.model_copy(update={"strongest": place == 0}) for place, each in enumerate(group)]
    return rows


def utility(
    method: str, task: str, right: Guesses | Estimate, baseline: float, ceiling: Guesses | Estimate | None
) -> Utility:
    """Score a model.

    Args:
        task: What was learnt, and by whom.
        right: Which fresh images it names rightly.
        baseline: Accuracy of naming the most frequent class always.
        ceiling: The same of a model that was trained in the same way on the originals.
    """
    accuracy = right.rate if isinstance(right, Guesses) else right
    best = ceiling.rate if isinstance(ceiling, Guesses) else ceiling
    return Utility(
        method=method,
        task=task,
        accuracy=accuracy,
        baseline=round(baseline, 6),
        ceiling=best,
        retained=None if best is None else retained(accuracy, best, baseline),
        people=right.by_person if isinstance(right, Guesses) else {},
    )


def retained(accuracy: Estimate, ceiling: Estimate, baseline: float) -> Estimate | None:
    """Return ``(accuracy - baseline) / (ceiling - baseline)``; None where the ceiling is not above the baseline."""
    if ceiling.low <= baseline:
        return None
    gain, best = (
        estimates.estimate(
            max(0.0, each.value - baseline), max(0.0, each.low - baseline), max(0.0, each.high - baseline), each.n
        )
        for each in (accuracy, ceiling)
    )
    return estimates.ratio(gain, best)
