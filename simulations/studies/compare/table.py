"""One row of each method, from the reports of its runs: what it is good for, what it leaks, costs, and promises."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from protocol.errors import BadInput, nearest
from simulations.evaluation import constant, estimates, retained
from simulations.reports.evaluation import Cost, Criterion, Estimate, Leak, OnePhone, Promise, Utility
from simulations.reports.model import RunReport
from simulations.studies.compare.combining import over_seeds
from simulations.studies.compare.methods import RAW, Method
from simulations.studies.compare.plan import Run
from simulations.studies.compare.report import Risk, Whom, Worth

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
EVERYBODY: tuple[Whom, ...] = ("cloud", "participants", "public")
WHOM: dict[str, tuple[Whom, ...]] = {
    "the cloud": ("cloud",),
    "a malicious cloud": ("cloud",),
    "the service": ("cloud",),
    "the collector": ("cloud",),
    "the collector, told by some participants": ("cloud",),
    "the buyer": ("participants",),
    "the cloud and the buyer together": ("cloud", "participants"),
    "who draws from the pool": ("cloud", "participants"),
    "who draws from the pool and has leaked pairs": ("cloud", "participants"),
    "who gets features without labels": ("cloud", "participants"),
}
"""Whom one has to trust, by observer; others may be anybody."""

Key = tuple[str, str, float]
"""Of an attack: what about, by which, and with which budget."""


@dataclass(frozen=True)
class Reported:
    """A run and its report."""

    run: Run
    report: RunReport


class Attacks:
    """Which attacks count.

    Args:
        words: See `Comparison.attacks`.
    """

    def __init__(self, words: Sequence[str] | None) -> None:
        given = [word.strip().lower() for word in words or () if word.strip().lower() != "all"]
        self.wanted = [word for word in given if not word.startswith("-")]
        self.unwanted = [word.removeprefix("-") for word in given if word.startswith("-")]

    def __call__(self, row: Leak) -> bool:
        """Say whether an attack counts."""
        names = f"{row.criterion} {row.attack}".lower()
        wanted = not self.wanted or any(word in names for word in self.wanted)
        return wanted and not any(word in names for word in self.unwanted)

    def check(self, rows: Iterable[Leak]) -> None:
        """Refuse words that are in no name."""
        names = sorted({name for row in rows for name in (row.criterion, row.attack)})
        for word in (*self.wanted, *self.unwanted):
            if not any(word in name.lower() for name in names):
                raise BadInput(f"attacks: there is none with {word!r} in its name; {nearest(word, names)}")


def counted(report: RunReport, attacks: Attacks) -> list[Leak]:
    """Return the rows of leaks that methods are compared by.

    What is inferred has to be the cohort's private attribute: what else a workflow infers is in its own report.
    """
    cohort = report.scenario.get("cohort") or {}
    private = str(cohort.get("private", "")).replace("_", " ").lower()
    return [
        row
        for row in report.leaks
        if attacks(row) and (row.criterion != "inference" or private in row.what.replace("_", " ").lower())
    ]


@dataclass(frozen=True)
class Strongest:
    """The strongest attack of an observer on a method, in the seeds in which it is not broken.

    Attributes:
        leaks: By the name of the run.
    """

    risk: Risk
    leaks: Mapping[str, Leak]


def strongest(rows: Mapping[str, Sequence[Leak]]) -> list[Strongest]:
    """Return the strongest attack of each observer and criterion: that with the highest mean risk over seeds.

    Args:
        rows: Of one method, by the name of the run.
    """
    groups: dict[tuple[str, Criterion], dict[Key, dict[str, Leak]]] = {}
    for run, found in rows.items():
        for row in found:
            key = (row.what, row.attack, row.budget)
            groups.setdefault((row.observer, row.criterion), {}).setdefault(key, {})[run] = row
    return [_strongest(attacks.values()) for attacks in groups.values()]


def _strongest(attacks: Iterable[Mapping[str, Leak]]) -> Strongest:
    def mean(found: Mapping[str, Leak]) -> float:
        known = [row.risk.value for row in found.values() if row.risk is not None]
        return float(np.mean(known)) if known else -1.0

    best = max(attacks, key=mean)
    works = {run: row for run, row in best.items() if row.risk is not None}
    used = works or best
    first = next(iter(used.values()))
    risks = [row.risk for row in works.values() if row.risk is not None]
    risk = Risk(
        observer=first.observer,
        whom=WHOM.get(first.observer, EVERYBODY),
        criterion=first.criterion,
        what=first.what,
        attack=first.attack if first.budget == 1 else f"{first.attack} (budget × {first.budget:g})",
        knows=first.knows,
        risk=over_seeds(risks, 1.0) if risks else None,
        rate=over_seeds([row.rate for row in used.values()], 1.0),
        reference=round(float(np.mean([_reference(row).value for row in used.values()])), 6),
        victims=sum(row.victims for row in used.values()),
        runs=tuple(used),
    )
    return Strongest(risk, works)


def _reference(row: Leak) -> Estimate:
    return max((each for each in (row.baseline, row.control) if each is not None), key=lambda each: each.value)


def contributions(row: Leak) -> dict[int, float]:
    """Return each person's part in a risk, which is their mean; it may be below 0."""
    reference = _reference(row).value
    if reference >= 1:
        return dict.fromkeys(row.people, 0.0)
    return {person: (hit - reference) / (1 - reference) for person, hit in row.people.items()}


def on_originals(row: Leak) -> Leak | None:
    """Return the same attack on the undefended form of what was shared, which whoever has the images can make."""
    if row.ceiling is None:
        return None
    undefended = estimates.risk(row.ceiling, _reference(row))
    return row.model_copy(
        update={
            "method": RAW,
            "observer": "the public",
            "rate": row.ceiling,
            "risk": undefended,
            "broken": False,
            "ceiling": None,
            "averted": None,
            "people": {},
        }
    )


def nothing() -> list[Risk]:
    """Return the risks of who shares nothing."""
    none = constant(0.0)
    return [
        Risk(
            observer="anybody",
            whom=EVERYBODY,
            criterion=criterion,
            what="anything",
            attack="none: nothing is received",
            knows="",
            risk=none,
            rate=none,
            reference=0.0,
            victims=0,
            runs=(),
            by_design=True,
        )
        for criterion in CRITERIA
    ]


def joined(rows: Sequence[Utility]) -> Utility:
    """Return the mean of several models of one run on the same people; their intervals may be of one mistake."""
    first = rows[0]
    if len(rows) == 1:
        return first

    def mean(found: Sequence[Estimate]) -> Estimate:
        low, value, high = (
            float(np.mean([getattr(each, part) for each in found])) for part in ("low", "value", "high")
        )
        return estimates.estimate(value, low, high, found[0].n)

    ceilings = [row.ceiling for row in rows if row.ceiling is not None]
    people = first.people.keys()
    return first.model_copy(
        update={
            "accuracy": mean([row.accuracy for row in rows]),
            "ceiling": mean(ceilings) if ceilings else None,
            "people": {person: float(np.mean([row.people[person] for row in rows])) for person in people}
            if all(row.people.keys() == people for row in rows)
            else {},
        }
    )


def utilities(reported: Sequence[Reported], row: str) -> dict[str, Utility]:
    """Return what a method is good for, by the name of the run."""
    found = {each.run.name: [row_ for row_ in each.report.utility if row_.method == row] for each in reported}
    return {run: joined(rows) for run, rows in found.items() if rows}


def best_on_originals(reported: Sequence[Reported]) -> dict[int, Estimate]:
    """Return what the best training on the originals reaches, by seed: of all workflows, the best in the mean."""
    found: dict[tuple[str, str], dict[int, Estimate]] = {}
    for each in reported:
        for method in dict.fromkeys(row.method for row in each.report.utility):
            ceiling = joined([row for row in each.report.utility if row.method == method]).ceiling
            if ceiling is not None:
                found.setdefault((each.run.key, method), {})[each.run.seed] = ceiling
    seeds = max(map(len, found.values()), default=0)
    whole = [by_seed for by_seed in found.values() if len(by_seed) == seeds]
    return max(whole, key=lambda by_seed: np.mean([each.value for each in by_seed.values()]), default={})


def worth(
    found: Mapping[str, Utility], seeds: Mapping[str, int], best: Mapping[int, Estimate], task: str
) -> Worth | None:
    """Return what a method is good for over all seeds, as a share of the best training on the originals."""
    if not found:
        return None
    shares = [
        share
        for run, row in found.items()
        if seeds[run] in best and (share := retained(row.accuracy, best[seeds[run]], row.baseline)) is not None
    ]
    return Worth(
        task=f"{task}, on fresh people",
        retained=over_seeds(shares) if shares else None,
        accuracy=over_seeds([row.accuracy for row in found.values()], 1.0),
        baseline=round(float(np.mean([row.baseline for row in found.values()])), 6),
        ceiling=over_seeds([best[seeds[run]] for run in found if seeds[run] in best], 1.0) if best else None,
        runs=tuple(found),
    )


def cost(reported: Sequence[Reported], method: Method, shared: bool) -> tuple[tuple[Cost, ...], bool]:
    """Return what a method costs each role, the mean over seeds, and whether that is of several methods together.

    Args:
        shared: Whether others share by the same run.
    """
    if not method.row:
        return (), False
    own = [each.report.costs_of_methods.get(method.row) for each in reported]
    whole = shared and any(each is None for each in own)
    lists = [each.report.costs if one is None else one for each, one in zip(reported, own, strict=True)]
    roles = dict.fromkeys(row.role for rows in lists for row in rows)
    return tuple(_mean_cost([row for rows in lists for row in rows if row.role == role]) for role in roles), whole


def _mean_cost(rows: Sequence[Cost]) -> Cost:
    def mean(value: Callable[[Cost], float | None], digits: int | None = None) -> float | None:
        known = [each for row in rows if (each := value(row)) is not None]
        return round(float(np.mean(known)), 3) if known else None

    def whole(value: Callable[[Cost], float]) -> int:
        return round(float(np.mean([value(row) for row in rows])))

    phones = [row.phone for row in rows if row.phone is not None]
    phone = None
    if phones:
        parts = {part: round(float(np.mean([getattr(each, part) for each in phones])), 3) for part in _OF_A_PHONE}
        phone = OnePhone(model=phones[0].model, **parts)
    return Cost(
        role=rows[0].role, parties=rows[0].parties, seconds=mean(lambda row: row.seconds),
        sent=whole(lambda row: row.sent), received=whole(lambda row: row.received),
        messages=whole(lambda row: row.messages), rounds=whole(lambda row: row.rounds), phone=phone,
    )  # fmt: skip


_OF_A_PHONE = ("seconds", "moving", "joules")


def promise(reported: Sequence[Reported], row: str) -> Promise | None:
    """Return what is proven of a method, in the seed where least is."""
    found = [each for one in reported for each in one.report.promises if each.method == row]
    return max(found, key=lambda each: np.inf if each.epsilon is None else each.epsilon, default=None)


def tried(reported: Sequence[Reported], attacks: Attacks) -> tuple[dict[Criterion, tuple[str, ...]], tuple[str, ...]]:
    """Return the attacks that count, by criterion, and those that were left out."""
    rows = [row for each in reported for row in each.report.leaks]
    counts = {id(row) for each in reported for row in counted(each.report, attacks)}
    found = {
        criterion: tuple(dict.fromkeys(row.attack for row in rows if row.criterion == criterion and id(row) in counts))
        for criterion in CRITERIA
    }
    return found, tuple(dict.fromkeys(row.attack for row in rows if not attacks(row)))


def of_method(reported: Iterable[Reported], row: str, attacks: Attacks) -> dict[str, list[Leak]]:
    """Return a method's leaks by the name of the run."""
    return {each.run.name: [leak for leak in counted(each.report, attacks) if leak.method == row] for each in reported}


def of_originals(reported: Iterable[Reported], attacks: Attacks) -> Iterator[tuple[str, Leak]]:
    """Yield all attacks of all workflows on the originals, with the names of their runs, each once in a run."""
    for each in reported:
        seen = set()
        for row in counted(each.report, attacks):
            found, key = on_originals(row), (row.criterion, row.what, row.attack, row.budget)
            if found is not None and key not in seen:
                seen.add(key)
                yield each.run.name, found
