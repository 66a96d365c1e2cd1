"""Parties and the doctor go the same way: through a proxy where the environment names one, never to this machine."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import ClassVar

import pytest
from test_doctor import failed, free_port, listening

from deploy.doctor import Severity, check_machine
from deploy.kit import Address, read_kit
from deploy.party import Away, ask_cloud
from deploy.provisioning import provision
from protocol.grids.grpc.proxy import proxy_for
from protocol.messages import service

VARIABLES = [f"{kind}_proxy" for kind in ("grpc", "https", "http", "all", "no")]


class Tunnel(StreamRequestHandler):
    """Opens tunnels to this machine, whatever the name, for who knows the password."""

    asked: ClassVar[list[str]] = []
    PASSWORD = b64encode(b"ann:s3:cret").decode()

    def handle(self) -> None:
        words = self.rfile.readline().decode().split()
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        self.asked.append(words[1])
        if headers.get("proxy-authorization") != f"Basic {self.PASSWORD}":
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        port = int(words[1].rpartition(":")[2])
        with closing(socket.create_connection(("127.0.0.1", port))) as there:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(there, self.connection))
            back.start()
            self.copy(self.connection, there)
            back.join()

    def copy(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies of this machine."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def proxy() -> Iterator[int]:
    Tunnel.asked.clear()
    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The kit of a cloud whose name only the proxy knows."""
    provision(tmp_path / "kit", Address("cloud.invalid", free_port()), {"seller": 1})
    return tmp_path / "kit"


def ask(out: Path) -> service.Health:
    return ask_cloud(read_kit(out / "seller1", {"seller"}), service.HEALTH, service.AskHealth(), service.Health)


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "http_proxy", "grpc_proxy"])
def test_both_get_through_a_proxy(out: Path, proxy: int, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, f"http://ann:s3%3Acret@127.0.0.1:{proxy}")
    with listening(out, at="127.0.0.1"):
        assert ask(out).time > 0
        findings = check_machine(out / "seller1")
    assert {finding.severity for finding in findings} == {Severity.OK}
    (seen,) = (finding.seen for finding in findings if finding.subject == "proxy")
    assert seen == f"127.0.0.1:{proxy}, as {variable.lower()} says"
    assert {asked.partition(":")[0] for asked in Tunnel.asked} == {"cloud.invalid"}


def test_a_proxy_that_refuses_is_named(out: Path, proxy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://ann:wrong@127.0.0.1:{proxy}")
    finding = failed(check_machine(out / "seller1"))
    assert f"cannot be reached through the proxy 127.0.0.1:{proxy}: " in finding.seen
    assert "no_proxy" in finding.fix
    with pytest.raises(Away, match=rf"through the proxy 127.0.0.1:{proxy}, as https_proxy says"):
        ask(out)
    assert "wrong" not in finding.seen


def test_a_proxy_that_is_not_there_is_named(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:9")
    assert "through the proxy 127.0.0.1:9: Connection refused" in failed(check_machine(out / "seller1")).seen
    with pytest.raises(Away, match=r"through the proxy 127.0.0.1:9, as http_proxy says"):
        ask(out)


def test_this_machine_is_reached_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    provision(tmp_path / "kit", Address("localhost", free_port()), {"seller": 1})
    with listening(tmp_path / "kit"):
        assert ask(tmp_path / "kit").time > 0
        assert {finding.severity for finding in check_machine(tmp_path / "kit" / "seller1")} == {Severity.OK}


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:9", "http://[bad", "http://proxy:port", "proxy:99999", "http://"])
def test_a_proxy_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("https_proxy", url)
    assert proxy_for("cloud.example.org") is None
    provision(tmp_path / "kit", Address("localhost", free_port()), {"seller": 1})
    (finding,) = (each for each in check_machine(tmp_path / "kit" / "seller1") if each.subject == "proxy")
    assert "https_proxy names no http:// proxy" in finding.seen


@pytest.mark.parametrize(
    ("host", "excepted", "direct"),
    [
        ("cloud.example.org", "", False),
        ("cloud.example.org", "example.org", True),
        ("cloud.example.org", "other.org, cloud.example.org", True),
        ("cloud.example.org", "*", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("localhost", "", True),
        ("127.8.8.8", "", True),
        ("::1", "", True),
    ],
)
def test_hosts_that_need_none(monkeypatch: pytest.MonkeyPatch, host: str, excepted: str, direct: bool) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert (proxy_for(host) is None) == direct


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://ann:s3cret@proxy.example.org")
    proxy = proxy_for("cloud.example.org")
    assert proxy is not None
    assert str(proxy) == "proxy.example.org:80"
    assert "s3cret" not in repr(proxy)
    assert proxy.url == "http://ann:s3cret@proxy.example.org:80"
