"""Phones per second through a whole purchase over `RayGrid`, the report included.

Each purchase runs in its own process: ``python -m simulations.studies.benchmarks.purchase PHONES WORKERS``.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from simulations.studies.benchmarks.measurement import Measurement
from simulations.studies.benchmarks.memory import Memory

WORKERS = 2
IMAGES = 5
SIZES = (1_000, 3_000, 10_000)
LARGE = (30_000, 100_000)
BARS = {10_000: (60.0, 8.0)}
"""Seconds and gigabytes that a purchase may take, by the number of phones."""


def measure() -> list[Measurement]:
    """Buy from up to ten thousand phones with five pictures each at privacy level 2."""
    return [measurement for phones in SIZES for measurement in _measured(phones)]


def measure_long() -> list[Measurement]:
    """Buy from up to a hundred thousand phones."""
    return [measurement for phones in (*SIZES, *LARGE) for measurement in _measured(phones)]


def _measured(phones: int) -> list[Measurement]:
    command = [sys.executable, "-m", "simulations.studies.benchmarks.purchase", str(phones), str(WORKERS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    start = perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    seconds = perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    played: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    most_seconds, most_memory = BARS.get(phones, (None, None))
    return [
        Measurement(f"{phones:,} phones, {played['bids']:,} bids", seconds, "s", below=most_seconds),
        Measurement(f"{phones:,} phones, memory of all processes", played["memory"] / 1e9, "GB", below=most_memory),
        Measurement(f"{phones:,} phones, phones per second", phones / seconds, "1/s"),
    ]


def _play(phones: int, workers: int) -> dict[str, Any]:
    from simulations.runs.runner import run  # noqa: PLC0415
    from simulations.scenarios.files import load  # noqa: PLC0415
    from simulations.workflows.purchase.report.model import PurchaseReport  # noqa: PLC0415 only the processes that play need all of it

    settings = {"sellers.count": phones, "sellers.album.images": IMAGES, "grid": "ray", "workers": workers}
    scenario = load("purchase", [f"{key}={value}" for key, value in settings.items()])
    with tempfile.TemporaryDirectory() as folder:
        report = run(scenario, Path(folder) / "run")
    assert isinstance(report, PurchaseReport)
    return {"bids": report.outcome.bids, "timings": report.timings}


if __name__ == "__main__":
    memory = Memory()
    memory.start()
    played = _play(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps({**played, "memory": memory.stop()}))
