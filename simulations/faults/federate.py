"""A training under faults: clients that train a small model, by Flower's averages or by secure sums."""

import logging
import random
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import torch
from flwr.serverapp.strategy import strategy_utils
from numpy.typing import NDArray
from torch import nn

from parties.adversaries import ADVERSARIES, adversary, declared
from parties.federate.client import Client
from parties.federate.workflow import Federate, Federation
from parties.party import Party
from parties.secure_sum.summand import LIMIT
from parties.secure_sum.summing import SecureSum, Summed
from protocol.exchange import Exchange
from protocol.flower import task_identity
from protocol.messages.federate import TrainCall
from protocol.messages.secure_sum import Round
from simulations.faults.conducted import Attempt, ConductedTown
from simulations.faults.schedule import Schedule
from simulations.faults.secrecy import CANARY
from simulations.faults.town import PATIENCE, played
from strategies.learning.weights import Weights, weights
from strategies.privacy.secure_sum import quantise, restore

CLASSES, SIDE = 2, 4
FARTHEST = 1e9
"""What no number of a model reaches, whatever cheats may do that nobody can tell from training."""


def small_network() -> nn.Module:
    """Return a network of one layer on four averages of a picture; its weights are always the same."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, CLASSES))
    network.load_state_dict(
        {"2.weight": torch.linspace(-1, 1, 12 * CLASSES).view(CLASSES, 12), "2.bias": torch.ones(2)}
    )
    return network


@adversary("misshapen-model", knowledge="nothing beyond its role", profit="none; nobody's model is averaged")
class MisshapenModel(Client):
    """Sends the numbers of its model in rows."""

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Train, and flatten."""
        return {name: value.flatten() for name, value in super().learn(model, config, training).items()}


@adversary("huge-model", knowledge="nothing beyond its role", profit="none; nobody has a model any more")
class HugeModel(Client):
    """Sends the largest numbers that there are."""

    def learn(self, model: Weights, config: Mapping[str, float], training: str) -> Weights:
        """Return large numbers."""
        return {name: torch.full_like(value, 3e38) for name, value in model.items()}


class FederateTown(ConductedTown):
    """A cloud and clients.

    What must be true, besides what is of every workflow: a model holds no number that training cannot lead to. A secure
    sum is exactly that of the summands of those present, where nobody cheats; no summand is on a link, and no sum is
    that of one client or two. No training by Flower's strategies fails once it has begun, while an honest client is
    there.
    """

    AIM = "models trained"
    LEAST: ClassVar[Mapping[str, int]] = {"client": 3}
    CHEATS = ADVERSARIES | declared(globals())

    def __init__(self, seed: str, folder: Path, schedule: Schedule, without: Collection[str] = ()) -> None:
        super().__init__(seed, folder, schedule, without)
        draw = random.Random(f"{seed}/town")
        self.strategy, self.rounds = draw.choice(["fedavg", "dp-clients", "secure-sum"]), draw.choice([1, 2, 3])
        self._summands: dict[tuple[Round, str], NDArray[np.float64]] = {}
        chance = draw.choice([0.0, 0.3])
        for number in range(draw.choice([4, 5, 6, 8])):
            cheat = self.cheat(draw, "client", chance)
            size = SIDE * SIDE * 3
            count = draw.choice([1, 2, 4])
            body = b"".join(CANARY + draw.randbytes(size - len(CANARY)) for _ in range(count))
            pictures = np.frombuffer(body, np.uint8).reshape(count, SIDE, SIDE, 3)
            labels = np.array([draw.randrange(CLASSES) for _ in range(count)])
            own = self.secret("client", number)
            self.populate("client", number, cheat, self._maker(own, pictures, labels))

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """Look into sums, and let Flower wait in virtual time, and say nothing."""
        town = self

        class Watched(SecureSum):
            """A sum whose result is compared with its summands."""

            def run(self) -> Summed:
                """Sum."""
                summed = super().run()
                town.summed(self.call.round, summed)
                return summed

        def pause(seconds: float) -> None:
            assert self.agenda.task is not None
            self.agenda.task.pause(seconds)

        flower = logging.getLogger("flwr")
        before = flower.level
        flower.setLevel(logging.CRITICAL)
        with (
            super().surroundings(),
            task_identity(1),
            patch.object(Federate, "sums", Watched),
            patch.object(strategy_utils, "sleep", pause),
        ):
            yield
        flower.setLevel(before)

    def workflow(self, exchange: Exchange, name: str) -> Federate:
        """Make a training."""
        settings = {"epochs": 1.0, "batch": 4.0, "learning-rate": 0.1}
        start = weights(small_network())
        federation = Federation(name, self.strategy, self.rounds, settings, start, len(self.parties), patience=PATIENCE)
        return Federate(federation, exchange, watch=self._publishes)

    def summed(self, round: Round, summed: Summed) -> None:
        """Compare a sum with its summands."""
        names = [self.parties[node].name for node in summed.present]
        if len(names) < 3:
            self.violated("secrecy", f"the sum of round {round.number} is that of {names} alone")
        if all(party.honest for party in self.parties.values()):
            summands = [quantise(self._summands[round, name], LIMIT) for name in names]
            if not np.array_equal(summed.total, restore(np.sum(summands, axis=0, dtype=np.uint64))):
                self.violated("sum", f"the sum of round {round.number} is not that of its summands")

    def check(self) -> None:
        """Look at a training that has failed, too."""
        super().check()
        attempt = self.cloud.attempt
        if attempt is None or self.strategy == "secure-sum" or attempt.host_failed or "are to train" in attempt.why:
            return
        if attempt.why and any(map(self.undisturbed, self.parties.values())):
            self.violated("training", f"honest clients are there, and the training fails: {attempt.why}")

    def check_result(self, attempt: Attempt) -> None:
        """Look at the model."""
        self._publishes(self.rounds, attempt.workflow.record.model)
        if not attempt.workflow.record.model:
            self.violated("model", "the training ends without a model")

    def _publishes(self, number: int, model: Weights) -> None:
        if not all(bool((value.abs() < FARTHEST).all()) for value in model.values()):
            self.violated("model", f"the model after round {number} holds numbers that training cannot lead to")

    def _maker(self, secret: bytes, pictures: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
        def make(name: str, cheat: str | None) -> Party:
            role = played(cheat, Client, self.CHEATS)

            def summand(client: Any, call: TrainCall) -> NDArray[np.float64]:
                values: NDArray[np.float64] = role.summand(client, call)
                self._hide(name, cheat, call.round, values)
                return values

            small = type(role.__name__, (role,), {"network": lambda client: small_network(), "summand": summand})
            made: Party = small(secret, pictures, labels, CLASSES)
            return made

        return make

    def _hide(self, name: str, cheat: str | None, round: Round, values: NDArray[np.float64]) -> None:
        """Remember a summand, which nobody may see; that of a cheat may be nothing."""
        self._summands[round, name] = values
        if cheat is None:
            for form, update in (("masked", quantise(values[1:], LIMIT)), ("computed", values[1:])):
                self.secrecy.secrets[f"{name} {form} {round.training} {round.number}"] = update.tobytes()
