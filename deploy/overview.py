"""A running cloud at one moment: what its metrics and its console show."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from deploy.pools import Pools
from parties.broker import Broker
from parties.purchase.cloud import Cloud
from parties.purchase.settlement import CLOUD
from protocol.grids.grpc import GrpcGrid
from protocol.journal import WorkflowRow, WorkflowState
from protocol.storage.tables import ESCROW

LISTED = 20
"""Workflows that are listed: those that run first, and then the latest."""


@dataclass(frozen=True)
class Party:
    """A party that has ever attached."""

    role: str
    name: str
    attached: bool


@dataclass(frozen=True)
class Overview:
    """A running cloud at one moment.

    Attributes:
        release: Of Parley.
        taken_at: Unix seconds.
        parties: All that have ever attached, by role and name.
        workflows: How many there are, by state.
        steps: How many run, by kind and step, from 1.
        latest: Those that run, and the latest others.
        pools: How many pools run.
        draining: Whether nothing new begins.
        escrow, earned: Minor units.
        waiting: Questions that are not answered yet.
        vault: Bytes of blobs on the disk.
        sent, received: Bytes so far.
        refused: Calls so far that were refused or broke off, by status.
    """

    release: str
    taken_at: float
    parties: tuple[Party, ...]
    workflows: Mapping[str, int]
    steps: Mapping[tuple[str, int], int]
    latest: tuple[WorkflowRow, ...]
    pools: int
    draining: bool
    escrow: int
    earned: int
    waiting: int
    vault: int
    sent: int
    received: int
    refused: Mapping[str, int]


def overview(cloud: Cloud, broker: Broker, grid: GrpcGrid, pools: Pools, draining: bool) -> Overview:
    """Look at a running cloud."""
    counts, balances = broker.journal.counts(), cloud.ledger.balances()
    attached, members = set(grid.attached()), grid.roster.members()
    urns = {node_id: urn.split(":")[2:4] for node_id, urn in members.items()}
    running = broker.journal.workflows(WorkflowState.OPEN)
    return Overview(
        release=version("parley"),
        taken_at=time.time(),
        parties=tuple(
            Party(role, name, node_id in attached)
            for node_id, (role, name) in sorted(urns.items(), key=lambda item: item[1])
        ),
        workflows={state.value: counts.get(state, 0) for state in WorkflowState},
        steps=Counter((row.workflow, row.step) for row in running),
        latest=tuple(broker.journal.latest(LISTED)),
        pools=pools.running(),
        draining=draining,
        escrow=balances.get(ESCROW, 0),
        earned=balances.get(CLOUD, 0),
        waiting=grid.waiting(),
        vault=cloud.vault.held,
        sent=grid.traffic.sent,
        received=grid.traffic.received,
        refused=grid.refused(),
    )
