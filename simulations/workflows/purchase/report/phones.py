"""What a purchase takes on its phones: virtual time, seconds, bytes and joules, stragglers, and what was missed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from protocol.flower import FIRST_NODE_ID
from protocol.grids import Fate, TimedExchange
from simulations.data.phone_models import PHONES
from simulations.reports.plot import (
    BLUE,
    GREEN,
    GREY,
    INK,
    OCHRE,
    PAPER,
    PURPLE,
    STYLE,
    VERMILLION,
    WIDE,
    Plot,
    new_figure,
    to_svg,
)
from simulations.reports.words import count
from simulations.workflows.purchase.phones import Phones
from simulations.workflows.purchase.scoring import ScoredPurchase

Floats = NDArray[np.float64]

STRAGGLERS = 8
"""How many are named."""
STEP_NAMES = {
    "introduce": "roll call",
    "request": "request",
    "bid": "matching and bids",
    "notify": "notification",
    "pay": "payment",
    "deliver": "sealed delivery",
    "receive": "parcels to the buyer",
    "verify": "verification",
    "settle": "statements",
}


class Spread(BaseModel):
    """A quantity over all phones."""

    model_config = ConfigDict(frozen=True)

    median: float
    high: float
    total: float


class Spent(BaseModel):
    """What phones spend: seconds at work and on the air, bytes both ways, joules of both."""

    model_config = ConfigDict(frozen=True)

    seconds: Spread
    bytes: Spread
    joules: Spread


class PhoneGroup(BaseModel):
    """All phones of one model; `missed` counts their questions that were not answered in time."""

    model_config = ConfigDict(frozen=True)

    phones: int
    missed: int
    spent: Spent


class TimedStep(BaseModel):
    """One step in virtual time.

    Attributes:
        step: What was asked for.
        start, end: Seconds: when it began, and when nobody waited any more.
        asked, answered, late, lost, absent, unable: Questions; answers in time and after the deadline; messages lost;
            phones that were not there, or have not the memory for it.
        median, last: Seconds from a question to its answer, of those in time.
    """

    model_config = ConfigDict(frozen=True)

    step: str
    start: float
    end: float
    asked: int
    answered: int
    late: int
    lost: int
    absent: int
    unable: int
    median: float | None
    last: float | None


class Straggler(BaseModel):
    """A phone that took long over a step, and whether that was in time."""

    model_config = ConfigDict(frozen=True)

    party: str
    phone: str
    step: str
    pictures: int
    seconds: float
    in_time: bool


class PhonesAccount(BaseModel):
    """What a purchase takes on its phones. Times are virtual.

    Attributes:
        seconds: From the roll call to the last statement.
        patience: Seconds between a deadline's setting and its passing.
        asked, answered, late, lost, absent, unable: Questions to phones, and what became of them; see `TimedStep`.
        lost_stakes, lost_stakes_total: Pictures whose honest sellers lost the stake as no delivery came in time, and
            these stakes, minor units.
        spent: Over all phones.
        models: By phone model.
        steps: In the order in which they began.
        stragglers: Those that took longest over one step, the slowest first.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    patience: float
    asked: int
    answered: int
    late: int
    lost: int
    absent: int
    unable: int
    lost_stakes: int
    lost_stakes_total: int
    spent: Spent
    models: dict[str, PhoneGroup]
    steps: list[TimedStep]
    stragglers: list[Straggler]


@dataclass(frozen=True)
class Usage:
    """What each phone spends, arrays of shape (phones,)."""

    seconds: Floats
    bytes: Floats
    joules: Floats

    def of(self, chosen: NDArray[np.bool_]) -> "Usage":
        """Return that of some phones."""
        return Usage(self.seconds[chosen], self.bytes[chosen], self.joules[chosen])

    def spent(self) -> Spent:
        """Sum it up."""
        return Spent(seconds=_spread(self.seconds, 3), bytes=_spread(self.bytes, 0), joules=_spread(self.joules, 3))


def usage(phones: Phones) -> Usage:
    """Return what each phone has spent so far."""
    grid, models = phones.grid, phones.models
    sellers = slice(1, 1 + len(models))
    busy, received, sent = grid.busy[sellers], grid.received[sellers], grid.sent[sellers]
    moving = [m.moving(down, up) for m, down, up in zip(models, received.tolist(), sent.tolist(), strict=True)]
    joules = [
        model.joules(seconds, down, up)
        for model, seconds, down, up in zip(models, busy.tolist(), received.tolist(), sent.tolist(), strict=True)
    ]
    return Usage(busy + np.array(moving), received + sent, np.array(joules))


def phones_account(phones: Phones, scored: ScoredPurchase) -> PhonesAccount | None:
    """Write down what a purchase took on its phones; None where there are none."""
    if not phones.names:
        return None
    exchanges = phones.grid.exchanges
    first = FIRST_NODE_ID + 1
    nodes = np.concatenate([exchange.nodes for exchange in exchanges])
    fates = np.concatenate([exchange.fates for exchange in exchanges])[nodes >= first]
    missed = np.bincount(nodes[nodes >= first] - first, fates != Fate.ANSWERED, minlength=len(phones.names))
    used, names = usage(phones), np.array(phones.names)
    groups = {name: names == name for name in dict.fromkeys(scored.scenario.phones.mix)}
    honest = [
        offer
        for offer in scored.record.winners
        if offer.forfeited and offer.receipt is None and scored.world.sellers[offer.seller - first].adversary is None
    ]
    return PhonesAccount(
        seconds=round(exchanges[-1].end, 3),
        patience=scored.scenario.phones.patience,
        asked=len(fates),
        **_fates(fates),
        lost_stakes=len(honest),
        lost_stakes_total=sum(offer.bid.bid.stake for offer in honest),
        spent=used.spent(),
        models={
            name: PhoneGroup(phones=int(who.sum()), missed=int(missed[who].sum()), spent=used.of(who).spent())
            for name, who in groups.items()
            if who.any()
        },
        steps=list(_steps(exchanges)),
        stragglers=_stragglers(exchanges, phones, scored),
    )


def _spread(values: Floats, digits: int) -> Spread:
    return Spread(
        median=round(float(np.median(values)), digits),
        high=round(float(values.max()), digits),
        total=round(float(values.sum()), digits),
    )


def _fates(fates: NDArray[np.int64]) -> dict[str, int]:
    return {fate.name.lower(): int((fates == fate).sum()) for fate in Fate}


def _steps(exchanges: Sequence[TimedExchange]) -> Iterator[TimedStep]:
    """Put the exchanges of each step together."""
    for step in dict.fromkeys(exchange.step for exchange in exchanges):
        own = [exchange for exchange in exchanges if exchange.step == step]
        fates = np.concatenate([exchange.fates for exchange in own])
        took = np.concatenate([exchange.arrived - exchange.start for exchange in own])[fates == Fate.ANSWERED]
        yield TimedStep(
            step=step,
            start=round(own[0].start, 3),
            end=round(own[-1].end, 3),
            asked=len(fates),
            **_fates(fates),
            median=round(float(np.median(took)), 3) if len(took) else None,
            last=round(float(took.max()), 3) if len(took) else None,
        )


def _stragglers(exchanges: Sequence[TimedExchange], phones: Phones, scored: ScoredPurchase) -> list[Straggler]:
    """Name the phones whose answer to one question took longest, each once."""
    first = FIRST_NODE_ID + 1
    slowest: dict[int, tuple[float, TimedExchange, int]] = {}
    for exchange in exchanges:
        took = np.where(np.isfinite(exchange.arrived) & (exchange.nodes >= first), exchange.arrived, 0) - exchange.start
        for index in np.argsort(-took, kind="stable")[: 2 * STRAGGLERS].tolist():
            node_id = int(exchange.nodes[index])
            if took[index] > slowest.get(node_id, (0.0,))[0]:
                slowest[node_id] = (float(took[index]), exchange, index)
    ranked = sorted(slowest.items(), key=lambda entry: (-entry[1][0], entry[0]))[:STRAGGLERS]
    return [
        Straggler(
            party=f"seller-{node_id}",
            phone=phones.names[node_id - first],
            step=exchange.step,
            pictures=len(scored.world.sellers[node_id - first].party.album),
            seconds=round(seconds, 3),
            in_time=bool(exchange.fates[index] == Fate.ANSWERED),
        )
        for node_id, (seconds, exchange, index) in ranked
    ]


LATE_MARKS = 200
"""Late answers drawn, at most."""
_LOOKS = ((BLUE, ""), (VERMILLION, "///"), (GREEN, "..."), (OCHRE, "xxx"), (PURPLE, "\\\\\\"), (GREY, "++"))
"""Colours, and hatches for those who see none."""
_OUTLINE: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.4}


def duration(seconds: float) -> str:
    """Write a time for people.

    Examples:
        >>> duration(0.0502), duration(43.4), duration(365), duration(8000)
        ('50 ms', '43.4 s', '6 min 5 s', '2 h 13 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def time_line(exchanges: Sequence[TimedExchange]) -> Plot:
    """Draw when questions were asked, when answers came, and how long nobody knew that none would."""
    steps = list(dict.fromkeys(exchange.step for exchange in exchanges))
    with mpl.rc_context({**STYLE, "svg.hashsalt": "time line"}):
        figure, axes = new_figure(0.32 * len(steps) + 1.5, WIDE)
        end = max(exchange.end for exchange in exchanges)
        late: list[tuple[float, int]] = []
        waited = False
        for exchange in exchanges:
            row = steps.index(exchange.step)
            answered = exchange.arrived[exchange.fates == Fate.ANSWERED]
            last = float(answered.max(initial=exchange.start))
            axes.barh(row, last - exchange.start, 0.62, exchange.start, color=BLUE, edgecolor=BLUE, linewidth=1.2)
            if exchange.end > last:
                waited = True
                axes.barh(
                    row, exchange.end - last, 0.62, last, color=PAPER, edgecolor=GREY, hatch="////", linewidth=0.8
                )
            if last - exchange.start > 0.03 * end:
                axes.plot([float(np.median(answered))] * 2, [row - 0.31, row + 0.31], color=PAPER, linewidth=2)
            late += [(float(when), row) for when in exchange.arrived[exchange.fates == Fate.LATE]]
        drawn = [mark for mark in late if mark[0] <= 1.15 * end][:LATE_MARKS]
        if drawn:
            axes.plot(*zip(*drawn, strict=True), "x", color=VERMILLION, markersize=6, clip_on=False)
        axes.set(yticks=range(len(steps)), yticklabels=[STEP_NAMES.get(step, step) for step in steps])
        axes.set(xlabel="virtual time", xlim=(0, max(end, *(when for when, _ in drawn), 1e-9)))
        axes.set_xticks(_ticks(axes.get_xlim()[1]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: duration(seconds) if seconds else "0"))
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        looks = [
            (True, Patch(color=BLUE, label="until the last answer in time")),
            (True, Patch(facecolor=PAPER, edgecolor=BLUE, label="half of the answers received")),
            (
                waited,
                Patch(facecolor=PAPER, edgecolor=GREY, hatch="////", label="waiting for missing answers"),
            ),
            (
                bool(drawn),
                Line2D([], [], color=VERMILLION, marker="x", linestyle="", label="an answer after the deadline"),
            ),
        ]
        figure.legend(handles=[look for shown, look in looks if shown], loc="outside lower left", ncols=2)
        thinned = [] if len(drawn) == len(late) else [f"{len(drawn):,} of {len(late):,} late answers"]
        return Plot(
            to_svg(figure), f"Time line of {len(steps)} steps over {duration(end)} of virtual time.", thinned, wide=True
        )


def _ticks(end: float) -> list[float]:
    """Return at most seven round times up to this one."""
    rounds = [10.0**power * step for power in range(-4, 0) for step in (1, 2, 5)] + [1, 2, 5, 10, 20, 30]
    rounds += [60 * step for step in (1, 2, 5, 10, 20, 30)] + [3600 * step for step in (1, 2, 3, 6, 12, 24, 72, 240)]
    step = next((each for each in rounds if end / each < 7), end)
    return [number * step for number in range(int(end / step) + 1)]


def spending(used: Usage, names: Sequence[str]) -> Plot:
    """Draw how seconds, bytes and joules are spread over the phones that had work to do, by model."""
    worked = used.seconds >= 0.01 * np.median(used.seconds)
    drawn, kinds = used.of(worked), np.array(names)[worked]
    models = {model: look for model, look in zip(PHONES, itertools.cycle(_LOOKS), strict=False) if model in kinds}
    with mpl.rc_context({**STYLE, "svg.hashsalt": "spending"}):
        figure = Figure(figsize=(WIDE, 3.3), layout="constrained")
        panels = {"seconds of computing and radio": drawn.seconds, "kB": drawn.bytes / 1000, "joules": drawn.joules}
        for place, (label, values) in enumerate(panels.items(), 1):
            axes = figure.add_subplot(1, 3, place)
            _histogram(axes, [(values[kinds == model], *look) for model, look in models.items()])
            axes.set_xlabel(label)
        figure.axes[0].set_ylabel("phones")
        handles = [
            Patch(facecolor=colour, edgecolor=INK, hatch=hatch, label=f"{model} ({(kinds == model).sum():,})")
            for model, (colour, hatch) in models.items()
        ]
        figure.legend(handles=handles, loc="outside lower left", ncols=6)
        alt = f"Histograms of what {count(len(kinds), 'phone')} spend in seconds, bytes and joules."
        idle = f"{len(kinds):,} of {len(names):,} phones; the others were idle"
        return Plot(to_svg(figure), alt, [] if worked.all() else [idle], wide=True)


def _histogram(axes: Axes, groups: Sequence[tuple[Floats, str, str]]) -> None:
    """Stack groups of values, each in its colour and hatch; a wide range is drawn on a logarithmic scale."""
    values = np.concatenate([group for group, _, _ in groups])
    low, high = float(values.min()), float(values.max())
    wide = high > 30 * low > 0
    edges = np.geomspace(low, high, 25) if wide else np.linspace(low, high + 1e-9, 25)
    below = np.zeros(len(edges) - 1)
    for group, colour, hatch in groups:
        phones, _ = np.histogram(np.clip(group, edges[0], edges[-1]), edges)
        axes.bar(edges[:-1], phones, np.diff(edges), below, align="edge", facecolor=colour, hatch=hatch, **_OUTLINE)
        below += phones
    if wide:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
