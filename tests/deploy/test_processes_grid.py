"""`grid: grpc`: parties in processes beside this one, over mutual TLS, to the same outcome as in this one."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Play, small
from counting import Counting
from flwr.app import Context, Message, RecordDict

from deploy.processes import ProcessesGrid
from protocol.errors import GridUnavailable
from protocol.flower import FIRST_NODE_ID
from protocol.storage.vault import Vault
from simulations.runs.runner import run

ROOT = Path(__file__).parents[2]
CHEATS = {"swapped-delivery": 0.2, "feature-collision": 0.1, "dropping-out": 0.1}


def children() -> set[int]:
    """Processes that this one has started and that are there."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(number) for task in tasks for number in task.read_text().split()}


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    before = children()
    yield
    assert children() <= before


@pytest.mark.slow
def test_a_scenario_comes_to_the_same_outcome(tmp_path: Path, play_purchase: Play) -> None:
    scenario = small(adversaries=CHEATS)
    here = play_purchase(scenario)
    there = run(scenario.model_copy(update={"grid": "grpc", "workers": 1}), tmp_path / "grpc")
    assert there.outcome.digest == here.outcome.digest  # type: ignore[union-attr]
    assert here.outcome.delivered > 0
    folders = (tmp_path / "bought", tmp_path / "grpc" / "bought")
    bought = [sorted(path.name for path in folder.rglob("*.png")) for folder in folders]
    assert bought[0] == bought[1] != []


def test_parties_share_processes_keep_state_and_are_stopped(tmp_path: Path) -> None:
    with ProcessesGrid([Counting() for _ in range(4)], Vault(str(tmp_path)), workers=1) as grid:
        nodes = list(grid.get_node_ids())
        assert nodes == list(range(FIRST_NODE_ID, FIRST_NODE_ID + 4))
        messages = [grid.create_message(RecordDict(), "query.count", node_id, "") for node_id in (*nodes, nodes[2])]
        replies = list(grid.send_and_receive(messages, timeout=60))
        processes = {int(str(r.content["here"]["node"])): r.content["here"]["process"] for r in replies}
        assert len(set(processes.values())) == 2
        assert processes[nodes[0]] not in [processes[node_id] for node_id in nodes[1:]]
        assert [grid.state(node_id)["count"]["n"] for node_id in nodes] == [1, 1, 2, 1]
        leave = grid.create_message(RecordDict(), "query.leave", nodes[0], "")
        assert list(grid.send_and_receive([leave], timeout=1.0)) == []


class Straggler(Counting):
    """Answers never."""

    def __call__(self, message: Message, context: Context) -> Message:
        threading.Event().wait()
        raise AssertionError


@pytest.mark.slow
def test_a_party_that_is_late_holds_up_none_that_shares_its_process(tmp_path: Path) -> None:
    apps = [Counting(), Straggler(), Counting(), Straggler(), Counting()]
    with ProcessesGrid(apps, Vault(str(tmp_path)), workers=1) as grid:
        nodes = list(grid.get_node_ids())
        messages = [grid.create_message(RecordDict(), "query.count", node_id, "") for node_id in nodes]
        replies = list(grid.send_and_receive(messages, timeout=5.0))
        assert [reply.metadata.src_node_id for reply in replies] == [nodes[0], nodes[2], nodes[4]]


class Stillborn(Counting):
    """Ends the process that is to have it."""

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return os._exit, (1,)


def test_a_party_that_cannot_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(GridUnavailable, match=r"[12] of 2 parties did not attach"):
        ProcessesGrid([Counting(), Stillborn()], Vault(str(tmp_path)), workers=1)


UNGUARDED = """
import sys
from pathlib import Path

from counting import Counting
from deploy.processes import ProcessesGrid
from flwr.app import RecordDict
from protocol.storage.vault import Vault

print("begun")

class Mine(Counting):
    pass

with ProcessesGrid([Mine(), Mine()], Vault(sys.argv[1]), workers=1) as grid:
    messages = [grid.create_message(RecordDict(), "query.count", node_id, "") for node_id in grid.get_node_ids()]
    print(len({reply.content["here"]["process"] for reply in grid.send_and_receive(messages, timeout=60)}))
"""


def test_a_script_is_not_run_again_by_its_processes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "tests"))
    done = subprocess.run(
        [sys.executable, script, tmp_path / "vault"],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["begun", "2"]
