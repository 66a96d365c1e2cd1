"""A report as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.purchase.report.compile import coins
from simulations.purchase.report.model import Report
from simulations.purchase.report.phone_plots import duration
from simulations.purchase.report.sweep import SweepReport
from simulations.purchase.report.sweep_page import percent


def tables(report: Report | SweepReport) -> Iterator[RenderableType]:
    """Yield what is worth printing of a report."""
    yield from _sweep(report) if isinstance(report, SweepReport) else _purchase(report)


def _sweep(report: SweepReport) -> Iterator[RenderableType]:
    table = Table("noise sellers", "what matched", "what was bought", "recall", title="precision under noise")
    for point in report.points:
        table.add_row(*(percent(value) for value in (point.noise, point.candidates, point.bought, point.recall)))
    yield table
    yield report.summary


def _purchase(report: Report) -> Iterator[RenderableType]:
    outcome = report.outcome
    table = Table(title=f"{report.scenario['workflow']}, seed {report.seed}", show_header=False, title_justify="left")
    table.add_column(style="cyan")
    table.add_column(justify="right")
    rows = [
        ("sellers called", str(outcome.sellers)),
        ("images offered", str(outcome.bids)),
        ("matching the samples", str(outcome.candidates)),
        ("selected", str(outcome.selected)),
        ("delivered", str(outcome.delivered)),
        ("verified and paid", str(outcome.verified)),
        ("complaints, of them found false", f"{outcome.complaints}, {outcome.upheld}"),
        ("kept without paying", str(outcome.kept_for_nothing)),
        ("paid to sellers", coins(outcome.paid_total)),
        ("commission", coins(outcome.commission)),
        ("refunded", coins(outcome.refunded_total)),
        ("penalties", coins(outcome.penalties)),
        ("budget", coins(outcome.budget)),
        ("precision of what matched", _share(outcome.candidate_precision)),
        ("precision of what was bought", _share(outcome.precision)),
        ("mean matching degree", _number(outcome.quality.matching_degree)),
        ("diversity (squares)", _number(outcome.quality.diversity)),
        *_worth(report),
        ("messages", str(sum(flow.messages for flow in report.traffic))),
        ("bytes", f"{sum(flow.bytes for flow in report.traffic):,}"),
        ("seconds", f"{report.timings['total']:.1f}"),
        ("digest", outcome.digest[:16]),
    ]
    for row in rows:
        table.add_row(*row)
    yield table
    yield report.summary
    if report.phones is not None:
        spent = report.phones.spent
        missed = report.phones.asked - report.phones.answered
        yield (
            f"On these phones it takes {duration(report.phones.seconds)}. The median phone spends "
            f"{duration(spent.seconds.median)}, {spent.bytes.median / 1000:.0f} kB and {spent.joules.median:.0f} J. "
            f"{missed:,} of {report.phones.asked:,} questions to phones were not answered in time."
        )
    yield from report.notes


def _worth(report: Report) -> list[tuple[str, str]]:
    """Return the accuracy of CNNs, where any were trained."""
    worth = report.worth
    if worth is None:
        return []
    return [("a CNN trained on it; on as many at random", f"{_share(worth.bought)}; {_share(worth.random)}")]


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
