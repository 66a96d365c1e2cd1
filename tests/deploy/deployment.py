"""A deployment of real processes on this machine: cloud and parties, over mutual TLS."""

import json
import signal
import socket
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from forks import Parley
from PIL import Image

from deploy.kit import Address
from deploy.provisioning import provision
from simulations.data import pets

CLASSES = (pets.BREEDS[0], pets.BREEDS[2])
"""What entities have pictures of."""
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine."""


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def paint(folder: Path, breeds: Sequence[int], seed: int, size: int = 96) -> None:
    """Pictures of pets, as files."""
    folder.mkdir(parents=True)
    drawn = pets.draw(np.array(breeds), size, torch.Generator().manual_seed(seed))
    for index, picture in enumerate(drawn):
        Image.fromarray(np.asarray(picture)).save(folder / f"{index}.png")


COMPOSE = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "compose.yaml").read_text())["services"]


class Deployment:
    """The services of deploy/compose.yaml as processes; what is started here is stopped here."""

    def __init__(self, folder: Path, sellers: int, address: Address | None = None, entities: int = 1) -> None:
        self.folder = folder
        self.kit = folder / "kit"
        self.sellers = [f"seller{number}" for number in range(1, sellers + 1)]
        here = Address("localhost", free_port())
        provision(self.kit, address or here, {"seller": sellers, "buyer": 2, "entity": entities})
        for seed, name in enumerate(self.sellers):
            paint(folder / "albums" / name, [0, 1, 0, 1, 5], seed)
        paint(folder / "wanted", [0, 0, 0, 1, 1], 100)
        for number in range(1, entities + 1):
            for breed in CLASSES:
                few = [pets.BREEDS.index(breed)] * (24 // number)
                paint(folder / "images" / f"entity{number}" / breed, few, 10 * number + few[0], 32)
        paint(folder / "public", [1, 3, 5, 7] * 10, 99, 32)
        self.processes: dict[str, Parley] = {}
        self.before = 0
        """What the cloud had said when it was last started."""

    def close(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for name in list(self.processes):
            self.wait(name)

    def space(self, name: str) -> str | None:
        """The network namespace of a party; here all are in this one."""
        return None

    def service(self, name: str) -> list[str]:
        """A service's command, with folders of this machine in the place of its volumes."""
        service = COMPOSE[name]
        mounts = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in service["volumes"])
        words = []
        for word in service["command"]:
            mount = next((mount for mount in mounts if word == mount or word.startswith(f"{mount}/")), None)
            words.append(
                word if mount is None else str(self.folder / mounts[mount] / word.removeprefix(mount).strip("/"))
            )
        return words

    def start(self, name: str, words: Sequence[str] = ()) -> None:
        """Start a process, a service of compose by default; its output goes to a file."""
        command = list(words or self.service(name))
        if name == "cloud":
            self.before = len(self.events(name))
        self.processes[name] = Parley(command, self.folder, self.folder / f"{name}.log", self.space(name))

    def wait(self, name: str) -> int:
        """Wait until a process ends by itself, and return its exit code."""
        return self.processes.pop(name).wait(PATIENCE)

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """Stop a process and return its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(PATIENCE)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def begun(self) -> int:
        """How many purchases have begun since the first start."""
        return sum(line["event"].endswith("begins") for line in self.events("cloud"))

    def wait_step(self, step: int) -> None:
        """Wait until the last purchase has come to a step, by the cloud's own journal."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with closing(sqlite3.connect(self.kit / "cloud" / "state" / "cloud.sqlite")) as journal:
                rows = journal.execute("SELECT step FROM workflows ORDER BY begun_at DESC LIMIT 1").fetchall()
            if rows and rows[0][0] >= step:
                return
            time.sleep(0.01)
        raise AssertionError(f"no purchase came to step {step}: {self.log('cloud')}")

    def wait_event(self, name: str, event: str) -> dict[str, Any]:
        """Wait until a process has said something, and return what."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if found := [line for line in self.events(name) if line["event"] == event]:
                return found[-1]
            time.sleep(0.1)
        raise AssertionError(f"{name} has not said {event!r}: {self.log(name)}")

    def wait_attached(self, names: set[str]) -> None:
        """Wait until the cloud has said, since it was last started, that these parties are attached."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            attached: set[str] = set()
            for line in self.events("cloud")[self.before :]:
                words = line["event"].split()
                if words[-1:] == ["detached"]:
                    attached.discard(words[0].rpartition(":")[2])
                elif words[1:2] == ["attached"]:
                    attached.add(words[0].rpartition(":")[2])
            if names <= attached:
                return
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self.log(name)}"
            time.sleep(0.1)
        raise AssertionError(f"not all of {names} attached: {self.log('cloud')}")

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = self.log(name).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
