"""Tables 2 to 7 at a tiny scale: what is measured, beside which numbers, and what is said about it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from protocol.errors import BadInput
from simulations.cli import app
from simulations.data.stock import PaintedPets
from simulations.studies.reproductions.obfuscation import TradeOffReport
from simulations.studies.reproductions.obfuscation.jobs import Set, attack, restoration
from simulations.studies.reproductions.obfuscation.paper import AGREEMENT, ATTACK, DRAWN, TRADEOFF
from simulations.studies.reproductions.obfuscation.scale import HERE, PAPER, SCALES, Scale
from simulations.studies.reproductions.obfuscation.tables import ACCURACY, INTRA, PRIVACY
from simulations.studies.reproductions.runner import run
from simulations.workflows.outsource.tradeoff import Lesson, train_and_test
from strategies.obfuscation import Obfuscation

pytestmark = pytest.mark.slow

TINY = Scale(48, 40, 40, 40, 1, 16, "compact", 1, 2)


def painted(count: int, purpose: str, breeds: int = 10, size: int = 48) -> Set:
    classes = np.arange(count, dtype=np.int64) % breeds
    album, _ = PaintedPets(1, size=size).take(classes * (20 // breeds), purpose)
    return Set(np.stack([album[place] for place in range(count)]), classes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TradeOffReport, Path]:
    folder = tmp_path_factory.mktemp("reproduction") / "out"
    report = run("obfuscation", [1, 2], 1, None, folder, lambda what, done, total: None, scale=TINY)
    assert isinstance(report, TradeOffReport)
    return report, folder


def test_every_setting_is_measured_beside_the_papers_numbers(made: tuple[TradeOffReport, Path]) -> None:
    report, _ = made
    assert len(report.rows) == 1 + len(TRADEOFF) + len(DRAWN)
    noise = next(row for row in report.rows if row.what == ("noise-mix lambda 0.75", "20"))
    assert (noise.cells[ACCURACY].paper, noise.cells[PRIVACY].paper) == (0.913, 0.65)
    assert noise.cells[INTRA].paper == 0.8894
    for row in report.rows:
        for cell in row.cells.values():
            assert 0 <= cell.ours.mean <= 1
    vision, people, attacked, restored = report.more
    assert [row.what[0] for row in attacked.rows][: len(ATTACK)] == list(ATTACK)
    assert len(vision.rows) == len(people.rows) == len(AGREEMENT["vision", "dogs"])
    assert vision.rows[2].cells["AUC"].paper == 0.83
    assert len(restored.rows) == 3


def test_every_claim_is_judged_and_the_page_says_what_stands_in(made: tuple[TradeOffReport, Path]) -> None:
    report, folder = made
    page = (folder / "report.html").read_text()
    assert len(report.claims) == 12
    assert all(claim.text in page for claim in report.claims)
    assert "No people and no vision service were asked" in page
    assert page.count("<svg") == 6
    assert page.count("<image") == len(report.examples) == 8
    assert all("Fig. " + number in page for number in "12345")
    assert {(each.recogniser, each.score) for each in report.curves} >= {("people", "dSSIM"), ("vision", "dHaarPSI")}
    for each in report.curves:
        assert np.all(np.diff(each.true_positives) >= -1e-4)
        assert np.all(np.diff(each.false_positives) <= 0)
    assert "at this size, by seed, pixelize-mix: " in page
    assert TradeOffReport.model_validate_json((folder / "report.json").read_text()) == report
    assert len(report.tradeoffs) == len(TRADEOFF) + len(DRAWN)


def test_obfuscated_training_learns_and_stronger_settings_score_higher() -> None:
    training, tests = painted(240, "training", 2), painted(100, "tests", 2)
    lesson = Lesson(training.pictures, training.classes, tests.pictures, tests.classes, 2, epochs=8, repeat=True)
    points = [
        train_and_test(torch.device("cpu"), lesson, setting, 1)
        for setting in (None, Obfuscation("noise-mix", (0.75, 0.25), 20), Obfuscation("noise-mix", (0.5, 0.5), 40))
    ]
    assert points[0].accuracy > 0.85
    assert points[1].accuracy > 0.7
    assert 0 == points[0].privacy < points[1].privacy < points[2].privacy


def test_the_cnn_attack_names_what_is_only_pixelized() -> None:
    public, fresh = painted(300, "public", 4), painted(120, "fresh", 4)
    scale = replace(TINY, attack_epochs=12)
    shown, hidden = (
        attack(torch.device("cpu"), scale, public, fresh, setting, 1)
        for setting in (Obfuscation("pixelize", (1.0,), 16), Obfuscation("noise-mix", (0.5, 0.5), 40))
    )
    assert shown > 0.75
    assert hidden < shown - 0.2


def test_deblurring_wins_back_what_mild_denoising_does_not() -> None:
    found = restoration(torch.device("cpu"), TINY, painted(80, "fresh"), 1)
    before, after = found["Wiener deconvolution of blur and mixing"]
    assert after < 0.8 * before
    before, after = found["mild denoising of noise and mixing"]
    assert abs(after - before) < 0.01


def test_lengths_shrink_with_the_images() -> None:
    assert HERE.setting("shuffle-mix", 0.5, 8) == Obfuscation("shuffle-mix", (0.5, 0.5), 4)
    assert HERE.setting("pixelize", 1.0, 16) == Obfuscation("pixelize", (1.0,), 6)
    assert HERE.setting("noise-mix", 0.75, 20).strength == 20
    for scale in SCALES.values():
        for setting in (*TRADEOFF, *DRAWN):
            chosen = scale.setting(*setting)
            if scale is PAPER:
                assert chosen.strength == setting[2]


def test_own_folders_are_taken_and_too_small_ones_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for name in range(10):
        (mine / str(name)).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (64, 64), (20 * name, 60 * number, 90)).save(mine / str(name) / f"{number}.png")
    options = {"dataset": "folder", "root": mine, "scale": TINY}
    with pytest.raises(BadInput, match="images for training: a reproduction needs 40 or more"):
        run("obfuscation", [1, 2], 1, None, tmp_path / "out", lambda *told: None, **options)
    assert not (tmp_path / "out").exists()


def test_other_data_sets_are_named() -> None:
    wrong = CliRunner().invoke(app, ["reproduce", "obfuscation", "--dataset", "faces"])
    assert wrong.exit_code == 2
    assert "oxford_pets" in wrong.output
    wrong = CliRunner().invoke(app, ["reproduce", "crowdbuy", "--dataset", "pets"])
    assert wrong.exit_code == 2
    assert "takes no other data set" in wrong.output
