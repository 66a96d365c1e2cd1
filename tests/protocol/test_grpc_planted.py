"""Faults planted in the wire are found by what its quotas are tested with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import pytest
from crowding import (
    beside_slow_blobs,
    checked_beside_a_call,
    checked_by_the_revoked,
    going_round,
    watched_by_the_revoked,
    without_room,
)
from grpc import StatusCode, aio
from grpc_health.v1 import health, health_pb2_grpc
from wiring import Wires

import protocol.grids.grpc.grid
from protocol.crypto.certificates import Identity
from protocol.grids.grpc import Allowance, Quotas
from protocol.grids.grpc.admission import Peer
from protocol.grids.grpc.quotas import Turns
from protocol.grids.grpc.service import Service
from protocol.grids.grpc.transport import server

Plant = Callable[[pytest.MonkeyPatch], None]
Scenario = Callable[[Wires, Path], list[str]]

SOON = 1.0
"""Seconds after which what does not come is missing."""


@pytest.fixture
def wires(tmp_path: Path) -> Iterator[Wires]:
    wires = Wires(tmp_path)
    yield wires
    wires.close()


def leaves_health_to_grpc(patch: pytest.MonkeyPatch) -> None:
    """Finding 8: gRPC's own service tells anybody of the cloud's health, for as long as they like."""

    def with_its_own(handlers: Iterable[grpc.GenericRpcHandler], streams: int) -> aio.Server:
        made = server(list(handlers)[:1], streams)
        health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), made)
        return made

    patch.setattr(protocol.grids.grpc.grid, "server", with_its_own)


def tells_anybody_of_health(patch: pytest.MonkeyPatch) -> None:
    """Finding 8: nobody looks at the certificate of who asks for the cloud's health."""
    guarded = Service._guarded

    def for_anybody(self: Service, roles: frozenset[str] | None, method: Any) -> Any:
        async def call(request: Any, context: Any) -> Any:
            return await method(Peer(Identity("seller", "anybody", 0), b""), request, context)

        return call if roles is None else guarded(self, roles, method)

    patch.setattr(Service, "_guarded", for_anybody)


def counts_no_questions_for_health(patch: pytest.MonkeyPatch) -> None:
    """Finding 8: questions for the cloud's health have no quota."""
    in_turn = Service._in_turn

    def at_once(self: Service, turns: Turns, method: Any) -> Any:
        return method if method == self._check_health else in_turn(self, turns, method)

    patch.setattr(Service, "_in_turn", at_once)


def fails_for_want_of_room(patch: pytest.MonkeyPatch) -> None:
    """Finding 8: a blob that the cloud cannot take now is never taken."""
    attach = import_module("protocol.grids.grpc.attach")
    patch.setattr(attach, "LATER", None)
    patch.setattr(attach, "_LOST", {*attach._LOST, StatusCode.RESOURCE_EXHAUSTED})


def serves_in_one_line(patch: pytest.MonkeyPatch) -> None:
    """Finding 9: all wait in one line, in which one certificate may stand as often as it likes."""
    lines: dict[Turns, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def turn(self: Turns, urn: str) -> AsyncIterator[None]:
        async with lines.setdefault(self, asyncio.Semaphore(self._allowance.all)):
            yield

    patch.setattr(Turns, "turn", turn)


def gives_one_all_places(patch: pytest.MonkeyPatch) -> None:
    """Finding 9: one certificate may have all places at once."""
    start = Turns.__init__
    patch.setattr(Turns, "__init__", lambda self, allowance: start(self, replace(allowance, each=allowance.all)))


def forgets_who_was_served(patch: pytest.MonkeyPatch) -> None:
    """Finding 9: a place that is free goes to who has waited for the longest, however often that one was served."""

    class Nobody(dict[str, int]):
        def __setitem__(self, urn: str, turn: int) -> None:
            pass

    start = Turns.__init__

    def forgetful(self: Turns, allowance: Allowance) -> None:
        start(self, allowance)
        self._served = Nobody()

    patch.setattr(Turns, "__init__", forgetful)


NO_ROOM, NO_STREAM = "a delivery failed for want of room", "another party cannot attach"
TOLD, UNCOUNTED = "a revoked certificate is told of health", "questions for health have no quota"
STARVED, NOT_ROUND = "a delivery waits for another party's blobs", "free places do not go round"

FOUND: list[tuple[Plant, Scenario, str]] = [
    (leaves_health_to_grpc, lambda wires, folder: watched_by_the_revoked(wires, folder, SOON), NO_STREAM),
    (leaves_health_to_grpc, checked_by_the_revoked, TOLD),
    (tells_anybody_of_health, checked_by_the_revoked, TOLD),
    (counts_no_questions_for_health, lambda wires, _: checked_beside_a_call(wires), UNCOUNTED),
    (fails_for_want_of_room, lambda wires, _: without_room(wires, Quotas(vault=4_000_000)), NO_ROOM),
    (serves_in_one_line, lambda wires, _: beside_slow_blobs(wires, SOON), STARVED),
    (serves_in_one_line, lambda wires, _: going_round(), NOT_ROUND),
    (gives_one_all_places, lambda wires, _: beside_slow_blobs(wires, SOON), STARVED),
    (forgets_who_was_served, lambda wires, _: going_round(), NOT_ROUND),
]


@pytest.mark.parametrize(
    ("plant", "scenario", "wrong"), FOUND, ids=[f"{plant.__name__}: {wrong}" for plant, _, wrong in FOUND]
)
def test_what_is_planted_is_found(
    plant: Plant, scenario: Scenario, wrong: str, wires: Wires, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = scenario(wires, tmp_path)
    assert any(each.startswith(wrong) for each in found), found
