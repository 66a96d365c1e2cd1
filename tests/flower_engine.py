"""Runs a Flower app in Flower's own simulation engine, the way ``flwr-simulation`` does, without bundling it first.

Flower's engine neither numbers nodes by partition nor orders replies. With ``--ordered`` the unmodified
apps are wrapped: each reply tells its partition on the way, and the ServerApp's grid sorts by it.
"""

import argparse
import secrets
from collections.abc import Iterable
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.config import get_fused_config_from_dir, parse_config_args
from flwr.serverapp import ServerApp
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.constant import NOOP_FEDERATION_ID
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.telemetry import EventType

from protocol.flower_project import load_project
from protocol.grids.forwarding import ForwardingGrid

PARTITION = "partition"


class TellingClients(ClientApp):
    """An app whose replies tell which partition they come from."""

    def __init__(self, app: ClientApp) -> None:
        super().__init__()
        self._app = app

    def __call__(self, message: Message, context: Context) -> Message:
        reply = self._app(message, context)
        reply.content[PARTITION] = ConfigRecord({"id": context.node_config["partition-id"]})
        return reply


class SortingGrid(ForwardingGrid):
    """A grid that hands out replies ordered by partition."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        replies = list(super().send_and_receive(messages, timeout=timeout))
        return sorted(replies, key=lambda reply: reply.content.pop(PARTITION)["id"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--run-config", default="")
    parser.add_argument("--ordered", action="store_true")
    options = parser.parse_args()

    project = load_project(options.directory, [options.run_config])
    server_app, client_app = project.server_app, project.client_app
    if options.ordered:
        ordered, client_app = server_app, TellingClients(client_app)
        server_app = ServerApp()
        server_app.main()(lambda grid, context: ordered(SortingGrid(grid), context))

    run_id, task_id = secrets.randbits(62), secrets.randbits(62)
    run = Run.create_empty(run_id)
    run.primary_task_id, run.federation_id = task_id, NOOP_FEDERATION_ID
    run.override_config = parse_config_args([options.run_config])
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task_id, run_id, 1
    config = get_fused_config_from_dir(options.directory, run.override_config)
    _run_simulation(
        num_supernodes=options.nodes,
        exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
        client_app=client_app,
        server_app=server_app,
        server_app_context=Context(run_id, 1, {}, RecordDict(), config),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}},
        app_dir=str(options.directory),
        is_app=True,
        run=run,
    )


if __name__ == "__main__":
    main()
