"""Fig. 10 at a tiny scale: what is bought, what is trained, and what is said about it."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

from protocol.errors import GridUnavailable, OutputExists, RunFailed
from simulations.cli import app
from simulations.reports.reproduction import Interval, ReproductionReport, judge
from simulations.studies.reproductions import crowdbuy
from simulations.studies.reproductions.crowdbuy import QUALITIES, SYSTEMS, buying
from simulations.studies.reproductions.crowdbuy.buying import buy, category_shares, market
from simulations.studies.reproductions.runner import run
from strategies.features.coverage import Squares
from strategies.features.featurizer import Featurizer
from strategies.features.matching import matching_degree

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buying, "OFFERED", 90)
        patch.setattr(buying, "BOUGHT", 30)
        patch.setattr(crowdbuy, "TESTED", 40)
        patch.setattr(crowdbuy, "EPOCHS", 3)
        yield


@pytest.fixture(scope="module")
def made(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReproductionReport, Path]:
    folder = tmp_path_factory.mktemp("reproduction") / "out"
    return run("crowdbuy", [1, 2], 1, None, folder, lambda what, done, total: None), folder


def test_its_folder_is_one_report_for_people_and_one_for_programs(made: tuple[ReproductionReport, Path]) -> None:
    report, folder = made
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.html"}
    assert ReproductionReport.model_validate_json((folder / "report.json").read_text()) == report
    assert json.loads((folder / "report.json").read_text())["kind"] == "reproduction"
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 1
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
    assert all(claim.text in page for claim in report.claims)
    with pytest.raises(OutputExists):
        run("crowdbuy", [1, 2], 1, None, folder, lambda what, done, total: None)


def test_the_page_is_accessible(made: tuple[ReproductionReport, Path], faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(made[1] / "report.html") == []


def test_every_setting_is_measured_beside_the_papers_numbers(made: tuple[ReproductionReport, Path]) -> None:
    report, _ = made
    assert len(report.rows) == 2 * 3 * 2
    assert sum(report.devices.values()) == 2 * 2 * 2 * 3
    assert "one after the other" in report.equipment
    for row in report.rows:
        for cell in row.cells.values():
            assert 0 <= cell.ours.mean <= 1
    uniform, plus = report.rows[0], report.rows[1]
    assert uniform.what == ("categories uniform", "accuracy by category, known", "CrowdBuy")
    assert (uniform.cells["diversity"].paper, plus.cells["matching"].paper) == (0.80, 0.49)
    assert uniform.cells["quantity"].paper is None


def test_each_mechanism_gets_as_many_pictures_of_its_quality(tiny: None, featurizer: Featurizer) -> None:
    offered, calibration = market(1, "uniform", featurizer), featurizer.calibration
    for system in SYSTEMS:
        features = {q: offered.features[buy(offered, system, q, calibration, 1)] for q in QUALITIES}
        assert {len(of_quality) for of_quality in features.values()} == {30}
        degree = {q: matching_degree(f, offered.targets, calibration.radius).mean() for q, f in features.items()}
        area = {q: Squares(f, calibration.reach).union_area() for q, f in features.items()}
        assert max(degree, key=degree.__getitem__) == "matching"
        assert max(area, key=area.__getitem__) == "diversity"


def test_what_is_on_offer_shows_known_categories_only(tiny: None, featurizer: Featurizer) -> None:
    offered = market(3, "normal", featurizer)
    assert set(offered.breeds) <= set(offered.known)
    assert not set(offered.known) & set(offered.unknown)
    assert 1 <= len(offered.targets) <= 10
    shares = category_shares("normal", 5)
    assert shares.sum() == pytest.approx(1)
    assert shares.argmax() == 2


def test_intervals_are_students(made: tuple[ReproductionReport, Path]) -> None:
    values = [0.2, 0.5, 0.4, 0.45]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    interval = Interval.of(values)
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_a_claim_needs_every_difference() -> None:
    up, down, open_ = [0.1, 0.12, 0.11], [-0.1, -0.12, -0.11], [-0.1, 0.1, 0.05]
    assert judge("", {"a": up, "b": up}).verdict == "holds"
    assert judge("", {"a": up, "b": down}).verdict == "does not hold"
    assert judge("", {"a": up, "b": open_}).verdict == "not shown"


def test_a_cnn_that_fails_is_told(tiny: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(device: torch.device, *arguments: object) -> dict[str, float]:
        raise FloatingPointError("no luck")

    monkeypatch.setattr(crowdbuy, "train_and_test", broken)
    with pytest.raises(RunFailed, match="no luck"):
        run("crowdbuy", [1, 2], 1, None, tmp_path / "out", lambda what, done, total: None)
    assert list(tmp_path.iterdir()) == []


def test_no_cluster_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(GridUnavailable, match="no Ray cluster at"):
        run("crowdbuy", [1, 2], 2, "127.0.0.1:9", tmp_path / "out", lambda what, done, total: None)


@pytest.mark.slow
def test_the_command_prints_the_same_numbers_again(made: tuple[ReproductionReport, Path], tmp_path: Path) -> None:
    said = CliRunner().invoke(
        app, ["reproduce", "crowdbuy", "--seeds", "2", "--workers", "1", "--out", str(tmp_path / "out")]
    )
    assert said.exit_code == 0, said.output
    assert "the paper's claims" in said.output
    again = ReproductionReport.model_validate_json((tmp_path / "out" / "report.json").read_text())
    assert (again.rows, again.claims, again.summary) == (made[0].rows, made[0].claims, made[0].summary)
    assert CliRunner().invoke(app, ["reproduce", "nothing"]).exit_code == 2
