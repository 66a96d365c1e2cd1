"""The same apps on our grid and in Flower's own runtime: the same results, to the last bit.

Flower's engine gives nodes random ids, starts the ServerApp while they still join, and hands out replies
in the order in which they happen to come; and a sum of floating-point numbers depends on its order. So two
ways to compare are exact:

- with two nodes, as a + b = b + a, and FedAvg waits for two: the app and the runtime are untouched;
- with more, where `flower_engine` waits for all nodes, and sorts replies by partition before the app's
  strategy sees them, as our grids do. All nodes take part, as ids to draw a sample from differ in each run.

Both sides compute on one thread. Our own app needs none of this: it orders replies itself.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import SMALL, Play, small

from simulations.flower.apps import on_grid, run

pytestmark = pytest.mark.slow  # Flower starts servers, clients and a Ray of its own

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "tests" / "flower_apps" / "digits"
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "FLWR_TELEMETRY_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
SELLERS = SMALL["sellers"]["count"]
CHEATS = {"adversaries": {"feature-collision": 0.1, "ring": 0.25}}
"""One remembers from step to step what it did, the others share a board."""


def settings(section: dict[str, object], prefix: str = "") -> list[str]:
    """The small scenario as `--set` takes it, but for the number of sellers, which follows from the nodes."""
    words = []
    for key, value in section.items():
        if isinstance(value, dict):
            words += settings(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" != "sellers.count":
            words.append(f"{prefix}{key}={json.dumps(value)}".replace(" ", ""))
    return words


def purchase(out: Path) -> str:
    return f'settings="{" ".join(settings(SMALL | CHEATS))}" out="{out}"'


def digest(out: Path) -> str:
    (report,) = out.glob("purchase-*/report.json")
    return str(json.loads(report.read_text())["outcome"]["digest"])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What three runs in Flower's engine left behind."""
    folder = tmp_path_factory.mktemp("engine")
    jobs = [
        {"directory": str(DIGITS), "nodes": 2, "run_config": f'result="{folder / "two.npz"}"'},
        {"directory": str(DIGITS), "nodes": 6, "run_config": f'result="{folder / "six.npz"}"', "ordered": True},
        {"directory": str(ROOT), "nodes": 1 + SELLERS, "run_config": purchase(folder), "workers": 2},
    ]
    command = [sys.executable, ROOT / "tests" / "flower_engine.py", json.dumps(jobs)]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(("nodes", "name"), [(2, "two.npz"), (6, "six.npz")])
def test_fedavg_on_digits_is_the_same_to_the_last_bit(engine: Path, tmp_path: Path, nodes: int, name: str) -> None:
    run(DIGITS, on_grid("local"), nodes, [f'result="{tmp_path / name}"'])
    with np.load(tmp_path / name) as ours, np.load(engine / name) as theirs:
        assert {key: ours[key].tobytes() for key in ours} == {key: theirs[key].tobytes() for key in theirs}
        assert ours["accuracy"][-1] > 0.8


def test_our_purchase_has_the_same_outcome_everywhere(engine: Path, tmp_path: Path, play_purchase: Play) -> None:
    expected = play_purchase(small(**CHEATS)).outcome.digest
    assert digest(engine) == expected
    run(ROOT, on_grid("local"), 1 + SELLERS, [purchase(tmp_path)])
    assert digest(tmp_path) == expected
    (bought,) = engine.glob("purchase-*/bought")
    assert len(list(bought.glob("*.png"))) > 0
    assert not list(engine.glob(".purchase*"))


@pytest.fixture
def superlink(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with Flower's own server in it; it runs apps in this Python instead of building one."""
    port = "39393"
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "127.0.0.1:{port}"\ninsecure = true\n'
    )
    installed = tmp_path / "site" / "parley-0.1.0.dist-info"  # as `pip install -e .` has it; the code is the bundle's
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: parley\nVersion: 0.1.0\n")
    (installed / "direct_url.json").write_text(json.dumps({"url": ROOT.as_uri(), "dir_info": {"editable": True}}))
    environment = {**ENVIRONMENT, "FLWR_HOME": str(home), "PYTHONPATH": str(installed.parent)}
    command = ["flower-superlink", "--insecure", "--simulation", "--disable-runtime-dependency-installation"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, "--port", port], env=environment, stdout=log, stderr=log, cwd=tmp_path)
        try:
            until = time.monotonic() + 60
            while not _is_up(port):
                assert time.monotonic() < until, (tmp_path / "log").read_text()
                time.sleep(0.5)
            yield environment
        finally:
            server.terminate()
            server.wait()


def _is_up(port: str) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").is_success
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_flwr_run_as_it_is(superlink: dict[str, str], tmp_path: Path, play_purchase: Play) -> None:
    command = ["flwr", "run", str(ROOT), "--stream", "--run-config", purchase(tmp_path / "out")]
    nodes = ["--federation-config", f"num-supernodes={1 + SELLERS} client-resources-num-cpus=1"]
    done = subprocess.run([*command, *nodes], env=superlink, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert list((tmp_path / "out").glob("*/report.json")), done.stdout + done.stderr
    assert digest(tmp_path / "out") == play_purchase(small(**CHEATS)).outcome.digest
