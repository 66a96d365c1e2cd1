"""``report.html`` of federated learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from simulations.reports.page import write_page
from simulations.reports.plot import BLUE, GREY, SERIES, STYLE, VERMILLION, Plot, label_ends, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.reports.words import score
from simulations.workflows.federate.report import FederateReport
from simulations.workflows.federate.scoring import Outcome, Restored
from simulations.workflows.federate.words import VACUOUS, bound, most_accurate, most_exposed, private, summed, verdict

_LINES = ("-", "--", ":")


SHOWN = 6
"""Pictures of each kind that the page shows."""


@dataclass(frozen=True)
class Strip:
    """Pictures of clients and what the cloud made of them, as data URIs."""

    title: str
    alike: str
    originals: list[str]
    found: list[str]


def write_federate_page(path: Path, report: FederateReport, outcomes: Mapping[str, Outcome]) -> None:
    """Write the page.

    Args:
        outcomes: What came of each method.
    """
    write_page(
        path,
        "workflows/federate/page.html",
        report,
        {"bound": bound},
        outcome=report.outcome,
        verdict=verdict(report),
        best=most_accurate(report.methods),
        private=most_accurate(private(report.methods)),
        exposed=most_exposed(report.methods),
        likelihood=any(each.by_likelihood for each in report.methods.values()),
        summed=summed(report),
        chance_level=[each.method for each in report.utility if not each.learns],
        curves=_curves(report),
        members=_members(report),
        inverted=_strips(
            {
                f"{name}: {probe.words}": each
                for name, found in outcomes.items()
                for probe, each in found.restored.items()
            }
        ),
        planted=_strips({name: each.planted for name, each in outcomes.items() if each.planted}),
        fished=_strips({name: each.fished for name, each in outcomes.items() if each.fished}),
    )


def _strips(restored: Mapping[str, Restored]) -> list[Strip]:
    """Return what was restored, of all methods of which the cloud makes the same once."""
    found, seen = [], set[bytes]()
    for title, each in restored.items():
        key = each.found.numpy().tobytes()
        if len(each.alike) and key not in seen:
            seen.add(key)
            alike = score(float(each.alike.mean()), 2)
            originals = each.originals[:SHOWN]
            is_one = originals.flatten(1).any(1)[:, None, None, None]
            shown = originals.where(is_one, torch.ones(()))  # blank where what was read is of no image
            found.append(Strip(title, alike, _shots(shown), _shots(each.found[:SHOWN])))
    return found


def _shots(pictures: Tensor) -> list[str]:
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
    return [thumbnail(picture) for picture in pixels]


def _curves(report: FederateReport) -> Plot:
    """Draw accuracy by round."""
    methods, majority = report.methods, 100 * report.outcome.majority
    with mpl.rc_context({**STYLE, "svg.hashsalt": "federate-curves"}):
        figure, axes = new_figure(max(4.0, 0.3 * len(methods) + 1))
        lines = [
            axes.plot(
                100 * np.array(each.curve),
                color=SERIES[number % len(SERIES)],
                linestyle=_LINES[number // len(SERIES) % len(_LINES)],
            )[0]
            for number, each in enumerate(methods.values())
        ]
        rounds = max(len(each.curve) for each in methods.values()) - 1
        lines += axes.plot([0, rounds], [majority, majority], color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        axes.set(xlabel="round", ylabel=f"accuracy ({report.scenario['task']}), %", xlim=(0, rounds))
        label_ends(axes, lines, [*methods, "majority class"])
        said = ", ".join(f"{name} {100 * each.accuracy:.1f} %" for name, each in methods.items())
        return Plot(to_svg(figure), f"Accuracy by round, in the end: {said}; majority class {majority:.1f} %.")


def _members(report: FederateReport) -> Plot:
    """Draw the advantage of the best membership inference attack, and the bounds on it that rule something out."""
    methods = report.methods
    with mpl.rc_context({**STYLE, "svg.hashsalt": "federate-members"}):
        figure, axes = new_figure(0.36 * len(methods) + 1.3)
        heights = np.arange(len(methods), dtype=np.float64)
        attacks = [each.worst for each in methods.values()]
        axes.errorbar(
            [attack.advantage for attack in attacks], heights, xerr=[attack.margin for attack in attacks],
            color=VERMILLION, marker="o", linestyle="none", capsize=3, label="measured, with 95 % interval",
        )  # fmt: skip
        bounds = [
            (each.promise.bound, y)
            for each, y in zip(methods.values(), heights, strict=True)
            if each.promise and each.promise.bound < VACUOUS
        ]
        if bounds:
            axes.plot(
                *np.array(bounds).T, color=BLUE, marker="|", markersize=16, markeredgewidth=2, linestyle="none",
                label="bound by ε",
            )  # fmt: skip
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_yticks(heights, list(methods))
        axes.set(xlabel="advantage (0: chance, 1: certainty)")
        axes.invert_yaxis()
        legend(figure, axes)
        said = ", ".join(f"{name} {each.worst.advantage:+.2f}" for name, each in methods.items())
        return Plot(to_svg(figure), f"Advantage of the best membership inference attack: {said}.")
