"""Runs Flower apps in Flower's own simulation engine, the way ``flwr-simulation`` does, without bundling them first.

    python tests/flower_engine.py '[{"directory": "app", "nodes": 2, "run_config": "key=1", "ordered": false}]'

Flower's engine starts the ServerApp while nodes still join, and hands out replies as they come. With
``ordered`` the unmodified apps are wrapped: the ServerApp starts when all nodes are there, each reply
tells its partition on the way, and the ServerApp's grid sorts by it. One Ray serves all runs.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ray
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.config import parse_config_args
from flwr.server.superlink.fleet.vce.backend.raybackend import RayBackend
from flwr.serverapp import Grid, ServerApp
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.constant import NOOP_FEDERATION_ID
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.telemetry import EventType

from protocol.flower_project import FlowerProject, load_project
from protocol.grids.forwarding import ForwardingGrid

PARTITION = "partition"


@dataclass(frozen=True)
class Job:
    """One run of one app."""

    directory: str
    nodes: int
    run_config: str = ""
    ordered: bool = False
    workers: int = 1


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


def simulate(job: Job, project: FlowerProject) -> None:
    """Run an app in Flower's engine."""
    server_app, client_app = project.server_app, project.client_app
    if job.ordered:
        server_app, client_app = ServerApp(), TellingClients(project.client_app)

        @server_app.main()
        def main(grid: Grid, context: Context) -> None:
            while len(list(grid.get_node_ids())) < job.nodes:
                time.sleep(0.05)
            project.server_app(SortingGrid(grid), context)

    run_id, task_id = secrets.randbits(62), secrets.randbits(62)
    run = Run.create_empty(run_id)
    run.primary_task_id, run.federation_id = task_id, NOOP_FEDERATION_ID
    run.override_config = parse_config_args([job.run_config])
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = task_id, run_id, 1
    _run_simulation(
        num_supernodes=job.nodes,
        exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
        client_app=client_app,
        server_app=server_app,
        server_app_context=Context(run_id, 1, {}, RecordDict(), project.run_config),
        backend_config={
            "client_resources": {"num_cpus": 2 // job.workers, "num_gpus": 0.0},
            "init_args": {"num_cpus": 2},
        },
        app_dir=job.directory,
        is_app=True,
        run=run,
    )


def main() -> None:
    jobs = [Job(**job) for job in json.loads(sys.argv[1])]
    projects = [load_project(Path(job.directory), [job.run_config]) for job in jobs]
    RayBackend.terminate = lambda backend: backend.pool.terminate_all_actors()
    try:
        for job, project in zip(jobs, projects, strict=True):
            simulate(job, project)
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()
