"""Federated learning as the cloud leads it: by Flower's own strategies, or by sums of which it sees no summand."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedProx,
    FedTrimmedAvg,
    Krum,
    Strategy,
)

from parties.secure_sum.summing import secure_sum
from protocol.encoding.codec import read_array
from protocol.exchange import Exchange
from protocol.messages.federate import Setting, TrainCall
from protocol.messages.secure_sum import Round
from strategies.learning.local import Weights, flat, unflat

STRATEGIES: dict[str, str] = {
    "fedavg": "the mean of all updates, weighted with pictures (McMahan et al. 2017)",
    "fedprox": "the same, with clients held near the common model (Li et al. 2020)",
    "krum": "the one update that lies nearest to most others (Blanchard et al. 2017)",
    "trimmed-mean": "parameter by parameter, the mean without the extremes (Yin et al. 2018)",
    "dp-clients": "clipped updates, and noise on their mean: nobody can tell who took part (McMahan et al. 2018)",
    "dp-images": "DP-SGD at every client: nobody can tell which picture was there, the cloud included",
    "dp-people": "the same for people instead of pictures: nobody can tell who was in a client's pictures",
    "secure-sum": "the mean, of masked updates: the cloud sees their sum alone (Bonawitz et al. 2017)",
}
"""Strategies by name."""

Watch = Callable[[int, Weights], None]
"""Told the number of each round and the model after it; 0 is the model at the start."""


@dataclass(frozen=True)
class Federation:
    """One training.

    Attributes
    ----------
    training : str
        What it is called; clients draw by it.
    strategy : str
        A key of `STRATEGIES`.
    rounds : int
    settings : dict of str to float
        What clients are told: epochs, batch, learning-rate; for dp-images sigma, rate, steps and clipping, and for
        dp-people per-person, too.
    mu, malicious, beta : float
        Of fedprox, krum and trimmed-mean: pull; how many clients may be malicious; share that is cut off at both ends.
    sigma, clipping : float
        Of dp-clients.
    """

    training: str
    strategy: str
    rounds: int
    settings: dict[str, float]
    mu: float = 0.0
    malicious: int = 0
    beta: float = 0.0
    sigma: float = 0.0
    clipping: float = 1.0
    failures: list[tuple[str, int, str]] = field(default_factory=list)

    def run(self, grid: Grid, model: Weights, clients: int, watch: Watch) -> Weights:
        """Train, and return the model.

        Parameters
        ----------
        grid : Grid
            All of whose nodes are clients.
        model : dict of str to Tensor
            To begin with.
        clients : int
            How many there are.
        watch : callable
        """
        if self.strategy == "secure-sum":
            return self._by_sums(grid, model, watch)

        def told(number: int, arrays: ArrayRecord) -> MetricRecord | None:
            watch(number, _weights(arrays, model))
            return None

        config = ConfigRecord({"training": self.training, **self.settings})
        arrays = ArrayRecord({name: Array(value.numpy()) for name, value in model.items()})
        result = self._strategy(clients).start(grid, arrays, self.rounds, train_config=config, evaluate_fn=told)
        return _weights(result.arrays, model)

    def _strategy(self, clients: int) -> Strategy:
        everybody = {"fraction_train": 1.0, "fraction_evaluate": 0.0, "min_available_nodes": clients}
        match self.strategy:
            case "fedprox":
                return FedProx(**everybody, proximal_mu=self.mu)  # type: ignore[arg-type]
            case "krum":
                return Krum(**everybody, num_malicious_nodes=self.malicious)  # type: ignore[arg-type]
            case "trimmed-mean":
                return FedTrimmedAvg(**everybody, beta=self.beta)  # type: ignore[arg-type]
            case "dp-clients":
                averaging = FedAvg(**everybody)  # type: ignore[arg-type]
                return DifferentialPrivacyServerSideFixedClipping(averaging, self.sigma, self.clipping, clients)
        return FedAvg(**everybody)  # type: ignore[arg-type]

    def _by_sums(self, grid: Grid, model: Weights, watch: Watch) -> Weights:
        exchange = Exchange(grid)
        watch(0, model)
        for number in range(1, self.rounds + 1):
            told = self.settings | {"server-round": float(number)}
            call = TrainCall(
                round=Round(training=self.training, number=number),
                model=flat(model).numpy(),
                settings=tuple(Setting(name=name, value=float(value)) for name, value in told.items()),
                dealt=(),
            )
            summed = secure_sum(exchange, exchange.node_ids(), call)
            self.failures.extend(summed.failures)
            pictures, *_ = summed.total
            mean = torch.from_numpy(np.asarray(summed.total[1:] / max(1.0, pictures)))
            model = unflat((flat(model).double() + mean).float(), model)
            watch(number, model)
        return model


def _weights(arrays: ArrayRecord, like: Weights) -> Weights:
    return {name: torch.from_numpy(np.array(read_array(arrays[name]), dtype=np.float32)) for name in like}
