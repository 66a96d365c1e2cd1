"""`parley run federate`: the report tells what is learnt, what leaks, and what is promised."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parties.federate.workflow import STRATEGIES
from protocol.errors import BadScenario, RunFailed
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.federate.report import FederateReport
from simulations.workflows.federate.scenario import PRIVATE, FederateScenario
from simulations.workflows.federate.words import verdict

SMALL: dict[str, Any] = {
    "workers": 1,
    "seed": 3,
    "clients": {"count": 5, "pictures": 8, "size": 16},
    "training": {"rounds": 2, "epochs": 1},
    "attacker": {"shadows": 2, "trials": 6, "strangers": 80, "probed": 1},
    "methods": {"fedavg": {}, "secure-sum": {}, "dp": {"strategy": "dp-images", "epsilon": 2.0}},
}


def small(**changes: Any) -> FederateScenario:
    return FederateScenario.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("federate") / "run"


@pytest.fixture(scope="module")
def report(folder: Path) -> FederateReport:
    found = run(small(), folder)
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
        assert set(each.groups) == {"younger women", "older women", "younger men", "older men"}
        assert each.gap == max(each.groups.values()) - min(each.groups.values())
        assert [moved.accuracy for moved in each.robustness] == sorted(
            (moved.accuracy for moved in each.robustness), reverse=True
        )
        assert (each.property_told is None) == (name == "secure-sum")
    assert report.outcome.inverted is not None
    assert report.outcome.inverted_private is not None
    assert report.outcome.inverted > report.outcome.inverted_private


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
    report = run(small(adversaries={"noiseless-cloud": 1}), tmp_path / "run")
    assert isinstance(report, FederateReport)
    assert report.notes[0] == (
        "Adversary noiseless-cloud, the aggregator: asks clients for differential privacy with next to no noise."
    )
    assert any("something else than was agreed by dp: these methods promise nothing" in note for note in report.notes)
    assert report.methods["dp"].promise is None


def test_where_everybody_is_honest_all_is_as_agreed(report: FederateReport) -> None:
    assert not any("agreed" in note for note in report.notes)
