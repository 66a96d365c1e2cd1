"""The cloud and the parties of a `Town` as processes that can be killed; they meet over gRPC on this machine."""

import signal
import socket
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from durable import BUYER, WISH, Town
from forks import process

from parties.store import PartyStore
from protocol.flower import FIRST_NODE_ID
from protocol.grids.grpc import Backoff, GrpcGrid, Insecure, Roster, attach

PATIENCE = 1800.0


def urns(town: Town) -> list[str]:
    """Everybody in the order of their nodes."""
    return [f"urn:parley:{party.role}:{party.role}{node}" for node, party in enumerate(town.parties(), FIRST_NODE_ID)]


def memory(field: str) -> int:
    """Bytes of this process's memory: ``VmRSS`` now, ``VmHWM`` at most since the last `forget_peak`."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), 0)


def forget_peak() -> None:
    """Let ``VmHWM`` begin anew."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def run_cloud(kind: type[Town], root: Path, port: int) -> None:
    """Be the cloud until the purchase has ended; ``memory`` in the folder says how much more memory that took."""
    torch.set_num_threads(1)
    town = kind(root)
    cloud = town.cloud()
    everybody = urns(town)
    with (
        GrpcGrid(f"127.0.0.1:{port}", Insecure(), Roster(everybody), cloud.vault) as grid,
        town.alive(grid=grid) as (broker, _),
        broker,
    ):
        if not broker.journal.workflows():
            missing = grid.wait_attached(range(BUYER, BUYER + len(everybody)), timeout=60)
            assert not missing, missing
            forget_peak()
            before = memory("VmRSS")
            broker.open("purchase", BUYER, WISH)
        else:
            before = 0
        broker.wait(f"{BUYER}-{WISH.hex()}", timeout=PATIENCE)
        (root / "memory").write_text(str(memory("VmHWM") - before))


def run_party(kind: type[Town], root: Path, port: int, index: int) -> None:
    """Be a party until killed."""
    torch.set_num_threads(1)
    town = kind(root)
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

    def _start(self, index: int) -> BaseProcess:
        arguments = (type(self.town), self.town.root, self.port)
        if index == 0:
            member = process(run_cloud, *arguments, name="cloud")
        else:
            member = process(run_party, *arguments, index - 1, name=self.members[index])
        member.start()
        return member

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
        for member in self.running:
            member.kill()
            member.join()
