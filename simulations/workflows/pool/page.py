"""The page of a pool."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, STYLE, VERMILLION, Plot, label_ends, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.workflows.pool.report import PoolReport
from simulations.workflows.pool.scoring import BROKEN, ScoredPool


def write_pool_page(path: Path, report: PoolReport, scored: ScoredPool, class_names: Sequence[str]) -> None:
    """Write ``report.html``."""
    rows = [
        (each.attack, None if each.clean is None else _shots(each.clean.pictures), _shots(each.protected.pictures))
        for each in scored.tried
    ]
    write_page(
        path,
        "workflows/pool/page.html",
        report,
        originals=_shots(scored.originals),
        negatives=_shots(1 - scored.originals),
        rows=rows,
        class_names=class_names,
        recognised=scored.recognised.rate,
        broken=BROKEN,
        curve=pairs_curve(report),
    )


def _shots(pictures: Tensor) -> list[str]:
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [thumbnail(picture) for picture in pixels]


def pairs_curve(report: PoolReport) -> Plot | None:
    """Draw the SSIM that an attacker reaches with more and more leaked pairs; None where none was tried."""
    tried = [attack for attack in report.attacks if attack.kind == "pairs"]
    if not tried:
        return None
    clean, places = report.outcome.clean_ssim, np.arange(len(tried))
    with mpl.rc_context(STYLE):
        figure, axes = new_figure(3.4)
        lines = [
            *axes.plot(places, [each.protected.ssim for each in tried], "o-", color=BLUE),
            *axes.plot(places, [each.protected.ssim_of_negative for each in tried], "s--", color=GREY),
            *axes.plot(places, np.full(len(tried), BROKEN * clean), color=VERMILLION, linewidth=1),
            *axes.plot(places, np.full(len(tried), clean), color=VERMILLION, linewidth=1, linestyle=":"),
        ]
        axes.set_xticks(places, [f"{each.pairs:,}" for each in tried])
        axes.set(xlabel="leaked pairs", ylabel="SSIM")
        label_ends(axes, lines, ["image", "its negative", "broken (half)", "clean features"])
        said = ", ".join(f"{each.pairs}: {each.protected.ssim:.2f}" for each in tried)
        return Plot(
            to_svg(figure), f"SSIM of reconstructions by leaked pairs: {said}; from clean features {clean:.2f}."
        )
