"""Figs. 3 and 4 of PRIC at a tiny scale: every setting is measured, the paper's numbers are beside ours."""

import html
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from protocol.errors import BadInput
from simulations.cli import app
from simulations.reports.reproduction import ReproductionReport
from simulations.studies.reproductions import pric
from simulations.studies.reproductions.pric import FIGURES, SETTINGS, experiment, people
from simulations.studies.reproductions.runner import run

pytestmark = pytest.mark.slow

SCALE = replace(pric.SCALES["faces"], side=16, trained=64, tested=64, epochs=1)


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pric.SCALES, "faces", SCALE)
        patch.delitem(pric.FIGURES, "Fig. 3")
        yield


@pytest.fixture(scope="module")
def made(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReproductionReport, Path]:
    folder = tmp_path_factory.mktemp("pric") / "out"
    return run("pric", [1, 2], 1, None, folder, lambda what, done, total: None), folder


def test_every_setting_is_measured_beside_the_papers_numbers(made: tuple[ReproductionReport, Path]) -> None:
    report, folder = made
    assert sum(report.devices.values()) == 2 * len(FIGURES) * len(SETTINGS)
    assert len(report.rows) == len(FIGURES) * (len(SETTINGS) * (3 + 1) + 2)
    told = {row.what: row.cells["accuracy"].paper for row in report.rows}
    assert told["Fig. 4", "as published, lambda 0.1", "Male", "fresh attacker"] == 0.5741
    assert told["Fig. 4", "baseline, as published", "Male", "fresh attacker"] == 0.9664
    assert told["Fig. 4", "two time-scales, lambda 1", "Male", "fresh attacker"] is None
    page = html.unescape((folder / "report.html").read_text())
    assert all(claim.text in page for claim in report.claims)


def test_the_majority_class_is_no_better_than_chance_when_balanced(made: tuple[ReproductionReport, Path]) -> None:
    rows = {row.what: row.cells for row in made[0].rows}
    majority = rows["Fig. 4", "Male", "majority class"]
    assert majority["balanced accuracy"].ours.mean == 0.5
    assert majority["accuracy"].ours.mean < 0.75


def test_people_of_the_test_are_others() -> None:
    train, test = (people(SCALE, None, 1, purpose) for purpose in ("train", "test"))
    assert (len(train.images), len(test.images)) == (64, 64)
    assert not np.isin(test.persons, train.persons).any()


def test_equal_seeds_give_equal_numbers() -> None:
    recipe = SETTINGS["as published", 0.1]
    one, two = (experiment(torch.device("cpu"), SCALE, None, "Fig. 4", recipe, 1) for _ in range(2))
    assert one == two


def test_celeba_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulations.data.published._download", _no_network)
    with pytest.raises(BadInput, match="data set celeba is not in"):
        run("pric", [1, 2], 1, None, tmp_path / "out", lambda what, done, total: None, dataset="celeba", root=tmp_path)


def _no_network(*arguments: object) -> None:
    raise OSError("no network")


def test_data_sets_that_there_are_not_are_refused() -> None:
    for arguments in (["pric", "--dataset", "pets"], ["crowdbuy", "--dataset", "celeba"]):
        assert CliRunner().invoke(app, ["reproduce", *arguments]).exit_code == 2
