"""`parley run federate`: the report tells what is learnt, what leaks, and what is promised."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parties.federate.workflow import STRATEGIES
from protocol.compute.workshop import LocalWorkshop
from protocol.errors import BadScenario, RunFailed
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.federate.attackers import Preparation
from simulations.workflows.federate.attacks import members, tell_property
from simulations.workflows.federate.report import FederateReport
from simulations.workflows.federate.scenario import PRIVATE, FederateScenario
from simulations.workflows.federate.words import verdict
from simulations.workflows.federate.world import build
from strategies.learning.group_normalised import new_group_normalised
from strategies.learning.weights import weights

SMALL: dict[str, Any] = {
    "workers": 1,
    "twin": False,
    "seed": 3,
    "clients": {"count": 5, "pictures": 8, "size": 16},
    "training": {"rounds": 2, "epochs": 1},
    "attacker": {"shadows": 2, "trials": 6, "strangers": 80, "probed": 1, "lira": 8},
    "methods": {"fedavg": {}, "secure-sum": {}, "dp": {"strategy": "dp-images", "epsilon": 2.0}},
}


def small(**changes: Any) -> FederateScenario:
    return FederateScenario.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federate") / "run"


@pytest.fixture(scope="module")
def report(folder: Path) -> FederateReport:
    found = run(small(attacker={**SMALL["attacker"], "fished": 1}), folder)
    assert isinstance(found, FederateReport)
    return found


def test_promises_are_those_of_the_accountants(report: FederateReport) -> None:
    promise = report.methods["dp"].promise
    assert promise is not None
    assert promise.epsilon == pytest.approx(2.0, rel=0.01)
    assert promise.epsilon_prv < promise.epsilon < promise.epsilon_person
    assert promise.bound == pytest.approx(0.7617, abs=0.005)
    assert report.methods["fedavg"].promise is None


def test_every_method_has_its_numbers(report: FederateReport) -> None:
    for name, each in report.methods.items():
        assert len(each.curve) == 3
        assert each.curve[-1] == each.accuracy
        learns = next(row for row in report.utility if row.method == name).learns
        assert bool(each.groups) == bool(each.robustness) == (each.gap is not None) == learns
        assert each.audited is not None
        assert each.audited.promised == (None if each.promise is None else each.promise.epsilon_person)
        assert (each.property_told is None) == (name == "secure-sum")
    assert report.outcome.inverted is not None
    assert report.outcome.inverted_private is not None
    assert report.outcome.inverted > report.outcome.inverted_private


def test_the_common_rows_are_there(report: FederateReport) -> None:
    found = {(row.method, row.observer, row.criterion) for row in report.leaks}
    assert found >= {
        ("fedavg", "anyone with the model", "membership"), ("fedavg", "the cloud", "inference"),
        ("fedavg", "the cloud", "reconstruction"), ("fedavg", "a malicious cloud", "reconstruction"),
        ("secure-sum", "a malicious cloud", "reconstruction"), ("dp", "a malicious cloud", "reconstruction"),
    }  # fmt: skip
    assert ("secure-sum", "the cloud", "inference") not in found
    members = [row for row in report.leaks if row.criterion == "membership" and row.method == "dp"]
    assert {(row.attack, row.budget) for row in members} == {
        ("loss", 1), ("shadow models", 1), ("LiRA", 1), ("LiRA", 4), ("RMIA", 1), ("RMIA", 4),
    }  # fmt: skip
    assert all(set(row.measures) == {"auc", "tpr_at_1_percent_fpr"} and row.ceiling is not None for row in members)
    assert [row.method for row in report.utility] == [row.method for row in report.promises] == list(report.methods)
    promised = report.promises[-1]
    assert (promised.unit, promised.epsilon) == ("an image", report.methods["dp"].promise.epsilon)
    assert "epsilon is at least" in promised.proven
    assert {row.role for row in report.costs} == {"cloud", "client"}
    assert report.schema_version == 2


def test_a_secure_sum_and_a_mean_are_one_model(report: FederateReport) -> None:
    plain, summed = (report.methods[name] for name in ("fedavg", "secure-sum"))
    assert summed.curve == pytest.approx(plain.curve, abs=0.002)


def test_planted_weights_read_images_of_who_adds_no_noise(report: FederateReport) -> None:
    assert report.outcome.read is not None
    assert report.outcome.read > 0.6
    assert report.outcome.read_private is None or report.outcome.read_private < 0.3


def test_bait_in_the_last_layer_catches_images_of_who_adds_no_noise(report: FederateReport, folder: Path) -> None:
    fished = {row.method: row for row in report.leaks if row.attack.startswith("fishing with the last layer")}
    assert set(fished) == {"fedavg", "secure-sum", "dp"}
    assert {row.observer for row in fished.values()} == {"a malicious cloud"}
    for name in ("fedavg", "secure-sum"):
        assert fished[name].measures["ssim"].value > 0.1
        assert 0 < fished[name].measures["read"].value < 1
    assert fished["dp"].measures["read"].value == 0
    assert "Fishing for User Data" in (folder / "report.html").read_text()


def test_no_attack_reads_the_truth(tmp_path: Path) -> None:
    """Who was trained on, who has the property and whose pictures these are changes no guess."""
    scenario, device = small(), torch.device("cpu")
    people = build(scenario, {}).people
    candidates = people.candidates(np.random.default_rng(1))
    start = weights(new_group_normalised(2, torch.Generator().manual_seed(1)))
    with LocalWorkshop() as workshop:
        knows = candidates.pictures, candidates.labels
        preparation = Preparation(workshop, scenario, people.known, people.strangers, knows, start)
        attackers = preparation.done()
    before = members(device, start, *knows, attackers)
    told = tell_property(device, [start, start], start, attackers.trials)
    generator = np.random.default_rng(2)
    for values in (candidates.members, candidates.persons, candidates.clients, people.has_property):
        generator.shuffle(values)
    for truth in (people.trained, people.others):
        generator.shuffle(truth.pictures)
        generator.shuffle(truth.labels)
        generator.shuffle(truth.attributes)
    after = members(device, start, *knows, attackers)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert np.array_equal(told, tell_property(device, [start, start], start, attackers.trials))


def test_the_folder_holds_it_all(report: FederateReport, folder: Path) -> None:
    written = json.loads((folder / "report.json").read_text())
    assert written["outcome"]["digest"] == report.outcome.digest
    page = (folder / "report.html").read_text()
    assert "the cloud sees no single update" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    kinds = {json.loads(line)["kind"] for line in (folder / "messages.jsonl").read_text().splitlines()}
    assert kinds == {
        "records", "KeyCall", "Advertisement", "Crowd", "Chosen", "Neighbours", "DealtShares", "Inbox", "TakenShares",
        "TrainCall", "MaskedValues", "Present", "Confirmation", "ShowCall", "ShownShares",
    }  # fmt: skip


def test_the_page_is_accessible(report: FederateReport, folder: Path, faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(folder / "report.html") == []


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["local", "ray", "grpc"])
def test_the_digest_is_the_same_on_every_grid(report: FederateReport, tmp_path: Path, grid: str) -> None:
    workers = {} if grid == "local" else {"workers": 2}
    elsewhere = run(small(grid=grid, **workers), tmp_path / grid)
    assert isinstance(elsewhere, FederateReport)
    assert elsewhere.outcome.digest == report.outcome.digest


def test_who_drops_out_is_told(tmp_path: Path) -> None:
    few = {"attacker": {**SMALL["attacker"], "probed": 0}, "methods": {"secure-sum": {}}}
    told = run(small(**few, adversaries={"dropping-client": 0.2}), tmp_path / "some")
    assert isinstance(told, FederateReport)
    assert [len(step.parties) for step in told.failed] == [2]  # one client, in two rounds
    with pytest.raises(RunFailed, match="secure-sum: 2 of 5 clients were left in a sum, and 4 are needed"):
        run(small(**few, adversaries={"dropping-client": 0.6}), tmp_path / "none")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("methods.mine.strategy=fedavgg", "there is no strategy 'fedavgg'; did you mean fedavg?"),
        ("methods.dp-images-8.epsilon=0", "epsilon is a positive number, not 0.0"),
        ("methods.dp-images-8.epsilon=-1", "epsilon is a positive number, not -1.0"),
        ("methods.fedavg.epsilon=1", "fedavg has no epsilon"),
        ("methods.mine.strategy=dp-clients", "dp-clients needs an epsilon"),
        ("methods.fedavg.mu=1", "mu is a setting of fedprox, not of fedavg"),
        ("methods.krum.malicious=9", "krum needs more than 2 x 9 + 2 clients"),
    ],
)
def test_mistakes_are_one_clear_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(BadScenario) as told:
        load("federate", [setting])
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_the_verdict_says_what_epsilon_rules_out_and_what_not(report: FederateReport) -> None:
    method = report.methods["dp"]
    assert method.promise is not None
    loose = method.model_copy(update={"promise": method.promise.model_copy(update={"epsilon": 8.0, "bound": 0.9993})})
    said = " ".join(verdict(report.model_copy(update={"methods": {**report.methods, "loose": loose}})))
    assert "dp: at ε = 2.00 no attack has an advantage beyond 0.76 on an image" in said
    assert "loose: epsilon is too large for a useful bound" in said
    assert "With secure-sum it sees no single update." in said


def test_the_page_begins_with_the_numbers_and_the_verdict(report: FederateReport, folder: Path) -> None:
    page = html.unescape((folder / "report.html").read_text())
    head = page[: page.index('<section id="how">')]
    assert head.count('class="tile"') == 6
    assert all(line in head for line in verdict(report))
    assert report.summary in head


def test_no_strategy_claims_more_than_an_epsilon() -> None:
    assert not any("nobody" in said for said in STRATEGIES.values())
    assert all("epsilon is per" in STRATEGIES[name] for name in PRIVATE)


def test_where_the_aggregator_asks_for_no_noise_the_report_promises_nothing(tmp_path: Path) -> None:
    few = {"attacker": {**SMALL["attacker"], "probed": 0, "lira": 4}, "methods": {"dp": SMALL["methods"]["dp"]}}
    report = run(small(**few, adversaries={"noiseless-cloud": 1}), tmp_path / "run")
    assert isinstance(report, FederateReport)
    assert report.notes[0] == (
        "Adversary noiseless-cloud, the aggregator: asks clients for differential privacy with next to no noise."
    )
    assert any("something else than was agreed by dp: these methods promise nothing" in note for note in report.notes)
    assert report.methods["dp"].promise is None


def test_where_everybody_is_honest_all_is_as_agreed(report: FederateReport) -> None:
    assert not any("agreed" in note for note in report.notes)
