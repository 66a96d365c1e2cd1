"""What is worth printing of a comparison."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.rows import interval
from simulations.studies.compare.choose import Question, choose
from simulations.studies.compare.report import ComparisonReport
from simulations.studies.compare.table import CRITERIA


def comparison_tables(report: ComparisonReport) -> Iterator[RenderableType]:
    """Yield the main table, and what remains for the usual question."""
    table = Table(
        "method", "retained", *CRITERIA, title_justify="left",
        title="Utility retained, and the risk of the strongest attack, with 95 % intervals",
    )  # fmt: skip
    for row in report.methods:
        worst = [row.worst(criterion) for criterion in CRITERIA]
        retained = None if row.worth is None else row.worth.retained
        table.add_row(row.name, interval(retained), *(interval(None if each is None else each.risk) for each in worst))
    yield table
    question = Question(owners=report.comparison["cohort"]["owners"])
    remaining = [each.title for each in choose(question, report.methods) if not each.against]
    yield f"For {question}, there {'remain' if remaining else 'remains'}: {'; '.join(remaining) or 'nothing'}."
    yield report.summary
    yield from report.cannot
