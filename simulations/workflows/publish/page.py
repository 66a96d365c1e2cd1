"""``report.html`` of a publication."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, INK, STYLE, VERMILLION, Plot, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.workflows.publish.report import MethodResult, PublishReport
from simulations.workflows.publish.scoring import Scored


@dataclass(frozen=True)
class Row:
    """Pictures of one method.

    Attributes:
        published, restored: Data URIs.
    """

    name: str
    result: MethodResult
    published: list[str]
    restored: list[str]


def write_publish_page(path: Path, report: PublishReport, scored: Mapping[str, Scored]) -> None:
    """Write the page."""
    rows = [Row(name, each.result, _shots(each.published), _shots(each.restored)) for name, each in scored.items()]
    write_page(
        path,
        "workflows/publish/page.html",
        report,
        {"percent": percent, "loss": loss},
        outcome=report.outcome,
        rows=rows,
        originals=_shots(next(iter(scored.values())).originals),
        trade=_trade(report),
    )


def percent(share: float) -> str:
    """Write a share.

    Examples:
        >>> percent(0.1234).split()
        ['12.3', '%']
    """
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def loss(number: float | None) -> str:
    """Write an epsilon or a delta.

    Examples:
        >>> loss(None), loss(0.0), loss(1e-6), loss(2359.2)
        ('∞', '0', '1e-06', '2359')
    """
    if number is None:
        return "∞"
    return f"{number:.4g}"


def _shots(pictures: Tensor) -> list[str]:
    return [thumbnail(picture) for picture in pictures.permute(0, 2, 3, 1).contiguous().numpy()]


def _trade(report: PublishReport) -> Plot:
    """Draw what pictures teach against whom they give away."""
    outcome = report.outcome
    with mpl.rc_context({**STYLE, "svg.hashsalt": "publish"}):
        figure, axes = new_figure()
        figure.set_size_inches(7.4, 4.6)
        axes.axvline(100 * outcome.chance, color=GREY, linestyle=":", label="guessing whose picture it is")
        axes.axhline(100 * outcome.majority, color=GREY, linestyle="--", label="naming always one class")
        for promises, colour, shape, label in (
            (True, BLUE, "o", "with a promise"), (False, VERMILLION, "s", "promises nothing"),
        ):  # fmt: skip
            some = {
                name: each
                for name, each in report.methods.items()
                if (each.of_an_owner[0].epsilon is not None) == promises
            }
            if some:
                axes.plot(
                    [100 * each.worst for each in some.values()],
                    [100 * max(each.useful, each.useful_alike) for each in some.values()],
                    color=colour, marker=shape, linestyle="none", label=label,
                )  # fmt: skip
            for name, each in some.items():
                axes.annotate(
                    name, (100 * each.worst, 100 * max(each.useful, each.useful_alike)),
                    xytext=(5, 4), textcoords="offset points", fontsize=8, color=INK,
                )  # fmt: skip
        axes.set(xlabel="pictures whose owner is recognised, %", ylabel=f"{report.scenario['task']} told right, %")
        axes.set(xlim=(0, 103))
        legend(figure, axes)
        alt = f"{len(report.methods)} methods: accuracy of a classifier against the share of pictures recognised."
        return Plot(to_svg(figure), alt)
