"""Cheats in a user's own file, and what cheating did, in the report."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from conftest import Play, Played, small

from parties.adversaries import ADVERSARIES
from parties.purchase.buyer import Buyer
from parties.purchase.cloud import Cloud
from parties.purchase.offer import Outcome
from protocol.compute.ray_cluster import search_path
from protocol.disputes.arbitration import Deal, Fault, Verdict
from protocol.errors import BadInput
from simulations.runs.runner import run
from simulations.scenarios.adversaries import known_adversaries
from simulations.scenarios.files import load
from simulations.workflows.purchase.scoring import damage_by_buyer, damage_by_sellers

GOOD = """
from parties.adversaries import adversary
from parties.adversaries.delivery import SwappedDelivery

@adversary("late", role="seller", knowledge="the time", profit="none")
def late(message, context, call_next, *, step: str = "bid"):
    '''Comes late.'''
    return call_next(message, context)

@adversary("black", knowledge="nothing", profit="payment")
class Black(SwappedDelivery):
    '''Delivers black.'''

    level: int = 0

    def picture(self, image):
        return self.album[image] * 0 + self.level
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "my_cheats.py"
    path.write_text(text)
    return path


def test_a_file_adds_to_the_built_in_ones(tmp_path: Path) -> None:
    found = known_adversaries(write(tmp_path, GOOD))
    assert found.keys() - ADVERSARIES.keys() == {"late", "black"}
    assert (found["late"].role, found["late"].summary, found["late"].knowledge) == ("seller", "Comes late.", "the time")
    assert list(found["black"].parameters.model_fields) == ["level"]
    assert known_adversaries() == ADVERSARIES
    assert "late" not in ADVERSARIES


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n", "declares no adversaries"),
        ("import parties\n\nraise ValueError('no')\n", "my_cheats.py, line 3: ValueError: no"),
        ("def f(:\n", "my_cheats.py, line 1: SyntaxError"),
        ("x = 1\nimport nothing_here\n", "my_cheats.py, line 2: ModuleNotFoundError: No module named 'nothing_here'"),
        ("raise SystemExit(2)\n", "my_cheats.py, line 1: SystemExit: 2"),
        (GOOD.replace('"black"', '"ring"'), "'ring' is the name of a built-in adversary"),
        (GOOD.replace('"black"', '"B!"'), "invalid adversary name 'B!'"),
        (GOOD.replace('role="seller", ', ""), "'late' has to be a class that extends Seller"),
        (GOOD.replace("'''Comes late.'''", ""), "'late' has no docstring"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadInput) as error:
        known_adversaries(write(tmp_path, text))
    assert told in str(error.value)


HELPED = """
import helper, strategies
from parties.adversaries import adversary
from parties.purchase.seller import Seller

@adversary("dear", knowledge="nothing", profit="none")
class Dear(Seller):
    "Asks for more."

    def price(self, image):
        from helper import factor
        return factor() * self.costs[image] if factor is helper.factor else None
"""


def helped(folder: Path, factor: int) -> Path:
    """A file of cheats that has a helper, which has a package and what cannot be pickled."""
    (folder / "tools").mkdir(parents=True)
    (folder / "tools" / "numbers.py").write_text(f"FACTOR = {factor}\n")
    (folder / "strategies.py").touch()
    (folder / "helper.py").write_text(
        "import threading, tools.numbers\nLOCK = threading.Lock()\ndef factor():\n    return tools.numbers.FACTOR\n"
    )
    return write(folder, HELPED)


PRICES = """
import pickle, sys
for cheat in pickle.load(sys.stdin.buffer):
    seller = object.__new__(cheat)
    seller.costs = {0: 10}
    print(seller.price(0))
"""


def test_each_file_has_the_modules_of_its_own_folder_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = helped(tmp_path / "one", 3), helped(tmp_path / "two", 5)
    monkeypatch.chdir(tmp_path)
    cheats = [known_adversaries(path)["dear"].cast() for path in (one, "two/my_cheats.py")]
    there = subprocess.run(
        [sys.executable, "-c", PRICES],
        input=cloudpickle.dumps(cheats),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": search_path()},
        cwd="/",
        check=False,
    )
    assert there.stdout.split() == [b"30", b"50"], there.stderr
    assert {"helper", "tools"}.isdisjoint(sys.modules)


@pytest.mark.slow
@pytest.mark.parametrize("grid", ["ray", "grpc"])
def test_cheats_with_helpers_play_alike_on_every_grid(tmp_path: Path, grid: str) -> None:
    path = helped(tmp_path / "mine", 3)
    digests = []
    for settings in ({"grid": "local"}, {"grid": grid, "workers": 1}):
        known = known_adversaries(path)
        scenario = load("purchase", {"adversaries.dear": 0.5, "sellers.count": 6, **settings}, known)
        report = run(scenario, tmp_path / str(settings["grid"]), adversaries=known)
        digests.append(report.outcome.digest)  # type: ignore[union-attr]
    assert digests[0] == digests[1]


def test_no_such_file(tmp_path: Path) -> None:
    for name in ("nowhere.py", "cheats.txt"):
        with pytest.raises(BadInput, match="is not a Python file"):
            known_adversaries(tmp_path / name)


class TestDamage:
    """What a cheat cost the others is what flowed in the run itself."""

    class Careless(Buyer):
        def judge(self, number: int, deal: Deal, private_key: bytes, *, check_feature: bool) -> None:
            super().judge(number, deal, private_key, check_feature=check_feature)

    def paid(self, played: Played) -> int:
        offers = [trade.offer for trade in played.trades if trade.held.adversary and trade.offer.paid]
        return sum(offer.payment + offer.commission for offer in offers)

    @pytest.mark.parametrize("name", ["swapped-delivery", "junk-ciphertext"])
    def test_all_that_is_paid_for_what_was_not_offered(self, play_purchase: Play, name: str) -> None:
        scenario = small(adversaries={name: 0.5}, sellers={"noise": 0.0})
        played = play_purchase(scenario, buyer=self.Careless)
        assert damage_by_sellers(played, name) == self.paid(played) > 0
        defended = play_purchase(scenario)
        assert damage_by_sellers(defended, name) == self.paid(defended) == 0

    def test_what_is_paid_again_for_the_same_picture(self, play_purchase: Play) -> None:
        sellers = {"noise": 0.0, "count": 6}
        played = play_purchase(small(adversaries={"cloning": 0.5}, sellers=sellers, buyer={"quality": "quantity"}))
        assert 0 < damage_by_sellers(played, "cloning") < self.paid(played)

    def test_what_honest_sellers_lose_to_a_buyer_that_is_believed(self, play_purchase: Play) -> None:
        def believing(cloud: Cloud) -> Cloud:
            def arbiter(*_: Any) -> Verdict:
                return Verdict(Fault.SELLER, "the buyer says so")

            return Cloud(**{**vars(cloud), "arbiter": arbiter})

        scenario = small(adversaries={"false-complaint": 1.0})
        played = play_purchase(scenario, change_cloud=believing)
        lost = [offer for offer in played.record.winners if offer.outcome is Outcome.REFUNDED]
        assert damage_by_buyer(played) == sum(offer.payment + offer.bid.bid.stake for offer in lost) > 0
        assert damage_by_buyer(play_purchase(scenario)) == 0


def test_what_is_expected_does_not_change_what_comes_out(play_purchase: Play) -> None:
    digests = [play_purchase(small(expect=expect)).outcome.digest for expect in ({}, {"outcome.bids": "> 0"})]
    assert digests[0] == digests[1]
