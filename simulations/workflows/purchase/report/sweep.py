"""What the report of a sweep says: the schema of its ``report.json``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from pydantic import BaseModel, ConfigDict

from simulations.reports.page import write_page
from simulations.reports.plot import (
    BLUE,
    INK,
    STYLE,
    VERMILLION,
    Plot,
    label_ends,
    legend,
    new_figure,
    to_svg,
)
from simulations.reports.words import percent


class Range(BaseModel):
    """The lowest, the middle and the highest of several worlds.

    Lowest and highest are a confidence interval of the median: of 93.75 % for 5 worlds, 1 - 2^(1 - n) for n.
    """

    model_config = ConfigDict(frozen=True)

    low: float
    median: float
    high: float


class SweepPoint(BaseModel):
    """All worlds with one share of noise sellers.

    Attributes:
        noise: Share of sellers who hold only what nobody asked for.
        candidates, bought: Precision of what matched (the paper's Fig. 6) and of what was bought; None where there was
            nothing.
        recall: Share of the wanted images that matched.
        digests: The outcome of each purchase.
    """

    model_config = ConfigDict(frozen=True)

    noise: float
    candidates: Range | None
    bought: Range | None
    recall: Range | None
    digests: list[str]


class RadiusPoint(BaseModel):
    """Mean precision and recall, over several worlds, of what lies within a radius (lattice units) of a sample."""

    model_config = ConfigDict(frozen=True)

    radius: int
    precision: float
    recall: float


class SweepReport(BaseModel):
    """A sweep, written down.

    Attributes:
        kind: Tells it from the report of one purchase.
        schema_version: Raised with every change of the schema that a reader could notice.
        scenario, seed: The scenario, defaults included, and its first seed.
        summary: One sentence on what came out.
        points: By share of noise.
        radius: R, in lattice units.
        curve_noise: Share of noise sellers in the worlds of `curve`.
        curve: What other choices of R would have done.
        seconds: Wall time.
        versions: Versions of Parley and of the libraries that the outcome depends on.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["sweep"] = "sweep"
    schema_version: int = 1
    scenario: dict[str, Any]
    seed: int
    summary: str
    points: list[SweepPoint]
    radius: int
    curve_noise: float
    curve: list[RadiusPoint]
    seconds: float
    versions: dict[str, str]


PAPER = {0.1: 0.99, 0.3: 0.95, 0.5: 0.90}
"""Precision of candidates by share of noise that the paper reports (section VI.C; the last is a lower bound)."""


def write_sweep_page(path: Path, report: SweepReport) -> None:
    """Write the page of a finished sweep."""
    write_page(
        path,
        "workflows/purchase/report/sweep.html",
        report,
        {"ranged": ranged},
        paper=PAPER,
        noise=precision_over_noise(report.points, PAPER),
        radius=precision_over_radius(report.curve, report.radius) if report.curve else None,
    )


def ranged(value: Range | None) -> str:
    """Write the median of a share, and the range that it lies in.

    Examples:
        >>> ranged(Range(low=0.9, median=0.95, high=0.97)).split()
        ['95.0', '%', '(90.0', 'to', '97.0)']
    """
    if value is None:
        return "none"
    return f"{percent(value.median)} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def precision_over_noise(points: Sequence[SweepPoint], paper: Mapping[float, float]) -> Plot:
    """Draw precision against the share of noise sellers: ours with its range, beside the paper's (Fig. 6)."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "noise"}):
        figure, axes = new_figure(4.2)
        lines = []
        for colour, shape, shift, ranges in (
            (BLUE, "o", -0.4, [(point.noise, point.candidates) for point in points]),
            (VERMILLION, "^", 0.4, [(point.noise, point.bought) for point in points]),
        ):
            known = [(100 * noise + shift, each) for noise, each in ranges if each is not None]
            middle = [100 * each.median for _, each in known]
            below = [100 * (each.median - each.low) for _, each in known]
            above = [100 * (each.high - each.median) for _, each in known]
            places = [place for place, _ in known]
            line, *_ = axes.errorbar(places, middle, (below, above), color=colour, marker=shape, capsize=3)
            lines.append(line)
        theirs = [(100 * noise, 100 * precision) for noise, precision in paper.items()]
        lines += axes.plot(*zip(*theirs, strict=True), color=INK, marker="s", linestyle="--", linewidth=1)
        axes.set(xlabel="noise sellers, %", ylabel="precision, %", ylim=(min(60, axes.get_ylim()[0]), 100.5))
        drawn = [
            (line, label)
            for line, label in zip(lines, ("candidates", "bought", "the paper"), strict=True)
            if len(line.get_xydata())
        ]
        label_ends(axes, [line for line, _ in drawn], [label for _, label in drawn])
        alt = f"Precision against the share of noise sellers, at {len(points)} shares, beside the paper's three."
        return Plot(to_svg(figure), alt)


def precision_over_radius(curve: Sequence[RadiusPoint], radius: int) -> Plot:
    """Draw precision and recall against the matching radius; R itself is marked."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "radius"}):
        figure, axes = new_figure(3.6)
        radii = [point.radius for point in curve]
        lines = [
            *axes.plot(radii, [100 * point.precision for point in curve], color=BLUE),
            *axes.plot(radii, [100 * point.recall for point in curve], color=VERMILLION, linestyle="-."),
        ]
        axes.axvline(radius, color=INK, linestyle="--", linewidth=1, label=f"R = {radius}")
        axes.set(xlabel="matching radius (lattice units)", ylabel="%", xlim=(0, max(radii)), ylim=(0, 102))
        label_ends(axes, lines, ["precision", "recall"])
        legend(figure, axes)
        return Plot(to_svg(figure), "Precision and recall against the matching radius.")
