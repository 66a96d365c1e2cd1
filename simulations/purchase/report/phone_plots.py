"""The page's plots of virtual time: when each step was played, and what phones spend."""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from protocol.grids import Exchange, Fate
from simulations.phones.models import PHONES
from simulations.purchase.report.phones import STEP_NAMES, Floats, Usage
from simulations.report.plot import BLUE, GREY, INK, SKY, STYLE, VERMILLION, YELLOW, Plot, new_figure, to_svg
from simulations.report.words import count

LATE_MARKS = 200
"""Late answers drawn, at most."""
_LOOKS = ((BLUE, ""), (VERMILLION, "///"), (SKY, "..."), (YELLOW, "xxx"), ("#009E73", "\\\\\\"), (GREY, "++"))
"""Colours of Okabe and Ito, and hatches for those who see none."""
_OUTLINE: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.4}


def duration(seconds: float) -> str:
    """Write a time for people.

    Examples
    --------
    >>> duration(0.0502), duration(43.4), duration(365), duration(8000)
    ('50 ms', '43.4 s', '6 min 5 s', '2 h 13 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def time_line(exchanges: Sequence[Exchange]) -> Plot:
    """Draw when questions were asked, when answers came, and how long nobody knew that none would."""
    steps = list(dict.fromkeys(exchange.step for exchange in exchanges))
    with mpl.rc_context({**STYLE, "svg.hashsalt": "time line"}):
        figure, axes = new_figure()
        figure.set_size_inches(8.4, 0.32 * len(steps) + 1.5)
        end = max(exchange.end for exchange in exchanges)
        late: list[tuple[float, int]] = []
        waited = False
        for exchange in exchanges:
            row = steps.index(exchange.step)
            answered = exchange.arrived[exchange.fates == Fate.ANSWERED]
            last = float(answered.max(initial=exchange.start))
            axes.barh(row, last - exchange.start, 0.62, exchange.start, color=BLUE, edgecolor=BLUE, linewidth=1.2)
            if exchange.end > last:
                waited = True
                axes.barh(
                    row, exchange.end - last, 0.62, last, color="white", edgecolor=GREY, hatch="////", linewidth=0.8
                )
            if last - exchange.start > 0.03 * end:
                axes.plot([float(np.median(answered))] * 2, [row - 0.31, row + 0.31], color=YELLOW, linewidth=2)
            late += [(float(when), row) for when in exchange.arrived[exchange.fates == Fate.LATE]]
        drawn = [mark for mark in late if mark[0] <= 1.15 * end][:LATE_MARKS]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), "x", color=VERMILLION, markersize=6, clip_on=False)
        axes.set(yticks=range(len(steps)), yticklabels=[STEP_NAMES.get(step, step) for step in steps])
        axes.set(xlabel="virtual time", xlim=(0, max(end, *(when for when, _ in drawn), 1e-9)))
        axes.set_xticks(_ticks(axes.get_xlim()[1]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: duration(seconds) if seconds else "0"))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        looks = [
            (True, Patch(color=BLUE, label="until the last answer in time")),
            (True, Patch(color=YELLOW, label="half of the answers are there")),
            (
                waited,
                Patch(facecolor="white", edgecolor=GREY, hatch="////", label="waiting for answers that do not come"),
            ),
            (
                bool(drawn),
                Line2D([], [], color=VERMILLION, marker="x", linestyle="", label="an answer that came too late"),
            ),
        ]
        figure.legend(handles=[look for shown, look in looks if shown], loc="outside lower left", ncols=2)
        thinned = [] if len(drawn) == len(late) else [f"{len(drawn):,} of {len(late):,} late answers"]
        return Plot(to_svg(figure), f"Time line of {len(steps)} steps over {duration(end)} of virtual time.", thinned)


def _ticks(end: float) -> list[float]:
    """Return at most seven round times up to this one."""
    rounds = [10.0**power * step for power in range(-4, 0) for step in (1, 2, 5)] + [1, 2, 5, 10, 20, 30]
    rounds += [60 * step for step in (1, 2, 5, 10, 20, 30)] + [3600 * step for step in (1, 2, 3, 6, 12, 24, 72, 240)]
    step = next((each for each in rounds if end / each < 7), end)
    return [number * step for number in range(int(end / step) + 1)]


def spending(used: Usage, names: Sequence[str]) -> Plot:
    """Draw how seconds, bytes and joules are spread over the phones that had work to do, by model."""
    worked = used.seconds >= 0.01 * np.median(used.seconds)
    drawn, kinds = used.of(worked), np.array(names)[worked]
    models = {model: look for model, look in zip(PHONES, itertools.cycle(_LOOKS), strict=False) if model in kinds}
    with mpl.rc_context({**STYLE, "svg.hashsalt": "spending"}):
        figure = Figure(figsize=(8.4, 3.3), layout="constrained")
        panels = {"seconds at work and on the air": drawn.seconds, "kB": drawn.bytes / 1000, "joules": drawn.joules}
        for place, (label, values) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(1, 3, place)
            _histogram(axes, [(values[kinds == model], *look) for model, look in models.items()])
            axes.set_xlabel(label)
        figure.axes[0].set_ylabel("phones")
        handles = [
            Patch(facecolor=colour, edgecolor=INK, hatch=hatch, label=f"{model} ({(kinds == model).sum():,})")
            for model, (colour, hatch) in models.items()
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=6)
        alt = f"Histograms of what {count(len(kinds), 'phone')} spend in seconds, bytes and joules."
        idle = f"{len(kinds):,} of {len(names):,} phones; the others did next to nothing"
        return Plot(to_svg(figure), alt, [] if worked.all() else [idle])


def _histogram(axes: Axes, groups: Sequence[tuple[Floats, str, str]]) -> None:
    """Stack groups of values, each in its colour and hatch; a wide range is drawn on a logarithmic scale."""
    values = np.concatenate([group for group, _, _ in groups])
    low, high = float(values.min()), float(values.max())
    wide = high > 30 * low > 0
    edges = np.geomspace(low, high, 25) if wide else np.linspace(low, high + 1e-9, 25)
    below = np.zeros(len(edges) - 1)
    for group, colour, hatch in groups:
        phones, _ = np.histogram(np.clip(group, edges[0], edges[-1]), edges)
        axes.bar(edges[:-1], phones, np.diff(edges), below, align="edge", facecolor=colour, hatch=hatch, **_OUTLINE)
        below += phones
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
