"""A party starts with the memory that it had, or says in one sentence why not."""

from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Protocol

import pytest
from PIL import Image

from deploy.kit import Address, read_kit
from deploy.party import open_store
from deploy.provisioning import provision
from protocol.storage.files import private_folder


class Parley(Protocol):
    def __call__(self, *words: str) -> "CompletedProcess[str]": ...


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of a seller that has run once; its cloud is not there."""
    provision(tmp_path / "kit", Address("localhost", 1), {"seller": 1})
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "photos" / "one.png")
    kit = read_kit(tmp_path / "kit" / "seller1", ["seller"])
    private_folder(kit.state)
    for _ in range(2):
        with closing(open_store(kit)):
            pass
    return kit.state


SELL = ("seller", "--kit", "kit/seller1", "--album", "photos", "--price", "1")


def test_a_memory_that_is_missing(state: Path, parley: Parley) -> None:
    (state / "party.sqlite").unlink()
    done = parley(*SELL)
    assert done.returncode == 9
    assert "party.sqlite is missing, the memory of this party: restore it" in " ".join(done.stderr.split())
    assert not (state / "party.sqlite").exists()
    (state / "party.made").unlink()
    with closing(open_store(read_kit(state.parent, ["seller"]))):
        assert (state / "party.sqlite").exists()


def test_a_memory_that_is_damaged(state: Path, parley: Parley) -> None:
    whole = (state / "party.sqlite").read_bytes()
    (state / "party.sqlite").write_bytes(whole[: len(whole) // 2])
    done = parley(*SELL)
    assert done.returncode == 9
    assert "is damaged and has to be restored from a backup" in " ".join(done.stderr.split())
