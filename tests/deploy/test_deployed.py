"""Cloud, sellers and buyers as processes of their own, over mutual TLS, by the commands that users type."""

import json
import logging
import shlex
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deployment import PATIENCE, Deployment
from PIL import Image

from deploy.provisioning import revoke
from simulations.cli import main

README = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")


def readme(command: str) -> list[str]:
    """A command of the README of deploy/, as it stands there."""
    (line,) = (line for line in README.splitlines() if line.startswith(f"parley {command} "))
    return shlex.split(line)[1:]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cloud and two sellers that are up."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), sellers=2)
    try:
        for name in ("cloud", *deployment.sellers):
            deployment.start(name)
        deployment.wait_attached(set(deployment.sellers))
        yield deployment
    finally:
        deployment.close()


@pytest.fixture
def parley(
    running: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command here, and return its exit code and what it said."""
    monkeypatch.chdir(running.folder)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["parley", *words])
        root = logging.getLogger()
        handlers, level = root.handlers, root.level
        signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:
            root.handlers, root.level = handlers, level
            for number, handler in signals.items():
                signal.signal(number, handler)
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    return run


Parley = Callable[..., tuple[int, str]]


def check_bought(deployment: Deployment, out: str) -> dict[str, Any]:
    """The folder holds what the receipt says: pictures of some seller's album, each once."""
    folder = deployment.folder / out
    receipt: dict[str, Any] = json.loads((folder / "receipt.json").read_text())
    files = [picture["file"] for picture in receipt["pictures"]]
    assert {path.name for path in folder.iterdir()} == {*files, "receipt.json"}
    assert round(sum(picture["paid"] for picture in receipt["pictures"]), 2) == receipt["paid"] <= receipt["budget"]
    albums = {np.asarray(Image.open(path)).tobytes(): path for path in sorted(deployment.folder.glob("albums/*/*.png"))}
    sources = [albums[np.asarray(Image.open(folder / file)).tobytes()] for file in files]
    assert len(set(sources)) == len(sources) > 0
    return receipt


def check_books(deployment: Deployment) -> dict[str, int]:
    """Nothing is in escrow any more, and all money is somewhere."""
    with closing(sqlite3.connect(deployment.kit / "cloud" / "state" / "cloud.sqlite")) as books:
        balances: dict[str, int] = dict(books.execute("SELECT name, balance FROM accounts").fetchall())
    assert sum(balances.values()) == 0
    assert balances["escrow"] == 0
    return balances


def test_two_buyers_buy_at_once(running: Deployment, parley: Parley) -> None:
    running.start("buyer1")
    second = shlex.split("buyer request --kit kit/buyer2 --samples wanted --budget 5 --quality quantity --out second")
    running.start("buyer2", second)
    for name in ("buyer1", "buyer2"):
        assert running.wait(name) == 0, running.log(name)
    receipts = [check_bought(running, out) for out in ("bought", "second")]
    assert [receipt["buyer"] for receipt in receipts] == ["buyer1", "buyer2"]
    assert f"Bought {len(receipts[1]['pictures'])} picture" in running.log("buyer2")
    status = json.loads(parley(*readme("status"), "--json")[1])
    assert [purchase["state"] for purchase in status["purchases"]] == ["ended", "ended"]
    standing = {party["urn"].rpartition(":")[2]: party for party in status["parties"]}
    assert {name for name, party in standing.items() if party["attached"]} == set(running.sellers)
    earned = sum(standing[name]["balance"] - 2000 for name in running.sellers)
    assert earned + status["earned"] == round(100 * sum(receipt["paid"] for receipt in receipts))
    assert status["escrow"] == 0
    check_books(running)
    assert list((running.kit / "cloud" / "state" / "vault").iterdir()) == []


@pytest.mark.slow
def test_each_is_killed_once_and_the_purchase_goes_on(running: Deployment) -> None:
    """With kill -9, as soon as the purchase has begun; the pictures arrive, and are paid for once."""
    before, begun = check_books(running), running.begun()
    (running.folder / "bought").rename(running.folder / "first")
    (running.folder / "photos").symlink_to("albums/seller1")
    running.start("buyer1", readme("buyer request"))
    until = time.monotonic() + PATIENCE
    while running.begun() == begun:
        assert time.monotonic() < until, running.log("cloud")
        time.sleep(0.02)
    for name, command in (("cloud", "cloud"), ("seller1", "seller"), ("buyer1", "buyer request")):
        running.stop(name, signal.SIGKILL)
        running.start(name, readme(command))
    assert running.wait("buyer1") == 0, running.log("buyer1") + running.log("cloud")
    assert running.begun() == begun + 1
    receipt = check_bought(running, "bought")
    after = check_books(running)
    buyers = [name for name in after if name.startswith("urn:parley:buyer:")]
    assert sum(before[name] - after[name] for name in buyers) == round(receipt["paid"] * 100)


def test_a_folder_that_holds_something_is_left_alone(running: Deployment, parley: Parley) -> None:
    for out in ("wanted", "bought"):
        words = shlex.split(f"buyer request --kit kit/buyer1 --samples wanted --budget 1 --out {out}")
        code, said = parley(*words)
        assert code == 5
        assert "name another folder with --out" in said


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("seller --kit kit/buyer1 --album albums/seller1 --price 1", 9, "but this command needs seller"),
        ("seller --kit kit/seller1 --album nowhere --price 1", 4, "there is no folder nowhere"),
        ("seller --kit kit/seller1 --album albums/seller1", 4, "pictures have no price"),
        ("seller --kit kit/seller1 --album albums/seller1 --price 1", 9, "another process of this party"),
        ("cloud --kit kit/cloud", 9, "another process of this party"),
        (
            "cloud --kit kit/cloud --state other --ledger sqlite:///kit/cloud/state/cloud.sqlite",
            9,
            "the ledger is held by the cloud on",
        ),
        ("status --kit kit/seller1", 9, "but this command needs operator"),
    ],
)
def test_what_cannot_start_says_why(running: Deployment, parley: Parley, words: str, code: int, sentence: str) -> None:
    ended, said = parley(*shlex.split(words))
    assert ended == code, said
    assert sentence in " ".join(said.split())


def test_doctor_finds_everything_in_order(running: Deployment, parley: Parley) -> None:
    running.wait_attached(set(running.sellers))
    audit = readme("audit")
    for words in (audit, readme("doctor"), ["doctor", "--kit", "kit/seller1"], ["doctor", "--kit", "kit/operator"]):
        code, said = parley(*words)
        assert code == 0, said
        assert "FAIL" not in said


def test_an_entity_joins_and_a_revoked_seller_is_put_out(running: Deployment, parley: Parley) -> None:
    running.start("entity1")
    running.wait_attached({"entity1"})
    assert running.stop("entity1") == 0
    assert running.stop("seller2") == 0
    revoke(running.kit, "seller2")
    code, said = parley(*running.service("seller2"))
    assert code == 10
    assert "was revoked" in said


def test_no_log_tells_a_secret_and_the_cloud_holds_none(running: Deployment) -> None:
    assert running.stop("cloud") == 0
    logs = [path.read_bytes() for path in running.folder.glob("*.log")]
    held = [path.read_bytes() for path in (running.kit / "cloud" / "state").rglob("*") if path.is_file()]
    kits = [path.parents[1].name for path in running.kit.glob("*/state/secret")]
    assert {"cloud", *running.sellers} <= set(kits)
    for name in kits:
        secret = (running.kit / name / "state" / "secret").read_bytes()
        key = (running.kit / name / "key.pem").read_bytes().splitlines()[1]
        for told in (secret, secret.hex().encode(), key):
            assert not any(told in log for log in logs)
            assert name == "cloud" or not any(told in file for file in held)


def test_a_cloud_without_its_books_says_so(running: Deployment, parley: Parley) -> None:
    code, said = parley("cloud", "--kit", "kit/cloud", "--ledger", "sqlite:////nowhere/books.sqlite")
    assert code == 9
    assert "has had a ledger, and there is none at" in " ".join(said.split())


def test_a_cloud_whose_ledger_was_taken_over_stops(running: Deployment) -> None:
    running.start("cloud")
    running.wait_attached({"seller1"})
    with closing(sqlite3.connect(running.kit / "cloud" / "state" / "cloud.sqlite", timeout=PATIENCE)) as books:
        with books:
            books.execute("UPDATE lease SET token = 'of another cloud'")
        assert running.wait("cloud") == 9
        assert "the ledger was taken over by the cloud on" in running.log("cloud")
        assert books.execute("SELECT token FROM lease").fetchall() == [("of another cloud",)]
