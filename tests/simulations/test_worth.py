"""A CNN trained on what was bought, beside one trained on as many pictures at random."""

from pathlib import Path

import pytest
import torch
from conftest import Play, small

from protocol.compute.workshop import LocalWorkshop
from protocol.errors import GridUnavailable, RunFailed
from simulations.runs.runner import run
from simulations.runs.workshops import open_workshop
from simulations.workflows.purchase import worth as worth_module
from simulations.workflows.purchase.report.model import PurchaseReport, Worth
from simulations.workflows.purchase.words import tables
from simulations.workflows.purchase.worth import worth

pytestmark = pytest.mark.slow

TRAINED = small(buyer={"train": True})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[PurchaseReport, Path]:
    folder = tmp_path_factory.mktemp("worth") / "out"
    report = run(TRAINED, folder)
    assert isinstance(report, PurchaseReport)
    return report, folder


def test_the_report_says_what_the_pictures_are_worth(made: tuple[PurchaseReport, Path]) -> None:
    report, folder = made
    assert report.worth is not None
    assert (report.worth.classes, report.worth.trained) == (2, 6)
    assert 4 <= report.worth.pictures <= report.outcome.verified
    assert 0.6 < report.worth.bought <= 1  # two breeds; chance is 0.5
    assert 0.5 <= report.worth.random <= 1
    assert 'id="worth"' in (folder / "report.html").read_text()
    assert any(
        "CNN" in str(cell)
        for table in tables(report)
        for column in getattr(table, "columns", [])
        for cell in column.cells
    )


def test_training_changes_nothing_else_and_is_off_by_default(made: tuple[PurchaseReport, Path], tmp_path: Path) -> None:
    plain = run(small(), tmp_path / "out")
    assert isinstance(plain, PurchaseReport)
    assert plain.worth is None
    assert plain.outcome == made[0].outcome
    assert 'id="worth"' not in (tmp_path / "out" / "report.html").read_text()


def test_the_same_purchase_is_worth_the_same(made: tuple[PurchaseReport, Path], play_purchase: Play) -> None:
    with LocalWorkshop() as workshop:
        again = worth(play_purchase(TRAINED), workshop)
    assert isinstance(again, tuple)
    told, row = again
    assert isinstance(told, Worth)
    assert told == made[0].worth
    assert row == made[0].utility[-1]
    assert row.accuracy.value == pytest.approx(told.bought, abs=1e-6)
    assert row.learns


def test_where_nothing_can_be_told_a_note_says_why(tmp_path: Path) -> None:
    one = run(small(buyer={"train": True, "samples": {"classes": 1}}), tmp_path / "one")
    poor = run(small(buyer={"train": True, "budget": 0.5}), tmp_path / "poor")
    assert isinstance(one, PurchaseReport)
    assert isinstance(poor, PurchaseReport)
    assert one.worth is poor.worth is None
    assert any("two wanted classes" in note for note in one.notes)
    assert any("too few" in note for note in poor.notes)
    assert "too few" in (tmp_path / "poor" / "report.json").read_text()


def test_a_cnn_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(device: torch.device, *arguments: object) -> float:
        raise FloatingPointError("no luck")

    monkeypatch.setattr(worth_module, "train_and_test", broken)
    with pytest.raises(RunFailed, match="no luck"):
        run(TRAINED, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_workshop_is_where_the_parties_are() -> None:
    assert isinstance(open_workshop(TRAINED.model_copy(update={"workers": 1})), LocalWorkshop)
    with pytest.raises(GridUnavailable, match="no Ray cluster at"):
        run(small(grid="ray", workers=2, address="127.0.0.1:9", buyer={"train": True}), Path("unused"))
