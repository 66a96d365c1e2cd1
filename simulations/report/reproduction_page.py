"""Files and tables of a reproduction: a paper's numbers beside ours."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table

from simulations.report.page import write_page
from simulations.report.paper_and_ours import paper_and_ours
from simulations.report.plot import Plot
from simulations.report.reproduction import Cell, NumberTable, ReproductionReport


def write_reproduction(folder: Path, report: ReproductionReport, figures: Sequence[Plot] = ()) -> None:
    """Write ``report.json`` and ``report.html`` of a reproduction, with plots that are its own."""
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    numbers = paper_and_ours(report.rows, report.columns)
    write_page(
        folder / "report.html", "report/reproduction.html", report, {"cell": cell}, numbers=numbers, figures=figures
    )


def cell(number: Cell) -> str:
    """Write our number, its interval as far as it is possible (none of these numbers exceeds 1), and the paper's.

    Examples
    --------
    >>> cell(Cell(paper=0.8, ours={"low": 0.85, "mean": 0.95, "high": 1.05}))
    '95.0 % (85.0 to 100.0); paper 80.0 %'
    """
    ours = (number.ours.low, number.ours.mean, min(number.ours.high, 1.0))
    low, mean, high = (f"{100 * value:.1f}" for value in ours)
    paper = "" if number.paper is None else f"; paper {100 * number.paper:.1f} %"
    return f"{mean} % ({low} to {high}){paper}"


def reproduction_tables(report: ReproductionReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a reproduction."""
    first = NumberTable(title=report.title, columns=report.columns, rows=report.rows)
    for table in (first, *report.more):
        numbers = Table("", *table.columns, title=table.title, title_justify="left")
        for row in table.rows:
            cells = (cell(row.cells[column]) if column in row.cells else "" for column in table.columns)
            numbers.add_row(", ".join(row.what), *cells)
        yield numbers
    claims = Table("the paper's claim", "here", "differences", title="what holds", title_justify="left")
    for claim in report.claims:
        claims.add_row(claim.text, claim.verdict, claim.evidence)
    yield claims
    yield report.summary
    yield f"{len(report.seeds)} seeds, 95 % intervals; {sum(report.devices.values())} jobs {report.equipment}."
