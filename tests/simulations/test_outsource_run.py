"""Outsourced training as a run: the same outcome everywhere, and a report that tells the truth."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from protocol.errors import BadScenario, ExpectationFailed
from simulations.cli import app
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.outsource.leaks import promise
from simulations.workflows.outsource.report import OutsourceReport
from simulations.workflows.outsource.scenario import OutsourceScenario, usual_settings
from simulations.workflows.outsource.world import build
from strategies.obfuscation import Obfuscation
from strategies.obfuscation.guarantee import mixing_epsilon

TINY: dict[str, Any] = {
    "workers": 1,
    "twin": False,
    "images": {"training": 120, "tests": 60, "side": 32},
    "service": {"epochs": 3, "batch": 16},
    "attackers": {"public": 0, "pairs": 0, "scored": 30},
    "compare": [],
}


def tiny(**changes: Any) -> OutsourceScenario:
    return OutsourceScenario.model_validate({**TINY, **changes})


def play(folder: Path, scenario: OutsourceScenario) -> OutsourceReport:
    report = run(scenario, folder)
    assert isinstance(report, OutsourceReport)
    return report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three owners, with every attacker and one other setting."""
    out = tmp_path_factory.mktemp("outsource") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simulations.workflows.outsource.attacks.UNET_STEPS", 10)
        attackers = {"public": 60, "pairs": 8, "scored": 30}
        run(tiny(owners=3, attackers=attackers, compare=[{"technique": "pixelize", "strength": 8}]), out)
    return out


@pytest.fixture
def report(folder: Path) -> OutsourceReport:
    return OutsourceReport.model_validate_json((folder / "report.json").read_bytes())


def test_the_report_says_what_was_played(report: OutsourceReport) -> None:
    outcome = report.outcome
    assert (outcome.owners, outcome.images, outcome.mixtures, outcome.epochs) == (3, 120, 60, 3)
    assert outcome.pictures == 180
    assert outcome.sent > 180 * 32 * 32 * 3
    assert outcome.low <= outcome.accuracy <= outcome.high
    assert outcome.majority == 0.5
    assert len(report.losses) == 3
    assert [point.own for point in report.tradeoffs] == [True, False]
    assert report.tradeoffs[0].privacy == outcome.privacy["dSSIM"]
    assert {flow.kind for flow in report.traffic} >= {"Enrolment", "Part", "TrainedModel"}
    assert {flow.source for flow in report.traffic} == {"service", "owner"}


def test_every_attack_has_its_score_or_says_why_not(report: OutsourceReport) -> None:
    for name, attack in report.attacks.items():
        if attack.fails is None:
            assert attack.after is not None, name
            assert attack.low <= attack.after <= attack.high, name
    fails = {name for name, attack in report.attacks.items() if attack.fails}
    assert fails == {"decoding", "interpolation", "deconvolution"}
    assert report.attacks["denoising"].dissimilarity < report.attacks["denoising"].dissimilarity_before
    assert len(report.learned) == 8


def test_the_common_rows_are_there(report: OutsourceReport) -> None:
    own, other = "noise-mix-75-25-20", "pixelize-8"
    assert {row.method for row in report.leaks} == {own, other}
    assert {row.criterion for row in report.leaks} == {"inference", "reconstruction", "membership"}
    assert {row.budget for row in report.leaks if row.method == own} == {1, 4}
    assert all(row.ceiling is not None for row in report.leaks)
    assert {row.observer for row in report.leaks} == {"the service"}
    assert [row.method for row in report.utility] == [row.method for row in report.promises] == [own, other]
    assert all("in the clear" in row.proven for row in report.promises)
    assert all("epsilon is at least" in row.proven for row in report.promises)
    assert {row.role for row in report.costs} == {"service", "owner"}
    assert report.schema_version == 2


def test_mixing_with_noise_has_an_epsilon_where_groups_are_random() -> None:
    setting = Obfuscation("dp-mix")
    promised = promise(setting, 16 * 16, 3, True, {})
    assert promised.epsilon == pytest.approx(mixing_epsilon(40, 8, 16 * 16, 3, 1e-5))
    assert promise(setting, 16 * 16, 3, False, {}).epsilon is None


def test_the_fid_says_whose_features_it_compares(report: OutsourceReport, folder: Path, tmp_path: Path) -> None:
    fid = report.outcome.fid
    assert fid is not None
    assert 0 <= fid.low <= fid.value <= fid.high
    assert fid.n == 12
    assert "by the features of the attackers&#39; compact network" in (folder / "report.html").read_text()
    torch.save({"fc.weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(BadScenario, match=r"attackers\.inception: .* is no file of these weights"):
        play(tmp_path / "run", tiny(attackers={**TINY["attackers"], "inception": str(tmp_path / "weights.pth")}))


def test_the_page_shows_pictures_and_plot_and_stands_alone(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<td><img src="data:image/jpeg') == 8 * 6
    assert "<svg" in page
    assert "does not apply" in page.lower()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert {path.name for path in folder.iterdir()} == {"cells", "report.html", "report.json", "messages.jsonl"}


def test_the_page_is_accessible(folder: Path, faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(folder / "report.html") == []


@pytest.mark.slow
@pytest.mark.parametrize("grid", [{"grid": "ray", "workers": 2}, {"grid": "grpc", "workers": 2}])
def test_the_outcome_is_the_same_on_every_grid(grid: dict[str, Any], tmp_path: Path) -> None:
    local = play(tmp_path / "local", tiny(owners=3))
    other = play(tmp_path / "other", tiny(owners=3, **grid))
    assert other.outcome == local.outcome
    assert not other.failed


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_the_outcome_is_the_same_for_every_worker_count(workers: int, tmp_path: Path) -> None:
    local = play(tmp_path / "local", tiny(owners=3))
    assert play(tmp_path / "ray", tiny(owners=3, grid="ray", workers=workers)).outcome == local.outcome


def test_another_seed_and_other_settings_give_another_outcome(tmp_path: Path) -> None:
    outcomes = [
        play(tmp_path / str(number), tiny(**changes)).outcome.digest
        for number, changes in enumerate(
            (
                {},
                {"seed": 8},
                {"obfuscation": {"pairing": "intra-class"}},
                {"obfuscation": {"each": "in-each-role"}},
                {"obfuscation": {"region": [0.25, 0.25, 0.5, 0.5]}},
                {"task": "classes"},
            )
        )
    ]
    assert len(set(outcomes)) == 6


def test_attacks_that_need_what_is_not_there_say_so(tmp_path: Path) -> None:
    changes = {"obfuscation": {"technique": "pixelize", "strength": 8}, "task": "classes"}
    attacks = play(tmp_path / "run", tiny(**changes)).attacks
    assert "nothing is mixed" in (attacks["unmixing"].fails or "")
    assert "learns from public images" in (attacks["cnn"].fails or "")
    assert "nothing is mixed" in (attacks["label"].fails or "")
    assert "leaked originals or more" in (attacks["reconstruction"].fails or "")


def test_classes_come_from_folders(tmp_path: Path) -> None:
    for shade, name in ((60, "dusk"), (190, "day")):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(40):
            Image.new("RGB", (40, 30), (shade, 3 * number, shade)).save(tmp_path / "mine" / name / f"{number}.png")
    scenario = tiny(task="classes", images={**TINY["images"], "folder": str(tmp_path / "mine")})
    report = play(tmp_path / "run", scenario)
    assert report.outcome.images == 53
    assert "There are 80 images of these classes, fewer than the scenario wants" in report.notes[0]
    assert report.outcome.accuracy > 0.5
    with pytest.raises(BadScenario, match="not of two known kinds: set task to classes"):
        build(scenario.model_copy(update={"task": "kinds"}))


def test_expectations_may_name_outcome_and_attacks(tmp_path: Path) -> None:
    with pytest.raises(ExpectationFailed, match=r"expected outcome.accuracy > 1, but it is"):
        run(tiny(expect={"outcome.accuracy": "> 1", "attacks.denoising.dissimilarity": "< 1"}), tmp_path / "run")
    with pytest.raises(BadScenario, match=r"the report has no outcome.acuracy; did you mean outcome.accuracy\?"):
        run(tiny(expect={"outcome.acuracy": "> 1"}), tmp_path / "other")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("obfuscation.technique=smear", "obfuscation.technique"),
        ("obfuscation.strength=-3", "obfuscation.strength"),
        ("obfuscation.strength=[2, 20]", "the strength of shuffle-mix is block, not 2 numbers"),
        ("obfuscation={technique: mix, least: {at: 0.5}}", "mix has no strength that a threshold could choose"),
        ("obfuscation={least: {at: 0.5}, strength: 3}", "a threshold (least) chooses the strength"),
        ("images.side=50", "squares of 8 pixels do not tile pictures of 50x50"),
        ("images.training=1", "images.training"),
        ("owners=5000", "2000 images are too few for 5000 owners"),
        ("service.architecture=huge", "service.architecture"),
    ],
)
def test_mistakes_are_named(setting: str, sentence: str) -> None:
    with pytest.raises(BadScenario) as mistake:
        load("outsource", ["obfuscation.technique=shuffle-mix", setting])
    assert sentence in str(mistake.value)


def test_a_threshold_chooses_the_strength_at_the_size_it_was_asked_at() -> None:
    obfuscation = {"technique": "shuffle-mix", "least": {"score": "dssim", "at": 0.6, "side": 64}}
    world = build(tiny(obfuscation=obfuscation))
    assert {owner.assignment.obfuscation for owner in world.owners} == {world.assignment.obfuscation}
    assert world.assignment.obfuscation == Obfuscation("shuffle-mix", strength=4)
    assert "The least shuffle-mix at which dSSIM is 0.6 or more on images of 64 pixels" in world.notes[0]
    assert "32 mixtures). On images of 32 pixels that is block 4." in world.notes[0]
    obfuscation["least"] = {"at": 2.5, "side": 64}
    with pytest.raises(BadScenario, match=r"obfuscation\.least: shuffle-mix scores .* at its strongest"):
        build(tiny(obfuscation=obfuscation))


def test_the_usual_settings_suit_any_size() -> None:
    for side in (16, 32, 48, 64, 96, 256):
        settings = usual_settings(side)
        compare = [
            {"technique": each.technique, "weights": each.weights, "strength": each.strength} for each in settings
        ]
        OutsourceScenario.model_validate({"images": {"side": side}, "compare": compare})


def test_the_command_prints_attacks_and_the_plot(tmp_path: Path) -> None:
    sets = [
        f"--set={key}"
        for key in (
            "images={training: 120, tests: 60, side: 32}", "service={epochs: 3, batch: 16}",
            "attackers={public: 0, pairs: 0}", "compare=[{technique: mix}]",
        )
    ]  # fmt: skip
    done = CliRunner().invoke(app, ["run", "outsource", *sets, "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "Denoising" in done.output
    assert "mix 0.75/0.25" in done.output
