"""What all plots of our pages have in common; each is an SVG inside its page."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

BLUE, VERMILLION, GREEN, PURPLE, OCHRE = "#0072b2", "#d55e00", "#00805e", "#a8508a", "#8c6d00"
"""Lines and marks: colours that differ for the colour-blind, too, with a contrast of 3 or more to white."""
INK, GREY = "#1f2a36", "#6b7785"
YELLOW, PAPER, GRID, NEAR, COVERED = "#f0e442", "#ffffff", "#e3e8ee", "#e9eff5", "#f5c66f"
"""Areas, and marks with an outline."""
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, OCHRE, INK)
"""Colours of series, in this order."""

VARIABLES = {
    BLUE: "blue",
    VERMILLION: "vermillion",
    GREEN: "green",
    PURPLE: "purple",
    OCHRE: "ochre",
    INK: "ink",
    GREY: "grey",
    PAPER: "paper",
    GRID: "grid",
    NEAR: "near",
    COVERED: "covered",
}
"""Variables of ``style.css``, each with a prefix, that take these colours' place on dark screens."""

NARROW, WIDE = 4.8, 8.4
"""Widths of figures, inches: narrow ones can be read on a phone as they are, wide ones are scrolled there."""
LABEL = 9
"""Size of a label at the end of a line, points."""

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
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": GRID,
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
        wide: Whether a phone shows it in a region to scroll.
    """

    svg: Markup
    alt: str
    thinned: list[str] = field(default_factory=list)
    wide: bool = False


def new_figure(height: float = 3.8, width: float = NARROW) -> tuple[Figure, Axes]:
    """Return an empty figure of this size, in inches, that is drawn as SVG."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def legend(figure: Figure, axes: Axes, areas: Sequence[Patch] = (), columns: int = 2) -> None:
    """Explain all marks, and areas, below the axes."""
    handles = [*axes.get_legend_handles_labels()[0], *areas]
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)


def label_ends(axes: Axes, lines: Sequence[Line2D], labels: Sequence[str]) -> None:
    """Write a label to the right of each line, tied to its end; labels of lines that end close together move apart.

    To be called when the axes have their final limits.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    low, high = axes.get_ylim()
    # Labels are apart by their height, where the axes take about four fifths of the figure's.
    gap = 1.3 * LABEL / 72 / (0.8 * figure.get_figheight()) * (high - low)
    ends = [(float(x), float(y)) for x, y in (np.asarray(line.get_xydata())[-1] for line in lines)]
    for (end, label, line), height in zip(
        sorted(zip(ends, labels, lines, strict=True), key=lambda entry: (entry[0][1], entry[1])),
        apart(sorted(y for _, y in ends), gap),
        strict=True,
    ):
        axes.annotate(
            label, end, (1.04, height), textcoords=axes.get_yaxis_transform(), va="center", fontsize=LABEL,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": line.get_color(), "linewidth": 0.9, "relpos": (0, 0.5), "shrinkA": 0,
                "shrinkB": 0,
            },
        )  # fmt: skip


def label_marks(
    axes: Axes, places: Mapping[str, tuple[float, float]], others: Sequence[tuple[float, float]] = ()
) -> None:
    """Write each name beside its mark, where it covers names, these marks and others least.

    To be called when nothing else is added to the figure.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()

    def in_points(place: tuple[float, float]) -> NDArray[np.float64]:
        return np.asarray(axes.transData.transform(place) * 72 / figure.dpi)

    ends = {name: in_points(place) for name, place in places.items()}
    frame = axes.get_window_extent().transformed(Affine2D().scale(72 / figure.dpi))
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in (*ends.values(), *map(in_points, others))]
    for name, (x, y) in ends.items():
        width, height = 0.6 * LABEL * len(name), 1.1 * LABEL
        corners = [
            (x + dx, y + dy)
            for dy in (-height / 2, 5, -5 - height)
            for dx in (7, -7 - width, -width / 2)
            if abs(dy) >= 5 or dx != -width / 2
        ]
        boxes = [Bbox.from_bounds(*corner, width, height) for corner in corners]
        box = min(boxes, key=lambda box: sum(_shared(box, other) for other in taken) - _shared(box, frame))
        taken.append(box)
        axes.annotate(
            name, places[name], (box.x0 - x, box.y0 - y), textcoords="offset points", fontsize=LABEL, va="bottom"
        )


def _shared(one: Bbox, other: Bbox) -> float:
    """Return the area that two boxes share."""
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else float(both.width * both.height)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Move ascending places apart to this gap or more, as little as possible.

    Examples:
        >>> apart([0, 1, 5], gap=2)
        [-0.5, 1.5, 5.0]
    """
    steps = gap * np.arange(len(places))
    moved = isotonic_regression(np.asarray(places, dtype=np.float64) - steps).x + steps
    return [float(place) for place in moved]


def to_svg(figure: Figure) -> Markup:
    """Return a figure as an SVG element with no reference to anything outside it.

    Colours of `VARIABLES` become variables, so that the page may replace them on dark screens.
    """
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
    drawing = re.sub(r' id="[A-Za-z.0-9]+_\d+"', "", drawing)
    drawing = re.sub(r' (fill|stroke)="(#[0-9a-f]{6})"', r' style="\1: \2"', drawing)  # attributes take no variables
    for colour, name in VARIABLES.items():
        drawing = drawing.replace(colour, f"var(--plot-{name}, {colour})")
    return Markup(drawing)
