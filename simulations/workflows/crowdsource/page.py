"""``report.html``: what representations serve, and what they leak, for people."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, INK, SKY, STYLE, VERMILLION, YELLOW, Plot, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.workflows.crowdsource.attacks import Material, Measured
from simulations.workflows.crowdsource.report import CrowdsourceReport, Setting
from simulations.workflows.crowdsource.words import setting_name, verdict
from simulations.workflows.crowdsource.world import CrowdsourceWorld

COLOURS = (BLUE, SKY, "#009E73", YELLOW, "#CC79A7")


def write_crowdsource_page(
    path: Path,
    report: CrowdsourceReport,
    world: CrowdsourceWorld,
    material: Material,
    results: Sequence[Measured],
) -> None:
    """Write the page of a round."""
    undefended, chosen = results[0], results[report.chosen]
    firsts = np.sort(np.unique(material.held.persons, return_index=True)[1])[: len(chosen.reconstructions)]
    sheet = [
        tuple(thumbnail(picture) for picture in pictures)
        for pictures in zip(
            material.held.images[firsts], undefended.reconstructions, chosen.reconstructions, strict=True
        )
    ]
    write_page(
        path,
        "workflows/crowdsource/page.html",
        report,
        {
            "percent": lambda value: f"{100 * value:.1f}",
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
    settings = lambdas(report)
    weights = [setting.weight or 0.0 for setting in settings]
    title = {"accuracy": "accuracy, %", "balanced": "balanced accuracy, %"}[measure]

    def values(part: str, name: str, of: list[Setting]) -> list[float]:
        return [100 * float(getattr(getattr(setting, part)[name], measure)) for setting in of]

    with mpl.rc_context({**STYLE, "svg.hashsalt": "crowdsource"}):
        figure, axes = new_figure()
        figure.set_size_inches(5.4, 4.4)
        for (name, _), colour in zip(settings[0].tasks.items(), COLOURS * 4, strict=False):
            axes.plot(weights, values("tasks", name, settings), color=colour, marker="o", label=f"task: {_plain(name)}")
            axes.axhline(values("tasks", name, report.settings[:1])[0], color=colour, linestyle=":", linewidth=1)
        for (name, _), shape in zip(settings[0].fresh.items(), "Ds^v" * 2, strict=False):
            axes.plot(
                weights, values("fresh", name, settings), color=VERMILLION, marker=shape, linewidth=2.2,
                label=f"hidden: {_plain(name)}, fresh attacker",
            )  # fmt: skip
            axes.plot(
                weights, values("in_loop", name, settings), color=VERMILLION, marker=shape, linestyle="--",
                markerfacecolor="white", linewidth=1, label=f"{_plain(name)}, the one trained along",
            )  # fmt: skip
            lines = (
                (values("fresh", name, report.settings[:1])[0], ":", VERMILLION, f"{_plain(name)}, undefended"),
                (100 * getattr(report.induced[name], measure), "-.", INK, f"{_plain(name)}, from the tasks alone"),
                (100 * getattr(report.majority[name], measure), "-", GREY, f"{_plain(name)}, a guess"),
            )
            for height, style, colour, label in lines:
                axes.axhline(height, color=colour, linestyle=style, linewidth=1.2, label=label)
        axes.set_xscale("log")
        axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
        axes.minorticks_off()
        axes.set(xlabel="lambda: more keeps more", ylabel=title)
        legend(figure, axes)
        alt = f"{title.partition(',')[0]} over {len(weights)} values of lambda, of tasks and of what is hidden."
        return Plot(to_svg(figure), alt)


def lambdas(report: CrowdsourceReport) -> list[Setting]:
    """Return the extractors that the collector trained, one for each lambda."""
    return [setting for setting in report.settings if setting.weight is not None and not setting.together]


def _plain(name: str) -> str:
    return name.replace("_", " ").lower()
