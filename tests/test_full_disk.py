"""Disks that are full: one sentence, the code that is documented, and nothing half-written."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from full_disk import small_disk
from PIL import Image

from deploy.kit import Address
from deploy.provisioning import provision
from protocol.storage.database import Database, DatabaseUnavailable, opening
from protocol.storage.tables import CLOUD
from protocol.storage.vault import Vault

PURCHASE = ("purchase", "--set", "sellers.count=4", "--set", "buyer.samples.count=2")
RUNS: dict[str, tuple[str, ...]] = {
    "purchase": PURCHASE,
    "purchase sweep": (*PURCHASE, "--set", "sweep={noise: [0.1], seeds: 1}"),
    "publish": ("publish", "--set", "owners={count: 2, pictures: 2, publish: 2, size: 32}", "--set",
                "attacker={known: 2, strangers: 12, epochs: 1}"),
    "outsource": ("outsource", "--set", "images={training: 40, tests: 20, side: 32}", "--set",
                  "service={epochs: 1, batch: 16}", "--set", "attackers={public: 0, pairs: 0, scored: 10}", "--set",
                  "compare=[]"),
    "crowdsource": ("crowdsource", "--set", "side=16", "--set", "tested=20", "--set",
                    "collector={pictures: 60, epochs: 1, curve: []}", "--set", "participants={count: 20, album: 2}",
                    "--set", "attackers={pictures: []}"),
    "pool": ("pool", "--set", "entities={images: [60, 30], classes: 4, held_back: 50, public: 50, side: 32}", "--set",
             "training={pretraining: 3, reconstruction: 3, poisoning: 3, refinement: 3, batch: 8}", "--set",
             "attacks={steps: 3, attacked: 20, unseen: [], pairs: [0], losses: false, obfuscator: false}"),
    "federate": ("federate", "--set", "clients={count: 3, pictures: 4, size: 16}", "--set",
                 "training={rounds: 1, epochs: 1}", "--set",
                 "attacker={shadows: 2, trials: 4, strangers: 60, probed: 0}", "--set", "methods={fedavg: {}}"),
}  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 64) as folder:
        yield folder


@pytest.fixture
def full(disk: Path) -> Path:
    """A disk without a free byte; folders can be made."""
    try:
        (disk / "fill").write_bytes(bytes(1 << 20))
    except OSError:
        return disk
    raise AssertionError("the disk is too large")


def check(done: subprocess.CompletedProcess[str], code: int) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert any(said in done.stderr for said in ("No space left", "disk is full", "disk I/O error")), done.stderr


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "purchase")) for name in RUNS])
def test_a_run_ends_with_one_sentence_and_leaves_nothing(disk: Path, parley: Command, name: str) -> None:
    (disk / "fill").write_bytes(bytes(44 << 10))
    check(parley("run", *RUNS[name], "--out", str(disk / "run")), 4)
    assert [path.name for path in disk.iterdir()] == ["fill"]


def test_a_scenario_and_a_kit_are_written_whole_or_not_at_all(disk: Path, parley: Command, tmp_path: Path) -> None:
    provision(disk / "kit", Address("localhost"), {})
    before = {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()}
    check(parley("provision", "--cloud", "localhost", "--sellers", "30", "--out", str(disk / "kit")), 4)
    check(parley("provision", "--cloud", "localhost", "--sellers", "30", "--out", str(disk / "new")), 4)
    with pytest.raises(OSError, match="No space left"):
        (disk / "fill").write_bytes(bytes(1 << 20))
    check(parley("provision", "--cloud", "localhost", "--also", "other", "--out", str(disk / "kit")), 4)
    check(parley("init", str(disk / "mine.yaml")), 4)
    (disk / "fill").unlink()
    assert {path: path.read_bytes() for path in disk.rglob("*") if path.is_file()} == before
    said = parley("init", "nowhere/mine.yaml")
    assert (said.returncode, said.stderr.count("\n")) == (4, 1)


def test_deployed_parties_say_that_their_state_cannot_be_written(full: Path, parley: Command, tmp_path: Path) -> None:
    provision(tmp_path / "kit", Address("localhost", 1), {"seller": 1, "buyer": 1, "entity": 1})
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    for number in range(2):
        grey = np.full((64, 64, 3), 50 * number, dtype=np.uint8)
        Image.fromarray(grey).save(tmp_path / "photos" / "cat" / f"{number}.png")
    state = ("--state", str(full / "state"))
    photos = str(tmp_path / "photos")
    for words in (
        ("cloud", "--kit", "kit/cloud"),
        ("seller", "--kit", "kit/seller1", "--album", photos, "--price", "1"),
        ("entity", "--kit", "kit/entity1", "--images", photos),
        ("buyer", "request", "--kit", "kit/buyer1", "--samples", photos, "--budget", "5", "--out", str(full / "b")),
    ):
        check(parley(*words, *state), 9)
        assert not (full / "b").exists()
    assert "No space left" in parley("doctor", "--kit", "kit/seller1", *state).stdout
    assert {path.name for path in full.iterdir()} == {"fill", "state"}


def test_a_vault_and_a_database_keep_nothing_half(disk: Path) -> None:
    vault = Vault(disk / "vault")
    with pytest.raises(OSError, match="No space left"):
        vault.put([bytes(1 << 20)], limit=1 << 21)
    assert list((disk / "vault").iterdir()) == []
    (disk / "fill").write_bytes(bytes(60 << 10))
    with pytest.raises(DatabaseUnavailable, match="disk is full"), opening(disk / "books.sqlite"):
        Database(disk / "books.sqlite", CLOUD)
