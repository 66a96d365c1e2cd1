"""Places that are scarce go round: every party has its turn, however many another one asks for."""

import asyncio

from crowding import going_round, play
from grpc import StatusCode

from protocol.grids.grpc import Allowance
from protocol.grids.grpc.admission import Refused
from protocol.grids.grpc.quotas import Turns


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
