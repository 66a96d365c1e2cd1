"""The page's plots, as SVG to be put inside it: the feature plane, the cloud's view of it, and payments."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Patch
from numpy.typing import NDArray

from parties.purchase.terms import COIN
from simulations.reports.plot import (
    BLUE,
    COVERED,
    GREEN,
    GREY,
    INK,
    NARROW,
    NEAR,
    PAPER,
    STYLE,
    VERMILLION,
    WIDE,
    YELLOW,
    Plot,
    legend,
    new_figure,
    to_svg,
)
from simulations.workflows.purchase.scoring import Trade
from strategies.features.featurizer import Calibration

Points = NDArray[np.float64]

CRISP = 1000
"""More squares than this are painted as pixels, to keep the page small."""
CLOSE = 6
"""Pictures in a close-up."""
HALVES = np.array([-0.5, 0.5])


@dataclass(frozen=True)
class Mark:
    """What a mark looks like: Matplotlib's name of its shape, colours, area in square points, line width in points."""

    shape: str
    colour: str
    size: float
    width: float = 0.0
    edge: str | None = None


@dataclass(frozen=True)
class Kind:
    """What became of a picture, as a plot shows it.

    Attributes:
        label: For the legend.
        member: Whether a picture is of this kind.
        most: Marks drawn, at most; the others are left out evenly.
        mark: Its looks.
    """

    label: str
    member: Callable[[Trade], bool]
    most: int
    mark: Mark


KINDS = (
    Kind("offered, does not match", lambda trade: not trade.offer.candidate, 1000, Mark("x", GREY, 18, 0.9)),
    Kind(
        "matches, not chosen",
        lambda trade: trade.offer.candidate and not trade.offer.won,
        1000,
        Mark("o", GREEN, 9),
    ),
    Kind("bought", lambda trade: trade.offer.paid, 1000, Mark("^", BLUE, 22, 0.4, PAPER)),
    Kind(
        "chosen, not paid for",
        lambda trade: trade.offer.won and not trade.offer.paid,
        500,
        Mark("X", VERMILLION, 38, 0.5, PAPER),
    ),
)


def feature_plane(traded: Sequence[Trade], targets: NDArray[np.int64], calibration: Calibration) -> Plot:
    """Draw pictures on offer by their true features, the samples, what lies within R of one, and the area covered."""
    radius, reach = calibration.radius, calibration.reach
    with mpl.rc_context({**STYLE, "svg.hashsalt": "plane"}):
        figure, axes = new_figure()
        _discs(axes, targets, radius)
        bought = _spread([trade for trade in traded if trade.offer.paid], 5000)
        _squares(axes, _features(bought), reach)
        thinned = _marks(axes, traded, _features)
        star = Mark("*", YELLOW, float(np.clip(3000 / len(targets), 40, 150)), 0.8, INK)
        _scatter(axes, targets, star, f"sample ({len(targets)})")
        areas = [Patch(facecolor=NEAR, edgecolor=GREY, linestyle="--", label=f"within R = {radius} of a sample")]
        if bought:
            areas.append(Patch(color=COVERED, label=f"covered: squares of side 2d = {2 * reach}"))
        points = np.concatenate([targets, _features(traded)])
        _window(figure, axes, points, radius, width=WIDE)
        legend(figure, axes, areas, columns=3)
        alt = f"Scatter plot of {len(traded)} images on offer in the feature plane around {len(targets)} samples."
        return Plot(to_svg(figure), alt, thinned, wide=True)


def close_up(traded: Sequence[Trade], signatures: NDArray[np.int64], seen: Points, calibration: Calibration) -> Plot:
    """Draw a few pictures as they are and as the cloud sees them at level 2.

    Args:
        traded: All pictures on offer, at least one.
        signatures: (n, k, 2), their signatures.
        seen: (n, 2), where the cloud takes them to be.
        calibration: For d.
    """
    reach = calibration.reach
    true = _features(traded)
    chosen = _neighbours(traded, true, reach)
    with mpl.rc_context({**STYLE, "svg.hashsalt": "close-up"}):
        figure, axes = new_figure()
        squares = PolyCollection(
            list(_corners(true[chosen], reach)), facecolors="none", edgecolors=GREY, linewidths=0.9
        )
        squares.set_label("its square of side 2d, source of the signature")
        axes.add_collection(squares)
        for start, end in zip(true[chosen], seen[chosen], strict=True):
            axes.plot([start[0], end[0]], [start[1], end[1]], color=INK, linewidth=0.8)
        points = signatures[chosen].reshape(-1, 2)
        _scatter(axes, points, Mark("+", VERMILLION, 48, 1.2), "signature: all that the cloud receives")
        diamond = Mark("D", PAPER, 34, 1.3, VERMILLION)
        _scatter(axes, seen[chosen], diamond, "the cloud’s estimate: mean of the signature")
        _scatter(axes, true[chosen], Mark("^", BLUE, 40), "true feature of the image")
        _window(figure, axes, true[chosen], 1.2 * reach, width=NARROW)
        legend(figure, axes, columns=1)
        alt = f"Close-up of {len(chosen)} images: true features, and what their signatures reveal to the cloud."
        return Plot(to_svg(figure), alt, [])


def payments(traded: Sequence[Trade]) -> Plot:
    """Draw what each winner is paid over what it asked; at least one has won."""
    winners = [trade for trade in traded if trade.offer.won]
    with mpl.rc_context({**STYLE, "svg.hashsalt": "payments"}):
        figure, axes = new_figure(4.4)
        thinned = _marks(axes, winners, _prices)
        prices = _prices(winners)
        top = 1.06 * prices.max()
        axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle="--", label="payment equals price")
        axes.set(xlim=(0, 1.06 * prices[:, 0].max()), ylim=(0, top))
        axes.set(xlabel="price asked (coins)", ylabel="payment (coins)")
        legend(figure, axes)
        alt = f"Scatter plot of payment over price asked for {len(winners)} images that were chosen."
        return Plot(to_svg(figure), alt, thinned)


def _features(traded: Sequence[Trade]) -> Points:
    return np.array([trade.feature for trade in traded], dtype=np.float64).reshape(-1, 2)


def _prices(traded: Sequence[Trade]) -> Points:
    pairs = [(trade.offer.bid.bid.price, trade.offer.payment) for trade in traded]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2) / COIN


def _spread(traded: Sequence[Trade], most: int) -> Sequence[Trade]:
    """Leave out trades evenly until `most` are left."""
    if len(traded) <= most:
        return traded
    return [traded[index] for index in np.linspace(0, len(traded) - 1, most).astype(int)]


def _marks(axes: Axes, traded: Sequence[Trade], place: Callable[[Sequence[Trade]], Points]) -> list[str]:
    """Mark trades by what became of them, the larger the fewer there are; return what was left out."""
    growth = float(np.clip(400 / max(1, len(traded)), 0.8, 3))
    thinned = []
    for kind in KINDS:
        members = [trade for trade in traded if kind.member(trade)]
        drawn = _spread(members, kind.most)
        if len(drawn) < len(members):
            thinned.append(f"{len(drawn):,} of {len(members):,} that are “{kind.label}”")
        if drawn:
            mark = replace(kind.mark, size=kind.mark.size * growth)
            _scatter(axes, place(drawn), mark, f"{kind.label} ({len(members):,})")
    return thinned


def _scatter(axes: Axes, points: NDArray[np.number[Any]], mark: Mark, label: str) -> None:
    axes.scatter(
        points[:, 0],
        points[:, 1],
        marker=mark.shape,
        c=mark.colour,
        s=mark.size,
        linewidths=mark.width,
        edgecolors=mark.edge,
        label=label,
        zorder=3,
    )


def _discs(axes: Axes, targets: NDArray[np.int64], radius: int) -> None:
    """Shade all that lies within R of a target; one outline around discs that overlap."""
    discs = [Circle((x, y), radius) for x, y in targets]
    outline = PatchCollection(discs, facecolors=NEAR, edgecolors=GREY, linewidths=1.6, linestyles="--", zorder=0)
    axes.add_collection(outline)
    axes.add_collection(PatchCollection(discs, facecolors=NEAR, edgecolors="none", zorder=0.1))


def _squares(axes: Axes, centres: Points, reach: int) -> None:
    """Paint the area that squares cover together, in one colour however many overlap."""
    squares = PolyCollection(list(_corners(centres, reach)), facecolors=COVERED, edgecolors="none", zorder=1)
    squares.set_rasterized(len(centres) > CRISP)
    axes.add_collection(squares)


def _corners(centres: Points, reach: int) -> NDArray[np.float64]:
    """Return the (n, 4, 2) corners of squares of side 2d."""
    offsets = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * reach
    return np.asarray(centres[:, None, :] + offsets, dtype=np.float64)


def _neighbours(traded: Sequence[Trade], true: Points, reach: int) -> NDArray[np.int64]:
    """Choose a few pictures, winners if there are any, that lie near each other but overlap little."""
    won = np.flatnonzero([trade.offer.won for trade in traded])
    pool = (won if len(won) else np.arange(len(traded)))[:500]
    apart = np.abs(true[pool, None, :] - true[None, pool, :]).max(axis=2)
    centre = int(((apart < 6 * reach) & (apart > reach)).sum(axis=1).argmax())
    chosen: list[int] = []
    for index in np.argsort(apart[centre], kind="stable"):
        if apart[centre, index] < 6 * reach and (not chosen or apart[index, chosen].min() > 1.2 * reach):
            chosen.append(int(index))
    return np.asarray(pool[chosen[:CLOSE]], dtype=np.int64)


def _window(figure: Figure, axes: Axes, points: Points, margin: float, width: float) -> None:
    """Show all points and a margin around them, with equal scales, in a figure as high as that takes."""
    low, high = points.min(axis=0) - 1.05 * margin, points.max(axis=0) + 1.05 * margin
    extent = np.maximum(high - low, (high - low)[::-1] * (1.3, 0.6))
    middle = (low + high) / 2
    axes.set(xlim=middle[0] + extent[0] * HALVES, ylim=middle[1] + extent[1] * HALVES)
    axes.set_aspect("equal")
    axes.set(xlabel="first feature (lattice units)", ylabel="second feature (lattice units)")
    axes.locator_params(nbins=6)
    figure.set_size_inches(width, (width - 0.9) * extent[1] / extent[0] + 1.7)
