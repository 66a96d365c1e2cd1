"""The server averages what clients have trained, by Flower's FedAvg."""

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from federated_digits.task import get_weights, make_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for a few rounds and save the model with how good it was after each."""
    strategy = FedAvg(fraction_train=context.run_config["fraction-train"])
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(get_weights(make_model())),
        num_rounds=context.run_config["num-server-rounds"],
    )
    coefficients, intercepts = result.arrays.to_numpy_ndarrays()
    rounds = result.evaluate_metrics_clientapp.values()
    np.savez(
        context.run_config["result"],
        coefficients=coefficients,
        intercepts=intercepts,
        accuracy=[metrics["accuracy"] for metrics in rounds],
        loss=[metrics["loss"] for metrics in rounds],
    )
