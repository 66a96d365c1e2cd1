"""What a cloud shows over HTTP: its console, metrics that Prometheus's own parser reads, and whether it is well."""

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from browser import chromium
from deployment import Deployment
from forks import Parley
from prometheus_client.parser import text_string_to_metric_families

from deploy import web
from deploy.books import ledger_of, open_books
from deploy.cloud import Desk, start, vault_of
from deploy.console import page
from deploy.kit import Address, Kit, read_kit
from deploy.operator import abort_purchase
from deploy.overview import Party
from deploy.party import alone, ask_cloud
from deploy.web import shown
from protocol.errors import BadKit, Unreachable
from protocol.messages import service


@dataclass
class Shown:
    deployment: Deployment
    desk: Desk
    port: int

    def kit(self, name: str) -> Kit:
        return read_kit(self.deployment.kit / name, ["buyer", "operator"])

    def begin(self, wish: bytes) -> str:
        question = service.BeginPurchase(wish=wish)
        name = ask_cloud(self.kit("buyer1"), service.PURCHASE, question, service.PurchaseStanding).name
        self.deployment.wait_step(1)  # in which it waits for the buyer
        return name

    def get(self, path: str, host: str = "", method: str = "GET") -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()

    def metrics(self) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(self.get("/metrics")[2])
        return {
            (each.name, *(value for _, value in sorted(each.labels.items()))): each.value
            for family in families
            for each in family.samples
        }


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    made = Deployment(tmp_path_factory.mktemp("console"), sellers=1)
    kit = read_kit(made.kit / "cloud", ["cloud"])
    with alone(kit.state), ExitStack() as stack:
        desk = start(kit, open_books(kit, ledger_of(kit), vault_of(kit), stack), stack)
        port = stack.enter_context(shown(Address("127.0.0.1", 0), desk.overview))
        yield Shown(made, desk, port)


def test_metrics_say_what_runs(console: Shown) -> None:
    first = console.begin(b"one")
    before = console.metrics()
    assert before["parley_workflows", "open"] == before["parley_workflows_running", "1", "purchase"] == 1
    assert before["parley_parties", "false", "buyer"] == 1
    assert before["parley_questions_waiting",] == 1  # to the buyer, which is not attached
    assert before["process_resident_memory_bytes",] > 1e8
    with pytest.raises(Unreachable, match="may not call status"):
        abort_purchase(console.kit("buyer1"), first)
    abort_purchase(console.kit("operator"), first)
    after = console.metrics()
    assert (after["parley_workflows", "open"], after["parley_workflows", "failed"]) == (0, 1)
    assert after["parley_refused_calls_total", "PERMISSION_DENIED"] >= 1
    for direction in ("sent", "received"):
        assert after["parley_wire_bytes_total", direction] > before["parley_wire_bytes_total", direction] > 0
    assert not any(name.endswith("_created") for name, *_ in after)


def test_the_dashboard_asks_for_metrics_that_there_are(console: Shown) -> None:
    with pytest.raises(Unreachable):
        abort_purchase(console.kit("buyer1"), "none")  # so that a call was refused
    abort_purchase(console.kit("operator"), console.begin(b"drawn"))
    there = {name for name, *_ in console.metrics()} | {"parley_workflows_running"}  # of which none runs now
    dashboard = json.loads((Path(__file__).parents[2] / "deploy" / "grafana.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for expression in asked for name in re.findall(r"(?:parley|process)_\w+", expression)}
    assert named <= there
    assert {name for name in there if name.startswith("parley_")} - named == {"parley_pools_running", "parley_draining"}


def test_the_page_shows_it_and_needs_nothing_else(console: Shown) -> None:
    name = console.begin(b"two")
    status, headers, text = console.get("/")
    assert status == 200
    assert name[:16] in text
    assert "1 of 12: request" in text
    assert "buyer1" in text
    assert not re.findall(r"(?:src|href|action)=|http", text)
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"] == "no-store"
    abort_purchase(console.kit("operator"), name)
    ask_cloud(console.kit("operator"), service.DRAIN, service.Drain(), service.DrainStanding)
    assert "Draining" in console.get("/")[2]
    ask_cloud(console.kit("operator"), service.DRAIN, service.Drain(on=False), service.DrainStanding)


def test_it_is_read_on_this_machine_alone_and_changes_nothing(console: Shown) -> None:
    assert console.get("/healthz")[::2] == (200, "ok\n")
    assert console.get("/", "localhost:1")[0] == console.get("/", "[::1]:1")[0] == 200
    for host in (
        "evil.example.org",
        "127.0.0.1.evil.example.org:80",
        "x:y:z",
    ):  # a name that an attacker's server gives
        assert console.get("/", host)[0] == 421
    assert console.get("/../etc/passwd")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert console.get("/", method=method)[0] == 501
    with shown(Address("0.0.0.0", 0), console.desk.overview) as port:
        everywhere = replace(console, port=port)
        assert [everywhere.get(path, "cloud.example.org")[0] for path in ("/metrics", "/healthz", "/")] == [
            200,
            200,
            404,
        ]
    taken = Address("127.0.0.1", console.port)
    with pytest.raises(BadKit, match=f"the console cannot listen at {taken}"), shown(taken, console.desk.overview):
        pass


def test_silent_callers_are_hung_up_on_and_leave_room_in_the_end(
    console: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web._Handler, "timeout", 0.5)
    with shown(Address("127.0.0.1", 0), console.desk.overview) as port, ExitStack() as stack:
        callers = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(web.CALLERS + 8)]
        for caller in callers:
            caller.settimeout(30)
            assert caller.recv(1) == b""
        assert replace(console, port=port).get("/healthz")[0] == 200


def test_a_cloud_that_cannot_be_looked_at_is_not_well() -> None:
    def broken() -> None:
        raise OSError("the disk is gone")

    with shown(Address("127.0.0.1", 0), broken) as port:  # type: ignore[arg-type]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 503


def test_what_parties_call_themselves_is_text(console: Shown) -> None:
    now = console.desk.overview()
    names = [Party("seller", f"<b>{number}", attached=True) for number in range(60)]
    text = page(replace(now, parties=tuple(names)))
    assert "<b>1" not in text
    assert "&lt;b&gt;49 and 10 more" in text


def test_it_is_accessible(console: Shown, tmp_path: Path, faults_of: Callable[..., list[str]]) -> None:
    console.begin(b"three")
    (tmp_path / "console.html").write_text(console.get("/")[2])
    assert faults_of(tmp_path / "console.html") == []


def test_it_renews_itself_in_a_browser(console: Shown, tmp_path: Path) -> None:
    with chromium(tmp_path) as tab:
        tab.command("Page.navigate", url=f"http://127.0.0.1:{console.port}/")
        tab.wait(lambda: tab.value("document.readyState === 'complete' && location.protocol === 'http:'"))
        name = console.begin(b"four")
        tab.wait(lambda: tab.value(f"document.body.innerText.includes('{name[:16]}')"))
        assert tab.value("getComputedStyle(document.querySelector('section')).borderRadius") == "10px"
        assert tab.value("document.getElementById('stale').hidden")


def test_the_command_shows_it(tmp_path: Path) -> None:
    made = Deployment(tmp_path, sellers=1)
    made.start("cloud", ["cloud", "--kit", str(made.kit / "cloud"), "--console", "0"])
    try:
        line = made.wait_event("cloud", "showing")
        connection = http.client.HTTPConnection(*line["console"].split(":"), timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b"ok\n"
    finally:
        made.close()
    wrong = Parley(["cloud", "--kit", str(made.kit / "cloud"), "--console", "here:there"], tmp_path, tmp_path / "log")
    assert wrong.wait(120) == 2
    assert "--console: an address is HOST or HOST:PORT, not 'here:there', or PORT" in " ".join(
        (tmp_path / "log").read_text().replace("│", " ").split()
    )
