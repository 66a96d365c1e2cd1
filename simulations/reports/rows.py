"""The common rows of reports, as tables for the terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.reports.evaluation import Estimate, Leak
from simulations.reports.model import RunReport
from simulations.reports.words import percent


def interval(found: Estimate | None, digits: int = 0) -> str:
    """Write a share with its interval, a dash where it is not known.

    Examples:
        >>> interval(Estimate(value=0.5, low=0.4, high=0.61, n=100)).split()
        ['50', '%', '(40–61)']
    """
    if found is None:
        return "–"
    if not found.n:
        return percent(found.value, digits)
    return f"{percent(found.value, digits)} ({100 * found.low:.{digits}f}–{100 * found.high:.{digits}f})"


def headlines(report: RunReport) -> list[Leak]:
    """Return the strongest attack of every method, observer and criterion."""
    return [each for each in report.leaks if each.strongest]


def evaluation_tables(report: RunReport) -> Iterator[RenderableType]:
    """Yield what leaks, by the strongest attacks, and what it is worth."""
    if worst := headlines(report):
        table = Table(
            "method", "observer", "about", "strongest attack", "rate", "reference", "risk", "averted",
            title="What leaks: the strongest attack of each kind, with 95 % intervals", title_justify="left",
        )  # fmt: skip
        for row in worst:
            reference = max((each for each in (row.baseline, row.control) if each), key=lambda each: each.value)
            table.add_row(
                row.method, row.observer, row.what, row.attack, interval(row.rate), percent(reference.value, 0),
                interval(row.risk), interval(row.averted),
            )  # fmt: skip
        yield table
    if report.utility:
        table = Table(
            "method", "task", "accuracy", "baseline", "on the originals", "retained",
            title="What it is worth, with 95 % intervals", title_justify="left",
        )  # fmt: skip
        for each in report.utility:
            table.add_row(
                each.method, each.task, interval(each.accuracy), percent(each.baseline, 0), interval(each.ceiling),
                interval(each.retained),
            )  # fmt: skip
        yield table
    if report.effects:
        table = Table(
            "adversary", "what it changed", "", "without it", "with it",
            title="The honest twin: the same world without the adversaries", title_justify="left",
        )  # fmt: skip
        for effect in report.effects:
            table.add_row(effect.cheat, effect.what, effect.unit, f"{effect.honest:.3g}", f"{effect.cheated:.3g}")
        yield table
