"""The fault simulation: the same from the same seed, and no promise is broken.

The whole of it, hours on two cores:

    parley faults purchase --faults 1000000 --seed 1 --workers 2
"""

import gc
import os
from pathlib import Path

import pytest
from conftest import Command
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from simulations.faults.campaign import Campaign, campaign
from simulations.faults.entropy import encrypted
from simulations.faults.run import TOWNS, Replay, run
from simulations.faults.schedule import Fault, Kind
from simulations.faults.town import Town


def test_no_promise_is_broken() -> None:
    played = campaign("purchase", seed=2, faults=600, workers=1)
    assert [str(failed.replay) for failed in played.failed] == []
    assert played.vacuous == ""
    assert played.outcomes["honest parties held harmless"] > played.outcomes["honest parties"] / 2
    assert {str(kind) for kind in Kind} - set(played.faults) <= {"rot", "rollback", "unsynced", "abort", "edit", "twin"}


@pytest.mark.slow
def test_no_promise_is_broken_by_many() -> None:
    played = campaign("purchase", seed=1, faults=20_000, workers=2)
    assert [str(failed.replay) for failed in played.failed] == []
    assert played.vacuous == ""
    assert set(played.faults) == {str(kind) for kind in Kind}


def test_workers_change_nothing_nor_what_they_hash_by(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = campaign("purchase", seed=5, faults=80, workers=1)
    monkeypatch.setenv("PYTHONHASHSEED", "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1")
    assert campaign("purchase", seed=5, faults=80, workers=2) == alone


def test_a_run_is_replayed_from_its_line() -> None:
    first = run("purchase", "4/0")
    replay = Replay.parse(str(first.replay))
    again = run("purchase", replay.seed, replay.faults, replay.without)
    assert again.replay == first.replay
    assert again.digest == first.digest


def test_parties_can_be_left_out() -> None:
    everybody = run("purchase", "4/0", [])
    others = run("purchase", "4/0", [], [everybody.parties[-1]])
    assert others.parties == everybody.parties[:-1]


@pytest.mark.parametrize("workflow", TOWNS)
def test_a_run_leaves_nothing_behind(workflow: str) -> None:
    """Thousands of runs follow each other in one process."""
    run(workflow, "4/1")
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, Town)]


def test_a_campaign_that_sells_nothing_shows_nothing() -> None:
    idle = Campaign("purchase", runs=10)
    idle.outcomes["pictures sold"] = 4
    assert "too little" in idle.vacuous


def test_a_fault_reads_as_it_is_written() -> None:
    fault = Fault("seller-4/answer", 12, Kind.ROLLBACK, 0.25)
    assert Fault.parse(str(fault)) == fault


def test_what_is_wrapped_under_a_known_key_opens() -> None:
    key = X25519PrivateKey.from_private_bytes(bytes(range(32)))
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    wrap = encrypted(b"a data key", key.public_key(), b"info", bytes(range(1, 33)))
    assert suite.decrypt(wrap, key, b"info") == b"a data key"


def test_the_command_replays_and_draws(parley: Command, tmp_path: Path) -> None:
    said = parley("faults", "purchase", "--replay", "seed=4/1, faults=cloud/sql:40:crash:0.5", "--out", str(tmp_path))
    assert said.returncode == 0
    assert "0 promises broken" in said.stdout
    assert "cloud/sql:40:crash" in (tmp_path / "replay.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["pools"], ["purchase", "--replay", "seed=1"]])
def test_the_command_refuses_what_it_does_not_know(parley: Command, words: list[str]) -> None:
    assert parley("faults", *words).returncode == 2
