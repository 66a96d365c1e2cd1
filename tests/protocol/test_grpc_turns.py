"""Places that are scarce go round: every party has its turn, however many another one asks for."""

import asyncio
import logging

import pytest
from crowding import going_round, play
from grpc import StatusCode

from protocol.grids.grpc import Allowance, refusals
from protocol.grids.grpc.admission import Refused
from protocol.grids.grpc.quotas import Turns
from protocol.grids.grpc.refusals import Refusals


def test_who_has_many_calls_waits_for_itself() -> None:
    allowance = Allowance(each=2, waiting=99, rate=1e9, burst=1, all=3)
    assert play(allowance, ["eve"] * 9 + ["ann", "bob"], ends=0) == ["eve", "eve", "ann"]


def test_free_places_go_round() -> None:
    assert going_round() == []


def test_one_more_than_may_wait_is_refused() -> None:
    async def crowd() -> list[object]:
        turns = Turns(Allowance(each=1, waiting=2, rate=1e9, burst=1, all=9))

        async def visit() -> None:
            async with turns.turn("eve"):
                await asyncio.sleep(0.01)

        return await asyncio.gather(*(visit() for _ in range(5)), visit_of("ann", turns), return_exceptions=True)

    async def visit_of(name: str, turns: Turns) -> None:
        async with turns.turn(name):
            pass

    outcomes = asyncio.run(crowd())
    refusals = [each for each in outcomes if isinstance(each, Refused)]
    assert [each.code for each in refusals] == [StatusCode.RESOURCE_EXHAUSTED] * 2
    assert outcomes[-1] is None


def test_who_calls_too_often_is_held_back_and_nobody_else() -> None:
    async def race() -> tuple[float, float]:
        turns, loop = Turns(Allowance(each=9, waiting=99, rate=100.0, burst=5, all=99)), asyncio.get_running_loop()
        start = loop.time()

        async def visit(name: str) -> float:
            async with turns.turn(name):
                return loop.time() - start

        hasty, calm = asyncio.gather(*(visit("eve") for _ in range(25))), visit("ann")
        return max(await hasty), await calm - (loop.time() - start)

    held_back, _ = asyncio.run(race())
    assert 0.19 <= held_back < 1.0


def test_who_goes_away_while_waiting_leaves_no_trace() -> None:
    async def come_and_go() -> list[str]:
        turns, got = Turns(Allowance(each=1, waiting=99, rate=1e9, burst=1, all=1)), []

        async def visit(name: str, seconds: float) -> None:
            async with turns.turn(name):
                got.append(name)
                await asyncio.sleep(seconds)

        visits = [asyncio.create_task(visit("eve", 60.0)) for _ in range(30)]
        await asyncio.sleep(0)
        for each in reversed(visits):
            each.cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        await asyncio.wait_for(visit("ann", 0.0), 5)
        return got

    assert asyncio.run(come_and_go())[-1] == "ann"


def test_who_goes_away_when_its_turn_has_come_passes_it_on() -> None:
    async def come_and_go() -> list[str]:
        turns, got, leave = Turns(Allowance(each=1, waiting=9, rate=1e9, burst=9, all=1)), [], asyncio.Event()

        async def visit(name: str) -> None:
            async with turns.turn(name):
                got.append(name)

        async def stay() -> None:
            async with turns.turn("eve"):
                await leave.wait()
            waiting[0].cancel()  # to whom the place was given at this moment

        staying = asyncio.create_task(stay())
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(visit("ann")) for _ in range(2)]
        await asyncio.sleep(0)
        leave.set()
        await asyncio.wait([staying, *waiting], timeout=5)
        assert waiting[0].cancelled()
        return got

    assert asyncio.run(come_and_go()) == ["ann"]


def test_no_more_refusals_are_held_back_than_memory_is_spent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "HELD", 2)
    monkeypatch.setattr(refusals, "STEP", 3600.0)
    monkeypatch.setattr(refusals, "LONGEST", 3600.0)

    async def refuse(crowd: int) -> list[bool]:
        held = Refusals(free=0)
        each = [
            asyncio.create_task(held.refuse("eve", "here", StatusCode.NOT_FOUND, "no", traceback=False))
            for _ in range(crowd)
        ]
        for _ in range(20):
            await asyncio.sleep(0)
        sent = [task.done() for task in each]
        each[0].cancel()
        await asyncio.gather(each[0], return_exceptions=True)
        each.append(asyncio.create_task(held.refuse("eve", "here", StatusCode.NOT_FOUND, "no", traceback=False)))
        await asyncio.sleep(0)
        sent.append(each[-1].done())
        for task in each:
            task.cancel()
        await asyncio.gather(*each, return_exceptions=True)
        return sent

    assert asyncio.run(refuse(5)) == [False, False, True, True, True, False]


def test_who_was_refused_a_while_ago_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Or there would be no room for others by their names."""
    monkeypatch.setattr(refusals, "MOST_CALLERS", 1)
    caplog.set_level(logging.WARNING, "protocol.grids.grpc.service")

    async def refuse() -> None:
        for period, callers in ((60.0, ["eve", "ann"]), (0.0, ["eve", "bob"])):
            log = Refusals(free=9)
            monkeypatch.setattr(refusals, "PERIOD", period)
            for caller in callers:
                await log.refuse(caller, "here", StatusCode.NOT_FOUND, "no", traceback=False)
                await asyncio.sleep(0.001)

    asyncio.run(refuse())
    said = [record.getMessage().split()[1] for record in caplog.records]
    assert said == ["eve", "others", "eve", "bob"]
