"""The cloud and the parties of a `Town` as processes that can be killed; they meet over gRPC on this machine."""

import multiprocessing
import signal
import socket
from pathlib import Path

import torch
from durable import BUYER, WISH, Town

from parties.store import PartyStore
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import Backoff, GrpcGrid, Insecure, Roster, attach

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["processes"])

PATIENCE = 120.0


def urns(town: Town) -> list[str]:
    """Everybody in the order of their nodes."""
    return [f"urn:parley:{party.role}:{party.role}{node}" for node, party in enumerate(town.parties(), FIRST_NODE_ID)]


def run_cloud(root: Path, port: int) -> None:
    """Be the cloud until the purchase has ended."""
    torch.set_num_threads(1)
    town = Town(root)
    cloud = town.cloud()
    everybody = urns(town)
    with (
        GrpcGrid(f"127.0.0.1:{port}", Insecure(), Roster(everybody), cloud.vault) as grid,
        town.alive(grid=grid) as (broker, _),
        broker,
    ):
        if not broker.purchases():
            missing = grid.wait_attached(range(BUYER, BUYER + len(everybody)), timeout=60)
            assert not missing, missing
            broker.open(BUYER, WISH)
        broker.wait(f"{BUYER}-{WISH.hex()}", timeout=PATIENCE)


def run_party(root: Path, port: int, index: int) -> None:
    """Be a party until killed."""
    torch.set_num_threads(1)
    town = Town(root)
    store = PartyStore(root / f"party-{FIRST_NODE_ID + index}.db")
    app = store.app(town.parties()[index].client_app())
    backoff = Backoff(first=0.05, most=0.2, patience=PATIENCE)
    attach(f"127.0.0.1:{port}", Insecure(urns(town)[index]), app, backoff=backoff)


class Household:
    """All processes of a town."""

    def __init__(self, town: Town) -> None:
        self.town = town
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.members = ["cloud", *(urn.rpartition(":")[2] for urn in urns(town))]
        self.running = [self._start(index) for index in range(len(self.members))]

    def _start(self, index: int) -> multiprocessing.process.BaseProcess:
        target = run_cloud if index == 0 else run_party
        arguments = (self.town.root, self.port) if index == 0 else (self.town.root, self.port, index - 1)
        process = PROCESSES.Process(target=target, args=arguments, name=self.members[index])
        process.start()
        return process

    def kill(self, index: int) -> str:
        """Kill a process and start it again; returns its name."""
        self.running[index].kill()
        self.running[index].join()
        assert self.running[index].exitcode in (-signal.SIGKILL, 0)
        self.running[index] = self._start(index)
        return self.members[index]

    def wait(self, timeout: float) -> bool:
        """Wait for the cloud to have ended the purchase; whether it has."""
        self.running[0].join(timeout)
        return self.running[0].exitcode == 0

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.join()
