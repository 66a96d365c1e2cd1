"""`grid: grpc`: parties in processes beside this one, over mutual TLS, to the same outcome as in this one."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from conftest import Play, small
from counting import Counting
from flwr.app import RecordDict

from deploy.processes import ProcessesGrid
from protocol.errors import GridUnavailable
from protocol.flower import FIRST_NODE_ID
from protocol.storage.vault import Vault
from simulations.runs.runner import run

CHEATS = {"swapped-delivery": 0.2, "feature-collision": 0.1, "dropping-out": 0.1}


def test_a_scenario_comes_to_the_same_outcome(tmp_path: Path, play_purchase: Play) -> None:
    scenario = small(adversaries=CHEATS)
    here = play_purchase(scenario)
    there = run(scenario.model_copy(update={"grid": "grpc", "workers": 1}), tmp_path / "grpc")
    assert there.outcome.digest == here.outcome.digest  # type: ignore[union-attr]
    assert here.outcome.delivered > 0
    folders = (tmp_path / "bought", tmp_path / "grpc" / "bought")
    bought = [sorted(path.name for path in folder.rglob("*.png")) for folder in folders]
    assert bought[0] == bought[1] != []
    assert multiprocessing.active_children() == []


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
    assert multiprocessing.active_children() == []


def test_a_party_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = multiprocessing.get_context("spawn").Process.start

    def start_and_kill(process: multiprocessing.Process) -> None:
        started(process)  # type: ignore[arg-type]
        os.kill(process.pid or 0, signal.SIGKILL)

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", start_and_kill)
    with pytest.raises(GridUnavailable, match="did not attach"):
        ProcessesGrid([Counting()], Vault(str(tmp_path)), workers=1)
    assert multiprocessing.active_children() == []
