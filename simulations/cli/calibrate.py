"""`parley calibrate`: choose a featurizer's constants."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    featurizer: Annotated[str, typer.Option(help="small or vgg16.")] = "small",
    images: Annotated[
        Path | None, typer.Option(help="A folder of public pictures; sub-folders are categories.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Instead of --images: the public half of pets or digits.")] = None,
    weights: Annotated[str | None, typer.Option(help="vgg16's weights: a .pth or .safetensors file.")] = None,
    per_category: Annotated[int, typer.Option(min=4, help="Pictures of each category, at most.")] = 100,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")] = Path("calibration"),
) -> None:
    """Choose R and d for a featurizer from public pictures, and draw Fig. 1."""
    from rich.table import Table

    from simulations.cli.progress import shown
    from simulations.cli.terminal import say, show
    from simulations.studies.calibration.calibrate import run
    from simulations.studies.calibration.table import lines

    with shown() as progress:
        calibrated = run(featurizer, weights, images, dataset, per_category, out, progress)
    table = Table("", "fc8", "plane", title=f"Featurizer {featurizer}", title_justify="left")
    for line in lines(calibrated):
        table.add_row(*line)
    show([table])
    say(f"Calibration: {out}; use it with --set cloud.calibration={out}")
