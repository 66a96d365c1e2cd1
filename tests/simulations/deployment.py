"""A deployment of real processes on this machine: cloud and parties, over mutual TLS."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from simulations.datasets import pets
from simulations.deployed.address import Address
from simulations.deployed.provisioning import provision

PARLEY = Path(sys.executable).with_name("parley")
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


class Deployment:
    """Processes of one kit; what is started here is stopped here."""

    def __init__(self, folder: Path, sellers: int = 3, buyers: int = 2) -> None:
        self.folder = folder
        self.kit = folder / "kit"
        counts = {"seller": sellers, "buyer": buyers, "entity": 1}
        provision(self.kit, Address("localhost", free_port()), counts)
        for index in range(sellers):
            paint(folder / f"album{index + 1}", [0, 1, 0, 1, 5], seed=index)
        paint(folder / "wanted", [0, 0, 0, 1, 1], seed=100)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def close(self) -> None:
        for name in list(self.processes):
            self.stop(name)

    def start(self, name: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start a process; its output goes to a file."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with (self.folder / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                [PARLEY, *words], cwd=self.folder, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        self.processes[name] = process
        return process

    def start_cloud(self) -> None:
        self.start("cloud", "cloud", "--kit", "kit/cloud")

    def start_seller(self, number: int) -> None:
        album, kit = f"album{number}", f"kit/seller{number}"
        self.start(f"seller{number}", "seller", "--kit", kit, "--album", album, "--price", f"1.{number}")

    def start_buyer(self, number: int, out: str, budget: float = 20) -> "subprocess.Popen[bytes]":
        return self.start(
            f"buyer{number}", "buyer", "request", "--kit", f"kit/buyer{number}", "--samples", "wanted",
            "--budget", str(budget), "--quality", "quantity", "--out", out,
        )  # fmt: skip

    def start_all(self, sellers: int = 3) -> None:
        self.start_cloud()
        for number in range(1, sellers + 1):
            self.start_seller(number)
        self.wait_attached({f"seller{number}" for number in range(1, sellers + 1)})

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """Stop a process and return its exit code."""
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(number)
        return process.wait(PATIENCE)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def parley(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([PARLEY, *words], cwd=self.folder, capture_output=True, text=True, check=False)

    def status(self) -> dict[str, Any]:
        done = self.parley("status", "--kit", "kit/operator", "--json")
        assert done.returncode == 0, done.stderr
        read: dict[str, Any] = json.loads(done.stdout)
        return read

    def wait_attached(self, names: set[str]) -> None:
        """Wait until the cloud has said, since it was last started, that these parties are attached."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            attached: set[str] = set()
            for line in self.events("cloud"):
                words = line["event"].split()
                if line["event"] == "listening":
                    attached = set()
                elif words[-1:] == ["detached"]:
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
