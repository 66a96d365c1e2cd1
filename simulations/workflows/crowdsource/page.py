"""``report.html``: what representations serve, and what they leak, for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.lines import Line2D

from simulations.reports.page import write_page
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
    label_ends,
    new_figure,
    to_svg,
)
from simulations.reports.sheets import thumbnail
from simulations.workflows.crowdsource.evaluation import Evaluated
from simulations.workflows.crowdsource.report import CrowdsourceReport, Setting
from simulations.workflows.crowdsource.words import setting_name, verdict

COLOURS = (BLUE, GREEN, PURPLE, OCHRE)


def write_crowdsource_page(
    path: Path,
    report: CrowdsourceReport,
    found: Evaluated,
) -> None:
    """Write the page of a round."""
    undefended, chosen = found.scored[0], found.scored[report.chosen]
    firsts = found.truth.firsts[: len(chosen.reconstructions)]
    sheet = [
        tuple(thumbnail(picture) for picture in pictures)
        for pictures in zip(
            found.truth.held.images[firsts], undefended.reconstructions, chosen.reconstructions, strict=True
        )
    ]
    write_page(
        path,
        "workflows/crowdsource/page.html",
        report,
        {
            "setting": setting_name,
            "words": lambda name: name.replace("_", " "),
        },
        outcome=report.outcome,
        section=report.scenario["collector"],
        undefended=report.settings[0],
        chosen=report.settings[report.chosen],
        verdict=verdict(report),
        plots=[curve(report, "accuracy"), curve(report, "balanced")] if len(lambdas(report)) > 1 else [],
        sheet=sheet,
    )


def curve(report: CrowdsourceReport, measure: str) -> Plot:
    """Draw tasks and private attributes over lambda, with the floors and what is undefended: Figs. 3 and 4."""
    settings, open_ = lambdas(report), report.settings[:1]
    weights = [setting.weight or 0.0 for setting in settings]
    title = {"accuracy": "accuracy, %", "balanced": "balanced accuracy, %"}[measure]

    def values(part: str, name: str, of: list[Setting]) -> list[float]:
        return [100 * float(getattr(getattr(setting, part)[name], measure)) for setting in of]

    with mpl.rc_context({**STYLE, "svg.hashsalt": "crowdsource"}):
        figure, axes = new_figure(4.6)
        ends: dict[str, Line2D] = {}

        def line(label: str, heights: Sequence[float], colour: str, style: str = "-", **looks: Any) -> None:
            """Draw a line; one height is the same for every lambda."""
            everywhere = heights if len(heights) > 1 else [heights[0]] * len(weights)
            ends[label] = axes.plot(weights, everywhere, color=colour, linestyle=style, **looks)[0]

        for name, colour in zip(settings[0].tasks, COLOURS * 4, strict=False):
            line(f"task {_plain(name)}", values("tasks", name, settings), colour, marker="o")
            axes.axhline(values("tasks", name, open_)[0], color=colour, linestyle=":", linewidth=1.3)
        for name, shape in zip(settings[0].fresh, "Ds^v" * 2, strict=False):
            of = f"{_plain(name)}: " if len(settings[0].fresh) > 1 else ""
            line(
                f"{of}strongest attacker", values("strongest", name, settings), VERMILLION, marker=shape, linewidth=2.2
            )
            line(
                f"{of}adversary in training", values("in_loop", name, settings), VERMILLION, "--", linewidth=1,
                marker=shape, markerfacecolor=PAPER,
            )  # fmt: skip
            line(f"{of}undefended", values("strongest", name, open_), VERMILLION, ":")
            line(f"{of}task labels alone", [100 * getattr(report.induced[name], measure)], INK, "-.", linewidth=1.2)
            line(f"{of}majority class", [100 * getattr(report.majority[name], measure)], GREY, linewidth=1.2)
        axes.set_xscale("log")
        axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
        axes.minorticks_off()
        axes.set(xlabel="λ (more utility, less privacy)", ylabel=title, xlim=(weights[0], weights[-1]))
        label_ends(axes, list(ends.values()), list(ends))
        alt = f"{title.partition(',')[0]} over {len(weights)} values of lambda, of tasks and of attribute inference."
        return Plot(to_svg(figure), alt.capitalize())


def lambdas(report: CrowdsourceReport) -> list[Setting]:
    """Return the extractors that the collector trained, one for each lambda."""
    return [setting for setting in report.settings if setting.weight is not None and not setting.together]


def _plain(name: str) -> str:
    return name.replace("_", " ").lower()
