"""Trainings and pools under faults: no promise is broken, and what is planted is found.

More of it:

    parley faults federate --faults 20000 --seed 1 --workers 2
    parley faults pool --faults 5000 --seed 1 --workers 2
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Command
from flwr.app import Message

import parties.federate.checks
import parties.pool.checks
import parties.secure_sum.adding
import parties.secure_sum.summand
import simulations.faults.conducted
from parties.federate.checks import CheckedGrid
from parties.pool.entity import Entity
from parties.pool.workflow import Pool
from parties.workflow import Record
from protocol.exchange import Exchange
from protocol.grids.forwarding import ForwardingGrid
from simulations.faults.campaign import campaign
from simulations.faults.run import Replay, run

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.mark.parametrize(("workflow", "faults"), [("federate", 60), ("pool", 40)])
def test_no_promise_is_broken(workflow: str, faults: int) -> None:
    played = campaign(workflow, seed=2, faults=faults, workers=1)
    assert [str(failed.replay) for failed in played.failed] == []
    assert played.vacuous == ""
    assert played.outcomes["honest parties undisturbed"] > played.outcomes["honest parties"] / 2


@pytest.mark.slow
@pytest.mark.parametrize(("workflow", "faults"), [("federate", 3000), ("pool", 1000)])
def test_no_promise_is_broken_by_many(workflow: str, faults: int) -> None:
    played = campaign(workflow, seed=1, faults=faults, workers=2)
    assert [str(failed.replay) for failed in played.failed] == []
    assert played.vacuous == ""


@pytest.mark.parametrize("workflow", ["federate", "pool"])
def test_a_run_is_replayed_from_its_line(workflow: str) -> None:
    first = run(workflow, "4/0")
    replay = Replay.parse(str(first.replay))
    again = run(workflow, replay.seed, replay.faults, replay.without)
    assert (again.replay, again.digest) == (first.replay, first.digest)


def adds_in_the_open(patch: pytest.MonkeyPatch) -> None:
    """Summands go to the cloud without masks."""
    patch.setattr(parties.secure_sum.summand, "masked", lambda values, *seeds: values)


def adds_something_else(patch: pytest.MonkeyPatch) -> None:
    """Clients round their summands."""
    quantised = parties.secure_sum.adding.quantised
    patch.setattr(parties.secure_sum.adding, "quantised", lambda values: quantised(np.round(values, 3)))


def records_no_failure(patch: pytest.MonkeyPatch) -> None:
    """Who fails is not in the record."""
    patch.setattr(Record, "fail", lambda self, step, reasons: None)


def counts_by_the_clock(patch: pytest.MonkeyPatch) -> None:
    """Deadlines move with the clock of the cloud's machine."""

    def by_the_clock(grid: Any, seconds: Any, name: str) -> Exchange:
        return Exchange(grid, grid._town.cloud.clock, name)

    patch.setattr(simulations.faults.conducted, "Exchange", by_the_clock)


def keeps_features(patch: pytest.MonkeyPatch) -> None:
    """The features of a pool stay when it is closed."""
    patch.setattr(Pool, "close", lambda self: None)


def forgets_its_decider(patch: pytest.MonkeyPatch) -> None:
    """An entity does not keep what it has refined."""
    refine = Entity.refine

    def forgetting(self: Any, call: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(type(self.memory), "keep", lambda *others: None)
            return refine(self, call)

    forgetting.__dict__.update(refine.__dict__)
    forgetting.__annotations__ = refine.__annotations__
    patch.setattr(Entity, "refine", forgetting)


def believes_numbers(patch: pytest.MonkeyPatch) -> None:
    """Finding 14: NaN and 3e38 of one client are averaged."""
    refusal = parties.federate.checks.model_refusal

    def believing(*others: Any) -> str | None:
        why = refusal(*others)
        return None if why and ("not finite" in why or "farther" in why) else why

    patch.setattr(parties.federate.checks, "model_refusal", believing)


def believes_shapes(patch: pytest.MonkeyPatch) -> None:
    """Finding 14: a strategy sees models of other shapes, and what is none."""
    refusal = parties.federate.checks.model_refusal

    def believing(*others: Any) -> str | None:
        why = refusal(*others)
        return None if why and ("float32 of" in why or "parameters" in why) else why

    patch.setattr(parties.federate.checks, "model_refusal", believing)


def shows_failures_to_strategies(patch: pytest.MonkeyPatch) -> None:
    """Finding 14: a strategy sees who has failed, beside the models that can be used."""
    ask, check = ForwardingGrid.send_and_receive, CheckedGrid.send_and_receive

    def showing(self: CheckedGrid, *others: Any, **named: Any) -> list[Message]:
        failed: list[Message] = []

        def asking(grid: ForwardingGrid, *others: Any, **named: Any) -> list[Message]:
            replies = list(ask(grid, *others, **named))
            failed.extend(reply for reply in replies if reply.has_error())
            return replies

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(ForwardingGrid, "send_and_receive", asking)
            return [*check(self, *others, **named), *failed]

    patch.setattr(CheckedGrid, "send_and_receive", showing)


def admits_huge_features(patch: pytest.MonkeyPatch) -> None:
    """Finding 15: features may be of any size."""
    patch.setattr(parties.pool.checks, "HIGHEST", np.inf)
    patch.setattr(parties.pool.checks, "STRONGEST", np.inf)


FOUND: list[tuple[str, Plant, str]] = [
    ("federate", adds_in_the_open, "secrecy"),
    ("federate", adds_something_else, "sum"),
    ("federate", records_no_failure, "record"),
    ("federate", believes_numbers, "model"),
    ("federate", believes_shapes, "exception"),
    ("federate", shows_failures_to_strategies, "training"),
    ("pool", keeps_features, "vault"),
    ("pool", forgets_its_decider, "entity"),
]
FOUND_LATER: list[tuple[str, Plant, str]] = [
    ("pool", admits_huge_features, "entity"),
    ("federate", counts_by_the_clock, "client"),
    ("pool", counts_by_the_clock, "entity"),
]


def found(workflow: str, plant: Plant, promise: str, patch: pytest.MonkeyPatch) -> None:
    plant(patch)
    campaigned = campaign(workflow, seed=1, faults=2_000, workers=1, stop_at=1)
    assert campaigned.failed, f"{plant.__name__} is not found"
    assert promise in {violation.promise for violation in campaigned.failed[0].violations}


@pytest.mark.parametrize(("workflow", "plant", "promise"), FOUND)
def test_what_is_planted_is_found(workflow: str, plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found(workflow, plant, promise, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(("workflow", "plant", "promise"), FOUND_LATER)
def test_what_is_planted_is_found_later(
    workflow: str, plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(workflow, plant, promise, monkeypatch)


@pytest.mark.parametrize("workflow", ["federate", "pool"])
def test_the_command_plays_them(parley: Command, workflow: str) -> None:
    said = parley("faults", workflow, "--faults", "3", "--seed", "6")
    assert said.returncode == 0, said.stdout
    assert "0 runs failed" in said.stdout
