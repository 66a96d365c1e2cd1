"""A process that plays rounds of an echo message, on our grid or on Flower's simulation engine.

It is run as ``python -m simulations.studies.benchmarks.echo ENGINE NODES WORKERS ROUNDS`` and prints one JSON object.
"""

import json
import logging
import sys
from time import perf_counter
from typing import Any

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from protocol.grids import RayGrid
from simulations.studies.benchmarks.memory import Memory

CALLED = 100


def echo_app() -> ClientApp:
    """Return an app that echoes each message."""
    app = ClientApp()

    @app.query("echo")
    def echo(message: Message, context: Context) -> Message:
        return Message(message.content, reply_to=message)

    return app


def play_round(grid: Grid, nodes: list[int]) -> float:
    """Ask each node once, and return the seconds until all have answered."""
    start = perf_counter()
    content = RecordDict({"fields": ConfigRecord({"number": 1})})
    replies = list(grid.send_and_receive([grid.create_message(content, "query.echo", node, "echo") for node in nodes]))
    if len(replies) != len(nodes) or any(reply.has_error() for reply in replies):
        raise RuntimeError(f"{len(nodes)} nodes were asked and {len(replies)} answered")
    return perf_counter() - start


def ours(nodes: int, workers: int, rounds: int) -> dict[str, Any]:
    """Play rounds on a `RayGrid`: seconds until it is up, of each round, and of a round with a hundred nodes."""
    start = perf_counter()
    with RayGrid([echo_app()] * nodes, workers) as grid:
        up = perf_counter() - start
        everybody = list(grid.get_node_ids())
        seconds = [play_round(grid, everybody) for _ in range(rounds)]
        few = min(play_round(grid, everybody[:: max(1, nodes // CALLED)][:CALLED]) for _ in range(3))
    return {"up": up, "rounds": seconds, "few": few}


def flowers(nodes: int, workers: int, rounds: int) -> dict[str, Any]:
    """Play rounds on Flower's simulation engine, with the same number of its Ray actors."""
    from flwr.simulation import run_simulation  # noqa: PLC0415 needed only here

    server = ServerApp()
    played: list[float] = []

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        while len(everybody := list(grid.get_node_ids())) < nodes:
            pass
        played.extend(play_round(grid, everybody) for _ in range(rounds))

    start = perf_counter()
    resources = {"init_args": {"num_cpus": workers}, "client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    logging.disable(logging.WARNING)
    run_simulation(server, echo_app(), nodes, "ray", resources)  # type: ignore[arg-type]
    return {"up": perf_counter() - start - sum(played), "rounds": played}


if __name__ == "__main__":
    engine, nodes, workers, rounds = sys.argv[1], *map(int, sys.argv[2:])
    memory = Memory()
    memory.start()
    result = (ours if engine == "ours" else flowers)(nodes, workers, rounds)
    print(json.dumps({**result, "memory": memory.stop()}))
