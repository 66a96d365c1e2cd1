"""A reproduction as a plot."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np

from simulations.report.plot import BLUE, GREY, INK, SKY, STYLE, VERMILLION, Plot, legend, new_figure, to_svg
from simulations.report.reproduction import Row


def paper_and_ours(rows: Sequence[Row], columns: Sequence[str]) -> Plot:
    """Draw each row of a reproduction on a line: our means with their intervals, and the paper's numbers, in %."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "reproduction"}):
        figure, axes = new_figure()
        figure.set_size_inches(7.4, 0.5 * len(rows) + 1.4)
        looks = zip(columns, (BLUE, VERMILLION, INK, SKY, GREY), ("^", "o", "D", "v", "s"), strict=False)
        heights = np.arange(len(rows), dtype=np.float64)
        for place, (column, colour, shape) in enumerate(looks):
            lines = heights + 0.22 * (place - (len(columns) - 1) / 2)
            ours = [row.cells[column].ours for row in rows]
            low, mean, high = (100 * np.array([getattr(x, part) for x in ours]) for part in ("low", "mean", "high"))
            axes.errorbar(
                mean, lines, xerr=[mean - low, high - mean],
                color=colour, marker=shape, linestyle="none", capsize=2, elinewidth=1, label=column,
            )  # fmt: skip
            told = [(row.cells[column].paper or np.nan, y) for row, y in zip(rows, lines, strict=True)]
            if np.isfinite(told).all(axis=1).any():
                axes.plot(
                    *(np.array(told) * (100, 1)).T,
                    color=colour, marker=shape, linestyle="none", markerfacecolor="white", markersize=9,
                    label=f"{column}, the paper",
                )  # fmt: skip
        axes.set_yticks(heights, ["\n".join((", ".join(row.what[:-2]), ", ".join(row.what[-2:]))) for row in rows])
        axes.set(xlabel="%", xlim=(axes.get_xlim()[0], 101))
        axes.invert_yaxis()
        legend(figure, axes, columns=len(columns))
        alt = f"{len(rows)} settings, and for {', '.join(columns)} our means with intervals and the paper's numbers."
        return Plot(to_svg(figure), alt, [])
