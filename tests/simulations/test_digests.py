"""Every packaged scenario, made small, comes to the outcome that was recorded, on every grid.

`digests.yaml` holds the settings that make each scenario small, and its digests by the kind of processor, in LLVM's
names: one, or for a sweep one per purchase. The last bits of a network's sums differ between processors and between
versions of what computes, so that on other ones the tests are skipped. Where an outcome is meant to change, or on a
processor without digests, record them on the grid `local`; other ones of other processors are dropped where this one's
have changed:

    python tests/simulations/test_digests.py
"""

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from llvmlite.binding import get_host_cpu_name

from protocol.compute.ray_cluster import connect

FILE = Path(__file__).with_name("digests.yaml")
PACKAGED = Path(__file__).parents[2] / "simulations" / "scenarios"
RECORDED: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
LIBRARIES = ("flwr", "numba", "numpy", "opacus", "pillow", "scikit-learn", "scipy", "torch", "torchvision")
QUICK = ("purchase", "pool", "crowdsource-federated", "outsource", "publish", "federate-dropping")
"""One of each workflow; `pytest -m slow` compares the others."""
GRIDS = ("local", pytest.param("ray", marks=pytest.mark.slow), pytest.param("grpc", marks=pytest.mark.slow))


def machine() -> dict[str, str]:
    """Return what the last bits of a sum depend on, beside the processor: the versions of what computes."""
    return {
        "machine": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in LIBRARIES},
    }


def command(scenario: str, grid: str, out: Path) -> list[str]:
    """Return the words after ``parley`` that play a scenario at its small size and print its report."""
    settings = [word for setting in RECORDED["scenarios"][scenario]["settings"] for word in ("--set", setting)]
    workers = "1" if grid == "local" else "2"
    return ["run", scenario, "--grid", grid, "--workers", workers, "--out", str(out), "--json", *settings]


def digests(printed: str) -> list[str]:
    """Return the digest in a run's report, or those in a sweep's."""
    report = json.loads(printed)
    if "points" in report:
        return [digest for point in report["points"] for digest in point["digests"]]
    return [report["outcome"]["digest"]]


@pytest.fixture(scope="module", params=GRIDS)
def grid(request: pytest.FixtureRequest) -> Iterator[str]:
    """A grid by name; Ray is started once for all scenarios."""
    here = machine()
    if other := [f"{name} {value}" for name, value in RECORDED["machine"].items() if here.get(name) != value]:
        pytest.skip(f"digests were recorded with {', '.join(other)}")
    with connect(2) if request.param == "ray" else nullcontext():
        yield request.param


def test_every_packaged_scenario_is_recorded() -> None:
    assert sorted(RECORDED["scenarios"]) == sorted(path.stem for path in PACKAGED.glob("*.yaml"))


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RECORDED["scenarios"]],
)
def test_the_outcome_is_the_recorded_one(
    parley: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, scenario: str, grid: str
) -> None:
    recorded = RECORDED["scenarios"][scenario]["digests"]
    if (processor := get_host_cpu_name()) not in recorded:
        pytest.skip(f"no digest was recorded on {processor}")
    done = parley(*command(scenario, grid, tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    assert digests(done.stdout) == recorded[processor]


class Repeating(yaml.SafeDumper):
    """Writes equal digests in full, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def record() -> None:
    """Play every scenario and write its digests down, and this machine."""
    parley = Path(sys.executable).with_name("parley")
    RECORDED["machine"], processor = machine(), get_host_cpu_name()
    for scenario, recorded in RECORDED["scenarios"].items():
        with TemporaryDirectory() as folder:
            words = command(scenario, "local", Path(folder) / "run")
            found = digests(subprocess.check_output([parley, *words], text=True))
        before = recorded["digests"].get(processor, found)
        kept = {name: known for name, known in recorded["digests"].items() if found in (before, known)}
        recorded["digests"] = {**kept, processor: found}
    FILE.write_text(
        yaml.dump(RECORDED, Dumper=Repeating, sort_keys=False, default_flow_style=None, width=120), encoding="utf-8"
    )


if __name__ == "__main__":
    record()
