"""A pool under faults: entities that share poisoned features of small networks."""

import random
import shutil
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from parties.party import Memory, Party
from parties.pool.entity import Entity
from parties.pool.holdings import Habits, Holdings
from parties.pool.published import Published
from parties.pool.workflow import Keeper, Pool
from protocol.errors import ProtocolError
from protocol.exchange import Exchange
from protocol.messages.pool import Rules
from protocol.storage.vault import Vault
from simulations.faults.conducted import Attempt, ConductedTown
from simulations.faults.parties import PartyMachine
from simulations.faults.schedule import Schedule
from simulations.faults.secrecy import CANARY
from simulations.faults.town import PATIENCE, played
from strategies.deep_poisoning import split
from strategies.deep_poisoning.contributions import LabelledFeatures
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.split import SplitNetwork
from strategies.learning.weights import in_one_row

SIDE, CHANNELS = 12, 4
NAMES = ("one", "other")
LARGEST = 1_000.0
"""Features are far below that, with any module."""
HABITS = Habits(pretraining=1, reconstruction=1, poisoning=15, refinement=1, batch=4)


def small_network(classes: int) -> SplitNetwork:
    """Return an untrained network of two convolutions."""
    featurizer = nn.Sequential(OrderedDict(cut=nn.Conv2d(3, CHANNELS, 3, 2, 1), positive=nn.ReLU()))
    decider = nn.Sequential(nn.Conv2d(CHANNELS, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes))
    return SplitNetwork(featurizer, decider)


class PoolTown(ConductedTown):
    """A keeper and entities.

    What must be true, besides what is of every workflow: an honest entity that has enrolled, and was there all the
    time, ends with a decider of finite numbers, and none of its features are refused. None learns from features of
    `LARGEST` or more. No private module is on a link, and no picture on the cloud's disk, at any step; nothing of a
    pool that is over is in the vault.
    """

    AIM = "pools"
    LEAST: ClassVar[Mapping[str, int]] = {"entity": 1}

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        super().__init__(seed, folder, schedule, without)
        draw = random.Random(f"{seed}/town")
        public = list(_pictures(draw, 4, b""))
        chance = draw.choice([0.0, 0.4])
        for number in range(draw.choice([3, 4])):
            cheat = self.cheat(draw, "entity", chance)
            count = draw.choice([2, 3, 5])
            labels = np.array([draw.randrange(len(NAMES)) for _ in range(count)])
            holdings = Holdings(list(_pictures(draw, count, CANARY)), labels, [], labels[:0], public)
            self.populate("entity", number, cheat, self._maker(self.secret("entity", number), holdings))

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Offer the small network by name."""
        with super().surroundings(), patch.dict(split.ARCHITECTURES, {"small": small_network}):
            yield

    @property
    def _vault(self) -> Path:
        return self.cloud.disk.folder / "vault"

    def workflow(self, exchange: Exchange, name: str) -> Pool:
        """Begin a pool, in an empty vault as the deployed cloud does."""
        shutil.rmtree(self._vault, ignore_errors=True)
        pool = self.secret("pool", name)
        del self.secrecy.secrets[f"pool {name}"]  # it is a name that all know
        rules = Rules(pool=pool, architecture="small", reconstructor="px2s2", names=NAMES, side=SIDE)
        keeper = Keeper(rules, Vault(self._vault, lasting=False), PATIENCE, exchange.clock)
        return Pool(keeper, exchange, lambda number, name: self.secrecy.on_disk())

    def close_workflow(self, workflow: Pool) -> None:
        """Remove the features, and see that they are gone."""
        workflow.close()
        if kept := [path.name for path in self._vault.rglob("*") if path.is_file()]:
            self.violated("vault", f"the pool is over, and {len(kept)} files of it are in the vault")

    def check(self) -> None:
        """Look at who was refused, too."""
        super().check()
        if self.cloud.attempt is not None:
            for node, why in self.cloud.attempt.workflow.record.refused:
                if self.undisturbed(self.parties[node]):
                    self.violated("entity", f"features of honest {self.parties[node].name} are refused: {why}")

    def check_result(self, attempt: Attempt) -> None:
        """Look at the deciders."""
        for node in attempt.workflow.record.samples:
            party = self.parties[node]
            if self.undisturbed(party):
                self._refined(party, attempt.conversation)

    def _refined(self, party: PartyMachine, conversation: str) -> None:
        entity = party.made
        assert isinstance(entity, Entity)
        entity.memory = Memory(party.store.state(conversation))
        try:
            decider = in_one_row(entity.model().decider)
        except ProtocolError as error:
            self.violated("entity", f"honest {party.name} has no decider: {error}")
            return
        if not np.isfinite(decider).all():
            self.violated("entity", f"the decider of honest {party.name} holds numbers that are not finite")

    def _maker(self, secret: bytes, holdings: Holdings) -> Any:
        def make(name: str, cheat: str | None) -> Party:
            role = played(cheat, Entity)

            def train_module(entity: Any, shared: Published, device: torch.device) -> DeepPoisoningModule:
                module: DeepPoisoningModule = role.train_module(entity, shared, device)
                self.secrecy.secrets[f"module of {name}"] = in_one_row(module).tobytes()
                return module

            def believed(entity: Any, drawn: LabelledFeatures, decider: nn.Module) -> torch.Tensor:
                if cheat is None and not self.machines[name].lost and not (drawn.features < LARGEST).all():
                    self.violated("entity", f"honest {name} learns from features that nothing produces")
                chosen: torch.Tensor = role.believed(entity, drawn, decider)
                return chosen

            watched = type(role.__name__, (role,), {"train_module": train_module, "believed": believed})
            made: Party = watched(secret, holdings, HABITS)
            return made

        return make


def _pictures(draw: random.Random, count: int, mark: bytes) -> Iterator[NDArray[np.uint8]]:
    """Draw pictures, each with a mark."""
    for _ in range(count):
        body = mark + draw.randbytes(3 * SIDE * SIDE - len(mark))
        yield np.frombuffer(body, np.uint8).reshape(SIDE, SIDE, 3)
