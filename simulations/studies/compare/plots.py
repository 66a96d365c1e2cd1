"""Utility against each risk, with intervals: one figure for each criterion."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from simulations.reports.evaluation import Criterion, Estimate
from simulations.reports.plot import (
    BLUE,
    GREEN,
    GREY,
    INK,
    OCHRE,
    PAPER,
    PURPLE,
    STYLE,
    VERMILLION,
    Plot,
    label_marks,
    legend,
    new_figure,
    to_svg,
)
from simulations.studies.compare.methods import ALONE, RAW
from simulations.studies.compare.report import ComparisonReport, MethodRow
from simulations.studies.compare.table import CRITERIA

LOOKS = {
    "publish": (VERMILLION, "s"),
    "federate": (BLUE, "o"),
    "crowdsource": (GREEN, "^"),
    "outsource": (PURPLE, "D"),
    "pool": (OCHRE, "v"),
    "purchase": (GREY, "P"),
}
"""Colour and mark of each workflow."""
WIDTH, HEIGHT = 8.4, 4.6
ANY: Literal["any"] = "any"
Figured = Criterion | Literal["any"]
"""What a figure is about: a criterion, or the largest risk of all."""
FIGURES: tuple[Figured, ...] = (ANY, *CRITERIA)
_OF = ("risk of {} by the strongest attacker, %", "largest risk of any criterion that was measured, %")


@dataclass(frozen=True)
class Point:
    """A method in a figure: its number in the table, what it risks and what it retains."""

    number: int
    row: MethodRow
    risk: Estimate
    retained: Estimate

    @property
    def vague(self) -> bool:
        """Whether its risk is hardly known."""
        return self.risk.high - self.risk.low > VAGUE

    @property
    def place(self) -> tuple[float, float]:
        """Where it is, in percent."""
        return 100 * self.risk.value, 100 * self.retained.value


def points(report: ComparisonReport, criterion: Figured) -> list[Point]:
    """Return the methods of which both numbers are known."""
    found = []
    for number, row in enumerate(report.methods, 1):
        worst = row.largest() if criterion == ANY else row.worst(criterion)
        share = None if row.worth is None else row.worth.retained
        if worst is not None and worst.risk is not None and share is not None:
            found.append(Point(number, row, worst.risk, share))
    return found


VAGUE = 0.5
"""A risk whose interval is wider says next to nothing."""


def front(found: Sequence[Point]) -> list[Point]:
    """Return the points to which no other is better in one number and as good in the other, by risk.

    Those whose risk is hardly known are left out.
    """
    found = [point for point in found if not point.vague]
    return sorted(
        (
            one
            for one in found
            if not any(
                other.risk.value <= one.risk.value
                and other.retained.value >= one.retained.value
                and (other.risk.value, other.retained.value) != (one.risk.value, one.retained.value)
                for other in found
            )
        ),
        key=lambda point: point.place,
    )


def pareto(report: ComparisonReport, criterion: Figured) -> tuple[Figure, str] | None:
    """Draw utility against the risk of a criterion; None where fewer than two methods have both."""
    found = points(report, criterion)
    if len(found) < 2:
        return None
    best = front(found)
    figure, axes = new_figure(HEIGHT, WIDTH)
    if best:
        x, y = zip(*(point.place for point in best), strict=True)
        axes.plot(x, y, color=INK, linewidth=1, linestyle=":", label="no other is better")
    ends = [point for point in found if point.row.name in (RAW, ALONE)]
    for workflow, (colour, mark) in LOOKS.items():
        some = [point for point in found if point.row.workflow == workflow and point not in ends]
        for vague in (False, True):
            part = [point for point in some if point.vague == vague]
            _marks(axes, part, colour, mark, workflow if not vague or len(part) == len(some) else None)
    _marks(axes, ends, INK, "*", "the ends: all is shared, or nothing")
    axes.set(
        xlabel=_OF[criterion == ANY].format(criterion), ylabel="utility retained, %", xlim=(-3, 103),
    )  # fmt: skip
    legend(figure, axes, columns=4)
    names = {
        f"{point.number} {point.row.title}"
        if point in best or point.row.name in (RAW, ALONE)
        else str(point.number): point
        for point in found
    }
    label_marks(axes, {name: point.place for name, point in names.items()})
    said = "; ".join(f"{point.row.title}: {point.place[0]:.0f} % and {point.place[1]:.0f} %" for point in found)
    return figure, f"{_OF[criterion == ANY].format(criterion)[:-3].capitalize()}, and utility retained. {said}."


def _marks(axes: Axes, some: Sequence[Point], colour: str, mark: str, label: str | None) -> None:
    if not some:
        return
    x, y = zip(*(point.place for point in some), strict=True)

    def away(part: str) -> list[list[float]]:
        ends = [getattr(point, part) for point in some]
        return [
            [100 * (each.value - each.low) for each in ends],
            [100 * (min(each.high, 3.0) - each.value) for each in ends],
        ]

    axes.errorbar(
        x, y, xerr=away("risk"), yerr=away("retained"), color=colour, marker=mark, linestyle="none", elinewidth=0.6,
        markersize=9 if mark == "*" else 6, label=label, markerfacecolor=PAPER if some[0].vague else colour,
    )  # fmt: skip


def drawn(report: ComparisonReport) -> Iterator[tuple[Figured, Plot]]:
    """Yield the figures of the page."""
    for criterion in FIGURES:
        with mpl.rc_context({**STYLE, "svg.hashsalt": f"compare-{criterion}"}):
            found = pareto(report, criterion)
            if found is not None:
                figure, alt = found
                yield criterion, Plot(to_svg(figure), alt, wide=True)


def save(report: ComparisonReport, folder: Path) -> None:
    """Write every figure as SVG and as PDF."""
    folder.mkdir(exist_ok=True)
    for criterion in FIGURES:
        with mpl.rc_context({**STYLE, "svg.hashsalt": f"compare-{criterion}", "figure.facecolor": "white"}):
            found = pareto(report, criterion)
            if found is None:
                continue
            figure, _ = found
            figure.savefig(folder / f"{criterion}.svg", metadata={"Date": None, "Creator": None})
            FigureCanvasPdf(figure)
            figure.savefig(
                folder / f"{criterion}.pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
            )
