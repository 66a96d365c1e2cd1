"""``report.html`` of a sweep, in the dress of a purchase's page."""

from pathlib import Path

from simulations.purchase.report.plots import precision_over_noise, precision_over_radius
from simulations.purchase.report.sweep import Range, SweepReport
from simulations.report.page import write_page

PAPER = {0.1: 0.99, 0.3: 0.95, 0.5: 0.90}
"""Precision of candidates by share of noise that the paper reports (section VI.C; the last is a lower bound)."""

_PERCENT = "\N{NO-BREAK SPACE}%"


def write_sweep_page(path: Path, report: SweepReport) -> None:
    """Write the page of a finished sweep."""
    write_page(
        path,
        "purchase/report/sweep.html",
        report,
        {"percent": percent},
        paper=PAPER,
        noise=precision_over_noise(report.points, PAPER),
        radius=precision_over_radius(report.curve, report.radius) if report.curve else None,
    )


def percent(value: Range | float | None) -> str:
    """Write a share, and the range it lies in.

    Examples
    --------
    >>> percent(Range(low=0.9, median=0.95, high=0.97)).split()
    ['95.0', '%', '(90.0', 'to', '97.0)']
    """
    if value is None:
        return "none"
    if isinstance(value, Range):
        return f"{100 * value.median:.1f}{_PERCENT} ({100 * value.low:.1f} to {100 * value.high:.1f})"
    return f"{100 * value:.0f}{_PERCENT}"
