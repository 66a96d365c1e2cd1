"""What all plots of our pages have in common; each is an SVG inside its page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Patch

BLUE, SKY, VERMILLION, YELLOW = "#0072B2", "#56B4E9", "#D55E00", "#F0E442"
"""Okabe and Ito's colours."""
INK, GREY = "#1f2a36", "#7b8794"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.handletextpad": 0.5,
}
"""Matplotlib's settings for every plot of a page."""


@dataclass(frozen=True)
class Plot:
    """A plot for the page.

    Attributes:
        alt: What it shows, for those who cannot see it.
        thinned: What was left out.
    """

    svg: Markup
    alt: str
    thinned: list[str] = field(default_factory=list)


def new_figure() -> tuple[Figure, Axes]:
    """Return an empty figure that is drawn as SVG."""
    figure = Figure(layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def legend(figure: Figure, axes: Axes, areas: Sequence[Patch] = (), columns: int = 2) -> None:
    """Explain all marks, and areas, below the axes."""
    handles = [*axes.get_legend_handles_labels()[0], *areas]
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)


def to_svg(figure: Figure) -> Markup:
    """Return a figure as an SVG element with no reference to anything outside it."""
    stream = io.StringIO()
    figure.savefig(
        stream,
        format="svg",
        dpi=150,
        bbox_inches="tight",
        pad_inches=0.05,
        metadata={"Date": None, "Creator": None, "Type": None, "Format": None},
    )
    drawing = stream.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    return Markup(re.sub(r' id="[A-Za-z.0-9]+_\d+"', "", drawing))
