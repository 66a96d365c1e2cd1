"""`parley run publish`: the report says what is promised, and what attacks achieve."""

import html
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import parley
import pytest
import torch
from parley import adversary

from parties.adversaries.meddling import MeddledExchange
from parties.publish.publisher import mechanism_of
from parties.publish.workflow import Collection, Curator, Publish
from parties.workflow import OnStep, any_step, unwatched
from protocol.compute.workshop import LocalWorkshop
from protocol.errors import BadScenario
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.messages.base import ProtocolMessage
from protocol.messages.publish import CallForPictures, Gallery
from simulations.runs.cells import name_of
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.workflows.publish.evaluation import evaluate
from simulations.workflows.publish.report import PublishReport
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.words import verdict
from simulations.workflows.publish.world import build
from strategies.pixels import to_pictures
from strategies.privacy.stream import Stream

SMALL: dict[str, Any] = {
    "workers": 1,
    "twin": False,
    "seed": 3,
    "owners": {"count": 6, "pictures": 6, "publish": 5, "size": 32},
    "attacker": {"known": 12, "strangers": 60, "epochs": 6},
    "methods": {
        "raw": {"mechanism": "plain"},
        "pix": {"mechanism": "dp-pix", "epsilon": 0.5},
        "svd": {"mechanism": "dp-svd", "epsilon": 0.01},
        "snow": {"mechanism": "snow", "delta": 0.4},
    },
}


def small(**changes: Any) -> PublishScenario:
    return PublishScenario.model_validate({**SMALL, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publish") / "run"


@pytest.fixture(scope="module")
def report(folder: Path) -> PublishReport:
    found = run(small(), folder)
    assert isinstance(found, PublishReport)
    return found


def test_promises_and_losses(report: PublishReport) -> None:
    pix, raw = report.methods["pix"], report.methods["raw"]
    assert [each.pictures for each in pix.of_an_owner] == [1, 5]
    assert [each.epsilon for each in pix.of_an_owner] == pytest.approx([0.5, 2.5])
    assert pix.of_an_owner[1].composed is not None
    assert pix.of_an_owner[1].composed <= 2.5
    assert pix.of_all_pixels.epsilon == pytest.approx(0.5 * 32 * 32 / 16)
    assert raw.of_an_owner[0].epsilon is None
    assert report.methods["svd"].of_all_pixels.epsilon is None
    assert report.methods["snow"].of_an_owner[1].delta == pytest.approx(1 - 0.6**5)


def test_attacks_succeed_where_nothing_is_promised_and_on_snow(report: PublishReport) -> None:
    """Six persons: guessing is right for one picture in six."""
    methods = report.methods
    assert methods["raw"].recognised > 0.5
    assert methods["raw"].dssim == pytest.approx(0, abs=1e-6)
    assert methods["snow"].dssim_restored < methods["snow"].dssim - 0.2
    assert methods["pix"].dssim > 0.85
    assert methods["pix"].worst < methods["raw"].recognised


def test_rows_of_the_common_schema(report: PublishReport) -> None:
    strongest = {(each.method, each.criterion): each for each in report.leaks if each.strongest}
    criteria = ("linkability", "inference", "reconstruction")
    assert set(strongest) >= {("raw", criterion) for criterion in criteria}
    raw, pix = strongest["raw", "linkability"], strongest["pix", "linkability"]
    assert raw.risk is not None
    assert raw.risk.low > 0.3
    assert raw.victims == 6
    assert raw.rate.n == 30
    assert raw.ceiling is None
    assert pix.ceiling is not None
    assert pix.averted is not None
    assert pix.averted.value > 0.5
    assert {each.budget for each in report.leaks} == {1, 4}
    assert (
        [each.method for each in report.utility] == [each.method for each in report.promises] == list(SMALL["methods"])
    )
    assert all("the label of every picture is published" in each.proven for each in report.promises)
    assert {each.role for each in report.costs} == {"cloud", "publisher", "reader"}


def test_audits_show_most_of_what_is_promised_and_never_more(report: PublishReport) -> None:
    shown = {name: each.audited for name, each in report.methods.items()}
    assert shown["raw"] is shown["snow"] is None
    for name in ("pix", "svd"):
        share = shown[name]
        assert share is not None
        assert 0.3 < share <= 1


class Listing(LocalWorkshop):
    """Does jobs, and writes down by what each is known."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, str | None]] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.jobs.append((function.__name__, name_of(function, arguments)))
        return super().submit(function, *arguments)


def test_no_attack_reads_the_truth() -> None:
    """The same jobs are handed in when albums show others, of others, with other attributes."""
    scenario = small(
        attacker={"known": 2, "strangers": 20, "epochs": 1}, owners={"count": 3, "pictures": 2, "publish": 2}
    )
    world = build(scenario, {})
    people, order = world.people, np.random.default_rng(0).permutation(6)
    albums = people.albums
    shuffled = replace(
        albums,
        pictures=albums.pictures[torch.from_numpy(order)],
        persons=albums.persons[order],
        labels=1 - albums.labels,
        private=~albums.private,
    )
    calls = {name: method.call(name, 2) for name, method in scenario.methods.items()}
    galleries, collections = {}, {}
    for name, call in calls.items():
        pictures = to_pictures(mechanism_of(call).publish(albums.pictures, Stream(bytes(32))))
        galleries[name] = [Gallery(method=name, ask=0, pictures=pictures, labels=albums.labels)]
        nodes = FIRST_NODE_ID + 1 + albums.persons
        collections[name] = Collection(galleries[name][0], nodes, np.tile([0, 1], 3))
    found = []
    for truth in (people, replace(people, albums=shuffled)):
        with Listing() as workshop:
            outcomes, _ = evaluate(workshop, scenario, truth, calls, collections, galleries, unwatched)
            found.append((workshop.jobs, [each.found.guesses[0].owners.tolist() for each in outcomes.values()]))
    assert all(name is not None for _, name in found[0][0])
    assert found[0] == found[1]


def test_the_folder_holds_it_all(report: PublishReport, folder: Path) -> None:
    written = json.loads((folder / "report.json").read_text())
    assert written["outcome"]["digest"] == report.outcome.digest
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg") == 6 * (1 + 2 * 4)
    assert "m-neighbourhood" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    kinds = {json.loads(line)["kind"] for line in (folder / "messages.jsonl").read_text().splitlines()}
    assert kinds == {"Hello", "Introduction", "CallForPictures", "Publication", "Gallery", "Acknowledgement"}


def test_the_page_is_accessible(report: PublishReport, folder: Path, faults_of: Callable[..., list[str]]) -> None:
    assert faults_of(folder / "report.html") == []


def test_what_is_published_depends_on_the_seed_alone(report: PublishReport, tmp_path: Path) -> None:
    few = {"methods": {"pix": SMALL["methods"]["pix"]}, "attacker": {"known": 2, "strangers": 20, "epochs": 1}}
    again = run(small(**few), tmp_path / "again")
    other = run(small(**few, seed=4), tmp_path / "other")
    assert isinstance(again, PublishReport)
    assert isinstance(other, PublishReport)
    assert again.methods["pix"].digest == report.methods["pix"].digest != other.methods["pix"].digest


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["ray", "grpc"])
def test_the_digest_is_the_same_on_every_grid(report: PublishReport, tmp_path: Path, grid: str) -> None:
    elsewhere = run(small(grid=grid, workers=2), tmp_path / grid)
    assert isinstance(elsewhere, PublishReport)
    assert elsewhere.outcome.digest == report.outcome.digest


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("methods.pix-1.epsilon=0", "methods.pix-1: epsilon is a positive number, not 0.0"),
        ("methods.pix-1.epsilon=-2", "methods.pix-1: epsilon is a positive number, not -2.0"),
        ("methods.pix-1.mechanism=dp-pics", "there is no mechanism 'dp-pics'; did you mean dp-pix?"),
        ("methods.pix-1.cell=64", "pictures of 48x48 are smaller than one cell of 64x64 pixels"),
        ("methods.pix-1.cell=7", "cells of 7 pixels do not tile pictures of 48x48"),
        ("methods.snow-half.delta=2", "delta lies between 0 and 1, not at 2.0"),
        ("methods.raw.epsilon=2", "plain has no setting epsilon"),
        ("owners.publish=99", "owners.publish: 99 is more than owners.pictures, 24"),
    ],
)
def test_mistakes_are_one_clear_sentence(setting: str, sentence: str) -> None:
    with pytest.raises(BadScenario) as told:
        load("publish", [setting])
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)


def test_the_page_begins_with_the_numbers_and_the_verdict(report: PublishReport, folder: Path) -> None:
    page = html.unescape((folder / "report.html").read_text())
    head = page[: page.index('<section id="how">')]
    assert head.count('class="tile"') == 6
    assert all(line in head for line in verdict(report))
    assert report.summary in head


def test_the_verdict_names_the_methods_with_the_lowest_rate_and_without_a_guarantee(report: PublishReport) -> None:
    said = verdict(report)
    least = min(report.methods, key=lambda name: report.methods[name].worst)
    assert said[0].startswith(f"Re-identification: {least} has the lowest rate")
    assert said[-1] == "No guarantee: raw."
    flat = {name: each.model_copy(update={"useful": 0.5, "useful_alike": 0.5}) for name, each in report.methods.items()}
    useless = verdict(report.model_copy(update={"methods": flat}))
    assert "No method trains a classifier that is significantly better than the baseline." in useless


def test_where_the_curator_asks_for_originals_the_report_promises_nothing(tmp_path: Path) -> None:
    report = run(small(adversaries={"plain-cloud": 1}), tmp_path / "run")
    assert isinstance(report, PublishReport)
    assert report.notes[0] == (
        "Adversary plain-cloud, the curator: asks owners for their pictures without noise, in the place of every"
        " method."
    )
    assert any("something else than was agreed by pix, svd and snow:" in note for note in report.notes)
    for method in report.methods.values():
        assert method.of_an_owner[0].epsilon is None
        assert method.recognised > 0.5


class _TwoFaced(MeddledExchange):
    def question(self, node_id: int, question: ProtocolMessage) -> ProtocolMessage:
        if isinstance(question, CallForPictures) and node_id % 2 == 0:
            return question.model_copy(update={"mechanism": "plain", "settings": ()})
        return question


@adversary("two-faced-cloud", knowledge="nothing beyond its role", profit="some pictures as they are")
class TwoFaced(Publish):
    """Asks every second owner for originals."""

    def __init__(self, curator: Curator, exchange: Exchange, on_step: OnStep = any_step) -> None:
        super().__init__(curator, _TwoFaced(exchange), on_step)


def test_where_owners_are_asked_differently_the_report_promises_what_the_least_protected_have(tmp_path: Path) -> None:
    settings = {"adversaries.two-faced-cloud": 1}
    report = parley.run(small(), settings=settings, adversaries=TwoFaced, out=tmp_path / "run", progress=False)
    assert any("Not all owners were asked for the same by pix, svd and snow" in note for note in report.notes)
    assert all(method.of_an_owner[0].epsilon is None for method in report.methods.values())
