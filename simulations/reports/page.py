"""Self-contained HTML pages with one shared style (``base.html``, ``style.css``)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2

from protocol.storage.package import packaged_file
from protocol.strict_yaml import write_yaml
from simulations.reports.words import percent, points, score, signed


def write_page(
    path: Path, template: str, report: Any, filters: Mapping[str, Callable[..., object]] | None = None, **values: object
) -> None:
    """Write a page.

    Args:
        template: Below ``simulations/``: an extension of ``report/base.html``.
        report: What the page is about; `RunReport`, for the parts of a page that all runs have.
        filters: Ways to write values that this template needs beside `size` and those of `simulations.reports.words`.
        values: What else the template needs.
    """
    loader = jinja2.FunctionLoader(lambda name: packaged_file(f"simulations/{name}").read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    shared = {"size": size, "percent": percent, "points": points, "score": score, "signed": signed}
    environment.filters |= {**shared, **(filters or {})}
    scenario = write_yaml(getattr(report, "scenario", {}), sort_keys=False, allow_unicode=True)
    page = environment.get_template(template).render(report=report, scenario=scenario, **values)
    path.write_text(page, encoding="utf-8")


def size(count: int) -> str:
    """Write a number of bytes for people, on one line.

    Examples:
        >>> size(9_978_000).split()
        ['10.0', 'MB']
    """
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f}\N{NO-BREAK SPACE}{unit}"
    return f"{count}\N{NO-BREAK SPACE}bytes"
