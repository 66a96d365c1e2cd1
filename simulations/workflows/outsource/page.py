"""``report.html``: what came of outsourced training, for people; one file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import (
    BLUE,
    GREEN,
    GREY,
    INK,
    OCHRE,
    PURPLE,
    STYLE,
    VERMILLION,
    Plot,
    label_marks,
    legend,
    new_figure,
    to_svg,
)
from simulations.reports.sheets import thumbnail
from simulations.reports.words import percent
from simulations.workflows.outsource.attacks import ATTACKS
from simulations.workflows.outsource.report import OutsourceReport, TradeOff
from simulations.workflows.outsource.words import setting_words, worst_attack
from strategies.pixels import to_pictures

_LOOKS = {
    "mix": (INK, "o"),
    "mix-3": (INK, "8"),
    "noise-mix": (BLUE, "o"),
    "shuffle-mix": (GREEN, "s"),
    "pixelize-mix": (VERMILLION, "D"),
    "blur-mix": (PURPLE, "^"),
    "graft-mix": (OCHRE, "P"),
    "pixelize": (VERMILLION, "d"),
    "blur": (PURPLE, "v"),
}


def tradeoff_plot(points: Sequence[TradeOff], reference: float) -> Plot:
    """Draw accuracy on clean images against privacy, a line per technique; the owners' own setting is ringed."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "outsource"}):
        figure, axes = new_figure(4.6)
        ends: dict[str, tuple[float, float]] = {}
        for technique in dict.fromkeys(point.technique for point in points):
            line = sorted((p for p in points if p.technique == technique), key=lambda point: point.privacy)
            colour, mark = _LOOKS.get(technique, (GREY, "*"))
            places = [(point.privacy, 100 * point.accuracy) for point in line]
            axes.plot(*zip(*places, strict=True), color=colour, marker=mark, linewidth=1)
            ends[technique] = places[-1]
        for own in (point for point in points if point.own):
            axes.plot(
                own.privacy, 100 * own.accuracy,
                color=INK, marker="o", markersize=15, markerfacecolor="none", linestyle="none", label="this run",
            )  # fmt: skip
        axes.axhline(100 * reference, color=INK, linestyle="--", linewidth=1, label="trained on clean images")
        axes.set(xlabel="privacy: mean dSSIM", ylabel="accuracy on clean test images, %", xlim=(-0.02, 1.02))
        legend(figure, axes)
        label_marks(axes, ends, [(point.privacy, 100 * point.accuracy) for point in points])
        said = ", ".join(f"{p.technique} {p.privacy:.2f}: {percent(p.accuracy)}" for p in points)
        return Plot(to_svg(figure), f"Accuracy against privacy. {said}; clean images: {percent(reference)}.")


def write_outsource_page(path: Path, report: OutsourceReport, grid: Mapping[str, Tensor]) -> None:
    """Write the page.

    Args:
        report: What is said in numbers.
        grid: Each (n, 3, side, side) uint8, the picture grid: a column for each name, a row for each mixture.
    """
    outcome = report.outcome
    write_page(
        path,
        "workflows/outsource/page.html",
        report,
        {"setting": setting_words},
        plot_tradeoff=tradeoff_plot(report.tradeoffs, outcome.reference),
        worst=worst_attack(report.attacks),
        columns=[ATTACKS[name].title if name in ATTACKS else name for name in grid],
        rows=list(zip(*([thumbnail(picture) for picture in to_pictures(each)] for each in grid.values()), strict=True)),
    )
