"""Figs. 1, 3 and 4: what obfuscated images look like, and how recognisers agree with privacy scores."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import torch
from markupsafe import Markup, escape
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from simulations.reports.plot import GREY, SERIES, STYLE, Plot, legend, new_figure, to_svg
from simulations.reports.sheets import thumbnail
from simulations.runs.seeding import stream
from simulations.studies.reproductions.obfuscation.paper import RECOGNISERS
from simulations.studies.reproductions.obfuscation.scale import Scale
from strategies.obfuscation import Obfuscation, obfuscate
from strategies.pixels import to_pictures, to_tensor
from strategies.scores.recognition import Agreement

GRID = np.linspace(0, 1, 51)
"""Where curves are read off: false positives of Fig. 4, thresholds of Fig. 3."""
SHOWN = (
    ("mix", 0.5, None), ("graft-mix", 0.5, 0.5), ("shuffle-mix", 0.5, 8), ("noise-mix", 0.5, 20),
    ("pixelize-mix", 0.5, 16), ("blur-mix", 0.5, 17),
)  # fmt: skip
"""Techniques of Fig. 1, in its order, with lambda and strength."""
_TILE, _GAP, _TEXT = 96, 12, 18


class Curves(BaseModel):
    """How a privacy score agrees with a recogniser, mean over seeds, at the points of `GRID`.

    Attributes:
        recogniser, score: Whose answers, and which score.
        true_positives, spread: Of Fig. 4, by false positives, and its standard deviation over seeds.
        false_positives: Of Fig. 3, by threshold.
    """

    model_config = ConfigDict(frozen=True)

    recogniser: str
    score: str
    true_positives: list[float]
    spread: list[float]
    false_positives: list[float]


def curves(found: Mapping[tuple[str, str], Sequence[Agreement]]) -> list[Curves]:
    """Return the curves of every recogniser and score, from one agreement per seed."""
    made = []
    for (who, score), each in found.items():
        reached = np.array([np.interp(GRID, one.curve[:, 0], one.curve[:, 1]) for one in each])
        false = [[float(one.curve[_last(one.values, at), 0]) for at in GRID] for one in each]
        made.append(
            Curves(
                recogniser=who,
                score=score,
                true_positives=_rounded(reached.mean(axis=0)),
                spread=_rounded(reached.std(axis=0, ddof=1)),
                false_positives=_rounded(np.mean(false, axis=0)),
            )
        )
    return made


def _last(values: NDArray[np.float64], at: float) -> int:
    """Return the last point of a curve whose threshold is not below a value: what reaches it counts as private."""
    return int(np.flatnonzero(values >= at)[-1])


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(float(each), 4) for each in values]


def agreement_plot(drawn: Sequence[Curves], who: str, seeds: int) -> Plot:
    """Draw Fig. 4, the ROC curves of every score against a recogniser."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": who}):
        figure, axes = new_figure(4.6)
        for each, colour in zip((one for one in drawn if one.recogniser == who), SERIES, strict=False):
            mean, spread = np.array(each.true_positives), np.array(each.spread)
            axes.plot(GRID, mean, color=colour, label=each.score)
            axes.fill_between(GRID, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
        axes.set(xlabel="recognised, yet called private (FPR)", ylabel="not recognised (TPR)", xlim=(0, 1), ylim=(0, 1))
        legend(figure, axes, columns=3)
        number = "Fig. 4" if who == "vision" else "Fig. 2"
        alt = f"{number}: ROC curves against {RECOGNISERS[who]}, mean and standard deviation over {seeds} seeds."
        return Plot(to_svg(figure), alt)


def false_positive_plot(drawn: Sequence[Curves], seeds: int) -> Plot:
    """Draw Fig. 3, false positives by the threshold on dSSIM and dHaarPSI."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": "figure 3"}):
        figure, axes = new_figure()
        chosen = [each for each in drawn if each.score in ("dSSIM", "dHaarPSI")]
        for each, colour in zip(chosen, SERIES, strict=False):
            name = f"{each.score}, {'people' if each.recogniser == 'people' else 'vision service'}"
            axes.plot(GRID, each.false_positives, color=colour, label=name)
        axes.set(xlabel="threshold", ylabel="FPR", xlim=(0, 1), ylim=(0, 1))
        legend(figure, axes)
        who = " and ".join(RECOGNISERS.values())
        alt = f"Fig. 3: false positive rate by threshold, mean over {seeds} seeds; {who} stand for vision and people."
        return Plot(to_svg(figure), alt)


def examples(pictures: NDArray[np.uint8], scale: Scale, seed: int) -> dict[str, str]:
    """Return pictures of Fig. 1 as data URIs, by what they show: two images, and what techniques make of them.

    Args:
        pictures: (2, side, side, 3)
    """
    sources = to_tensor(pictures).contiguous()[None]
    shown = {"first image": pictures[0], "second image": pictures[1]}
    for technique, weight, strength in SHOWN:
        setting = Obfuscation(technique, (weight, 1 - weight), scale.scaled(technique, strength))
        batch = obfuscate(setting, sources, torch.zeros(1, 2, dtype=torch.int64), 1, stream(seed, "Fig. 1", technique))
        shown[technique] = to_pictures(batch.pictures)[0]
    return {name: thumbnail(picture) for name, picture in shown.items()}


def example_plot(pictures: Mapping[str, str]) -> Plot:
    """Draw Fig. 1."""
    columns = 4
    rows = -(-len(pictures) // columns)
    width, height = columns * (_TILE + _GAP), rows * (_TILE + _GAP + _TEXT)
    tiles = []
    for place, (name, picture) in enumerate(pictures.items()):
        x, y = place % columns * (_TILE + _GAP), place // columns * (_TILE + _GAP + _TEXT)
        tiles.append(
            f'<image x="{x}" y="{y}" width="{_TILE}" height="{_TILE}" href="{escape(picture)}"/>'
            f'<text x="{x}" y="{y + _TILE + 14}" font-size="11" fill="currentColor">{escape(name)}</text>'
        )
    inside = "".join(tiles)
    svg = Markup(f'<svg viewBox="0 0 {width} {height}" style="width: 100%">{inside}</svg>')
    return Plot(svg, "Fig. 1: a pair of images, and what each technique makes of it; mixtures are of equal weights.")
