"""Backups of parties: made while they run, checked, and started from."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from deployment import Deployment

from deploy.backup import LIST, back_up, restore
from deploy.books import audit_ledger, ledger_of
from deploy.kit import Address, Kit, read_kit
from deploy.provisioning import provision
from protocol.errors import BadKit, OutputExists


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    provision(tmp_path / "kit", Address("localhost"), {"seller": 1})
    kit = read_kit(tmp_path / "kit" / "seller1", ["seller"])
    kit.secret()
    return kit


def test_a_purchase_goes_on_from_a_backup_of_the_running_cloud(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path / "here", sellers=2)
    try:
        for name in ("cloud", *deployment.sellers):
            deployment.start(name)
        deployment.wait_attached(set(deployment.sellers))
        deployment.start("buyer1")
        deployment.wait_step(4)
        cloud = read_kit(deployment.kit / "cloud", ["cloud"])
        backup = tmp_path / "backup"
        assert back_up(cloud, backup).missing == ()
        deployment.stop("cloud", signal.SIGKILL)
        shutil.rmtree(cloud.folder)
        restore(backup, cloud.folder)
        assert audit_ledger(ledger_of(cloud), cloud.state).sentences() == []
        deployment.start("cloud")
        assert deployment.wait("buyer1") == 0, deployment.log("buyer1")
        assert deployment.stop("cloud") == 0
        assert audit_ledger(ledger_of(cloud), cloud.state).sentences() == []
    finally:
        deployment.close()


def test_what_comes_back_is_what_was_there_and_nobody_else_can_read_it(kit: Kit, tmp_path: Path) -> None:
    (kit.state / "models").mkdir()
    (kit.state / "models" / "a.bin").write_bytes(b"weights")
    (kit.state / "lock").touch()
    listed = back_up(kit, tmp_path / "backup")
    assert listed.party == "urn:parley:seller:seller1"
    restored = restore(tmp_path / "backup", tmp_path / "again")
    assert restored == listed
    again = read_kit(tmp_path / "again", ["seller"])
    assert (again.secret(), again.credentials, again.party) == (kit.secret(), kit.credentials, kit.party)
    assert (again.state / "models" / "a.bin").read_bytes() == b"weights"
    assert not (again.state / "lock").exists()
    for folder in (tmp_path / "backup", tmp_path / "again"):
        assert folder.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.rglob("*") if path.name != "backup.json")


def test_nothing_is_overwritten(kit: Kit, tmp_path: Path) -> None:
    back_up(kit, tmp_path / "backup")
    with pytest.raises(OutputExists, match="backup is already there; name another folder"):
        back_up(kit, tmp_path / "backup")
    with pytest.raises(OutputExists, match="seller1 is already there; move it away"):
        restore(tmp_path / "backup", kit.folder)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("key.pem", b"other", "key.pem is not as it was written: the backup is damaged"),
        ("party.yaml", None, "party.yaml is missing: the backup is damaged"),
        (LIST, None, "is no backup: it has no backup.json"),
        (LIST, b"{}", "backup.json cannot be read"),
    ],
)
def test_a_damaged_backup_is_told_and_makes_nothing(
    kit: Kit, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    backup = tmp_path / "backup"
    back_up(kit, backup)
    (backup / name).unlink()
    if content is not None:
        (backup / name).write_bytes(content)
    with pytest.raises(BadKit, match=sentence):
        restore(backup, tmp_path / "again")
    assert not list(tmp_path.glob("*again*"))


@pytest.mark.parametrize("name", ["../planted", "/tmp/planted", "state/../../planted"])
def test_a_backup_names_no_file_outside_the_kit(kit: Kit, tmp_path: Path, name: str) -> None:
    backup = tmp_path / "backup"
    back_up(kit, backup)
    listed = json.loads((backup / LIST).read_text())
    listed["files"][name] = "0" * 64
    (backup / LIST).write_text(json.dumps(listed))
    with pytest.raises(BadKit, match="names a file outside the kit"):
        restore(backup, tmp_path / "again")


def test_what_is_elsewhere_is_said_without_its_password(tmp_path: Path) -> None:
    provision(tmp_path / "kit", Address("localhost"), {"seller": 1})
    path = tmp_path / "kit" / "cloud" / "party.yaml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("ledger:", "vault:"))]
    path.write_text("\n".join([*lines, "ledger: postgresql://parley:secret@db/books", "vault: s3://bucket/vault"]))
    first, second = back_up(read_kit(tmp_path / "kit" / "cloud", ["cloud"]), tmp_path / "backup").missing
    assert "pg_dump" in first
    assert "secret" not in first
    assert "s3://bucket/vault" in second
