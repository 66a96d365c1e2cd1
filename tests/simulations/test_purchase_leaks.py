"""What the report of a purchase says of leaks: rows of the common schema, and the honest twin."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import parley
import pytest
import torch
from PIL import Image

from simulations.data import pets
from simulations.reports.evaluation import Leak
from simulations.workflows.purchase.report.model import PurchaseReport

SMALL: dict[str, Any] = {
    "sellers.count": 24,
    "sellers.album.images": [4, 8],
    "sellers.noise": 0.2,
    "buyer.budget": 30,
    "buyer.quality": "quantity",
    "buyer.samples.count": 6,
}


def play(**settings: Any) -> parley.Report:
    named = {key.replace("__", "."): value for key, value in settings.items()}
    return parley.run("purchase", seed=5, settings={**SMALL, **named}, workers=1, progress=False)


def row(report: parley.Report, observer: str, what: str, budget: float = 1.0) -> Leak:
    (found,) = [
        each for each in report.leaks if each.observer == observer and what in each.what and each.budget == budget
    ]
    assert isinstance(found, Leak)
    return found


@pytest.fixture(scope="module")
def one_price() -> parley.Report:
    return play(sellers__price__each="seller")


def test_the_cloud_infers_classes_almost_as_well_as_from_whole_vectors(one_price: parley.Report) -> None:
    inferred = row(one_price, "the cloud", "class of an image")
    assert inferred.risk is not None
    assert inferred.risk.low > 0.5
    assert inferred.ceiling is not None
    assert inferred.rate.value > inferred.ceiling.value - 0.15
    assert not inferred.broken


def test_several_requests_locate_features_better(one_price: parley.Report) -> None:
    errors = [
        row(one_price, "the cloud", "feature of an image", n).measures["error, lattice units"] for n in (1, 2, 5, 10)
    ]
    assert [each.value for each in errors] == sorted((each.value for each in errors), reverse=True)
    assert errors[0].value > 4 * errors[-1].value


def test_one_price_links_a_sellers_images_and_many_prices_do_not(one_price: parley.Report) -> None:
    linked = row(one_price, "the buyer", "share a seller")
    assert linked.measures["recall"].value == 1.0
    assert linked.risk is not None
    assert linked.risk.value > 0.5
    assert linked.risk.low > 0
    apart = row(play(), "the buyer", "share a seller")
    assert apart.risk is not None
    assert apart.risk.low == 0


def test_cloud_and_buyer_together_know_every_seller() -> None:
    found = row(play(collusion=["cloud-buyer"], twin=False), "the cloud and the buyer together", "who sold")
    assert found.rate.value == 1.0


def paint(folder: Path, count: int, seed: int) -> str:
    """Pictures of four breeds, as files in a folder for each."""
    for number, breed in enumerate(pets.BREEDS[:4]):
        (folder / breed).mkdir(parents=True)
        drawn = pets.draw(np.full(count, number), 64, torch.Generator().manual_seed(seed + number))
        for index, picture in enumerate(drawn):
            Image.fromarray(np.asarray(picture)).save(folder / breed / f"{index}.png")
    return str(folder)


def test_own_folders_are_attacked_with_half_of_the_sellers_pictures(tmp_path: Path) -> None:
    albums, wanted = paint(tmp_path / "albums", 24, 0), paint(tmp_path / "wanted", 3, 50)
    report = play(
        sellers__album__folder=albums, buyer__samples__folder=wanted, sellers__count=12, cloud__privacy="level1"
    )
    inferred = row(report, "the cloud", "class of an image")
    assert "every second seller" in inferred.knows
    assert inferred.victims <= 6
    assert inferred.rate.low > inferred.baseline.value


def test_the_twin_shows_what_cheats_cost() -> None:
    report = play(adversaries={"junk-ciphertext": 0.4})
    changed = {effect.what: effect for effect in report.effects if effect.part == "money"}
    assert changed["sellers that play junk-ciphertext"].difference < 0
    assert {effect.part for effect in report.effects} >= {"money", "utility"}
    assert not play(adversaries={"junk-ciphertext": 0.4}, twin=False).effects
    assert not play().effects


def test_rows_can_be_expected() -> None:
    expect = {"leaks.level2.inference.risk": ">= 0.2", "utility.level2.accuracy.low": "> 0", "costs.seller.sent": "> 0"}
    report = play(expect=expect)
    assert {cost.role for cost in report.costs} == {"buyer", "cloud", "seller"}
    with pytest.raises(parley.UserError, match=r"expected leaks.level2.inference.risk < 0.1, but it is 0\."):
        play(expect={"leaks.level2.inference.risk": "< 0.1"})
    with pytest.raises(parley.UserError, match=r"the report has no leaks\.level2\.telepathy\.risk"):
        play(expect={"leaks.level2.telepathy.risk": "< 0.1"})


def test_a_report_of_before_is_still_read(one_price: parley.Report) -> None:
    written = json.loads((one_price.folder / "report.json").read_text())
    assert written["schema_version"] == 5
    before = {
        key: value for key, value in written.items() if key not in ("leaks", "utility", "costs", "promises", "effects")
    }
    old = PurchaseReport.model_validate({**before, "schema_version": 3})
    assert old.outcome.digest == one_price.outcome.digest
    assert old.leaks == []
    assert PurchaseReport.model_validate(written).leaks == one_price.leaks
    frame = one_price.to_frame("leaks")
    assert {"method", "criterion", "risk.value", "risk.low", "rate.n"} <= set(frame.columns)


def test_costs_are_what_crossed_the_wire_and_what_phones_computed() -> None:
    report = play()
    for cost in report.costs:
        assert cost.sent == sum(flow.bytes for flow in report.traffic if flow.source == cost.role)
        assert (cost.phone is None) == (cost.role == "cloud")
    (sellers,) = [cost for cost in report.costs if cost.role == "seller"]
    assert sellers.parties == 24
    assert sellers.seconds > 0
    assert sellers.phone.joules > 0
