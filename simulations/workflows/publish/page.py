"""``report.html`` of a publication."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, STYLE, VERMILLION, Plot, label_marks, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.workflows.publish.report import MethodResult, PublishReport
from simulations.workflows.publish.scoring import Scored
from simulations.workflows.publish.words import guaranteed, least_recognised, most_recognised, most_useful, verdict


@dataclass(frozen=True)
class Row:
    """Images of one method.

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
        {"loss": loss},
        outcome=report.outcome,
        verdict=verdict(report),
        most=most_recognised(report.methods),
        least=least_recognised(report.methods),
        useful=most_useful(report.methods),
        guaranteed=guaranteed(report.methods),
        rows=rows,
        originals=_shots(next(iter(scored.values())).originals),
        trade=_trade(report),
    )


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
    """Draw accuracy against the re-identification rate."""
    outcome, promised = report.outcome, guaranteed(report.methods)
    places = {name: (100 * each.worst, 100 * each.accuracy) for name, each in report.methods.items()}
    with mpl.rc_context({**STYLE, "svg.hashsalt": "publish"}):
        figure, axes = new_figure(4.4)
        axes.axvline(100 * outcome.chance, color=GREY, linestyle=":", label="re-identification by chance")
        axes.axhline(100 * outcome.majority, color=GREY, linestyle="--", label="majority-class baseline")
        for has, colour, shape, label in (
            (True, BLUE, "o", "with a DP guarantee"), (False, VERMILLION, "s", "without a guarantee"),
        ):  # fmt: skip
            some = [place for name, place in places.items() if (name in promised) == has]
            if some:
                axes.plot(*zip(*some, strict=True), color=colour, marker=shape, linestyle="none", label=label)
        axes.set(xlabel="re-identification rate, %", ylabel=f"accuracy ({report.scenario['task']}), %", xlim=(0, 103))
        legend(figure, axes)
        label_marks(axes, places)
        said = ", ".join(f"{name} {x:.1f} % and {y:.1f} %" for name, (x, y) in places.items())
        return Plot(to_svg(figure), f"Re-identification rate and accuracy: {said}.")
