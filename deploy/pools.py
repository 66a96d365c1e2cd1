"""Pools that the cloud runs among entities on their own machines, one at a time."""

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deploy.party import log
from parties.pool.record import PoolRecord
from parties.pool.workflow import Keeper, Pool
from parties.workflow import WorkflowFailed
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.grids.grpc import GrpcGrid
from protocol.messages.pool import Rules
from protocol.messages.service import BeginPool, EntityStanding, PoolStanding
from protocol.storage.vault import Vault

_log = logging.getLogger(__name__)
OPEN, CLOSED, FAILED = "open", "closed", "failed"
_ENTITY = "urn:parley:entity:"


@dataclass
class Kept:
    """A pool and its state.

    Attributes:
        state: ``open``, ``closed`` or ``failed``.
        step: Of `Pool.STEPS`, from 1.
        note: Why it failed.
    """

    rules: Rules
    state: str = OPEN
    step: int = 0
    note: str = ""
    pool: Pool = field(init=False)
    thread: threading.Thread = field(init=False)

    def reach(self, step: int, name: str) -> None:
        """Note the step that it has reached."""
        self.step = step


class Pools:
    """Plays each pool in a thread, one at a time, as an entity can only take part in one.

    An entity remembers a pool when it restarts. The cloud does not: a pool ends with its process, and has to begin
    again.

    Args:
        vault: Where features are kept until the pool is closed; it holds nothing else.
        kind: The workflow, which may cheat.
    """

    def __init__(self, grid: GrpcGrid, vault: Vault, kind: type[Pool] = Pool) -> None:
        self._grid, self._vault, self._kind = grid, vault, kind
        self._kept: dict[bytes, Kept] = {}
        self._turn = threading.Lock()

    def begin(self, asked: BeginPool) -> PoolStanding:
        """Begin a pool, unless it was begun before, and return its state.

        Raises:
            ProtocolError: When another one is running, too few entities are attached, or its publisher is not.
        """
        with self._turn:
            kept = self._kept.get(asked.rules.pool)
            if kept is None:
                if self.running():
                    raise ProtocolError("a pool is running; ask again when it is closed")
                there = set(self._grid.attached())
                here = {
                    urn.removeprefix(_ENTITY): node_id
                    for node_id, urn in self._members()
                    if node_id in there and urn.startswith(_ENTITY)
                }
                if len(here) < asked.entities:
                    raise ProtocolError(
                        f"{len(here)} entities are attached, and this pool needs {asked.entities} or more"
                    )
                if asked.publisher and asked.publisher not in here:
                    raise ProtocolError(f"no entity {asked.publisher!r} is attached that could publish")
                publishers = [here[asked.publisher]] if asked.publisher else []
                kept = self._kept[asked.rules.pool] = self._start(asked, publishers)
        return self._standing(kept)

    def begun(self, asked: BeginPool) -> bool:
        """Whether this pool was begun before."""
        return asked.rules.pool in self._kept

    def running(self) -> int:
        """How many pools run: one, or none."""
        return sum(each.state == OPEN for each in list(self._kept.values()))

    def _start(self, asked: BeginPool, publishers: Sequence[int]) -> Kept:
        keeper = Keeper(asked.rules, self._vault, asked.patience)
        exchange = Exchange(self._grid, keeper.clock, f"pool-{asked.rules.pool.hex()}")
        kept = Kept(asked.rules)
        kept.pool = self._kind(keeper, exchange, kept.reach, publishers=publishers)
        kept.thread = threading.Thread(target=self._play, args=[kept], name="pool", daemon=True)
        kept.thread.start()
        return kept

    def _play(self, kept: Kept) -> None:
        log("pool begins", pool=kept.rules.pool.hex())
        try:
            kept.pool.run()
            kept.state = CLOSED
        except WorkflowFailed as failed:
            kept.state, kept.note = FAILED, str(failed)[:1000]
        except Exception as error:
            _log.exception("the pool failed")
            kept.state, kept.note = FAILED, f"{type(error).__name__}: {error}"[:1000]
        finally:
            kept.pool.close()
            log("pool ends", pool=kept.rules.pool.hex(), state=kept.state, note=kept.note)

    def _standing(self, kept: Kept) -> PoolStanding:
        record, urns = kept.pool.record, dict(self._members())
        return PoolStanding(
            state=kept.state,
            step=kept.step,
            entities=tuple(_entity(node_id, urns.get(node_id, ""), record) for node_id in sorted(_asked(record))),
            publisher="" if record.publisher is None else urns.get(record.publisher, ""),
            note=kept.note,
        )

    def _members(self) -> Iterable[tuple[int, str]]:
        return self._grid.roster.members().items()


def _asked(record: PoolRecord) -> set[int]:
    """Return the node ids of the entities that enrolled, or failed to."""
    return {*record.samples, *(node_id for step, node_id, _ in list(record.failures) if step == "enrol")}


def _entity(node_id: int, urn: str, record: PoolRecord) -> EntityStanding:
    wrong = [each.line for each in list(record.failures) if each.node_id == node_id]
    wrong += [f"refused: {why}" for node, why in list(record.refused) if node == node_id]
    refined = record.refined[-1].get(node_id) if record.refined else None
    poisoned = record.poisoned.get(node_id)
    return EntityStanding(
        urn=urn,
        samples=record.samples.get(node_id, 0),
        pooled=sum(part.count for part in list(record.parts) if part.entity == node_id),
        used=None if refined is None else refined.used,
        clean=None if poisoned is None else poisoned.clean,
        poisoned=None if poisoned is None else poisoned.poisoned,
        top1=None if refined is None else refined.top1,
        note="; ".join(wrong)[:1000],
    )
