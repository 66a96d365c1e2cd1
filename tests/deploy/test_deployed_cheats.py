"""Parties and clouds that cheat as processes of their own, by the commands that red-teamers type."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import Deployment
from test_deployed import check_books, check_bought

from deploy.buyer import RequestingBuyer
from deploy.cheats import cheating, serving
from deploy.entity import Institution
from deploy.seller import FolderSeller
from parties.adversaries import ADVERSARIES
from parties.pool.workflow import Pool
from parties.purchase.workflow import Purchase
from protocol.errors import BadInput

OWN = '''
from parley import Seller, adversary

@adversary("greedy", knowledge="nothing beyond its role", profit="none")
class Greedy(Seller):
    """Asks for more than its pictures are worth to it."""

    factor: float = 2.0

    def price(self, image: int) -> int:
        return round(self.factor * self.costs[image])
'''
DEPOSIT = 2000
"""What a seller has at first, in cents."""
HONEST = {"seller": FolderSeller, "buyer": RequestingBuyer, "entity": Institution}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Deployment]:
    """A cloud and two sellers that are to come."""
    deployment = Deployment(tmp_path / "deployment", sellers=2)
    try:
        yield deployment
    finally:
        deployment.close()


def start(deployment: Deployment, **cheats: str) -> None:
    """Start the cloud and the sellers, each with its own way to cheat."""
    for name in ("cloud", *deployment.sellers):
        deployment.start(name, [*deployment.service(name), *shlex.split(cheats.get(name, ""))])
    deployment.wait_attached(set(deployment.sellers))


def bought(deployment: Deployment, cheat: str = "") -> tuple[int, dict[str, Any]]:
    """Let buyer1 buy all that fits, of every seller; returns its exit code, and the receipt."""
    request = f"buyer request --kit kit/buyer1 --samples wanted --budget 50 --quality quantity --out bought {cheat}"
    deployment.start("buyer1", shlex.split(request))
    code = deployment.wait("buyer1")
    receipt = deployment.folder / "bought" / "receipt.json"
    return code, json.loads(receipt.read_text()) if receipt.exists() else {}


def outcomes(receipt: dict[str, Any]) -> set[str]:
    return {picture["outcome"] for picture in receipt["pictures"]}


def test_a_seller_that_delivers_junk_earns_nothing_and_loses_its_stake(running: Deployment) -> None:
    start(running, seller1="--cheat junk-ciphertext")
    assert [line["kind"] for line in running.events("seller1") if line["event"] == "cheats"] == ["JunkCiphertext"]
    code, receipt = bought(running)
    assert code == 0
    assert outcomes(receipt) == {"accepted", "refunded"}
    balances = {name.rpartition(":")[2]: amount for name, amount in check_books(running).items()}
    assert balances["seller1"] < DEPOSIT < balances["seller2"]


def test_a_buyer_that_complains_falsely_pays_for_it(running: Deployment) -> None:
    start(running)
    code, receipt = bought(running, "--cheat false-complaint")
    assert code == 0
    assert outcomes(receipt) == {"upheld"}
    balances = {name.rpartition(":")[2]: amount for name, amount in check_books(running).items()}
    assert min(balances["seller1"], balances["seller2"]) > DEPOSIT


def test_a_cloud_that_names_its_own_key_as_the_buyers_gets_no_bid(running: Deployment) -> None:
    start(running, cloud="--cheat key-substituting-cloud")
    _, receipt = bought(running)
    assert receipt.get("pictures", []) == []
    for name in running.sellers:
        assert not any(line["event"] == "picture delivered" for line in running.events(name))
    check_books(running)


def test_a_cheat_of_ones_own_is_deployed_with_its_settings(running: Deployment) -> None:
    (running.folder / "mine.py").write_text(OWN)
    start(running, seller1="--adversaries mine.py --cheat greedy --set factor=3")
    bought(running)
    receipt = check_bought(running, "bought")
    assert {picture["outcome"] for picture in receipt["pictures"]} == {"accepted"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--cheat junk", "there is no adversary 'junk'"),
        ("--cheat false-complaint", "false-complaint is an adversary of the role buyer, not seller"),
        ("--cheat straggler --set sceonds=3", "there is no key sceonds; did you mean seconds?"),
        ("--cheat sybil", "Sybil acts together with others in one process"),
        ("--cheat cloning", "Cloning changes the images in its memory; put what it would offer into the folder"),
        ("--set factor=3", "name the adversary with --cheat"),
    ],
)
def test_what_cannot_be_deployed_is_refused_with_a_sentence(running: Deployment, words: str, sentence: str) -> None:
    running.start("seller1", [*running.service("seller1"), *shlex.split(words)])
    assert running.wait("seller1") == 4
    said = " ".join(running.log("seller1").split())
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize("name", [name for name, each in ADVERSARIES.items() if each.role in HONEST])
def test_every_cheat_of_a_deployed_role_is_a_party_as_it_is_deployed(name: str) -> None:
    cheat = ADVERSARIES[name].cast()
    honest: type[Any] = HONEST[cheat.role]
    if name in ("cloning", "flooding", "sybil") or hasattr(cheat, "join"):
        with pytest.raises(BadInput, match=r"in one process|in its memory"):
            cheating(honest, cheat)
        return
    deployed = cheating(honest, cheat)
    assert issubclass(deployed, honest)
    assert issubclass(deployed, cheat)
    assert deployed.__init__ is honest.__init__
    assert set(deployed.steps_of()) == set(honest.steps_of())


def test_a_cloud_cheats_in_the_workflow_of_its_cheat_alone() -> None:
    substituting = ADVERSARIES["key-substituting-cloud"].cast()
    assert serving(Purchase, substituting) is substituting
    assert serving(Pool, substituting) is Pool
    assert serving(Purchase, None) is Purchase
