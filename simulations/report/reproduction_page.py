"""Files and tables of a reproduction: a paper's numbers beside ours."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import jinja2
from rich.console import RenderableType
from rich.table import Table

from simulations.report.plots import paper_and_ours
from simulations.report.reproduction import Cell, ReproductionReport
from simulations.report.sweep_page import page_style


def write_reproduction(folder: Path, report: ReproductionReport) -> None:
    """Write ``report.json`` and ``report.html`` of a reproduction."""
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    template = environment.from_string((files("simulations.report") / "reproduction.html").read_text(encoding="utf-8"))
    page = template.render(report=report, style=page_style(), plot=paper_and_ours(report.rows, report.columns))
    (folder / "report.html").write_text(page, encoding="utf-8")


def cell(number: Cell) -> str:
    """Write our number, its interval, and the paper's.

    Examples
    --------
    >>> cell(Cell(paper=0.8, ours={"low": 0.7, "mean": 0.75, "high": 0.8}))
    '75.0 % (70.0 to 80.0); paper 80.0 %'
    """
    low, mean, high = (f"{100 * value:.1f}" for value in (number.ours.low, number.ours.mean, number.ours.high))
    paper = "" if number.paper is None else f"; paper {100 * number.paper:.1f} %"
    return f"{mean} % ({low} to {high}){paper}"


def reproduction_tables(report: ReproductionReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a reproduction."""
    numbers = Table("", *report.columns, title=report.title, title_justify="left")
    for row in report.rows:
        numbers.add_row(", ".join(row.what), *(cell(row.cells[column]) for column in report.columns))
    yield numbers
    claims = Table("the paper's claim", "here", "differences", title="what holds", title_justify="left")
    for claim in report.claims:
        claims.add_row(claim.text, claim.verdict, claim.evidence)
    yield claims
    yield report.summary
    yield f"{len(report.seeds)} seeds, 95 % intervals; {sum(report.devices.values())} jobs {report.equipment}."
