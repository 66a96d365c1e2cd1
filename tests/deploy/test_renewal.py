"""Certificates that run out, clocks that are wrong, and clouds with several names."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from conftest import Command
from deployment import Deployment, free_port

from deploy.books import ledger_of, open_books
from deploy.cloud import start, vault_of
from deploy.doctor import Severity, check_machine
from deploy.kit import CA, CERTIFICATE, KEY, Address, read_kit
from deploy.party import ask_cloud
from deploy.provisioning import add, provision, revoke
from protocol.crypto.certificates import (
    AUTHORITY_LIFETIME,
    Credentials,
    good_from_until,
    hosts_of,
    mint,
    mint_authority,
)
from protocol.encoding.codec import encode
from protocol.errors import BadKit, UserError
from protocol.grids.grpc import Call, GrpcGrid, Roster, Secure
from protocol.messages import service
from protocol.storage.vault import Vault

NOW = datetime.now(UTC)
HERE = Address("cloud.example.org")


def dated(folder: Path, out: Path, now: datetime) -> Credentials:
    """Give a party a certificate that was made at another time."""
    authority = Credentials((out / "authority" / CA).read_bytes(), (out / "authority" / KEY).read_bytes())
    made = mint(authority, folder.name.rstrip("0123456789"), folder.name, ["localhost"] * (folder.name == "cloud"), now)
    (folder / CERTIFICATE).write_bytes(made.certificate)
    (folder / KEY).write_bytes(made.key)
    return made


def run_out(out: Path) -> None:
    """Have all certificates run out, by the authority's record."""
    record = out / "authority" / "issued.csv"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], *(line.rpartition(",")[0] + ",2021-01-01" for line in lines[1:])]) + "\n")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    provision(tmp_path / "kit", HERE, {"seller": 5, "buyer": 1})
    return tmp_path / "kit"


def test_a_kit_that_has_run_out_is_made_anew_and_keeps_its_state(out: Path) -> None:
    secret = read_kit(out / "seller5", ["seller"]).secret()
    before = {path.name: (path / KEY).read_bytes() for path in out.iterdir()}
    run_out(out)
    done = provision(out, HERE, {"seller": 3})
    assert done.renewed == {"cloud", "operator", "buyer1", *(f"seller{number}" for number in range(1, 6))}
    for name in done.renewed:
        assert (out / name / KEY).read_bytes() != before[name]
        assert check_machine(out / name)[2].severity is Severity.OK
    assert read_kit(out / "seller5", ["seller"]).secret() == secret
    assert provision(out, HERE, {"seller": 3}).made == []


def test_a_revoked_party_is_not_made_anew_when_it_runs_out(out: Path) -> None:
    revoke(out, "seller2")
    run_out(out)
    assert "seller2" not in provision(out, HERE, {"seller": 1}).renewed


@pytest.mark.parametrize("name", ["cloud", "seller1", "operator"])
def test_what_doctor_advises_gives_a_new_certificate(out: Path, parley: Command, name: str) -> None:
    dated(out / name, out, NOW - timedelta(days=720))
    (advice,) = (finding.fix for finding in check_machine(out / name) if finding.subject == "certificate")
    for words in (advice.split("`")[1], advice.split("`")[3]):
        assert words.startswith("parley provision ")
        assert parley(*words.split()[1:], "--out", str(out)).returncode == 0
    (found,) = (finding for finding in check_machine(out / name) if finding.subject == "certificate")
    assert found.severity is Severity.OK


@pytest.mark.parametrize("name", ["cloud", "seller1", "buyer1", "operator"])
def test_a_clock_that_is_behind_is_named(out: Path, name: str) -> None:
    dated(out / name, out, NOW + timedelta(days=400))
    with pytest.raises(BadKit, match=r"clock says .*: it is behind.*set the clock") as refused:
        read_kit(out / name, ["cloud", "seller", "buyer", "operator"])
    assert "revoke" not in str(refused.value)
    assert check_machine(out / name)[-1].subject == "clock"


@pytest.mark.parametrize(
    ("days", "told"), [(400, "not yet valid by this machine's clock"), (-4000, "has expired by this machine's clock")]
)
def test_a_party_says_when_the_clouds_certificate_is_not_valid_now(tmp_path: Path, days: int, told: str) -> None:
    address = Address("localhost", free_port())
    provision(tmp_path / "kit", address, {"seller": 1})
    cloud = dated(tmp_path / "kit" / "cloud", tmp_path / "kit", NOW + timedelta(days=days))
    ca = (tmp_path / "kit" / "cloud" / CA).read_bytes()
    with GrpcGrid(str(address), Secure(cloud, ca), Roster(), Vault("memory://renewal")):
        kit = read_kit(tmp_path / "kit" / "seller1", ["seller"])
        with pytest.raises(UserError, match=told):
            ask_cloud(kit, service.HEALTH, service.AskHealth(), service.Health, timeout=5.0)


def test_a_cloud_that_was_revoked_does_not_start_and_its_copy_is_not_believed(tmp_path: Path) -> None:
    out, address = tmp_path / "kit", Address("localhost", free_port())
    provision(out, address, {"seller": 1})
    thief = (out / "cloud" / CERTIFICATE).read_bytes(), (out / "cloud" / KEY).read_bytes()
    kit = read_kit(out / "seller1", ["seller"])
    ca, calls = kit.ca, {service.HEALTH: Call(frozenset({"seller"}), lambda who, asked: encode(health()))}
    revoke(out, "cloud")
    cloud = read_kit(out / "cloud", ["cloud"])
    with (
        ExitStack() as stack,
        pytest.raises(BadKit, match="this cloud's certificate was revoked: `parley provision add"),
    ):
        start(cloud, open_books(cloud, ledger_of(cloud), vault_of(cloud), stack), stack)
    assert any(finding.subject == "revoked" and finding.fix for finding in check_machine(out / "cloud"))
    add(out, "cloud", "cloud")
    for credentials, believed in ((Credentials(*thief), False), (read_kit(out / "cloud", ["cloud"]).credentials, True)):
        with GrpcGrid(str(address), Secure(credentials, ca), Roster(), Vault("memory://revoked"), calls=calls):
            asking = partial(ask_cloud, kit, service.HEALTH, service.AskHealth(), service.Health, timeout=5.0)
            if believed:
                assert asking() == health()
                continue
            with pytest.raises(
                UserError, match="not to be believed: the certificate of urn:parley:cloud:cloud was rev"
            ):
                asking()
            assert any("was revoked" in finding.seen for finding in check_machine(out / "seller1"))


def health() -> service.Health:
    return service.Health(time=0.0, release="0")


def test_an_authority_that_has_run_out_says_what_to_do(out: Path) -> None:
    old = mint_authority(NOW - AUTHORITY_LIFETIME - timedelta(days=1))
    (out / "authority" / CA).write_bytes(old.certificate)
    (out / "authority" / KEY).write_bytes(old.key)
    before = sorted(out.iterdir())
    with pytest.raises(BadKit, match=r"the certificate expired on .* make a new kit in another folder"):
        add(out, "seller6", "seller")
    assert sorted(out.iterdir()) == before


def test_no_certificate_outlives_its_authority() -> None:
    authority = mint_authority(NOW - AUTHORITY_LIFETIME + timedelta(days=9))
    made = mint(authority, "seller", "seller1")
    assert good_from_until(made.certificate)[1] == good_from_until(authority.certificate)[1]


def test_doctor_says_that_a_new_certificate_does_not_help_an_old_authority(out: Path) -> None:
    old = mint_authority(NOW - AUTHORITY_LIFETIME + timedelta(days=9))
    made = mint(old, "seller", "seller1")
    for name, content in ((CA, old.certificate), (CERTIFICATE, made.certificate), (KEY, made.key)):
        (out / "seller1" / name).write_bytes(content)
    (found,) = (finding for finding in check_machine(out / "seller1") if finding.subject == "certificate")
    assert "its authority expires in 8 days" in found.seen
    assert "new kit" in found.fix


def test_another_name_of_the_cloud_goes_into_its_certificate_alone(out: Path) -> None:
    seller = (out / "seller1" / CERTIFICATE).read_bytes()
    done = provision(out, HERE, {}, ["inside.example.org", "2001:DB8:0::7", "10.0.0.7"])
    assert done.renewed == {"cloud"}
    assert {"cloud.example.org", "inside.example.org", "2001:db8::7", "10.0.0.7"} <= set(
        hosts_of((out / "cloud" / CERTIFICATE).read_bytes())
    )
    assert (out / "seller1" / CERTIFICATE).read_bytes() == seller
    assert provision(out, HERE, {}, ["10.0.0.7"]).made == provision(out, HERE, {}).made == []
    revoke(out, "cloud")
    add(out, "cloud", "cloud")
    assert "inside.example.org" in hosts_of((out / "cloud" / CERTIFICATE).read_bytes())


@pytest.mark.parametrize("host", ["two words", "http://cloud", "cloud:7443", "", "-"])
def test_what_is_no_name_of_a_cloud_changes_nothing(out: Path, host: str) -> None:
    before = (out / "cloud" / CERTIFICATE).read_bytes()
    with pytest.raises(BadKit, match="--also: "):
        provision(out, HERE, {}, [host])
    assert (out / "cloud" / CERTIFICATE).read_bytes() == before


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployed = Deployment(tmp_path, sellers=1, entities=0)
    try:
        yield deployed
    finally:
        deployed.close()


@pytest.mark.slow
def test_parties_reach_a_cloud_by_each_of_its_names_and_a_renewed_one_after_a_restart(
    deployment: Deployment, parley: Command
) -> None:
    operator, port = str(deployment.kit / "operator"), read_kit(deployment.kit / "operator", ["operator"]).party.address
    names = ["localhost", "127.0.0.1", "127.0.0.2"]
    deployment.start("cloud")
    deployment.start("seller1", [*deployment.service("seller1"), "--cloud", f"127.0.0.1:{port.port}"])
    deployment.wait_attached({"seller1"})
    asked = [parley("status", "--kit", operator, "--cloud", f"{name}:{port.port}") for name in names]
    assert [each.returncode for each in asked] == [0, 0, 10]
    assert "not for this name" in asked[2].stderr
    made = parley("provision", "--cloud", str(port), "--also", "127.0.0.2", "--sellers", "0", "--buyers", "0", "--out",
                  str(deployment.kit))  # fmt: skip
    assert "made anew: cloud" in made.stdout
    assert parley("status", "--kit", operator, "--cloud", f"127.0.0.2:{port.port}").returncode == 10
    assert deployment.stop("cloud") == 0
    deployment.start("cloud")
    deployment.wait_attached({"seller1"})
    assert parley("status", "--kit", operator, "--cloud", f"127.0.0.2:{port.port}").returncode == 0


@pytest.mark.slow
def test_a_whole_kit_that_has_run_out_goes_on_with_a_new_one(deployment: Deployment, parley: Command) -> None:
    operator = str(deployment.kit / "operator")
    deployment.start("cloud")
    deployment.start("seller1")
    deployment.wait_attached({"seller1"})
    for name in ("cloud", "seller1"):
        assert deployment.stop(name) == 0
    new = deployment.folder / "new"
    provision(new, read_kit(Path(operator), ["operator"]).party.address, {"seller": 1})
    for name in ("cloud", "seller1", "operator"):
        for file in (CA, CERTIFICATE, KEY):
            shutil.copy(new / name / file, deployment.kit / name / file)
    for name in ("cloud", "seller1"):
        deployment.start(name)
    deployment.wait_attached({"seller1"})
    assert "seller1" in parley("status", "--kit", operator).stdout
