"""The agreement of each privacy score with people: as a table, curves and JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from strategies.scores.recognition import Agreement, Threshold


def results_table(found: Mapping[str, Agreement], people: int) -> Table:
    """Return a table like Tables 2 and 3 of the paper."""
    who = "1 person" if people == 1 else f"{people} people"
    table = Table("score", "AUC", "t_acc (FPR, TPR)", "t_cut-off (FPR, TPR)", title=f"Recognised by {who}",
                  title_justify="left")  # fmt: skip
    for name, each in found.items():
        table.add_row(name, f"{each.auc:.2f}", shown(each.t_acc), shown(each.t_cut_off))
    return table


def shown(threshold: Threshold) -> str:
    """Write a threshold as the paper does.

    Examples:
        >>> shown(Threshold(0.6319, 0.27, 0.774))
        '0.632 (0.27, 0.77)'
    """
    return f"{threshold.value:.3g} ({threshold.false_positives:.2f}, {threshold.true_positives:.2f})"


def as_json(found: Mapping[str, Agreement]) -> str:
    """Return everything, curves included."""
    return json.dumps({name: {**asdict(each), "curve": each.curve.tolist()} for name, each in found.items()}, indent=1)


def draw_curves(found: Mapping[str, Agreement], path: Path) -> None:
    """Draw the ROC curves, like Fig. 2, to an image file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="recognised, yet called private (FPR)", ylabel="not recognised (TPR)")
    for name, each in found.items():
        axes.plot(*each.curve.T, label=f"{name}, AUC {each.auc:.2f}")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    figure.savefig(path)
