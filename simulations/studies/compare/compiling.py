"""From the reports of all runs to the comparison's own."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from simulations.reports.evaluation import Leak, Utility
from simulations.reports.model import ORIGINALS, versions
from simulations.reports.sheets import thumbnail
from simulations.reports.words import count, listed, percent
from simulations.studies.compare.combining import Difference, difference, holm
from simulations.studies.compare.methods import ALONE, RAW, Method
from simulations.studies.compare.report import ComparisonReport, MethodRow, Pair, Played, Risk
from simulations.studies.compare.settings import Comparison
from simulations.studies.compare.table import (
    CRITERIA,
    Attacks,
    Reported,
    best_on_originals,
    contributions,
    cost,
    nothing,
    of_method,
    of_originals,
    promise,
    strongest,
    tried,
    utilities,
    worth,
)

SHOWN = 6
"""People whose pictures are shown."""
UTILITY = "accuracy"


def compiled(
    comparison: Comparison,
    methods: Mapping[str, Method],
    reported: Sequence[Reported],
    seconds: Mapping[str, float],
    attacks: Attacks,
) -> ComparisonReport:
    """Put all reports together.

    Args:
        seconds: Of CPU, by the name of the run.

    Raises:
        BadInput: When an attack is named that there is not.
    """
    attacks.check(row for each in reported for row in each.report.leaks)
    reported = sorted(reported, key=lambda each: (each.run.seed, each.run.key))
    seeds = {each.run.name: each.run.seed for each in reported}
    best = best_on_originals(reported)
    task = comparison.cohort.task.replace("_", " ").lower()
    rows, leaks, useful = [], dict[str, dict[str, dict[int, Leak]]](), dict[str, dict[int, Utility]]()
    for name, method in methods.items():
        own = [each for each in reported if name in each.run.methods]
        found = of_method(own, method.row, attacks)
        if name == RAW:
            for run, leak in of_originals(reported, attacks):
                found.setdefault(run, []).append(leak)
        strong = strongest(found)
        measured = utilities(own, method.utility or method.row)
        if name == RAW and best:
            measured = {run: row.model_copy(update={"accuracy": best[seeds[run]]}) for run, row in measured.items()}
        leaks[name] = _by_seed(found if name != RAW else of_method(own, method.row, attacks), seeds)
        useful[name] = {seeds[run]: row for run, row in utilities(own, method.utility or method.row).items()}
        together = [each for each in own[0].run.methods if methods[each].row] if own else []
        costs, whole = cost(own, method, len(together) > 1)
        seen = next((each.report.seen[method.row] for each in own if method.row in each.report.seen), None)
        rows.append(
            MethodRow(
                name=name,
                title=method.title,
                workflow=method.workflow,
                shares=method.shares,
                worth=worth(measured, seeds, best, task),
                risks=tuple(nothing() if method.silent else _ordered([each.risk for each in strong])),
                promise=promise(own, method.row),
                costs=costs,
                whole_run=whole,
                pictures=()
                if seen is None
                else tuple(thumbnail(seen.pictures[each]) if each in seen.pictures else "" for each in range(SHOWN)),
                seen_by="" if seen is None else f"{seen.observer}: {seen.attack}",
                runs=tuple(each.run.name for each in own),
            )
        )
    pairs = _pairs(methods, leaks, useful, {row.name: row.runs for row in rows})
    named, left_out = tried(reported, attacks)
    runs = tuple(
        Played(
            name=each.run.name, workflow=each.report.scenario["workflow"], seed=each.run.seed,
            digest=each.report.outcome.digest if hasattr(each.report, "outcome") else "",
            page=f"runs/{each.run.name}/report.html", seconds=seconds[each.run.name], methods=each.run.methods,
        )
        for each in reported
    )  # fmt: skip
    report = ComparisonReport(
        summary="",
        comparison=comparison.model_dump(mode="json"),
        cannot=tuple(cannot(comparison, rows)),
        methods=tuple(rows),
        pairs=tuple(pairs),
        comparisons=len(pairs),
        originals=_originals(reported),
        attacks=named,
        left_out=left_out,
        runs=runs,
        digest="",
        seconds=round(sum(seconds.values()), 1),
        versions=versions(),
    )
    return report.model_copy(update={"summary": summary(report), "digest": digest(report)})


def _ordered(risks: Sequence[Risk]) -> list[Risk]:
    return sorted(risks, key=lambda each: (CRITERIA.index(each.criterion), each.observer))


def _by_seed(found: Mapping[str, Sequence[Leak]], seeds: Mapping[str, int]) -> dict[str, dict[int, Leak]]:
    """Return, for each criterion, the rows of the attack with the highest risk of any observer, by seed."""
    rows: dict[str, dict[int, Leak]] = {}
    best: dict[str, float] = {}
    for each in strongest(found):
        if each.risk.risk is not None and each.risk.risk.value > best.get(each.risk.criterion, -1.0):
            best[each.risk.criterion] = each.risk.risk.value
            rows[each.risk.criterion] = {seeds[run]: row for run, row in each.leaks.items()}
    return rows


def _pairs(
    methods: Mapping[str, Method],
    leaks: Mapping[str, Mapping[str, Mapping[int, Leak]]],
    useful: Mapping[str, Mapping[int, Utility]],
    runs: Mapping[str, tuple[str, ...]],
) -> list[Pair]:
    """Compare every method with raw pooling, and those that stand for their workflows with each other.

    Which pairs there are does not depend on what came out.
    """
    representing = [name for name, method in methods.items() if method.represents and name != RAW]
    wanted = [(name, RAW) for name in methods if name != RAW and RAW in methods]
    wanted += list(combinations(representing, 2))
    found: list[tuple[str, str, str, Difference]] = []
    for first, second in wanted:
        for measure, by_seed in _measured(first, second, leaks, useful):
            if (each := difference(by_seed)) is not None:
                found.append((first, second, measure, each))
    judged = holm([each for *_, each in found])
    return [
        Pair(
            first=first, second=second, measure=measure, mean=round(each.mean, 6), low=round(verdict.low, 6),
            high=round(verdict.high, 6), p=float(f"{each.p:.4g}"), shown=verdict.shown, people=each.people,
            seeds=each.seeds, runs=tuple(dict.fromkeys((*runs[first], *runs[second]))),
        )
        for (first, second, measure, each), verdict in zip(found, judged, strict=True)
    ]  # fmt: skip


def _measured(
    first: str,
    second: str,
    leaks: Mapping[str, Mapping[str, Mapping[int, Leak]]],
    useful: Mapping[str, Mapping[int, Utility]],
) -> Iterator[tuple[str, list[tuple[dict[int, float], dict[int, float]]]]]:
    """Yield each measure of two methods with their numbers by seed and person."""
    for criterion in CRITERIA:
        one, other = leaks[first].get(criterion, {}), leaks[second].get(criterion, {})
        both = sorted(one.keys() & other.keys())
        yield criterion, [(contributions(one[seed]), contributions(other[seed])) for seed in both]
    both = sorted(useful[first].keys() & useful[second].keys())
    yield UTILITY, [(useful[first][seed].people, useful[second][seed].people) for seed in both]


def _originals(reported: Sequence[Reported]) -> tuple[str, ...]:
    found = next((each.report.seen[ORIGINALS] for each in reported if ORIGINALS in each.report.seen), None)
    if found is None:
        return ()
    return tuple(thumbnail(found.pictures[each]) for each in range(SHOWN) if each in found.pictures)


def cannot(comparison: Comparison, rows: Sequence[MethodRow]) -> Iterator[str]:
    """Say what a comparison of this size cannot show."""
    cohort = comparison.cohort
    if comparison.seeds == 1:
        yield (
            "One seed: intervals are over people alone. How much another cohort, or another training, would change is"
            " not known."
        )
    elif comparison.seeds < 5:
        yield f"{comparison.seeds} seeds: differences between cohorts and trainings are known roughly."
    yield (
        f"{cohort.people:,} people with {cohort.pictures} images each: with more, models would be better and"
        " attackers, too; small differences are not shown."
    )
    if cohort.root is None:
        yield "The faces are painted: photographs of real people show more, and other things."
    yield (
        "Reconstruction is judged by what a recogniser names: a person where each shares alone, a class of images (task"
        " and private attribute) where owners share those of many. Chance is taken out of both, but they are not"
        " the same."
    )
    whole = list(dict.fromkeys(row.workflow for row in rows if row.whole_run))
    if whole:
        yield (
            f"Costs of {listed(whole)} are those of one setting's parties, which the run's other settings are taken to"
            " cost as well."
        )
    yield "The work of the coordinating server is not measured, but for its traffic."


def summary(report: ComparisonReport) -> str:
    """Say in short what came out."""
    useful = [row for row in report.methods if row.worth and row.worth.retained and row.name not in (RAW, ALONE)]
    cohort = report.comparison["cohort"]
    people, seeds = f"{cohort['people']:,} people", report.comparison["seeds"]
    head = (
        f"{len(report.methods)} ways of sharing on the images of {people}, {count(seeds, 'seed')}, "
        f"{count(len(report.runs), 'run')}."
    )
    if not useful:
        return head
    best = max(useful, key=lambda row: row.worth.retained.value if row.worth and row.worth.retained else 0.0)
    assert best.worth is not None
    assert best.worth.retained is not None
    worst = [each for criterion in CRITERIA if (each := best.worst(criterion)) is not None]
    most = max(worst, key=lambda each: each.risk.value if each.risk else 0.0, default=None)
    risk = (
        ""
        if most is None or most.risk is None
        else f"; its largest risk is {percent(most.risk.value, 0)} ({most.criterion})"
    )
    return (
        f"{head} Of those that do not share everything, {best.title} is the most useful: it retains "
        f"{percent(best.worth.retained.value, 0)}{risk}."
    )


def digest(report: ComparisonReport) -> str:
    """Return the SHA-256 of all that does not depend on the clock, the machine or how runs were played."""
    hashed = hashlib.sha256()
    for row in report.methods:
        costs = [each.model_dump(exclude={"seconds", "phone"}) for each in row.costs]
        hashed.update(row.model_copy(update={"costs": ()}).model_dump_json().encode() + repr(costs).encode())
    for part in (report.pairs, report.originals):
        hashed.update(repr(part).encode())
    for run in report.runs:
        hashed.update(f"{run.name} {run.digest}".encode())
    return hashed.hexdigest()
