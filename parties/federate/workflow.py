"""Federated learning as the cloud leads it: by Flower's own strategies, or by secure sums."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedProx,
    FedTrimmedAvg,
    Krum,
    Strategy,
)

from parties.federate.checks import NEAREST, CheckedGrid
from parties.federate.client import SUM_CLIENTS, SUM_CLIPPING, SUM_SIGMA, noise_of, rotation_of
from parties.secure_sum.summing import SecureSum
from parties.workflow import PATIENCE, OnStep, Record, Workflow, WorkflowFailed, any_step
from protocol.encoding.codec import read_array
from protocol.exchange import Exchange
from protocol.messages.federate import Setting, TrainCall
from protocol.messages.secure_sum import Round
from strategies.learning.weights import Weights, from_row, to_row
from strategies.privacy.sum_graph import choose_graph

STRATEGIES: dict[str, str] = {
    "fedavg": "mean of all updates, weighted by their numbers of images (McMahan et al. 2017)",
    "fedprox": "the same, with a proximal term that holds clients near the global model (Li et al. 2020)",
    "krum": "the one update that is nearest to most others (Blanchard et al. 2017)",
    "trimmed-mean": "coordinate-wise mean without the extremes (Yin et al. 2018)",
    "dp-clients": "clipped updates, noise added by the cloud: epsilon is per client (McMahan et al. 2018)",
    "dp-images": "DP-SGD at every client: epsilon is per image, towards the cloud as well (Abadi et al. 2016)",
    "dp-people": "DP-SGD with gradients clipped per person: epsilon is per person, towards the cloud as well",
    "secure-sum": "mean of masked updates: the cloud sees their sum alone (Bonawitz et al. 2017)",
    "dp-sum": "the same, clipped, with noise of every client: epsilon is per client, towards the cloud as well"
    " (Kairouz, Liu and Steinke 2021)",
}
"""Strategies by name."""

Watch = Callable[[int, Weights], None]
"""Called with the number of each round and the model after it; 0 is the model at the start."""


@dataclass(frozen=True)
class Federation:
    """One training, as the cloud sets it.

    Attributes:
        training: Its name; clients' generators derive from it.
        strategy: A key of `STRATEGIES`.
        settings: For clients: epochs, batch, learning-rate; for dp-images sigma, sampling-rate, steps and
            clipping, and for dp-people per-person, too.
        model: The initial one.
        mu, malicious, beta: Of fedprox, krum and trimmed-mean: pull; how many clients may be malicious; share that is
            cut off at both ends.
        sigma, clipping: Of dp-clients; of dp-sum sigma is that of each client, in units of the clipping norm.
        patience: Seconds that clients have for each step of a secure sum.
    """

    training: str
    strategy: str
    rounds: int
    settings: Mapping[str, float]
    model: Weights
    clients: int
    mu: float = 0.0
    malicious: int = 0
    beta: float = 0.0
    sigma: float = 0.0
    clipping: float = 1.0
    patience: float = PATIENCE

    @property
    def noise(self) -> Mapping[str, float]:
        """What clients of dp-sum are told of the noise."""
        if self.strategy != "dp-sum":
            return {}
        return {
            SUM_CLIPPING: self.clipping,
            SUM_SIGMA: self.sigma * self.clipping,
            SUM_CLIENTS: float(choose_graph(self.clients).least),
        }

    def flower_strategy(self) -> Strategy:
        """Return Flower's strategy of this name."""
        everybody = {"fraction_train": 1.0, "fraction_evaluate": 0.0, "min_available_nodes": self.clients}
        match self.strategy:
            case "fedprox":
                return FedProx(**everybody, proximal_mu=self.mu)  # type: ignore[arg-type]
            case "krum":
                return Krum(**everybody, num_malicious_nodes=self.malicious)  # type: ignore[arg-type]
            case "trimmed-mean":
                return FedTrimmedAvg(**everybody, beta=self.beta)  # type: ignore[arg-type]
            case "dp-clients":
                averaging = FedAvg(**everybody)  # type: ignore[arg-type]
                return DifferentialPrivacyServerSideFixedClipping(averaging, self.sigma, self.clipping, self.clients)
        return FedAvg(**everybody)  # type: ignore[arg-type]


@dataclass
class FederateRecord(Record):
    """The result of a training.

    Attributes:
        model: After the last round.
        survivors: How many clients were in the sum of each round, where there are sums.
    """

    model: Weights = field(default_factory=dict)
    survivors: list[int] = field(default_factory=list)


class Federate(Workflow[FederateRecord]):
    """One training: in each round clients train the model on their own images, and the cloud combines their updates.

    It does so with one of Flower's strategies, which sees the models that can be used (`checks`), or by secure sums.
    Failures of clients are in the record.

    Args:
        federation: What is trained, and how.
        exchange: Asks the clients; all nodes of its grid are clients.
        on_step: Called as each step begins.
        watch: Called with the model after each round.
    """

    role = "aggregator"
    sums: ClassVar[type[SecureSum]] = SecureSum
    STEPS = ("training",)

    def __init__(
        self,
        federation: Federation,
        exchange: Exchange,
        on_step: OnStep = any_step,
        *,
        watch: Watch = lambda number, model: None,
    ) -> None:
        super().__init__(exchange, FederateRecord(), federation.patience, on_step)
        self.federation = federation
        self._watch = watch

    def run(self) -> FederateRecord:
        """Train.

        Raises:
            WorkflowFailed: When too few clients answer.
        """
        self.begin(1, f"training by {self.federation.training}")
        by = self._by_sums if self.federation.strategy in ("secure-sum", "dp-sum") else self._by_flower
        try:
            self.record.model = by()
        except (WorkflowFailed, AggregationError, InconsistentMessageReplies) as failed:
            reason = str(failed) or "too few clients answered"
            raise WorkflowFailed(f"{self.federation.training}: {reason}") from None
        return self.record

    def _by_flower(self) -> Weights:
        start = self.federation.model
        latest = [start]

        def told(number: int, arrays: ArrayRecord) -> MetricRecord | None:
            latest[0] = _weights(arrays, start)
            self._watch(number, latest[0])
            return None

        nearest = NEAREST if self.federation.strategy == "dp-clients" else 0.0
        grid = CheckedGrid(self.exchange.grid, lambda: latest[0], self.record.fail, nearest)
        if (here := len(list(grid.get_node_ids()))) < self.federation.clients:
            raise WorkflowFailed(f"{here} clients are there, and {self.federation.clients} are to train")
        result = self.federation.flower_strategy().start(
            grid,
            ArrayRecord({name: Array(value.numpy()) for name, value in start.items()}),
            self.federation.rounds,
            timeout=self.patience,
            train_config=ConfigRecord({"training": self.federation.training, **self.federation.settings}),
            evaluate_fn=told,
        )
        if not result.arrays:
            raise WorkflowFailed("no client answered in the last round")
        return _weights(result.arrays, start)

    def _by_sums(self) -> Weights:
        federation = self.federation
        model = federation.model
        self._watch(0, model)
        for number in range(1, federation.rounds + 1):
            told = {**federation.settings, **federation.noise, "server-round": float(number)}
            call = TrainCall(
                round=Round(training=federation.training, number=number),
                model=to_row(model).numpy(),
                settings=tuple(Setting(name=name, value=float(value)) for name, value in told.items()),
            )
            noise = noise_of(call)
            size = None if noise is None else noise.rotated
            summing = self.sums(self.exchange, self.exchange.node_ids(), call, self.patience, size)
            try:
                summed = summing.run()
            finally:
                self.record.failures += summing.record.failures
            self.record.survivors.append(len(summed.present))
            if noise is None:
                mean = torch.from_numpy(summed.total[1:] / max(1.0, float(summed.total[0])))
            else:
                mean = torch.from_numpy(noise.decode(summed.integers, rotation_of(call.round)) / len(summed.present))
            model = from_row((to_row(model).double() + mean).float(), model)
            if not all(bool(value.isfinite().all()) for value in model.values()):
                raise WorkflowFailed(f"the sum of round {number} is no update")
            self._watch(number, model)
        return model


def _weights(arrays: ArrayRecord, like: Weights) -> Weights:
    return {name: torch.from_numpy(np.array(read_array(arrays[name]), dtype=np.float32)) for name in like}
