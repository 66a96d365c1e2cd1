"""What `parley doctor` finds on machines that are ready, and on broken ones."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from flwr.app import RecordDict

from deploy.doctor import check_machine
from deploy.findings import Finding, Severity
from deploy.kit import Address
from deploy.provisioning import provision, revoke
from protocol.crypto.certificates import Credentials, Identity, Revocations, mint, mint_authority
from protocol.encoding.codec import decode, encode
from protocol.grids.grpc import Call, GrpcGrid, Roster, Secure
from protocol.messages import service
from protocol.storage.vault import Vault
from simulations.cli import main


def free_port() -> int:
    with closing(socket.socket()) as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


@pytest.fixture
def out(tmp_path: Path) -> Path:
    provision(tmp_path / "kit", Address("localhost", free_port()), {"seller": 1})
    return tmp_path / "kit"


def authority(out: Path) -> Credentials:
    folder = out / "authority"
    return Credentials((folder / "ca.pem").read_bytes(), (folder / "key.pem").read_bytes())


@contextmanager
def listening(
    out: Path, cloud: Credentials | None = None, slow: float = 0.0, release: str = version("parley"), at: str = ""
) -> Iterator[None]:
    """A cloud that says how it is: at its address or another one here, with its certificate or another one."""
    folder = out / "cloud"
    mine = cloud or Credentials((folder / "certificate.pem").read_bytes(), (folder / "key.pem").read_bytes())

    def health(who: Identity, asked: RecordDict) -> RecordDict:
        decode(asked, service.AskHealth)
        return encode(service.Health(time=time.time() - slow, release=release))

    with GrpcGrid(
        f"{at}:{address(out).rpartition(':')[2]}" if at else address(out),
        Secure(mine, (folder / "ca.pem").read_bytes()),
        Roster(),
        Vault("memory://doctor"),
        revoked=Revocations(folder / "revoked.txt"),
        calls={service.HEALTH: Call(frozenset({"seller"}), health)},
    ):
        yield


def address(out: Path) -> str:
    (line,) = (line for line in (out / "authority" / "kit.yaml").read_text().splitlines() if line.startswith("cloud:"))
    return line.partition(":")[2].strip()


def failed(findings: list[Finding]) -> Finding:
    """The one finding that has failed; it says how to fix it."""
    (finding,) = (finding for finding in findings if finding.severity is Severity.FAILED)
    assert finding.fix
    return finding


def test_a_cloud_and_a_seller_that_are_ready(out: Path) -> None:
    findings = check_machine(out / "cloud")
    assert {finding.severity for finding in findings} == {Severity.OK}
    subjects = {finding.subject for finding in findings}
    assert subjects >= {"versions", "kit", "certificate", "key", "state", "hosts", "port", "revoked", "ledger"}
    assert any("is free" in finding.seen for finding in findings)
    with listening(out):
        findings = check_machine(out / "seller1")
        assert {finding.severity for finding in findings} == {Severity.OK}
        assert {"cloud", "clock"} <= {finding.subject for finding in findings}
        assert any("this cloud is running" in finding.seen for finding in check_machine(out / "cloud"))


def test_nobody_is_there(out: Path) -> None:
    finding = failed(check_machine(out / "seller1"))
    assert "cannot be reached: Connection refused" in finding.seen
    assert "parley cloud" in finding.fix


def test_a_name_without_an_address(tmp_path: Path) -> None:
    provision(tmp_path / "kit", Address("nowhere.invalid"), {"seller": 1})
    assert failed(check_machine(tmp_path / "kit" / "seller1")).subject == "name"


def test_a_cloud_that_is_not_ours(out: Path) -> None:
    stranger = mint(mint_authority(), "cloud", "cloud", ["localhost"])
    with listening(out, stranger):
        finding = failed(check_machine(out / "seller1"))
        assert "its certificate is not valid here" in finding.seen
        assert "compare ca.pem" in finding.fix
        assert "another program has" in failed(check_machine(out / "cloud")).seen


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"hosts": ["elsewhere.example.org"]}, "dial the name"),
        ({"hosts": ["localhost"], "now": datetime.now(UTC) - timedelta(days=4000)}, "clock"),
        ({"hosts": ["localhost"], "now": datetime.now(UTC) + timedelta(days=1)}, "clock"),
    ],
    ids=["another name", "expired", "from the future"],
)
def test_a_cloud_with_a_bad_certificate(out: Path, changes: dict[str, object], fix: str) -> None:
    with listening(out, mint(authority(out), "cloud", "cloud", **changes)):  # type: ignore[arg-type]
        finding = failed(check_machine(out / "seller1"))
        assert finding.subject == "cloud"
        assert fix in finding.fix


def test_a_party_that_the_cloud_does_not_know(out: Path, tmp_path: Path) -> None:
    """All of the stranger's kit is in order, but for another authority than the one it says it trusts."""
    provision(tmp_path / "other", Address.parse(address(out)), {"seller": 1})
    with listening(out):
        finding = failed(check_machine(tmp_path / "other" / "seller1"))
        assert finding.subject == "cloud"


def test_a_party_that_was_revoked(out: Path) -> None:
    revoke(out, "seller1")
    with listening(out):
        finding = failed(check_machine(out / "seller1"))
        assert "was revoked" in finding.seen
        assert "provision add seller1" in finding.fix


def test_another_clock_and_another_release(out: Path) -> None:
    with listening(out, slow=60.0, release="0.0.9"):
        clock, release = (finding for finding in check_machine(out / "seller1") if finding.severity is Severity.WARNING)
        assert "60 s ahead of the cloud's" in clock.seen
        assert "Parley 0.0.9" in release.seen


def test_a_certificate_that_expires_soon(out: Path) -> None:
    short = mint(authority(out), "seller", "seller1", lifetime=timedelta(days=9))
    (out / "seller1" / "certificate.pem").write_bytes(short.certificate)
    (out / "seller1" / "key.pem").write_bytes(short.key)
    (finding,) = (finding for finding in check_machine(out / "seller1") if finding.severity is Severity.WARNING)
    assert "expires in 8 days" in finding.seen
    assert "provision revoke seller1" in finding.fix


def test_a_key_that_everybody_can_read(out: Path) -> None:
    path = out / "cloud" / "key.pem"
    path.chmod(0o644)
    finding = failed(check_machine(out / "cloud"))
    assert finding.fix == f"chmod 600 {path}"


@pytest.mark.parametrize(
    ("old", "new", "subject"),
    [
        ("ledger: null", "ledger: sqlite:////nowhere/at/all.sqlite", "ledger"),
        ("ledger: null", "ledger: not a url", "ledger"),
        ('listen: "0.0.0.0', 'listen: "192.0.2.1', "port"),
        ('cloud: "localhost', 'cloud: "elsewhere.example.org', "hosts"),
        ("featurizer: small", "featurizer: vgg16", "featurizer"),
    ],
)
def test_settings_of_the_cloud_that_cannot_work(out: Path, old: str, new: str, subject: str) -> None:
    path = out / "cloud" / "party.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert failed(check_machine(out / "cloud")).subject == subject


def test_a_lost_list_of_the_revoked(out: Path) -> None:
    (out / "cloud" / "revoked.txt").unlink()
    assert failed(check_machine(out / "cloud")).subject == "revoked"


def test_a_state_folder_that_cannot_be(out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert failed(check_machine(out / "cloud", tmp_path / "file" / "state")).subject == "state"


def test_the_command_prints_findings_and_ends_with_its_code(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def code(folder: Path) -> object:
        monkeypatch.setattr(sys, "argv", ["parley", "doctor", "--kit", str(folder)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    assert not code(out / "cloud")
    assert code(out / "seller1") == 11
    assert code(out / "nobody") == 11
    shown = capsys.readouterr()
    assert "-> start it there with `parley cloud`" in shown.out
    assert "is not ready: fix cloud" in shown.err
