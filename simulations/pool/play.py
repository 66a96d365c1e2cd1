"""Puts entities on a grid and lets the cloud keep their pool."""

from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import RecordDict

from parties.pool.record import PoolRecord
from parties.pool.workflow import Keeper, Pool
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.vault import Vault
from simulations.grids import OpenGrid
from simulations.pool.world import PoolWorld

RUN_ID = 1


@dataclass(frozen=True)
class PlayedPool:
    """A pool that was played.

    Attributes
    ----------
    record : PoolRecord
        What the cloud wrote down.
    states : list of RecordDict
        What each entity keeps, by index; only the simulation sees it.
    """

    record: PoolRecord
    states: list[RecordDict]


def play(
    world: PoolWorld,
    vault: Vault,
    observe: Callable[[Envelope], None] = lambda envelope: None,
    on_step: Callable[[int], None] = lambda number: None,
    open_grid: OpenGrid = LocalGrid,
) -> PlayedPool:
    """Play a pool: one round, and another with those who join late.

    Raises
    ------
    PoolFailed
        When it could not even begin.
    """
    late = [FIRST_NODE_ID + index for index, member in enumerate(world.members) if member.late]
    with open_grid([member.party.client_app() for member in world.members]) as grid, task_identity(RUN_ID):
        pool = Pool(Keeper(world.rules, vault), ObservedGrid(grid, observe), on_step)
        record = pool.round(absent=late)
        if late:
            record = pool.round()
        states = [grid.state(FIRST_NODE_ID + index) for index in range(len(world.members))]
    return PlayedPool(record, states)


def party_names(world: PoolWorld) -> dict[int, str]:
    """Name every node as in ``messages.jsonl``."""
    names = {FIRST_NODE_ID + index: f"entity-{index + 1}" for index in range(len(world.members))}
    return {SERVER_NODE_ID: "cloud", **names}
