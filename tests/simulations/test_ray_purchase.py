"""The same purchase on Ray: equal digests, whatever the workers, whoever dies."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from conftest import Play, small

from parties.purchase.seller import Seller
from protocol.compute.ray_cluster import connect
from protocol.flower import FIRST_NODE_ID
from protocol.grids import RayGrid
from protocol.messages.purchase import Delivery, DeliveryOrder
from simulations.runs.runner import run
from simulations.scenarios.adversaries import known_adversaries
from simulations.scenarios.files import load
from simulations.workflows.purchase.play import OpenGrid
from simulations.workflows.purchase.report.model import PurchaseReport

MIXED = small(
    sellers={"count": 24},
    buyer={"budget": 30.0},
    adversaries={
        "ring": 0.2,
        "feature-collision": 0.1,
        "swapped-delivery": 0.1,
        "sybil": 0.1,
        "malformed-messages": 0.1,
    },
)


MARK = "PARLEY_TEST_MARK"
"""Names the file that says that a worker has died, and so all processes of a test."""


@pytest.fixture(scope="module", autouse=True)
def died(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    os.environ[MARK] = str(tmp_path_factory.mktemp("ray") / "died")
    with connect(2):
        yield Path(os.environ.pop(MARK))


def workers(number: int) -> OpenGrid:
    return partial(RayGrid, workers=number, here=(FIRST_NODE_ID,))


class Dying(Seller):
    """Takes its worker along, the first time that it is asked for a picture."""

    def deliver(self, asked: DeliveryOrder) -> Delivery:
        mark = Path(os.environ[MARK])
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().deliver(asked)  # type: ignore[return-value]


UNLUCKY = """
from parties.adversaries import adversary
from parties.purchase.seller import Seller


@adversary("unlucky", knowledge="nothing beyond its role", profit="none")
class Unlucky(Seller):
    '''Cannot bid.'''

    def bid(self, call):
        raise ZeroDivisionError("no luck")
"""


def test_the_outcome_does_not_depend_on_the_grid_and_the_workers(play_purchase: Play) -> None:
    local = play_purchase(MIXED).outcome
    assert local.verified > 0
    assert play_purchase(MIXED, open_grid=workers(3)).outcome == local


@pytest.mark.slow
def test_nor_on_a_worker_that_dies_in_the_middle(play_purchase: Play, died: Path) -> None:
    honest = small(sellers={"count": 24})
    outcome = play_purchase(honest, sellers=Dying, open_grid=workers(2)).outcome
    assert died.exists()
    assert outcome == play_purchase(honest).outcome


@pytest.mark.slow
def test_who_raises_is_one_failed_party_with_its_traceback_in_the_report(tmp_path: Path) -> None:
    cheats = tmp_path / "unlucky.py"
    cheats.write_text(UNLUCKY)
    known = known_adversaries(cheats)
    scenario = load("purchase", ["sellers.count=8", "grid=ray", "workers=2", "adversaries.unlucky=0.25"], known)
    report = run(scenario, tmp_path / "run", adversaries=known)
    assert isinstance(report, PurchaseReport)
    (failed,) = report.failed
    assert failed.what == "bid: ZeroDivisionError: no luck"
    assert len(failed.parties) == 2
    assert "raise ZeroDivisionError" in str(failed.traceback)
    assert "raise ZeroDivisionError" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert report.outcome.sellers == 8


@pytest.mark.slow
def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    mark = str(tmp_path / "interrupted")
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("parley"),
            "run",
            "purchase",
            "--grid",
            "ray",
            "--out",
            "run",
            "--set",
            "sellers.count=4000",
        ],
        env=os.environ | {MARK: mark},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any("ray::" in name for name in running(mark)):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted after" in said
    while running(mark):
        pass
    assert list(tmp_path.iterdir()) == []


def running(mark: str) -> list[str]:
    """Return the command lines of all processes that were started with this mark in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found
