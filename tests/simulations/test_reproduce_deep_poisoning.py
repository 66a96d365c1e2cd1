"""Tables 1 to 5 at a tiny scale: every number of the paper has one beside it; pictures are prepared once."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from parties.album import UnreadableImage
from protocol.errors import BadInput
from simulations.cli import app
from simulations.reports.reproduction import Cell, ReproductionReport
from simulations.studies.reproductions.deep_poisoning.data import cropped
from simulations.studies.reproductions.deep_poisoning.paper import PAPER
from simulations.studies.reproductions.runner import run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReproductionReport, Path]:
    folder = tmp_path_factory.mktemp("reproduction") / "out"
    return run("deep-poisoning", [1, 2], 1, None, folder, lambda what, done, total: None, dataset="tiny"), folder


def numbers(report: ReproductionReport) -> dict[tuple[str, str, str], Cell]:
    tables = [*zip(("Table 1", "Table 2", "Table 3", "Table 4"), (table.rows for table in report.more), strict=True)]
    return {
        (name, row.what[0], column): cell
        for name, rows in (*tables, ("Table 5", report.rows))
        for row in rows
        for column, cell in row.cells.items()
    }


def test_every_number_of_the_paper_has_ours_beside_it(made: tuple[ReproductionReport, Path]) -> None:
    ours = numbers(made[0])
    assert {key for key in PAPER if "ResNet50" not in key[1]} <= ours.keys()
    assert all(cell.paper == PAPER.get(key) for key, cell in ours.items())
    accuracies = [cell.ours for key, cell in ours.items() if "top" in "".join(key)]
    assert all(0 <= each.mean <= 1 and each.low <= each.mean <= each.high for each in accuracies)
    assert [row.what[0].partition(",")[0] for row in made[0].rows][:12] == [str(number) for number in range(1, 13)]


def test_table_1_and_table_3_are_of_the_same_networks(made: tuple[ReproductionReport, Path]) -> None:
    ours = {key: cell.ours for key, cell in numbers(made[0]).items()}
    assert ours["Table 1", "ResNet101, top-1", "Original"] == ours["Table 3", "w/o", "top-1"]
    assert ours["Table 2", "ResNet101, SSIM", "Poisoned"] == ours["Table 3", "DPM", "SSIM"]
    assert ours["Table 5", "5, raw images S", "top-1"] == ours["Table 3", "w/o", "top-1"]


def test_every_claim_is_judged_and_the_control_is_among_them(made: tuple[ReproductionReport, Path]) -> None:
    report, folder = made
    texts = [claim.text for claim in report.claims]
    assert {text.partition(":")[0] for text in texts} == {*(f"Table {n}" for n in range(1, 6)), "Not in the paper"}
    assert any("its own features on the shared featurizer" in text for text in texts)
    page = (folder / "report.html").read_text()
    assert all(claim.text.split(" (")[0].replace("'", "&#39;") in page for claim in report.claims)
    assert sum(report.devices.values()) == 2 * 3


def test_data_sets_are_looked_for_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="imagenet"):
        run("deep-poisoning", [1, 2], 1, None, tmp_path / "out", lambda *_: None, dataset="imagenet", root=tmp_path)
    assert not (tmp_path / "out").exists()


def test_other_reproductions_have_no_data_set(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["reproduce", "crowdbuy", "--dataset", "imagenet"])
    assert done.exit_code == 2


def test_photographs_are_cropped_once_and_read_piece_by_piece(tmp_path: Path) -> None:
    class Photos(list[np.ndarray]):
        opened = 0

        def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]
            if index == 2:
                raise UnreadableImage("broken")
            Photos.opened += 1
            return super().__getitem__(index)

    wide, tall = np.full((40, 80, 3), 200, np.uint8), np.full((70, 35, 3), 90, np.uint8)
    photos = Photos([wide, tall, tall, wide])
    chosen = np.array([3, 1, 2])
    for _ in range(2):
        squares = cropped(photos, chosen, 28, tmp_path / "squares.npy")
        assert isinstance(squares, np.memmap)
        assert squares.shape == (3, 28, 28, 3)
        assert [int(square.mean()) for square in squares] == [200, 90, 0]
    assert Photos.opened == 2
    assert [path.name for path in tmp_path.iterdir()] == ["squares.npy"]
