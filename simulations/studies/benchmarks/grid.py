"""Messages per second over `RayGrid` and over Flower's simulation engine, in the same run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

from simulations.studies.benchmarks.measurement import Measurement

WORKERS = 2
ROUNDS = 5


@dataclass(frozen=True)
class _Played:
    """Measurements of one process: seconds, bytes, messages per second of its median round."""

    first: float
    rate: float
    memory: int
    few: float


def measure() -> list[Measurement]:
    """Play echo rounds with 2,000 nodes on both, then with 10,000 and 100,000 on ours.

    Each engine runs in its own process with two workers. Ours plays five rounds, and the median counts. Flower's
    plays only one, as its later rounds are not faster.
    """
    small, flowers = _play("ours", 2_000), _play("flowers", 2_000)
    large, huge = _play("ours", 10_000), _play("ours", 100_000)
    return [
        *_described("2,000 phones, Flower's engine", flowers),
        *_described("2,000 phones", small),
        Measurement("2,000 phones: ours over Flower's", small.rate / flowers.rate, "x", above=50),
        *_described("10,000 phones", large, rate=10_000, first=5),
        *_described("100,000 phones", huge),
        Measurement("100 called of 100,000", huge.few, "s", below=0.2),
    ]


def measure_long() -> list[Measurement]:
    """Play with 10,000 nodes on both; Flower's engine takes minutes for one round."""
    large, flowers = _play("ours", 10_000), _play("flowers", 10_000)
    return [
        *_described("10,000 phones, Flower's engine", flowers),
        *_described("10,000 phones", large, rate=10_000, first=5),
        Measurement("10,000 phones: ours over Flower's", large.rate / flowers.rate, "x", above=150),
    ]


def _described(what: str, played: _Played, rate: float | None = None, first: float | None = None) -> list[Measurement]:
    return [
        Measurement(what, played.rate, "messages/s", above=rate),
        Measurement(f"{what}, first round", played.first, "s", below=first),
        Measurement(f"{what}, memory of all processes", played.memory / 1e9, "GB"),
    ]


def _play(engine: str, nodes: int) -> _Played:
    rounds = ROUNDS if engine == "ours" else 1
    command = [sys.executable, "-m", "simulations.studies.benchmarks.echo", engine, *map(str, (nodes, WORKERS, rounds))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    seconds = result["rounds"]
    return _Played(seconds[0], nodes / median(seconds), result["memory"], result.get("few", 0.0))
