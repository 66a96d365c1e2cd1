"""What a cloud answers about its purchases, asked over the wire, and what it may ask of a buyer's machine."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from deployment import Deployment
from flwr.app import RecordDict

from deploy.books import ledger_of, open_books
from deploy.buyer import MARK, WISHES, Purchases, cancel
from deploy.cloud import start, vault_of
from deploy.kit import Kit, read_kit
from deploy.operator import abort_purchase, drain, end_drain, keep_pool, rules_of, status_of
from deploy.party import alone, ask_cloud
from parties.purchase.workflow import Purchase
from protocol.encoding.codec import encode
from protocol.errors import BadInput, Unreachable
from protocol.flower import FIRST_NODE_ID
from protocol.grids import LocalGrid
from protocol.messages import service
from protocol.messages.base import Hello
from protocol.messages.purchase import Statement


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cloud in this process, whose buyers ask and never attach: their purchases stay open."""
    made = Deployment(tmp_path_factory.mktemp("desk"), sellers=1)
    kit = read_kit(made.kit / "cloud", ["cloud"])
    with alone(kit.state), ExitStack() as stack:
        start(kit, open_books(kit, ledger_of(kit), vault_of(kit), stack), stack)
        yield made


@pytest.fixture
def operator(deployment: Deployment) -> Kit:
    return read_kit(deployment.kit / "operator", ["operator"])


def buyer(deployment: Deployment, number: int) -> Kit:
    return read_kit(deployment.kit / f"buyer{number}", ["buyer"])


def begin(kit: Kit, wish: bytes) -> service.PurchaseStanding:
    return ask_cloud(kit, service.PURCHASE, service.BeginPurchase(wish=wish), service.PurchaseStanding)


def test_one_buyer_has_a_quarter_of_the_places_and_an_operator_can_empty_them(
    deployment: Deployment, operator: Kit
) -> None:
    first, second = buyer(deployment, 1), buyer(deployment, 2)
    names = [begin(first, bytes([7, number])).name for number in range(4)]
    assert begin(first, bytes([7, 1])).name == names[1]  # the same purchase
    for wish in (b"fifth", bytes([1])):  # the second is the end of a name that is there
        with pytest.raises(Unreachable, match="4 purchases of urn:parley:buyer:buyer1 are running, all that"):
            begin(first, wish)
    others = begin(second, b"another buyer's").name
    with pytest.raises(Unreachable, match="no purchase of this name has ended"):
        ask_cloud(first, service.STATEMENT, service.AskStatement(wish=bytes([7, 0])), Statement)
    for name in [*names, others]:
        ended = abort_purchase(operator, name[:-1] if name == others else name)
        assert (ended.name, ended.state, ended.note) == (name, "failed", "urn:parley:operator:operator ended it")
    with pytest.raises(Unreachable, match=f"the purchase {names[0]} has ended already"):
        abort_purchase(operator, names[0])
    with pytest.raises(Unreachable, match="there is no purchase nowhere; `parley status` names them"):
        abort_purchase(operator, "nowhere")
    assert begin(first, b"fifth").state == "open"
    assert begin(first, bytes([7, 0])).state == "failed"


def test_only_an_operator_ends_purchases_and_only_a_buyer_has_statements(deployment: Deployment, operator: Kit) -> None:
    with pytest.raises(Unreachable, match="may not call abort; it is for operator"):
        ask_cloud(buyer(deployment, 2), service.ABORT, service.AbortPurchase(name="x"), service.PurchaseStanding)
    with pytest.raises(Unreachable, match="may not call statement; it is for buyer"):
        ask_cloud(operator, service.STATEMENT, service.AskStatement(wish=b"x"), Statement)


def test_a_buyer_cancels_what_it_does_not_owe_yet(deployment: Deployment, tmp_path: Path) -> None:
    kit, out = buyer(deployment, 2), tmp_path / "bought"
    with pytest.raises(BadInput, match="is not the folder of a purchase of buyer2 that is running"):
        cancel(kit, out)
    for wish, step in (("aa01", 0), ("aa02", Purchase.STEPS.index("payment") + 1)):
        name = begin(kit, bytes.fromhex(wish)).name
        if step:
            with closing(sqlite3.connect(deployment.kit / "cloud" / "state" / "cloud.sqlite", timeout=30)) as database:
                database.execute("UPDATE workflows SET step = ? WHERE name = ?", (step, name))
                database.commit()
        for folder, file in ((out, MARK), (kit.state / WISHES, f"{wish}.json")):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(wish)
        if step:
            with pytest.raises(Unreachable, match="its invoice is to be paid already"):
                cancel(kit, out)
        else:
            cancel(kit, out)
            with pytest.raises(Unreachable, match="it has failed already"):
                cancel(kit, out)
        assert begin(kit, bytes.fromhex(wish)).state == ("open" if step else "failed")
    with pytest.raises(Unreachable, match="no purchase of this name was begun"):
        ask_cloud(kit, service.CANCEL, service.CancelPurchase(wish=b"no"), service.PurchaseStanding)


def test_a_cloud_that_is_drained_begins_nothing_and_says_when_nothing_runs(
    deployment: Deployment, operator: Kit
) -> None:
    for row in status_of(operator, everything=True).purchases:
        if row.state == "open":
            abort_purchase(operator, row.name)
    kit = buyer(deployment, 1)
    running = begin(kit, b"runs").name
    told: list[str] = []

    def progress(what: str, done: int, of: int) -> None:
        told.append(what)
        with pytest.raises(Unreachable, match="is being drained for a restart, and begins nothing new"):
            begin(kit, b"new")
        assert begin(kit, b"runs").name == running
        abort_purchase(operator, running)

    drain(operator, progress)
    assert told == ["1 still running"]
    with pytest.raises(Unreachable, match="is being drained"):
        keep_pool(operator, rules_of(["cat", "dog"], 32, "compact"), 2, 60, progress)
    end_drain(operator)
    assert begin(kit, b"new").state == "open"
    with pytest.raises(Unreachable, match="may not call drain; it is for operator"):
        drain(kit, progress)


def test_status_lists_a_page_of_any_number_of_purchases(deployment: Deployment, operator: Kit) -> None:
    before = status_of(operator)
    many = 1_500
    with closing(sqlite3.connect(deployment.kit / "cloud" / "state" / "cloud.sqlite", timeout=30)) as database:
        columns = "name, workflow, opener, state, step, begun_at, heard_at, note"
        rows = [(f"2-{number:064x}", "purchase", 2, "failed", 3, number, number, "n" * 900) for number in range(many)]
        database.executemany(f"INSERT INTO workflows ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    page = status_of(operator)
    assert (page.failed, page.ended, page.open) == (before.failed + many, before.ended, before.open)
    assert len(page.purchases) == service.PURCHASES
    assert [each.state for each in page.purchases[: page.open]] == ["open"] * page.open
    begun = [each.begun_at for each in page.purchases[page.open :]]
    assert begun == sorted(begun, reverse=True)
    everything = status_of(operator, everything=True)
    assert len({each.name for each in everything.purchases}) == page.failed + page.ended + page.open
    assert everything.parties == page.parties


@pytest.mark.parametrize("wish", ["../../planted", "..", "x/../planted", "ABCD", "é"])
def test_a_cloud_names_no_file_of_the_buyers(deployment: Deployment, wish: str) -> None:
    """A purchase is named in every message; the name is looked up in the state folder only if it is one."""
    kit = buyer(deployment, 1)
    planted = {"samples": "/", "budget": 1.0, "quality": "quantity", "model": {}, "out": str(kit.state / "out")}
    for folder in (kit.state, kit.folder):
        folder.mkdir(parents=True, exist_ok=True)
        Path(folder / "planted.json").write_text(json.dumps(planted))
    with LocalGrid([Purchases(kit)]) as grid:
        content: RecordDict = encode(Hello())
        (reply,) = grid.send_and_receive(
            [grid.create_message(content, "query.introduce", FIRST_NODE_ID, f"2-{wish}/1")]
        )
        assert reply.content["fields"]["role"] == "buyer"
        (reply,) = grid.send_and_receive([grid.create_message(content, "query.request", FIRST_NODE_ID, f"2-{wish}/2")])
        assert "No" in reply.error.reason or "no" in reply.error.reason
    assert not (kit.state / "out").exists()
