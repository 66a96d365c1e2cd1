"""``report.html``: what came of outsourced training, for people; one file that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from simulations.outsource.attackers import ATTACKS
from simulations.outsource.report.compile import worst_attack
from simulations.outsource.report.model import OutsourceReport
from simulations.outsource.report.plots import tradeoff_plot
from simulations.outsource.report.words import percent, setting_words
from simulations.outsource.tradeoff import to_pictures
from simulations.report.page import write_page
from simulations.report.sheets import thumbnail


def write_outsource_page(path: Path, report: OutsourceReport, grid: Mapping[str, Tensor]) -> None:
    """Write the page.

    Parameters
    ----------
    path : Path
        The file.
    report : OutsourceReport
        What is said in numbers.
    grid : mapping of str to (n, 3, side, side) uint8
        The picture grid: a column for each name, a row for each mixture.
    """
    outcome = report.outcome
    write_page(
        path,
        "outsource/report/page.html",
        report,
        {"percent": percent, "setting": setting_words},
        plot_tradeoff=tradeoff_plot(report.tradeoffs, outcome.reference, outcome.majority),
        worst=worst_attack(report.attacks),
        columns=[ATTACKS[name].title if name in ATTACKS else name for name in grid],
        rows=list(zip(*([thumbnail(picture) for picture in to_pictures(each)] for each in grid.values()), strict=True)),
    )
