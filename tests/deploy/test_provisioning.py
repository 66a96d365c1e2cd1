"""Kits: what is made, what is never made again, and who is locked out."""

import hashlib
import stat
import sys
from pathlib import Path

import pytest
import yaml

from deploy.kit import Address, CloudFile, read_kit
from deploy.provisioning import add, provision, revoke
from protocol.crypto.certificates import Revocations, hosts_of, peer_identity
from protocol.errors import BadKit, UserError
from simulations.cli import main

HERE = Address("cloud.example.org")
COUNTS = {"seller": 3, "buyer": 1, "entity": 2}
EVERYBODY = {"cloud", "operator", "seller1", "seller2", "seller3", "buyer1", "entity1", "entity2"}


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's content and the moment it was last written."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    provision(tmp_path / "kit", HERE, COUNTS)
    return tmp_path / "kit"


def test_everybody_has_a_kit_that_holds_together(out: Path) -> None:
    assert {path.name for path in out.iterdir()} == {*EVERYBODY, "authority"}
    for name in EVERYBODY:
        kit = read_kit(out / name, ["cloud", "operator", "seller", "buyer", "entity"])
        assert kit.identity.name == kit.party.name == name
        assert kit.party.address == HERE
    assert "cloud.example.org" in hosts_of((out / "cloud" / "certificate.pem").read_bytes())


def test_the_clouds_file_holds_the_defaults_and_all_settings(out: Path) -> None:
    written = yaml.safe_load((out / "cloud" / "party.yaml").read_text())
    party = read_kit(out / "cloud", ["cloud"]).party
    assert isinstance(party, CloudFile)
    assert party == CloudFile(role="cloud", name="cloud", cloud=str(HERE))
    assert party.model_dump(mode="json", exclude={"terms": {"friends"}}) == written  # friends are for simulations


def test_only_the_owner_may_read_and_the_authoritys_key_stays(out: Path) -> None:
    for path in (out, *out.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    key = (out / "authority" / "key.pem").read_bytes()
    holders = [path for path in out.rglob("*") if path.is_file() and key.splitlines()[1] in path.read_bytes()]
    assert holders == [out / "authority" / "key.pem"]


def test_again_changes_nothing(out: Path) -> None:
    before = fingerprint(out)
    done = provision(out, HERE, COUNTS)
    assert done.made == []
    assert {issued.name for issued in done.good} == EVERYBODY
    assert fingerprint(out) == before


def test_a_party_that_was_moved_away_is_not_made_again(out: Path, tmp_path: Path) -> None:
    (out / "seller1").rename(tmp_path / "phone")
    assert provision(out, HERE, COUNTS).made == []
    assert not (out / "seller1").exists()
    assert read_kit(tmp_path / "phone", ["seller"]).identity.name == "seller1"


def test_what_was_cut_short_is_finished(out: Path) -> None:
    """A crash before the record was written, at worst: everybody is made anew, and the authority stays."""
    ca = (out / "authority" / "ca.pem").read_bytes()
    for name in ("cloud", "seller2"):
        (out / name / "party.yaml").unlink()
    (out / "authority" / "issued.csv").write_text("name,role,serial,until\n")
    assert {issued.name for issued in provision(out, HERE, COUNTS).made} == EVERYBODY
    assert (out / "authority" / "ca.pem").read_bytes() == ca
    for name in EVERYBODY:
        read_kit(out / name, ["cloud", "operator", "seller", "buyer", "entity"])


def test_settings_of_the_clouds_owner_stay(out: Path) -> None:
    path = out / "cloud" / "party.yaml"
    changed = path.read_text().replace("patience: 600.0", "patience: 60")
    path.write_text(changed)
    provision(out, HERE, {"seller": 5})
    assert path.read_text() == changed
    assert read_kit(out / "cloud", ["cloud"]).party.patience == 60  # type: ignore[union-attr]


def test_adding_one_touches_nobody_else(out: Path) -> None:
    before = fingerprint(out)
    (made,) = add(out, "seller4", "seller").made
    assert (made.name, made.role) == ("seller4", "seller")
    after = fingerprint(out)
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed == {
        "authority/issued.csv", "seller4/ca.pem", "seller4/certificate.pem", "seller4/key.pem", "seller4/party.yaml",
        "seller4/policy.yaml", "seller4/revoked.txt",
    }  # fmt: skip
    assert add(out, "seller4", "seller").made == []


def test_a_revoked_party_is_out_until_it_is_added_again(out: Path) -> None:
    cloud = Revocations(out / "cloud" / "revoked.txt")
    old = peer_identity((out / "seller2" / "certificate.pem").read_bytes()).serial
    assert old not in cloud
    assert [issued.name for issued in revoke(out, "seller2")] == ["seller2"]
    assert cloud.serials() == {old}
    assert revoke(out, "seller2") == []
    assert [issued.name for issued in provision(out, HERE, COUNTS).made] == ["seller2"]
    new = peer_identity((out / "seller2" / "certificate.pem").read_bytes()).serial
    assert old in cloud
    assert new not in cloud


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "cloud", "seller"), "is not a name for a seller"),
        (("add", "authority", "seller"), "is not a name for a seller"),
        (("add", "seller1", "buyer"), "seller1 is a seller"),
        (("add", "../seller9", "seller"), "a party's name is"),
        (("revoke", "seller9"), "there is no seller9"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(out: Path, words: tuple[str, ...], sentence: str) -> None:
    before = fingerprint(out)
    with pytest.raises(BadKit, match=sentence):
        {"add": add, "revoke": revoke}[words[0]](out, *words[1:])
    assert fingerprint(out) == before


def test_a_kit_is_of_one_cloud_and_other_folders_are_left_alone(out: Path, tmp_path: Path) -> None:
    with pytest.raises(BadKit, match="for a cloud at elsewhere:7443"):
        provision(out, Address("elsewhere"), COUNTS)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with pytest.raises(BadKit, match="is not a kit"):
        provision(tmp_path / "photos", HERE, COUNTS)
    with pytest.raises(BadKit, match="is not a kit"):
        add(tmp_path / "photos", "seller4", "seller")


def test_the_secret_is_drawn_on_the_partys_own_machine_and_stays(out: Path, tmp_path: Path) -> None:
    kit = read_kit(out / "seller1", ["seller"])
    assert not kit.state.exists()
    secret = kit.secret()
    assert len(secret) == 32
    assert read_kit(out / "seller1", ["seller"]).secret() == secret
    assert stat.S_IMODE((kit.state / "secret").stat().st_mode) == 0o600
    elsewhere = read_kit(out / "seller1", ["seller"], tmp_path / "state")
    assert elsewhere.secret() != secret
    (kit.state / "secret").write_bytes(b"short")
    with pytest.raises(BadKit, match="should hold 32 bytes and holds 5"):
        kit.secret()


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("certificate.pem", None, "certificate.pem is missing"),
        ("certificate.pem", b"junk", "PEM form"),
        ("party.yaml", b"role: [", "is not YAML"),
        ("party.yaml", b"hello", "keys and values"),
        ("party.yaml", b"role: seller\nname: seller1\n", "party.yaml: cloud: field required"),
        ("party.yaml", b"role: seller\nname: seller1\ncloud: 'a:b'\n", "an address is HOST or HOST:PORT"),
        (
            "party.yaml",
            b"role: seller\nname: seller1\ncloud: a\ncolour: red\n",
            "yaml, line 4: there is no key colour; ",
        ),
        ("party.yaml", b"role: seller\nname: seller2\ncloud: a\n", "the certificate is for seller seller1"),
        ("party.yaml", b"role: buyer\nname: buyer1\ncloud: a\n", "with the role buyer"),
    ],
)
def test_a_kit_that_does_not_hold_together_is_refused(
    out: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = out / "seller1" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(BadKit, match=sentence):
        read_kit(out / "seller1", ["seller"])


def test_parts_of_two_kits_do_not_go_together(out: Path, tmp_path: Path) -> None:
    provision(tmp_path / "other", HERE, COUNTS)
    for name, sentence in (("ca.pem", "not signed by"), ("key.pem", "not the one of the certificate")):
        mine = (out / "seller1" / name).read_bytes()
        (out / "seller1" / name).write_bytes((tmp_path / "other" / "seller1" / name).read_bytes())
        with pytest.raises(BadKit, match=sentence):
            read_kit(out / "seller1", ["seller"])
        (out / "seller1" / name).write_bytes(mine)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("cloud", Address("cloud", 7443)),
        ("10.0.0.1:80", Address("10.0.0.1", 80)),
        ("::1", Address("::1", 7443)),
        ("[fe80::1]:81", Address("fe80::1", 81)),
        ("[::1]", Address("::1", 7443)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("text", ["", ":80", "a:b", "a:70000", "a:"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        Address.parse(text)


def test_the_command_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def parley(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["parley", "provision", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert not ended.value.code, shown.err
        return shown.out

    shown = parley("--cloud", "cloud.example.org", "--sellers", "3", "--buyers", "1", "--entities", "2", "--out", "kit")
    assert "Made 8 folders in kit, for the cloud at cloud.example.org:7443" in shown
    for command in ("cloud --kit kit/cloud", "seller --kit kit/seller3 --album", "buyer request --kit kit/buyer1"):
        assert f"parley {command}" in shown
    assert "Nothing to do" in parley("--cloud", "cloud.example.org")
    assert "kit/seller4" in parley("add", "seller4")
    assert "Revoked seller2" in parley("revoke", "seller2")
    assert yaml.safe_load((tmp_path / "kit" / "seller4" / "party.yaml").read_text())["role"] == "seller"


def test_wrong_commands_end_with_numbered_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def code(*words: str) -> object:
        monkeypatch.setattr(sys, "argv", ["parley", "provision", *words])
        with pytest.raises((SystemExit, UserError)) as ended:
            main()
        return ended.value.code if isinstance(ended.value, SystemExit) else ended.value.exit_code

    assert code() == 2
    assert code("--cloud", "a:b") == 2
    assert code("add", "alice") == 2
    assert code("add", "seller1") == 9
    assert "make one with `parley provision --cloud HOST" in " ".join(capsys.readouterr().err.split())
