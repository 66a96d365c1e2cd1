"""What a purchase takes on its phones: virtual time, seconds, bytes and joules, stragglers, and what was missed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from protocol.flower import FIRST_NODE_ID
from protocol.grids import Exchange, Fate
from simulations.phones.population import Phones
from simulations.purchase.scoring import ScoredPurchase

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

    Attributes
    ----------
    step : str
        What was asked for.
    start, end : float
        Seconds: when it began, and when nobody waited any more.
    asked, answered, late, lost, absent, unable : int
        Questions; answers in time and after the deadline; messages lost; phones that were not there, or have not the
        memory for it.
    median, last : float or None
        Seconds from a question to its answer, of those in time.
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

    Attributes
    ----------
    seconds : float
        From the roll call to the last statement.
    patience : float
        Seconds between a deadline's setting and its passing.
    asked, answered, late, lost, absent, unable : int
        Questions to phones, and what became of them; see `TimedStep`.
    lost_stakes, lost_stakes_total : int
        Pictures whose honest sellers lost the stake as no delivery came in time, and these stakes, minor units.
    spent : Spent
        Over all phones.
    models : dict of str to PhoneGroup
        By phone model.
    steps : list of TimedStep
        In the order in which they began.
    stragglers : list of Straggler
        Those that took longest over one step, the slowest first.
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


def _steps(exchanges: Sequence[Exchange]) -> Iterator[TimedStep]:
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


def _stragglers(exchanges: Sequence[Exchange], phones: Phones, scored: ScoredPurchase) -> list[Straggler]:
    """Name the phones whose answer to one question took longest, each once."""
    first = FIRST_NODE_ID + 1
    slowest: dict[int, tuple[float, Exchange, int]] = {}
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
