"""``compare.html``: which way of sharing to use, for people; one file that needs nothing else."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from protocol.strict_yaml import write_yaml
from simulations.reports.evaluation import Estimate
from simulations.reports.page import write_page
from simulations.reports.plot import Plot
from simulations.studies.compare.choose import SUMS, Question, choose
from simulations.studies.compare.officer import NOT_TRIED, opinion
from simulations.studies.compare.plots import Figured
from simulations.studies.compare.report import ComparisonReport
from simulations.studies.compare.table import CRITERIA
from strategies.privacy.sum_graph import FEWEST

UNBOUNDED = 10
"""A share of the utility that is as good as infinite, where the ceiling is hardly above the baseline."""


def write_comparison_page(path: Path, report: ComparisonReport, plots: Mapping[Figured, Plot]) -> None:
    """Write the page."""
    question = Question(owners=report.comparison["cohort"]["owners"])
    answers = choose(question, report.methods)
    write_page(
        path,
        "studies/compare/compare.html",
        report,
        {"share": share, "ends": ends, "of_run": of_run},
        criteria=CRITERIA,
        plots=plots,
        question=question,
        remaining=[each for each in answers if not each.against],
        others=[each for each in answers if each.against],
        pages={run.name: run.page for run in report.runs},
        seeds={run.name: run.seed for run in report.runs},
        titles={row.name: row.title for row in report.methods},
        numbers={row.name: number for number, row in enumerate(report.methods, 1)},
        opinion=opinion(report),
        not_tried=NOT_TRIED,
        data=json.dumps({"rows": list(_data(report)), "criteria": CRITERIA, "sums": SUMS, "fewest": FEWEST}).replace(
            "<", "\\u003c"
        ),
        settings=write_yaml(report.comparison, sort_keys=False, allow_unicode=True),
    )


def share(found: Estimate | None) -> str:
    """Write a share in percent with its interval.

    Examples:
        >>> share(Estimate(value=0.5, low=0.4, high=0.61, n=100))
        '50 (40–61)'
        >>> share(None)
        '–'
    """
    if found is None:
        return "–"
    value = f"{100 * found.value:.0f}"
    return f"{value} ({ends(found)})" if found.n else value


def ends(found: Estimate) -> str:
    """Write an interval in percent.

    Examples:
        >>> ends(Estimate(value=0.5, low=0.4, high=0.61, n=100))
        '40–61'
    """
    high = f"{100 * found.high:.0f}" if found.high < UNBOUNDED else "∞"
    return f"{100 * found.low:.0f}–{high}"


def of_run(name: str, first: str) -> str:
    """Return what tells a run from the first one: the seed, if it is another seed's of the same.

    Examples:
        >>> of_run("pool-2", "pool-1"), of_run("pool-2", "publish-1")
        ('2', 'pool-2')
    """
    return name.rpartition("-")[2] if name.rpartition("-")[0] == first.rpartition("-")[0] else name


def _data(report: ComparisonReport) -> Iterator[dict[str, object]]:
    """Yield what the chooser in the page looks at."""
    for row in report.methods:
        retained = None if row.worth is None else row.worth.retained
        yield {
            "name": row.name,
            "title": row.title,
            "retained": None if retained is None else [retained.value, retained.low],
            "proven": row.promise is not None and row.promise.epsilon is not None,
            "risks": [
                [each.criterion, each.observer, list(each.whom), each.risk.value, each.risk.high]
                for each in row.risks
                if each.risk is not None
            ],
        }
