"""What the report of a reproduction says: a paper's numbers beside ours, and which of its claims hold here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Literal

import matplotlib as mpl
import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import RenderableType
from rich.table import Table
from scipy.stats import t as student

from simulations.reports.page import write_page
from simulations.reports.plot import LABEL, PAPER, SERIES, STYLE, Plot, legend, new_figure, to_svg
from simulations.reports.words import percent

Verdict = Literal["holds", "does not hold", "not shown"]


class Interval(BaseModel):
    """A mean over seeds and its 95 % confidence interval (Student's t)."""

    model_config = ConfigDict(frozen=True)

    low: float
    mean: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Estimate the mean behind independent values.

        Args:
            values: At least two.

        Examples:
            >>> interval = Interval.of([0.7, 0.8, 0.9])
            >>> round(interval.low, 3), round(interval.mean, 3), round(interval.high, 3)
            (0.552, 0.8, 1.048)
        """
        mean, count = float(np.mean(values)), len(values)
        half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
        return cls(low=mean - half, mean=mean, high=mean + half)


class Cell(BaseModel):
    """One number: the paper's, None where it gives none, and ours."""

    model_config = ConfigDict(frozen=True)

    paper: float | None
    ours: Interval


class Row(BaseModel):
    """One setting, measured for each column."""

    model_config = ConfigDict(frozen=True)

    what: tuple[str, ...]
    cells: dict[str, Cell]


class NumberTable(BaseModel):
    """A table of its own, beside the main one; here a row may lack a column."""

    model_config = ConfigDict(frozen=True)

    title: str
    columns: list[str]
    rows: list[Row]


class Claim(BaseModel):
    """Something the paper says, and what became of it here.

    ``holds`` and ``does not hold`` are said where the 95 % intervals of the differences that decide are on one side of
    0; else it was ``not shown``, either way, with these seeds.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    verdict: Verdict
    evidence: str


class ReproductionReport(BaseModel):
    """A reproduction, written down.

    Attributes:
        kind: Tells it from other reports.
        schema_version: Raised with every change of the schema that a reader could notice.
        name, title, summary: Which one it is, and one sentence on what came out.
        settings: Sentences: what was done, and how it differs from the paper.
        columns: What is compared: the keys of each row's cells.
        rows: All numbers, shares of 1.
        more: Other tables of the paper.
        equipment: What the jobs ran on.
        devices: Jobs by the name of the device.
        seconds: Wall time.
        versions: Versions of Parley and of the libraries that the numbers depend on.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["reproduction"] = "reproduction"
    schema_version: int = 1
    name: str
    title: str
    summary: str
    settings: list[str]
    columns: list[str]
    rows: list[Row]
    more: list[NumberTable] = []
    claims: list[Claim]
    seeds: list[int]
    equipment: str
    devices: dict[str, int]
    seconds: float
    versions: dict[str, str]


def judge(text: str, differences: dict[str, Sequence[float]]) -> Claim:
    """Decide a claim that says that each of some differences is positive.

    Args:
        differences: One value per seed, by the name of the difference.

    Examples:
        >>> judge("a beats b", {"a - b": [0.1, 0.2, 0.15]}).verdict
        'holds'
        >>> judge("a beats b and c", {"a - b": [0.1, 0.2, 0.15], "a - c": [-0.1, 0.1, 0.0]}).verdict
        'not shown'
    """
    known = {name: Interval.of(values) for name, values in differences.items()}
    if all(interval.low > 0 for interval in known.values()):
        verdict: Verdict = "holds"
    elif any(interval.high < 0 for interval in known.values()):
        verdict = "does not hold"
    else:
        verdict = "not shown"
    return Claim(text=text, verdict=verdict, evidence="; ".join(f"{name}: {points(x)}" for name, x in known.items()))


def points(difference: Interval) -> str:
    """Write a difference of shares in percentage points.

    Examples:
        >>> points(Interval(low=-0.01, mean=0.02, high=0.05))
        '+2.0 points (-1.0 to +5.0)'
    """
    low, mean, high = (f"{100 * value:+.1f}" for value in (difference.low, difference.mean, difference.high))
    return f"{mean} points ({low} to {high})"


NAME = 26
"""Characters in a line of a setting's name, at most."""


def paper_and_ours(rows: Sequence[Row], columns: Sequence[str]) -> Plot:
    """Draw each row of a reproduction on a line: our means with their intervals, and the paper's numbers, in %."""
    names = [wrap(", ".join(row.what), NAME) for row in rows]
    with mpl.rc_context({**STYLE, "svg.hashsalt": "reproduction"}):
        figure, axes = new_figure(max(0.5, 0.16 * max(map(len, names)) + 0.1) * len(rows) + 1.4)
        looks = zip(columns, SERIES, ("^", "o", "D", "v", "s"), strict=False)
        heights = np.arange(len(rows), dtype=np.float64)
        for place, (column, colour, shape) in enumerate(looks):
            lines = heights + 0.22 * (place - (len(columns) - 1) / 2)
            ours = [row.cells[column].ours for row in rows]
            low, mean, high = (100 * np.array([getattr(x, part) for x in ours]) for part in ("low", "mean", "high"))
            axes.errorbar(
                mean, lines, xerr=[mean - low, high - mean],
                color=colour, marker=shape, linestyle="none", capsize=2, elinewidth=1, label=column,
            )  # fmt: skip
            told = [(row.cells[column].paper or np.nan, y) for row, y in zip(rows, lines, strict=True)]
            if np.isfinite(told).all(axis=1).any():
                axes.plot(
                    *(np.array(told) * (100, 1)).T,
                    color=colour, marker=shape, linestyle="none", markerfacecolor=PAPER, markersize=9,
                    label=f"{column}, the paper",
                )  # fmt: skip
        axes.set_yticks(heights, ["\n".join(lines) for lines in names], fontsize=LABEL)
        axes.set(xlabel="%", xlim=(axes.get_xlim()[0], 101))
        axes.invert_yaxis()
        legend(figure, axes)
        alt = f"{len(rows)} settings, and for {', '.join(columns)} our means with intervals and the paper's numbers."
        return Plot(to_svg(figure), alt)


def write_reproduction(folder: Path, report: ReproductionReport, figures: Sequence[Plot] = ()) -> None:
    """Write ``report.json`` and ``report.html`` of a reproduction, with plots that are its own."""
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    numbers = paper_and_ours(report.rows, report.columns)
    write_page(
        folder / "report.html", "reports/reproduction.html", report, {"cell": cell}, numbers=numbers, figures=figures
    )


def cell(number: Cell) -> str:
    """Write our number, its interval as far as it is possible (none of these numbers exceeds 1), and the paper's.

    Examples:
        >>> cell(Cell(paper=0.8, ours={"low": 0.85, "mean": 0.95, "high": 1.05})).split()
        ['95.0', '%', '(85.0', 'to', '100.0);', 'paper', '80.0', '%']
    """
    low, high = (f"{100 * value:.1f}" for value in (number.ours.low, min(number.ours.high, 1.0)))
    paper = "" if number.paper is None else f"; paper {percent(number.paper)}"
    return f"{percent(number.ours.mean)} ({low} to {high}){paper}"


def reproduction_tables(report: ReproductionReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a reproduction."""
    first = NumberTable(title=report.title, columns=report.columns, rows=report.rows)
    for table in (first, *report.more):
        numbers = Table("", *table.columns, title=table.title, title_justify="left")
        for row in table.rows:
            cells = (cell(row.cells[column]) if column in row.cells else "" for column in table.columns)
            numbers.add_row(", ".join(row.what), *cells)
        yield numbers
    claims = Table("claim", "here", "paired differences", title="the paper's claims", title_justify="left")
    for claim in report.claims:
        claims.add_row(claim.text, claim.verdict, claim.evidence)
    yield claims
    yield report.summary
    yield f"{len(report.seeds)} seeds, 95 % intervals; {sum(report.devices.values())} jobs {report.equipment}."
