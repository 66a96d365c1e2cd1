"""What `parley doctor` finds on machines that are ready, and on broken ones."""

import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
from flwr.app import RecordDict
from postgresql import server
from sqlalchemy import create_engine, text

from deploy.books import ledger_of, open_books
from deploy.cloud import vault_of
from deploy.doctor import check_machine
from deploy.findings import Finding, Severity
from deploy.kit import Address, read_kit
from deploy.provisioning import provision, revoke
from protocol.crypto.certificates import Credentials, Identity, Revocations, mint, mint_authority
from protocol.encoding.codec import decode, encode
from protocol.grids.grpc import Call, GrpcGrid, Roster, Secure
from protocol.messages import service
from protocol.storage.database import database_url
from protocol.storage.files import private_folder
from protocol.storage.lease import Lease
from protocol.storage.ledger import Ledger
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


class TestTheLedger:
    @pytest.fixture
    def state(self, out: Path) -> Path:
        """The state folder of a cloud that has run."""
        kit = read_kit(out / "cloud", ["cloud"])
        private_folder(kit.state)
        with ExitStack() as stack:
            open_books(kit, ledger_of(kit), vault_of(kit), stack)
        return kit.state

    def found(self, out: Path, subject: str) -> Finding:
        (finding,) = (finding for finding in check_machine(out / "cloud") if finding.subject == subject)
        return finding

    def name(self, out: Path, url: str) -> None:
        path = out / "cloud" / "party.yaml"
        path.write_text(path.read_text().replace("ledger: null", f"ledger: {url}"))

    def test_books_in_order_that_nobody_holds(self, out: Path, state: Path) -> None:
        assert (self.found(out, "books").severity, self.found(out, "books").seen) == ("ok", "0 lines in order")
        assert self.found(out, "lease").seen == "no cloud holds the ledger"

    def test_books_that_are_not_in_order(self, out: Path, state: Path) -> None:
        with closing(sqlite3.connect(state / "cloud.sqlite")) as database:
            database.execute("UPDATE accounts SET balance = 5")
            database.commit()
        finding = failed(check_machine(out / "cloud"))
        assert (finding.subject, finding.seen) == (
            "books",
            "account escrow holds 5, and its lines sum to 0, and 2 more",
        )

    def test_a_ledger_that_is_lost_or_damaged(self, out: Path, state: Path) -> None:
        whole = (state / "cloud.sqlite").read_bytes()
        (state / "cloud.sqlite").write_bytes(whole[:5000])
        assert "is damaged and has to be restored" in failed(check_machine(out / "cloud")).seen
        (state / "cloud.sqlite").unlink()
        assert "this cloud has had a ledger" in failed(check_machine(out / "cloud")).seen

    def test_another_cloud_holds_it(self, out: Path, state: Path) -> None:
        with (
            closing(Ledger(state / "cloud.sqlite")) as ledger,
            closing(Lease(ledger.database, "another", "elsewhere, process 7")),
        ):
            finding = self.found(out, "lease")
            assert finding.severity is Severity.WARNING
            assert finding.seen.startswith("the ledger is held by the cloud on elsewhere, process 7, started at")

    def test_a_ledger_that_is_read_only(self, out: Path, state: Path) -> None:
        self.name(out, f"sqlite:///file:{state / 'cloud.sqlite'}?mode=ro&uri=true")
        finding = failed(check_machine(out / "cloud"))
        assert finding.subject == "ledger"
        assert "cannot be written: attempt to write a readonly database" in finding.seen

    def test_a_role_without_rights(self, out: Path) -> None:
        with server() as url:
            Ledger(url).close()
            engine = create_engine(database_url(url), isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("CREATE ROLE guest LOGIN"))
                connection.execute(text("CREATE SCHEMA empty AUTHORIZATION parley"))
                connection.execute(text("GRANT USAGE ON SCHEMA empty TO guest"))
                self.name(out, url.replace("parley@", "guest@"))
                assert "permission denied for table" in failed(check_machine(out / "cloud")).seen
                connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO guest"))
                assert self.found(out, "ledger").severity is Severity.OK
                connection.execute(text("REVOKE DELETE ON journal FROM guest"))
                assert "permission denied for table journal" in failed(check_machine(out / "cloud")).seen
                connection.execute(text("ALTER ROLE guest SET search_path = empty"))
                assert "permission denied for schema empty" in failed(check_machine(out / "cloud")).seen
                connection.execute(text("ALTER ROLE parley SET default_transaction_read_only = on"))
            engine.dispose()
            path = out / "cloud" / "party.yaml"
            path.write_text(path.read_text().replace("guest@", "parley@"))
            assert "in a read-only transaction" in failed(check_machine(out / "cloud")).seen
