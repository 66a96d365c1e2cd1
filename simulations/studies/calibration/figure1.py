"""The paper's Fig. 1 for any featurizer: distances between categories, and within each."""

from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simulations.studies.calibration.calibration import RECALL, centroid_distances, recall_curves
from strategies.features.featurizer import VECTOR_UNITS

BLUE, VERMILLION, GREY, INK = "#0072B2", "#D55E00", "#7b8794", "#1f2a36"
"""Okabe and Ito's colours."""

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "figure 1",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


class Measured(Protocol):
    """Features with labels, and their R."""

    @property
    def features(self) -> NDArray[np.int64]:
        """(n, D)."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,), the category of each."""

    @property
    def radius(self) -> int:
        """R."""


def draw_figure1(folder: Path, name: str, vectors: Measured, plane: Measured) -> None:
    """Write ``figure1.svg`` and ``figure1.png``: among fc8 vectors on the left, in the plane on the right."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10, 8), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(2, 2)
        length = vectors.features.shape[1]
        for column, (space, units, where, unit) in enumerate(
            (
                (vectors, VECTOR_UNITS, f"fc8, {length} numbers", "fc8 units"),
                (plane, 1, "the plane, 2 numbers", "lattice units"),
            )
        ):
            _distances(axes[0, column], space, units, where, unit)
            _recall(axes[1, column], space, units, unit)
        figure.suptitle(
            f"Featurizer {name}: a good R tells categories apart (above: the curve lies to the right of it)\nand keeps"
            " each one together (below: 80 % of a category lie within it, on average)",
            ha="left",
            x=0.01,
        )
        figure.savefig(folder / "figure1.svg", metadata={"Date": None})
        figure.savefig(folder / "figure1.png", dpi=110)


def _distances(axes: Axes, space: Measured, units: int, where: str, unit: str) -> None:
    distances = np.sort(centroid_distances(space.features, space.labels)) / units
    radius = space.radius / units
    farther = (distances > radius).mean()
    axes.ecdf(distances, color=BLUE, linewidth=2)
    axes.axvline(radius, color=VERMILLION, linestyle="--")
    axes.annotate(
        f" R = {radius:.4g}; {farther:.1%} of pairs\n are farther apart",
        (radius, 0.98),
        xycoords=("data", "axes fraction"),
        va="top",
        color=INK,
    )
    axes.set(xlim=(0, None), ylim=(0, 1.02), title=f"1a  Between categories: {where}")
    axes.set(xlabel=f"distance between two categories’ centroids ({unit})", ylabel="share of pairs of categories")


def _recall(axes: Axes, space: Measured, units: int, unit: str) -> None:
    radius = space.radius
    radii = np.linspace(0, 2.5 * radius, 300)
    curves = recall_curves(space.features, space.labels, radii)
    for number, curve in enumerate(curves):
        axes.plot(radii / units, curve, color=GREY, linewidth=0.7, alpha=0.7, label="" if number else "one category")
    axes.plot(radii / units, curves.mean(0), color=BLUE, linewidth=2.5, label=f"mean of {len(curves)} categories")
    axes.axvline(radius / units, color=VERMILLION, linestyle="--", label=f"R = {radius / units:.4g}")
    axes.axhline(RECALL, color=INK, linestyle=":", label=f"{RECALL:.0%}")
    axes.set(xlim=(0, 2.5 * radius / units), ylim=(0, 1.02), title="1b  Within a category")
    axes.set(xlabel=f"radius around the category’s centroid ({unit})", ylabel="share of the category inside (recall)")
    axes.legend(loc="lower right")
