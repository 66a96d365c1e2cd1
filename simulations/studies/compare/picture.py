"""Draws the picture of the README from a comparison.

::

    parley compare --out runs/comparison
    python -m simulations.studies.compare.picture runs/comparison/compare.json .github/compare.svg
"""

import sys
from pathlib import Path

import matplotlib as mpl

from simulations.reports.plot import STYLE
from simulations.studies.compare.plots import ANY, pareto
from simulations.studies.compare.report import ComparisonReport


def draw(source: Path, target: Path) -> None:
    """Draw utility against the largest risk; on white, so that it can be read on dark pages, too."""
    report = ComparisonReport.model_validate_json(source.read_text(encoding="utf-8"))
    with mpl.rc_context({**STYLE, "svg.hashsalt": "picture", "savefig.facecolor": "white"}):
        found = pareto(report, ANY)
        if found is None:
            sys.exit(f"{source} has fewer than two methods with a risk and a utility")
        figure, _ = found
        figure.savefig(target, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
