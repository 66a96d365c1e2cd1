"""The agreement of each privacy score with people: as a table, curves and JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from simulations.reports.words import count
from simulations.studies.survey.scoring import Scored
from strategies.scores.recognition import Threshold


def results_table(scored: Mapping[str, Scored], people: int, surveys: int) -> Table:
    """Return a table like Tables 2 and 3 of the paper, with 95 % intervals over people and pictures."""
    compared = len(next(iter(scored.values())).recognised)
    title = f"{count(people, 'file')} of answers to {count(surveys, 'survey')}, {compared:,} images"
    table = Table("score", "AUC", "t_acc", "(FPR, TPR)", "t_cut-off", "(FPR, TPR)", title=title, title_justify="left")
    for name, each in scored.items():
        found, ends = each.found, each.intervals
        table.add_row(
            name,
            f"{found.auc:.2f} ({ends.auc[0]:.2f} to {ends.auc[1]:.2f})",
            *shown(found.t_acc, ends.t_acc),
            *shown(found.t_cut_off, ends.t_cut_off),
        )
    return table


def shown(threshold: Threshold, interval: tuple[float, float]) -> tuple[str, str]:
    """Write a threshold, and what it does.

    Examples:
        >>> shown(Threshold(0.6319, 0.27, 0.774), (0.6, 0.66))
        ('0.632 (0.6 to 0.66)', '0.27, 0.77')
    """
    low, high = interval
    return (
        f"{threshold.value:.3g} ({low:.3g} to {high:.3g})",
        f"{threshold.false_positives:.2f}, {threshold.true_positives:.2f}",
    )


def as_json(scored: Mapping[str, Scored]) -> str:
    """Return everything, curves included; at the first point of a curve nothing is private, at no threshold."""
    return json.dumps(
        {
            name: {
                **asdict(each.found),
                "curve": each.found.curve.tolist(),
                "values": [None, *each.found.values[1:].tolist()],
                "intervals": asdict(each.intervals),
                "images": len(each.recognised),
            }
            for name, each in scored.items()
        },
        indent=1,
    )


def draw_curves(scored: Mapping[str, Scored], path: Path) -> None:
    """Draw the ROC curves, like Figs. 2 and 4, and FPR by threshold, like Fig. 3, to an image file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import)

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes, beside = figure.subplots(1, 2)
    axes.set(xlabel="recognised, yet called private (FPR)", ylabel="not recognised (TPR)")
    beside.set(xlabel="threshold", ylabel="recognised, yet called private (FPR)")
    for name, each in scored.items():
        axes.plot(*each.found.curve.T, label=f"{name}, AUC {each.found.auc:.2f}")
        if name.startswith("d"):  # scores from 0 to about 1, as in the figure
            beside.plot(each.found.values[1:], each.found.curve[1:, 0], label=name)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    beside.legend(loc="upper right")
    figure.savefig(path)
