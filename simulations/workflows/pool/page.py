"""The page of a pool."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, STYLE, VERMILLION, Plot, legend, new_figure, to_svg
from simulations.workflows.pool.report import PoolReport
from simulations.workflows.pool.scoring import BROKEN, ScoredPool
from simulations.workflows.pool.words import number, percent, points

STRIP = 96
"""Side of a picture in the table, pixels, about."""


def write_pool_page(path: Path, report: PoolReport, scored: ScoredPool) -> None:
    """Write ``report.html``."""
    rows = [
        (attack, None if shown.clean is None else strip(shown.clean), strip(shown.protected))
        for attack, shown in zip(report.attacks, scored.exhibits, strict=True)
    ]
    write_page(
        path,
        "workflows/pool/page.html",
        report,
        {"percent": percent, "points": points, "score": number},
        originals=strip(scored.originals),
        negatives=strip(1 - scored.originals),
        rows=rows,
        class_names=scored.world.rules.names,
        broken=BROKEN,
        curve=pairs_curve(report),
    )


def strip(pictures: Tensor) -> str:
    """Return (k, 3, side, side) pictures in 0..1, side by side, as the data URI of a JPEG."""
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    image = Image.fromarray(np.concatenate(list(pixels), axis=1))
    factor = max(1, round(STRIP / pixels.shape[1]))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def pairs_curve(report: PoolReport) -> Plot | None:
    """Draw what an attacker gets with ever more leaked pairs; None where none was tried."""
    import matplotlib as mpl  # noqa: PLC0415

    tried = [attack for attack in report.attacks if attack.kind == "pairs"]
    if not tried:
        return None
    clean = report.outcome.clean_ssim
    with mpl.rc_context(STYLE):
        figure, axes = new_figure()
        figure.set_size_inches(7, 3.4)
        places = np.arange(len(tried))
        axes.plot(places, [each.protected.ssim for each in tried], "o-", color=BLUE, label="SSIM with the image")
        axes.plot(
            places, [each.protected.ssim_of_negative for each in tried], "s--", color=GREY, label="with its negative"
        )
        axes.axhline(BROKEN * clean, color=VERMILLION, linewidth=1, label="broken: half of what clean features give")
        axes.axhline(clean, color=VERMILLION, linewidth=1, linestyle=":", label="clean features")
        axes.set_xticks(places, [f"{each.pairs:,}" for each in tried])
        axes.set_xlabel("leaked pairs")
        axes.set_ylabel("SSIM")
        legend(figure, axes)
        said = ", ".join(f"{each.pairs}: {each.protected.ssim:.2f}" for each in tried)
        return Plot(
            to_svg(figure), f"SSIM of reconstructions by leaked pairs: {said}; from clean features {clean:.2f}."
        )
