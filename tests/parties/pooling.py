"""A small pool for tests: four breeds in pictures 32 pixels wide, and networks that were pre-trained once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parties.pool.entity import Entity
from parties.pool.holdings import Habits, Holdings
from parties.pool.published import Published
from parties.pool.record import PoolRecord
from parties.pool.workflow import Keeper, Pool
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.messages.base import Acknowledgement
from protocol.messages.pool import PretrainingCall, Role, Rules
from protocol.storage.vault import Vault
from simulations.data import pets
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import train_network, train_reconstructor
from strategies.learning.batches import Images, apply

BREEDS = np.array((0, 6, 13, 19))
RULES = Rules(pool=bytes(range(32)), architecture="compact", reconstructor="px2s2", names=("a", "b", "c", "d"), side=32)
HABITS = Habits(pretraining=160, reconstruction=50, poisoning=40, refinement=80, batch=16)


def portraits(count: int, seed: int) -> tuple[list[Any], Any]:
    labels = np.random.default_rng(seed).integers(len(BREEDS), size=count)
    return list(pets.draw(BREEDS[labels], 32, torch.Generator().manual_seed(seed))), labels


@cache
def common() -> tuple[list[Any], Any, list[Any]]:
    """Pictures held back, with labels, and public ones."""
    return (*portraits(160, 99), portraits(240, 98)[0])


def holdings(count: int, seed: int) -> Holdings:
    held_back, labels, public = common()
    return Holdings(*portraits(count, seed), held_back, labels, public)


@cache
def shared() -> Published:
    """What an entity with 240 images publishes."""
    images, labels = portraits(240, 1)
    own, public = Images(np.stack(images)), Images(np.stack(common()[2]))
    generator = torch.Generator().manual_seed(1)
    network = train_network(
        new_network("compact", 4, generator),
        own,
        torch.from_numpy(labels),
        generator,
        HABITS.plan(HABITS.pretraining, 240),
    )
    features = apply(public, network.featurizer)
    return Published(network, train_reconstructor(features, public, generator, HABITS.plan(HABITS.reconstruction, 240)))


@cache
def module(count: int, seed: int) -> DeepPoisoningModule:
    """The module of an honest entity."""
    return Entity.train_module(member(Entity, count, seed), shared(), torch.device("cpu"))


class Prepared(Entity):
    """Publishes what was trained before, and has its module from before, too."""

    def train_module(self, shared: Published, device: torch.device) -> DeepPoisoningModule:
        return module(len(self.holdings.images), self.secret[0])

    def pretrain(self, call: PretrainingCall) -> Acknowledgement:
        for role in Role:
            self.memory.keep(role, shared().message(call.pool, role))
        return Acknowledgement()


def member(role: type[Entity], count: int, seed: int, **habits: Any) -> Entity:
    return role(bytes([seed]) * 32, holdings(count, seed), replace(HABITS, **habits))


@dataclass
class PlayedPool:
    record: PoolRecord
    envelopes: list[Envelope] = field(default_factory=list)
    states: dict[int, Any] = field(default_factory=dict)

    def top1(self, index: int) -> float:
        """The accuracy of an entity's decider after the last round in which it refined one."""
        found = [
            refined[FIRST_NODE_ID + index].top1 for refined in self.record.refined if FIRST_NODE_ID + index in refined
        ]
        assert found[-1] is not None
        return found[-1]


def play_pool(
    folder: Path,
    entities: Sequence[Entity],
    rounds: Sequence[Sequence[int]] = ((),),
    open_grid: Callable[..., Any] = LocalGrid,
    publishers: Sequence[int] = (),
) -> PlayedPool:
    """Play a pool; each round names those who are absent, by their index, and publishers are named so, too."""
    envelopes: list[Envelope] = []
    with open_grid([entity.client_app() for entity in entities]) as grid, task_identity(1):
        exchange = Exchange(ObservedGrid(grid, envelopes.append))
        named = [FIRST_NODE_ID + index for index in publishers]
        pool = Pool(Keeper(RULES, Vault(str(folder / "vault"))), exchange, publishers=named)
        for absent in rounds:
            pool.round([FIRST_NODE_ID + index for index in absent])
        states = {FIRST_NODE_ID + index: grid.state(FIRST_NODE_ID + index) for index in range(len(entities))}
    return PlayedPool(pool.record, envelopes, states)
