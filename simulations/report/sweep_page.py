"""``report.html`` of a sweep, in the dress of a purchase's page."""

import re
from importlib.resources import files
from pathlib import Path

import jinja2
import yaml
from markupsafe import Markup

from simulations.report.plots import precision_over_noise, precision_over_radius
from simulations.report.sweep import Range, SweepReport

PAPER = {0.1: 0.99, 0.3: 0.95, 0.5: 0.90}
"""Precision of candidates by share of noise that the paper reports (section VI.C; the last is a lower bound)."""

_PERCENT = "\N{NO-BREAK SPACE}%"


def write_sweep_page(path: Path, report: SweepReport) -> None:
    """Write the page of a finished sweep."""
    folder = files("simulations.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = percent
    template = environment.from_string((folder / "sweep.html").read_text(encoding="utf-8"))
    page = template.render(
        report=report,
        style=page_style(),
        paper=PAPER,
        noise=precision_over_noise(report.points, PAPER),
        radius=precision_over_radius(report.curve, report.radius) if report.curve else None,
        scenario=yaml.safe_dump(report.scenario, sort_keys=False, allow_unicode=True),
    )
    path.write_text(page, encoding="utf-8")


def page_style() -> Markup:
    """Return the style of a purchase's page."""
    purchase = (files("simulations.report") / "page.html").read_text(encoding="utf-8")
    found = re.search(r"<style>.*?</style>", purchase, re.DOTALL)
    return Markup(found.group()) if found else Markup()


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
