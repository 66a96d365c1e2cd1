"""Certificates, judged by other implementations: OpenSSL's command, Python's `ssl`, and gRPC's own TLS."""

import shutil
import socket
import ssl
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from protocol.crypto.certificates import (
    ROLES,
    CertificateError,
    Credentials,
    Identity,
    Revocations,
    check_issuer,
    check_key,
    check_time,
    good_from_until,
    hosts_of,
    mint,
    mint_authority,
    peer_identity,
)
from protocol.storage.files import private_folder, write_once, write_private

AUTHORITY = mint_authority()
CLOUD = mint(AUTHORITY, "cloud", "cloud", ["cloud.example.org", "localhost", "127.0.0.1", "::1"])
SELLER = mint(AUTHORITY, "seller", "seller1")


def test_a_certificate_names_one_role_and_one_party() -> None:
    identity = peer_identity(SELLER.certificate)
    assert (identity.role, identity.name) == ("seller", "seller1")
    assert identity.urn == "urn:parley:seller:seller1"
    assert identity == SELLER.identity
    assert peer_identity(mint(AUTHORITY, "seller", "seller1").certificate).serial != identity.serial


def test_an_authority_certifies_parties_and_no_further_authority() -> None:
    authority, party = (x509.load_pem_x509_certificate(each.certificate).extensions for each in (AUTHORITY, SELLER))
    limits = authority.get_extension_for_class(x509.BasicConstraints)
    assert (limits.critical, limits.value.ca, limits.value.path_length) == (True, True, 0)
    assert not party.get_extension_for_class(x509.BasicConstraints).value.ca
    for extensions, may_certify in ((authority, True), (party, False)):
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert (usage.critical, usage.value.key_cert_sign) == (True, may_certify)


@given(st.sampled_from(ROLES), st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True))
def test_every_role_and_name_comes_back(role: str, name: str) -> None:
    identity = mint(AUTHORITY, role, name, ["localhost"] if role == "cloud" else []).identity
    assert identity == Identity(role, name, identity.serial)


def test_the_cloud_names_its_hosts_and_nobody_else_does() -> None:
    assert set(hosts_of(CLOUD.certificate)) == {"cloud.example.org", "localhost", "127.0.0.1", "::1"}
    with pytest.raises(CertificateError, match="names its hosts"):
        mint(AUTHORITY, "cloud", "cloud")
    with pytest.raises(CertificateError, match="names its hosts"):
        mint(AUTHORITY, "seller", "seller1", ["localhost"])


@pytest.mark.parametrize(
    ("role", "name", "hosts", "sentence"),
    [
        ("admin", "x", [], "no role 'admin'"),
        ("seller", "Seller 1", [], "a party's name is"),
        ("seller", "", [], "a party's name is"),
        ("seller", "a" * 64, [], "a party's name is"),
        ("seller", "a\n", [], "a party's name is"),
        ("cloud", "cloud", ["not a host"], "neither a host name nor an IP address"),
        ("cloud", "cloud", [""], "neither a host name nor an IP address"),
    ],
)
def test_a_mistake_is_one_sentence(role: str, name: str, hosts: list[str], sentence: str) -> None:
    with pytest.raises(CertificateError, match=sentence):
        mint(AUTHORITY, role, name, hosts)


def test_what_is_no_certificate_of_ours_is_refused() -> None:
    for junk in (b"", b"junk", SELLER.key):
        with pytest.raises(CertificateError, match="certificate in PEM form"):
            peer_identity(junk)
    with pytest.raises(CertificateError, match="names no party"):
        peer_identity(AUTHORITY.certificate)


def test_expiry_issuer_and_key_are_checked() -> None:
    now = datetime.now(UTC)
    old = mint(AUTHORITY, "seller", "old", now=now - timedelta(days=10), lifetime=timedelta(days=9))
    early = mint(AUTHORITY, "seller", "early", now=now + timedelta(days=1))
    check_time(SELLER.certificate)
    with pytest.raises(CertificateError, match="expired on"):
        check_time(old.certificate)
    with pytest.raises(CertificateError, match="is valid from"):
        check_time(early.certificate)
    first, last = good_from_until(SELLER.certificate)
    assert first < now < last
    check_issuer(SELLER.certificate, AUTHORITY.certificate)
    with pytest.raises(CertificateError, match="not signed by"):
        check_issuer(SELLER.certificate, mint_authority().certificate)
    check_key(SELLER)
    with pytest.raises(CertificateError, match="not the one of the certificate"):
        check_key(Credentials(SELLER.certificate, CLOUD.key))
    assert "BEGIN" not in repr(SELLER).partition("key")[2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")
def test_openssl_accepts_them_each_for_its_purpose(tmp_path: Path) -> None:
    for name, pem in (("ca", AUTHORITY), ("cloud", CLOUD), ("seller", SELLER)):
        (tmp_path / name).write_bytes(pem.certificate)

    def verify(who: str, *words: str) -> bool:
        command = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca", *words, tmp_path / who]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert verify("cloud", "-purpose", "sslserver", "-verify_hostname", "cloud.example.org")
    assert verify("cloud", "-purpose", "sslserver", "-verify_ip", "127.0.0.1")
    assert verify("seller", "-purpose", "sslclient")
    assert not verify("cloud", "-verify_hostname", "elsewhere.example.org")
    assert not verify("cloud", "-purpose", "sslclient")
    assert not verify("seller", "-purpose", "sslserver")


def context(tmp_path: Path, credentials: Credentials, authority: bytes, *, server: bool) -> ssl.SSLContext:
    purpose = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
    made = ssl.SSLContext(purpose)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=authority.decode())
    (tmp_path / "certificate").write_bytes(credentials.certificate)
    (tmp_path / "key").write_bytes(credentials.key)
    made.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    return made


def shake_hands(tmp_path: Path, server: Credentials, client: Credentials, trusted: bytes) -> bytes:
    """Greet over mutual TLS; returns the client's certificate (DER) as the server saw it."""
    cloud = context(tmp_path, server, AUTHORITY.certificate, server=True)
    party = context(tmp_path, client, trusted, server=False)
    here, there = socket.socketpair()
    here.settimeout(10)
    there.settimeout(10)

    def serve() -> bytes:
        with closing(cloud.wrap_socket(here, server_side=True)) as stream:
            stream.sendall(stream.recv(5))
            return stream.getpeercert(binary_form=True) or b""

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        try:
            with closing(party.wrap_socket(there, server_hostname="localhost")) as stream:
                stream.sendall(b"hello")
                assert stream.recv(5) == b"hello"
        finally:
            there.close()
        return serving.result()


def test_python_shakes_hands(tmp_path: Path) -> None:
    seen = shake_hands(tmp_path, CLOUD, SELLER, AUTHORITY.certificate)
    assert peer_identity(ssl.DER_cert_to_PEM_cert(seen).encode()) == SELLER.identity


@pytest.mark.parametrize(
    ("server", "client", "trusted"),
    [
        (CLOUD, mint(mint_authority(), "seller", "seller1"), AUTHORITY.certificate),
        (CLOUD, SELLER, mint_authority().certificate),
        (SELLER, SELLER, AUTHORITY.certificate),
        (CLOUD, CLOUD, AUTHORITY.certificate),
        (
            CLOUD,
            mint(AUTHORITY, "seller", "old", now=datetime(2020, 1, 1, tzinfo=UTC)),
            AUTHORITY.certificate,
        ),
    ],
    ids=["another authority's party", "another authority's cloud", "a seller as cloud", "a cloud as party", "expired"],
)
def test_a_bad_one_does_not_get_in(tmp_path: Path, server: Credentials, client: Credentials, trusted: bytes) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        shake_hands(tmp_path, server, client, trusted)


def test_grpc_shows_the_cloud_who_calls() -> None:
    def answer(request: bytes, call: Any) -> bytes:
        (pem,) = call.auth_context()["x509_pem_cert"]
        return peer_identity(pem).urn.encode()

    handlers = {"ask": grpc.unary_unary_rpc_method_handler(answer)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("who", handlers),))
    credentials = grpc.ssl_server_credentials([(CLOUD.key, CLOUD.certificate)], AUTHORITY.certificate, True)
    port = server.add_secure_port("localhost:0", credentials)
    server.start()

    def ask(client: Credentials) -> bytes:
        credentials = grpc.ssl_channel_credentials(AUTHORITY.certificate, client.key, client.certificate)
        with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
            reply: bytes = channel.unary_unary("/who/ask")(b"", timeout=10)
            return reply

    try:
        assert ask(SELLER) == b"urn:parley:seller:seller1"
        with pytest.raises(grpc.RpcError) as refused:
            ask(mint(mint_authority(), "seller", "seller1"))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop(None).wait()


def test_revoked_serials_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "revoked.txt"
    cloud, operator = Revocations(path), Revocations(path)
    serial = SELLER.identity.serial
    operator.add({})
    assert serial not in cloud
    operator.add({serial: "seller1"})
    assert serial in cloud
    before = path.read_bytes()
    operator.add({serial: "seller1"})
    assert path.read_bytes() == before
    operator.add({7: "seller7"})
    assert cloud.serials() == {serial, 7}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_readable_list_nobody_gets_in(tmp_path: Path) -> None:
    path = tmp_path / "revoked.txt"
    with pytest.raises(CertificateError, match="cannot be read"):
        Revocations(path).serials()
    path.write_text("beef # fine\nseller2\n")
    with pytest.raises(CertificateError, match="no serial number"):
        Revocations(path).serials()


def test_private_files_are_whole_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    private_folder(folder)
    folder.chmod(0o755)
    private_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (folder / "key").touch(0o644)
    write_private(folder / "key", b"secret")
    assert (folder / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((folder / "key").stat().st_mode) == 0o600
    with pytest.raises(OSError, match="nowhere"):
        write_private(folder / "nowhere" / "key", b"secret")
    assert [path.name for path in folder.iterdir()] == ["key"]


def test_of_two_writers_the_first_one_wins(tmp_path: Path) -> None:
    path, barrier = tmp_path / "secret", threading.Barrier(8)

    def write(number: int) -> bytes:
        barrier.wait()
        return write_once(path, bytes([number]) * 32)

    with ThreadPoolExecutor(8) as pool:
        read = set(pool.map(write, range(8)))
    assert len(read) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
