"""The rule of a purchase: named, of the user's own, with a highest price, among images or sellers."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Command, Play, small

from parties.purchase.auction import by_the_rules
from parties.workflow import WorkflowFailed
from protocol.errors import BadInput, BadScenario
from simulations.runs.runner import run
from simulations.scenarios.files import load
from simulations.scenarios.mechanisms import known_mechanism

OWN = '''
import numpy as np

from parley import Award, Market, mechanism


@mechanism(
    "median-price",
    qualities=["quantity", "matching", "diversity"],
    truthful=True,
    guarantee="within the budget; who sets the price cannot win",
)
def median_price(market: Market) -> Award:
    """Half of the bids set a price, their median, and the other half may sell at it."""
    order = market.order
    judges, others = order[::2], order[1::2]
    if len(others) == 0:
        return Award(others, others)
    price = int(np.median(market.costs[judges]))
    sellers = others[market.costs[others] <= price][: market.budget // max(price, 1)]
    return Award(np.sort(sellers), np.full(len(sellers), price))
'''


def write(folder: Path, text: str = OWN) -> Path:
    path = folder / "my_rule.py"
    path.write_text(text)
    return path


def test_a_mechanism_of_the_users_own_takes_less_than_thirty_lines() -> None:
    assert len(OWN.splitlines()) < 30


def test_it_decides_a_purchase_and_the_report_names_it(tmp_path: Path) -> None:
    path = write(tmp_path)
    report = run(small(buyer={"mechanism": str(path)}), tmp_path / "out")
    assert report.auction.mechanism == "median-price"
    assert report.auction.summary.startswith("Half of the bids set a price")
    assert report.outcome.verified > 0
    assert report.outcome.paid_total % report.outcome.verified == 0  # all at one price
    assert report.auction.overpayment == pytest.approx(report.auction.awarded / report.auction.asked - 1)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "median-price" in page


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\n", "declares no mechanism"),
        (OWN + OWN.replace("median-price", "b").replace("median_price", "b"), "declares 2 mechanisms"),
        (OWN.replace("median-price", "singer"), "'singer' is the name of a built-in mechanism"),
        ("import nothing_here\n", "line 1: ModuleNotFoundError"),
        (OWN.replace("matching", "beauty"), "serves .'beauty'."),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        known_mechanism(str(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["buyer.mechanism=singre"], "there is no mechanism 'singre'; did you mean singer"),
        (["buyer.mechanism=missing.py"], "missing.py is not a Python file"),
        (["buyer.mechanism=singer"], "singer does not serve the quality diversity"),
        (["buyer.mechanism=beacon", "buyer.agents=sellers"], "beacon does not serve sellers as agents"),
        (["buyer.mechanism=public-cost"], "public-cost is a bound, not a mechanism"),
        (["buyer.reserve=-1"], "buyer.reserve"),
        (["buyer.agents=phones"], "buyer.agents"),
    ],
)
def test_mistakes_in_a_scenario(settings: list[str], why: str) -> None:
    with pytest.raises(BadScenario, match=why):
        load("purchase", settings)


def test_a_rule_that_overspends_ends_the_purchase_and_nobody_pays(tmp_path: Path, play_purchase: Play) -> None:
    lavish = OWN.replace("price = int(np.median(market.costs[judges]))", "price = market.budget")
    lavish = lavish.replace("market.budget // max(price, 1)", "2")
    with pytest.raises(WorkflowFailed, match="the auction was void: median-price pays"):
        play_purchase(small(buyer={"mechanism": str(write(tmp_path, lavish))}))


@pytest.mark.parametrize("quality", ["quantity", "matching", "diversity"])
def test_no_image_is_paid_more_than_the_reserve(play_purchase: Play, quality: str) -> None:
    without = play_purchase(small(buyer={"quality": quality, "budget": 60.0}))
    limited = play_purchase(small(buyer={"quality": quality, "budget": 60.0, "reserve": 1.2}))
    assert max(offer.payment for offer in without.record.winners) > 120
    payments = [offer.payment for offer in limited.record.winners]
    assert payments
    assert max(payments) <= 120


def test_a_cloud_that_ignores_the_reserve_is_not_paid(play_purchase: Play) -> None:
    played = play_purchase(
        small(buyer={"budget": 60.0, "reserve": 1.2}),
        change_cloud=lambda cloud: replace(
            cloud, auctioneer=lambda auction: by_the_rules(replace(auction, ceiling=None))
        ),
    )
    assert not any(offer.order for offer in played.record.winners)
    assert "most that was agreed" in " ".join(failure.line for failure in played.record.failures)


def test_sellers_as_agents_sell_all_that_matches_or_nothing(play_purchase: Play) -> None:
    played = play_purchase(small(buyer={"agents": "sellers", "budget": 20.0}))
    assert played.record.winners
    for seller in {offer.seller for offer in played.record.winners}:
        candidates = [offer for offer in played.record.offers if offer.seller == seller and offer.candidate]
        assert all(offer.won and offer.payment >= offer.bid.bid.price for offer in candidates)


def test_sellers_learn_by_which_rule_they_bid(play_purchase: Play) -> None:
    played = play_purchase(small(buyer={"mechanism": "first-price"}))
    assert played.record.call is not None
    assert played.record.call.mechanism == "first-price"
    assert all(offer.payment == offer.bid.bid.price for offer in played.record.winners)


class TestAuditOfTruthfulness:
    def test_the_papers_rule_is_found_guilty_by_a_small_counterexample(self, parley: Command) -> None:
        done = parley("audit", "truthfulness", "--mechanism", "crowdbuy-max", "--instances", "20")
        assert done.returncode == 11
        assert "by asking" in done.stdout
        assert "broken promises: crowdbuy-max (matching, images)" in done.stderr

    def test_a_rule_that_keeps_its_word_is_cleared(self, parley: Command, tmp_path: Path) -> None:
        done = parley("audit", "truthfulness", "--mechanism", str(write(tmp_path)), "--instances", "4")
        assert done.returncode == 0, done.stdout
        assert "quantity, images: kept in" in done.stdout
        assert "selling a copy" in done.stdout

    def test_an_own_rule_that_does_not_is_not(self, parley: Command, tmp_path: Path) -> None:
        first_price = OWN.replace("np.full(len(sellers), price)", "market.costs[np.sort(sellers)]")
        done = parley("audit", "truthfulness", "--mechanism", str(write(tmp_path, first_price)), "--instances", "20")
        assert done.returncode == 11
        assert "median-price (quantity, images)" in done.stderr

    def test_mistakes(self, parley: Command) -> None:
        assert parley("audit", "truthfulness", "--mechanism", "singre").returncode == 4
        assert parley("audit", "truthfulness", "--instances", "0").returncode == 2
