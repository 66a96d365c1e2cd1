"""Cloud, sellers and buyers as processes of their own, over mutual TLS, by the commands that users type."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployment import PATIENCE, Deployment
from PIL import Image

from simulations.deployed.provisioning import revoke


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cloud and three sellers that are up."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    try:
        deployment.start_all()
        yield deployment
    finally:
        deployment.close()


def finished(deployment: Deployment, number: int) -> int:
    return deployment.processes.pop(f"buyer{number}").wait(PATIENCE)


def check_bought(deployment: Deployment, out: str) -> dict[str, Any]:
    """The folder holds what the receipt says: pictures of some seller's album, each once."""
    folder = deployment.folder / out
    receipt: dict[str, Any] = json.loads((folder / "receipt.json").read_text())
    files = [picture["file"] for picture in receipt["pictures"]]
    assert {path.name for path in folder.iterdir()} == {*files, "receipt.json"}
    assert round(sum(picture["paid"] for picture in receipt["pictures"]), 2) == receipt["paid"] <= receipt["budget"]
    albums = {np.asarray(Image.open(path)).tobytes(): path for path in sorted(deployment.folder.glob("album*/*.png"))}
    sources = [albums[np.asarray(Image.open(folder / file)).tobytes()] for file in files]
    assert len(set(sources)) == len(sources) > 0
    return receipt


def check_books(deployment: Deployment) -> dict[str, int]:
    """Nothing is in escrow any more, and all money is somewhere."""
    with sqlite3.connect(deployment.kit / "cloud" / "state" / "cloud.sqlite") as books:
        balances: dict[str, int] = dict(books.execute("SELECT name, balance FROM accounts").fetchall())
    assert sum(balances.values()) == 0
    assert balances["escrow"] == 0
    return balances


def test_two_buyers_buy_at_once(running: Deployment) -> None:
    begun = time.monotonic()
    for number in (1, 2):
        running.start_buyer(number, f"bought{number}")
    for number in (1, 2):
        assert finished(running, number) == 0, running.log(f"buyer{number}")
    print(f"two purchases at once took {time.monotonic() - begun:.1f} s")
    paid = 0
    for number in (1, 2):
        receipt = check_bought(running, f"bought{number}")
        assert receipt["buyer"] == f"buyer{number}"
        paid += round(receipt["paid"] * 100)
        assert "Bought" in running.log(f"buyer{number}")
    status = running.status()
    assert [purchase["state"] for purchase in status["purchases"]] == ["settled", "settled"]
    standing = {party["urn"].rpartition(":")[2]: party for party in status["parties"]}
    assert {name for name, party in standing.items() if party["attached"]} == {"seller1", "seller2", "seller3"}
    earned = sum(standing[f"seller{number}"]["balance"] - 2000 for number in (1, 2, 3))
    assert earned + status["earned"] == paid
    assert status["escrow"] == 0
    check_books(running)
    assert list((running.kit / "cloud" / "state" / "vault").iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(running: Deployment) -> None:
    (running.folder / "mine").mkdir()
    (running.folder / "mine" / "diary.txt").touch()
    for out in ("mine", "wanted"):
        done = running.parley(
            "buyer", "request", "--kit", "kit/buyer1", "--samples", "wanted", "--budget", "1", "--out", out
        )
        assert done.returncode == 5
        assert "name another folder with --out" in done.stderr


def test_wrong_kits_and_wrong_albums_are_told(running: Deployment) -> None:
    for words, code, sentence in (
        (("seller", "--kit", "kit/buyer1", "--album", "album1", "--price", "1"), 9, "needs that of a seller"),
        (("seller", "--kit", "kit/seller1", "--album", "nowhere", "--price", "1"), 4, "there is no folder nowhere"),
        (("seller", "--kit", "kit/seller1", "--album", "album1"), 4, "say what a picture is worth"),
        (("seller", "--kit", "kit/seller1", "--album", "album1", "--price", "1"), 9, "another process is this party"),
        (("status", "--kit", "kit/seller1"), 9, "needs that of a operator"),
        (("cloud", "--kit", "kit/cloud"), 9, "another process is this party"),
    ):
        done = running.parley(*words)
        assert done.returncode == code, done.stderr
        assert sentence in " ".join(done.stderr.split())
        assert "Traceback" not in done.stderr


def test_doctor_finds_everything_in_order(running: Deployment) -> None:
    for name in ("cloud", "seller1", "operator"):
        done = running.parley("doctor", "--kit", f"kit/{name}")
        assert done.returncode == 0, done.stdout
        assert "FAIL" not in done.stdout


def test_an_entity_joins_and_a_revoked_seller_is_put_out(running: Deployment) -> None:
    running.start("entity1", "entity", "--kit", "kit/entity1")
    running.wait_attached({"entity1"})
    revoke(running.kit, "seller3")
    running.stop("seller3")
    running.start_seller(3)
    assert running.processes.pop("seller3").wait(PATIENCE) == 10
    assert "was revoked" in running.log("seller3")
    assert running.stop("entity1") == 0


def test_no_log_tells_a_secret(running: Deployment) -> None:
    for folder in (running.kit / "cloud", running.kit / "seller1"):
        secret = (folder / "state" / "secret").read_bytes().hex()
        key = (folder / "key.pem").read_text().splitlines()[1]
        for path in running.folder.glob("*.log"):
            assert secret not in path.read_text()
            assert key not in path.read_text()


@pytest.mark.parametrize("victim", ["cloud", "buyer1", "seller1"])
def test_a_purchase_survives_kill_9(tmp_path: Path, victim: str) -> None:
    """Killed while bids are made, and started again: the pictures arrive, and are paid for once."""
    deployment = Deployment(tmp_path, sellers=2, buyers=1)
    try:
        deployment.start_all(sellers=2)
        deployment.start_buyer(1, "bought")
        until = time.monotonic() + PATIENCE
        while not any("begins" in line["event"] for line in deployment.events("cloud")):
            assert time.monotonic() < until
            time.sleep(0.02)
        deployment.stop(victim, signal.SIGKILL)
        {
            "cloud": deployment.start_cloud,
            "seller1": lambda: deployment.start_seller(1),
            "buyer1": lambda: deployment.start_buyer(1, "bought"),
        }[victim]()
        assert finished(deployment, 1) == 0, deployment.log("buyer1") + deployment.log("cloud")
        receipt = check_bought(deployment, "bought")
        for name in ("cloud", "seller1", "seller2"):
            assert deployment.stop(name) == 0, deployment.log(name)
        balances = check_books(deployment)
        (buyer,) = (balance for name, balance in balances.items() if name.startswith("buyer"))
        assert 10_000 - buyer == round(receipt["paid"] * 100)
    finally:
        deployment.close()
