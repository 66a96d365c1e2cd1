"""Parley as a Flower app, on our grid; `test_flower_runtime` runs it in Flower's own runtime."""

from collections import Counter
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from flwr.cli.build import build_fab_from_disk

from protocol.errors import BadScenario, OutputExists
from protocol.exchange import ask
from protocol.grids import LocalGrid, NumberedGrid
from protocol.messages.base import Hello, Introduction
from simulations.flower.apps import on_grid, run
from simulations.flower.bundle import client_app, scenario_for

ROOT = Path(__file__).parents[2]


def test_there_are_as_many_sellers_as_nodes_beside_the_buyer() -> None:
    scenario = scenario_for({"scenario": "purchase", "settings": "seed=5 'buyer.budget= 3'"}, 4)
    assert (scenario.sellers.count, scenario.seed, scenario.buyer.budget) == (3, 5, 3.0)


@pytest.mark.parametrize(
    ("name", "settings", "nodes", "sentence"),
    [
        ("purchase", "", 1, "two nodes or more"),
        ("purchase-noise", "", 5, "a sweep is many purchases"),
        ("purchase", "buyer.budgt=1", 5, "did you mean budget"),
    ],
)
def test_what_cannot_be_played_is_a_bad_scenario(name: str, settings: str, nodes: int, sentence: str) -> None:
    with pytest.raises(BadScenario, match=sentence):
        scenario_for({"scenario": name, "settings": settings}, nodes)


def test_nodes_for_whom_there_are_no_pictures_stand_by(tmp_path: Path) -> None:
    settings = "dataset=digits sellers.album.images=100 sellers.album.classes=1 sellers.noise=0.5"
    config = {"scenario": "purchase", "settings": settings, "out": str(tmp_path)}
    grid = NumberedGrid(LocalGrid([client_app] * 60, 1, config))
    answers = ask(grid, "introduce", dict.fromkeys(grid.get_node_ids(), Hello()), Introduction).answers
    roles = Counter(answer.role for answer in answers.values())
    assert roles["buyer"] == 1
    assert roles["seller"] > 1
    assert roles["party"] > 1
    assert roles.total() == 60


def test_a_report_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "purchase-1").mkdir()
    with pytest.raises(OutputExists, match="name another folder with --run-config"):
        run(ROOT, on_grid("local"), 3, [f'out="{tmp_path}"'])


def test_the_bundle_that_flower_sends_is_allowed_and_holds_the_code_but_no_weights() -> None:
    with ZipFile(BytesIO(build_fab_from_disk(ROOT))) as bundle:
        names = set(bundle.namelist())
    assert names >= {
        "simulations/flower/bundle.py",
        "simulations/scenarios/purchase.yaml",
        "parties/featurizers/small.json",
    }
    assert "parties/featurizers/small.safetensors" not in names
