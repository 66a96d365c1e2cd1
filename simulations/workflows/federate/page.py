"""``report.html`` of federated learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, INK, SKY, STYLE, VERMILLION, YELLOW, Plot, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.workflows.federate.attacks import Inverted
from simulations.workflows.federate.report import FederateReport

_COLOURS = (BLUE, VERMILLION, SKY, INK, YELLOW, GREY)
_LINES = ("-", "--", ":")


@dataclass(frozen=True)
class Imagined:
    """What a model takes for the two classes, as data URIs."""

    method: str
    shots: list[str]


def write_federate_page(
    path: Path,
    report: FederateReport,
    inverted: tuple[Inverted | None, Inverted | None],
    imagined: Sequence[tuple[str, Tensor]],
) -> None:
    """Write the page.

    Args:
        inverted: What the cloud made of single steps, without and with DP-SGD.
        imagined: Pairs (method, (2, 3, height, width)): what models take for the classes, in 0..1.
    """
    write_page(
        path,
        "workflows/federate/page.html",
        report,
        {"percent": percent},
        outcome=report.outcome,
        curves=_curves(report),
        members=_members(report),
        originals=_shots(inverted[0].originals) if inverted[0] else [],
        found=_shots(inverted[0].found) if inverted[0] else [],
        found_private=_shots(inverted[1].found) if inverted[1] else [],
        imagined=[Imagined(name, _shots(pictures)) for name, pictures in imagined],
    )


def percent(share: float) -> str:
    """Write a share.

    Examples:
        >>> percent(0.1234).split()
        ['12.3', '%']
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def _shots(pictures: Tensor) -> list[str]:
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [thumbnail(picture) for picture in pixels]


def _curves(report: FederateReport) -> Plot:
    """Draw accuracy by round."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "federate-curves"}):
        figure, axes = new_figure()
        figure.set_size_inches(7.4, 4.4)
        for number, (name, each) in enumerate(report.methods.items()):
            axes.plot(
                100 * np.array(each.curve),
                color=_COLOURS[number % len(_COLOURS)],
                linestyle=_LINES[number // len(_COLOURS) % len(_LINES)],
                label=name,
            )
        axes.axhline(100 * report.outcome.majority, color=GREY, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.set(xlabel="round", ylabel=f"{report.scenario['task']} told right, %")
        legend(figure, axes, columns=4)
        return Plot(to_svg(figure), f"Accuracy of {len(report.methods)} methods by round.")


def _members(report: FederateReport) -> Plot:
    """Draw what the best membership attack achieves, beside what is promised."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "federate-members"}):
        figure, axes = new_figure()
        figure.set_size_inches(7.4, 0.42 * len(report.methods) + 1.5)
        heights = np.arange(len(report.methods), dtype=np.float64)
        attacks = [each.worst for each in report.methods.values()]
        axes.errorbar(
            [attack.advantage for attack in attacks], heights, xerr=[attack.margin for attack in attacks],
            color=VERMILLION, marker="o", linestyle="none", capsize=2, label="measured, 95 %",
        )  # fmt: skip
        bounds = [
            (each.promise.bound, y) for each, y in zip(report.methods.values(), heights, strict=True) if each.promise
        ]
        if bounds:
            axes.plot(*np.array(bounds).T, color=BLUE, marker="|", markersize=16, linestyle="none", label="promised")
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(heights, list(report.methods))
        axes.set(xlabel="advantage: 0 for guessing, 1 for certainty", xlim=(-0.15, 1.02))
        axes.invert_yaxis()
        legend(figure, axes)
        return Plot(to_svg(figure), "Advantage of membership inference by method, with what is promised.")
