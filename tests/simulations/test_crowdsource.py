"""A round of crowdsourcing at a tiny scale: what is played, measured and said. And that it protects, over 3 seeds."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import merge

from parties.adversaries import ADVERSARIES
from protocol.errors import BadScenario, RunFailed
from simulations.runs.runner import run
from simulations.scenarios.files import commented, load
from simulations.workflows.crowdsource.attacks import DEEP, ENSEMBLE, FRESH, Knowledge, Received, attack, trained
from simulations.workflows.crowdsource.report import CrowdsourceReport
from simulations.workflows.crowdsource.rows import leaks, pairs, scales
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.scoring import Truth, score
from simulations.workflows.crowdsource.words import verdict
from simulations.workflows.crowdsource.world import Portraits, build
from strategies.pric.reading import scored
from strategies.pric.training import Recipe, Trained

DEVICE = torch.device("cpu")

TINY: dict[str, Any] = {
    "workers": 1,
    "twin": False,
    "seed": 3,
    "side": 16,
    "tested": 60,
    "collector": {"pictures": 160, "epochs": 1, "curve": [4.0], "weight": 0.5},
    "participants": {"count": 30, "album": 2},
    "attackers": {"pictures": [40]},
}


def tiny(**changes: Any) -> CrowdsourceScenario:
    return CrowdsourceScenario.model_validate(merge(TINY, changes))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrowdsourceReport, Path]:
    folder = tmp_path_factory.mktemp("crowdsource") / "out"
    report = run(tiny(), folder)
    assert isinstance(report, CrowdsourceReport)
    return report, folder


class TestRun:
    def test_its_folder_is_complete_and_the_page_needs_nothing_else(self, played: Any) -> None:
        report, folder = played
        assert {path.name for path in folder.iterdir()} == {"cells", "report.json", "report.html", "messages.jsonl"}
        assert CrowdsourceReport.model_validate_json((folder / "report.json").read_text()) == report
        page = (folder / "report.html").read_text()
        assert page.count("<figure>") == 2
        assert page.count("reconstructed, undefended") == 10
        assert not re.findall(r"(?:src|href)=\"(?!#|data:)", page)
        for said in (report.summary, *verdict(report)):
            assert said.partition("'")[0] in page

    def test_the_page_is_accessible(self, played: Any, faults_of: Callable[..., list[str]]) -> None:
        assert faults_of(played[1] / "report.html") == []

    def test_every_extractor_is_measured_the_undefended_one_first(self, played: Any) -> None:
        report, _ = played
        assert [setting.weight for setting in report.settings] == [None, 0.5, 4.0]
        assert not any(setting.together for setting in report.settings)
        assert report.settings[report.chosen].weight == 0.5
        for setting in report.settings:
            assert setting.tasks.keys() == {"Male", "Heavy_Makeup", "Smiling"}
            assert setting.fresh.keys() == setting.in_loop.keys() == setting.induced.keys() == {"Eyeglasses"}
        assert [each.source for each in report.settings[0].attacks] == ["public", "leaked", *["public"] * 3]
        assert [each.budget for each in report.settings[1].attacks] == [1, 1, 1, 1, 1, 4, 4]
        assert report.settings[2].leaks is None

    def test_rows_say_what_leaks_what_it_is_worth_what_it_costs_and_that_nothing_is_proven(self, played: Any) -> None:
        report, folder = played
        methods = ["undefended", "lambda 0.5", "lambda 4"]
        assert list(dict.fromkeys(row.method for row in report.leaks)) == methods
        assert [each.method for each in report.promises] == methods
        assert {row.budget for row in report.leaks if row.method == "lambda 0.5"} == {1, 4}
        assert {row.criterion for row in report.leaks if row.method == "lambda 4"} == {"inference"}
        assert {(row.observer, row.criterion) for row in report.leaks if row.method == "lambda 0.5"} == {
            ("anyone with the tasks' model", "membership"),
            ("the collector", "inference"), ("the collector", "linkability"), ("the collector", "membership"),
            ("the collector", "reconstruction"), ("the collector, told by some participants", "inference"),
        }  # fmt: skip
        assert len(report.utility) == 3 * 3
        assert [each.role for each in report.costs] == ["collector", "participant"]
        assert 'id="evaluation"' in (folder / "report.html").read_text()

    def test_outcome_counts_what_crossed_the_wire(self, played: Any) -> None:
        report, folder = played
        outcome = report.outcome
        assert (outcome.participants, outcome.contributed, outcome.pictures, outcome.labelled) == (30, 30, 60, 60)
        assert outcome.bytes_as_numbers == 60 * 32 * 4 * 4 * 4
        assert outcome.bytes_sent == 60 * (32 * 4 * 4 + 4)
        assert outcome.bytes_as_pictures == 60 * 3 * 16 * 16
        lines = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
        assert {line["kind"] for line in lines} == {
            "Hello", "Introduction", "SignedPublication", "Contribution", "SignedTaskCall", "TaskLabels",
        }  # fmt: skip
        told = sum(line["bytes"] for line in lines if line["kind"] == "Contribution")
        assert outcome.bytes_sent < told < 2 * outcome.bytes_sent

    def test_a_picture_that_the_collector_holds_is_found_among_those_received(self, played: Any) -> None:
        assert played[0].outcome.presence > 0.99

    def test_the_same_seed_gives_the_same_outcome(self, played: Any, tmp_path: Path) -> None:
        again = run(tiny(), tmp_path / "again")
        assert isinstance(again, CrowdsourceReport)
        assert again.outcome == played[0].outcome

    @pytest.mark.slow
    def test_ray_workers_give_the_same_outcome(self, played: Any, tmp_path: Path) -> None:
        there = run(tiny(grid="ray", workers=2), tmp_path / "ray")
        assert isinstance(there, CrowdsourceReport)
        assert there.outcome == played[0].outcome

    def test_cheats_take_part_and_are_counted(self, tmp_path: Path) -> None:
        report = run(tiny(adversaries={"mislabelled": 0.5, "garbage-representations": 0.1}, collector={"curve": []}),
                     tmp_path / "out")  # fmt: skip
        assert isinstance(report, CrowdsourceReport)
        assert "Adversary mislabelled: 15 participants." in report.notes
        assert "Adversary garbage-representations: 3 participants." in report.notes
        assert "<figure>" not in (tmp_path / "out" / "report.html").read_text()

    def test_nothing_is_left_of_a_round_that_failed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("simulations.workflows.crowdsource.run.FEWEST", 31)
        with pytest.raises(RunFailed, match="only 30 participants sent representations and labels"):
            run(tiny(), tmp_path / "out")
        assert not list(tmp_path.iterdir())


def test_a_collector_whose_extractor_hides_nothing_is_found_out_by_participants_who_test_it(tmp_path: Path) -> None:
    report = run(tiny(adversaries={"identity-extractor": 1}, collector={"curve": []}, twin=False), tmp_path / "out")
    assert isinstance(report, CrowdsourceReport)
    assert any("A test by participants, who learn from 15 pictures" in note for note in report.notes)
    plain, restored = (row for row in report.leaks if row.criterion == "reconstruction")
    assert restored.measures["ssim"].value > plain.measures["ssim"].value / 2


FEDERATED: dict[str, Any] = {"federated": {"rounds": 3, "called": 4, "warm_up": 1}, "collector": {"curve": []}}


@pytest.fixture(scope="module")
def federated(tmp_path_factory: pytest.TempPathFactory) -> tuple[CrowdsourceReport, Path]:
    folder = tmp_path_factory.mktemp("federated") / "out"
    report = run(tiny(**FEDERATED), folder)
    assert isinstance(report, CrowdsourceReport)
    return report, folder


class TestTrainedByParticipants:
    def test_it_is_measured_beside_what_the_collector_trains_with_the_same_lambda(self, federated: Any) -> None:
        report, folder = federated
        assert [(each.weight, each.together) for each in report.settings] == [(None, False), (0.5, False), (0.5, True)]
        assert report.chosen == 2
        assert any("trained by the collector with the same lambda" in line for line in verdict(report))
        page = (folder / "report.html").read_text()
        assert "0.5, trained by participants" in page
        assert "Participants train a feature extractor on their own phones, 4 at a time" in page

    def test_what_crosses_the_wire_are_masked_sums_as_often_as_there_are_rounds(self, federated: Any) -> None:
        kinds = [json.loads(line)["kind"] for line in (federated[1] / "messages.jsonl").read_text().splitlines()]
        assert kinds.count("SignedTrainingPlan") == kinds.count("Acknowledgement") == 30
        steps = (
            "KeyCall Advertisement Crowd Chosen Neighbours DealtShares Inbox TakenShares GradientRequest MaskedValues"
            " Present Confirmation ShowCall ShownShares"
        )
        assert [kinds.count(kind) for kind in steps.split()] == [3 * 4] * 14
        assert {line for line in kinds if line.endswith("Labels")} == {"TaskLabels"}

    @pytest.mark.slow
    def test_ray_workers_train_the_same(self, federated: Any, tmp_path: Path) -> None:
        there = run(tiny(**FEDERATED, grid="ray", workers=2), tmp_path / "ray")
        assert isinstance(there, CrowdsourceReport)
        assert there.outcome == federated[0].outcome

    def test_more_called_than_there_are_is_one_sentence(self) -> None:
        with pytest.raises(BadScenario, match=r"federated.called: 60 is more than participants.count, 50"):
            load("crowdsource-federated", ["federated.called=60", "participants.count=50"])


class TestScenario:
    @pytest.mark.parametrize("name", ["crowdsource", "crowdsource-male", "crowdsource-federated"])
    def test_packaged_ones_load(self, name: str) -> None:
        scenario = load(name)
        assert isinstance(scenario, CrowdsourceScenario)
        assert scenario.collector.hide == (("Male",) if name == "crowdsource-male" else ("Eyeglasses",))

    def test_one_to_start_from_has_a_comment_on_each_key(self) -> None:
        assert "lambda of Eq. 6" in commented("crowdsource")

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("collector.hide=[Glasses]", "collector.hide: there is no attribute 'Glasses'"),
            ("collector.tasks=[Eyeglasses]", "collector: the task Eyeglasses is also in collector.hide"),
            ("attackers.pictures=[6000]", "6000 is not less than collector.pictures"),
            ("side=50", "a side is a multiple of 16 pixels, not 50"),
            ("adversaries={ring: 0.1}", "ring"),
        ],
    )
    def test_mistakes_are_one_sentence(self, setting: str, said: str) -> None:
        with pytest.raises(BadScenario, match=re.escape(said)):
            load("crowdsource", [setting])


@dataclass(frozen=True)
class Laid:
    """What a collector has, and the truth, without a round that is played."""

    knows: Knowledge
    truth: Truth

    @classmethod
    def out(cls, scenario: CrowdsourceScenario, seed: int = 1) -> "Laid":
        world, section = build(scenario, bytes(32), ADVERSARIES), scenario.collector
        knows = Knowledge(world.public, world.test.images, section.hide, section.tasks, True, 1, seed)
        return cls(knows, Truth(world.held, world.test, section.hide, section.tasks))

    def extractor(self, recipe: Recipe) -> Trained:
        return trained(DEVICE, self.knows.public, self.truth.hide, recipe, "compact", self.knows.seed)

    def received(self, extractor: Trained) -> Received:
        """What honest participants would send."""
        held = self.truth.held
        return Received(self.knows.arriving(extractor, held.images), held.columns(self.truth.tasks))


class TestAttacks:
    """Each succeeds where nothing is defended: on representations that show everything."""

    def test_every_attack_succeeds_undefended(self) -> None:
        laid = Laid.out(tiny(side=32, collector={"pictures": 600}, participants={"count": 80, "album": 2}, tested=150))
        knows, truth = laid.knows, laid.truth
        open_ = laid.extractor(tiny().collector.undefended())
        findings = attack(DEVICE, laid.received(open_), open_, knows, truth.clues([100], 0.25))
        found = score(findings, truth, knows, None)
        setting, other = found.setting, found.setting.leaks
        assert other is not None
        assert setting.fresh["Eyeglasses"].balanced > 0.85
        assert setting.attacks[0].private["Eyeglasses"].auc < setting.fresh["Eyeglasses"].auc
        assert {each.attack for each in findings.guesses} == {FRESH, DEEP, ENSEMBLE}
        assert other.recognised > 10 / other.owners
        assert other.ssim > 0.3
        assert other.presence > 0.99
        assert other.membership > 0.55
        assert found.reconstructions.shape == (10, 32, 32, 3)
        rows = list(leaks([found], truth, open_.extractor))
        assert {row.criterion for row in rows} == {"inference", "linkability", "membership", "reconstruction"}
        by_all = [row for row in rows if row.observer == "the collector" and "100 pictures" not in row.attack]
        assert len(by_all) == 3 * 2 + 3
        for row in by_all:
            assert row.risk is not None
            assert row.risk.low > 0, (row.what, row.attack)
        deep = next(row for row in rows if row.attack.startswith(DEEP) and row.what.endswith("picture by picture"))
        assert 0.2 < deep.measures["information, nats"].value < deep.measures["entropy, nats"].value
        assert deep.measures["auc"].low > 0.9

    def test_no_attack_reads_the_truth(self) -> None:
        """With attributes and pictures of participants shuffled, but for those that are known, guesses are the same."""
        laid = Laid.out(tiny())
        knows, truth = laid.knows, laid.truth
        open_ = laid.extractor(tiny().collector.undefended())
        received, clues = laid.received(open_), truth.clues([40], 0.2)
        held = truth.held
        told, again = (
            attack(DEVICE, received, open_, knows, each)
            for each in (clues, replace(truth, held=_shuffled(held, len(clues.leaked))).clues([40], 0.2))
        )
        assert told.further is not None
        assert again.further is not None
        assert np.array_equal(told.tasks, again.tasks)
        for one, other in zip([*told.guesses, *told.further.few], [*again.guesses, *again.further.few], strict=True):
            assert np.array_equal(one.logits, other.logits)
        assert torch.equal(told.further.pictures, again.further.pictures)
        for name in ("named", "learnt", "sent"):
            assert np.array_equal(getattr(told.further, name), getattr(again.further, name))


def _shuffled(held: Portraits, known: int) -> Portraits:
    """Give the pictures that are not told of other attributes."""
    attributes = held.attributes.copy()
    attributes[known:] = np.roll(attributes[known:], 1, 0)
    return replace(held, attributes=attributes)


class TestScales:
    """Balanced accuracy, AUC and information, with intervals over people."""

    def test_they_are_what_others_compute(self) -> None:
        generator = np.random.default_rng(1)
        has = generator.random(400) < 0.3
        logits = generator.normal(size=400) + 1.5 * has - 1
        found = scales(logits, has, np.repeat(np.arange(100), 4), 0.3)
        read = scored(logits, has, 0.3)
        assert found["accuracy"].value == pytest.approx(read.accuracy)
        assert found["balanced accuracy"].value == pytest.approx(read.balanced)
        assert (
            found["auc"].value
            == pytest.approx(read.auc)
            == pytest.approx(pairs(logits, has, np.arange(400)).rate.value)
        )
        assert found["auc"].low < read.auc < found["auc"].high
        assert found["information, nats"].value < found["entropy, nats"].value

    def test_a_coin_tells_nothing(self) -> None:
        has = np.arange(200) % 4 == 0
        found = scales(np.full(200, np.log(1 / 3)), has, np.arange(200), 0.25)
        assert found["auc"].value == pytest.approx(0.5)
        assert found["information, nats"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_it_protects_and_serves_over_three_seeds(record_property: Callable[[str, object], None]) -> None:
    """Issue 7, "Must hold"; the packaged scenario's settings."""
    scenario = load("crowdsource")
    assert isinstance(scenario, CrowdsourceScenario)
    section = scenario.collector
    rows = []
    for seed in (1, 2, 7):
        laid = Laid.out(scenario.model_copy(update={"seed": seed}), seed)
        recipes = {None: section.undefended(), 1.0: section.recipe(1.0), 3.0: section.recipe(3.0)}
        found = {}
        for weight, recipe in recipes.items():
            done = laid.extractor(recipe)
            found[weight] = score(
                attack(DEVICE, laid.received(done), done, laid.knows), laid.truth, laid.knows, weight
            ).setting
        truth = laid.truth.private.mean()
        rows.append(
            {
                "majority": max(truth, 1 - truth),
                **{
                    f"{name} {weight}": reading.accuracy
                    for weight, each in found.items()
                    for name, reading in {**each.tasks, **each.fresh, "along": each.in_loop["Eyeglasses"]}.items()
                },
            }
        )
        print(json.dumps({name: round(float(value), 3) for name, value in rows[-1].items()}), flush=True)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    record_property("means", mean)
    for row in rows:
        way = (row["Eyeglasses None"] - row["Eyeglasses 1.0"]) / (row["Eyeglasses None"] - row["majority"])
        assert way >= 0.5
        for weight in (1.0, 3.0):
            assert (
                row[f"Eyeglasses {weight}"] >= row[f"along {weight}"] - 0.02
            )  # one standard error of 4,000 pictures is .007
    for task in ("Male", "Heavy_Makeup"):
        assert mean[f"{task} None"] - mean[f"{task} 1.0"] < 0.08
    utility = {weight: np.mean([mean[f"{task} {weight}"] for task in section.tasks]) for weight in (1.0, 3.0)}
    assert utility[3.0] > utility[1.0]
    assert mean["Eyeglasses 3.0"] > mean["Eyeglasses 1.0"]
