"""Money that operators move, asked over the wire: once for each reference, never more than there is, by nobody else."""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from deployment import Deployment
from forks import Parley

from deploy.books import audit_ledger, ledger_of, open_books
from deploy.buyer import WISHES, Wanted, buy
from deploy.cloud import start, vault_of
from deploy.kit import CloudFile, Kit, read_kit
from deploy.operator import account_of, move_money
from deploy.party import alone, ask_cloud
from parties.featurizers import Model
from parties.purchase.terms import COIN
from protocol.encoding.codec import encode
from protocol.errors import Unreachable
from protocol.grids.grpc.frames import write_content
from protocol.grids.grpc.transport import MAX_FRAME
from protocol.messages import service
from protocol.messages.purchase import Quality


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A cloud in this process, and a buyer that it knows."""
    made = Deployment(tmp_path_factory.mktemp("accounts"), sellers=1)
    kit = read_kit(made.kit / "cloud", ["cloud"])
    with alone(kit.state), ExitStack() as stack:
        start(kit, open_books(kit, ledger_of(kit), vault_of(kit), stack), stack)
        begin(buyer(made), b"known", 0)
        yield made


@pytest.fixture
def operator(deployment: Deployment) -> Kit:
    return read_kit(deployment.kit / "operator", ["operator"])


def buyer(deployment: Deployment, number: int = 1) -> Kit:
    return read_kit(deployment.kit / f"buyer{number}", ["buyer"])


def begin(kit: Kit, wish: bytes, budget: int) -> service.PurchaseStanding:
    question = service.BeginPurchase(wish=wish, budget=budget)
    return ask_cloud(kit, service.PURCHASE, question, service.PurchaseStanding)


def test_a_reference_moves_money_once(deployment: Deployment, operator: Kit) -> None:
    before = account_of(operator, "buyer1").free
    for party in ("buyer1", "urn:parley:buyer:buyer1"):
        assert move_money(operator, party, 700, "invoice 1").free == before + 700
    with pytest.raises(Unreachable, match="the reference 'invoice 1' was used before, for another amount"):
        move_money(operator, "buyer1", 701, "invoice 1")
    assert move_money(operator, "buyer1", -200, "refund 1").free == before + 500
    last = account_of(buyer(deployment), "").lines[-2:]
    assert [(line.amount, line.memo) for line in last] == [(700, "deposit: invoice 1"), (-200, "withdrawal: refund 1")]


def test_nobody_takes_out_more_than_is_free(deployment: Deployment, operator: Kit) -> None:
    free = account_of(operator, "buyer1").free
    with pytest.raises(Unreachable, match=rf"buyer1 holds {free / COIN:.2f} coins that are free, and .* taken out"):
        move_money(operator, "buyer1", -free - 1, "too much")
    assert move_money(operator, "buyer1", -free, "all").free == 0
    assert move_money(operator, "buyer1", free, "back").free == free


def test_accounts_are_moved_by_operators_and_seen_by_their_owners(deployment: Deployment, operator: Kit) -> None:
    first, second = buyer(deployment), buyer(deployment, 2)
    with pytest.raises(Unreachable, match="may not call move; it is for operator"):
        move_money(first, "buyer1", 1, "x")
    begin(second, b"known", 0)
    for whose in ("buyer1", "urn:parley:buyer:buyer1"):
        with pytest.raises(Unreachable, match="buyer2 may see its own account alone"):
            account_of(second, whose)
    with pytest.raises(Unreachable, match=r"no party '\*' has ever attached"):
        account_of(second, "*")
    with pytest.raises(Unreachable, match="no party 'nobody' has ever attached to this cloud; `parley status --all`"):
        account_of(operator, "nobody")
    with pytest.raises(Unreachable, match="more than nothing"):
        move_money(operator, "buyer1", 0, "nothing")


def test_a_budget_above_what_is_there_is_refused_and_leaves_nothing(deployment: Deployment, tmp_path: Path) -> None:
    kit, out = buyer(deployment, 2), tmp_path / "bought"
    free = account_of(kit, "").free
    wanted = Wanted(deployment.folder / "wanted", free / COIN, Quality.QUANTITY, Model("small", None, None))
    with pytest.raises(
        Unreachable, match=rf"{free / COIN:.2f} are free in the account of .*; the largest budget is"
    ) as no:
        buy(kit, wanted, out, lambda *told: None)
    assert not out.exists()
    assert not list((kit.state / WISHES).iterdir())
    largest = round(float(str(no.value).rpartition(" ")[2]) * COIN)
    with pytest.raises(Unreachable, match="the largest budget is"):
        begin(kit, b"over", largest + 1)
    assert begin(kit, b"all", largest).state == "open"


def test_a_page_of_the_longest_lines_fits_into_a_frame() -> None:
    party, reference = f"urn:parley:seller:{'s' * 63}", "\N{GRINNING FACE}" * 200
    line = service.AccountLine(
        number=10**12, transaction=10**12, account=party, amount=-(10**12), memo=f"withdrawal: {reference}"
    )
    page = service.AccountPage(account=party, free=10**12, held=10**12, lines=(line,) * service.LINES)
    assert len(b"".join(write_content(encode(page)))) < MAX_FRAME - 1_000


def test_all_pages_of_an_account_are_read(operator: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = account_of(operator, "*").lines
    assert len(whole) > 4
    monkeypatch.setattr(service, "LINES", 2)
    assert account_of(operator, "*").lines == whole


def test_the_command_moves_money_and_the_books_stay_in_order(deployment: Deployment, tmp_path: Path) -> None:
    def said(*words: str) -> str:
        log = tmp_path / f"{words[0]}.txt"
        command = ["account", *words, "--kit", str(deployment.kit / "operator")]
        assert Parley(command, deployment.folder, log).wait(120) == 0, log.read_text()
        return log.read_text()

    before = account_of(buyer(deployment), "").free
    assert f"{(before + 1250) / COIN:.2f} coins are free" in said("deposit", "buyer1", "12.50", "--reference", "cheque")
    assert f"{(before + 1000) / COIN:.2f} coins are free" in said("withdraw", "buyer1", "2.5")
    standing = json.loads(said("statement", "buyer1", "--json"))
    assert standing["free"] == before + 1000
    lines = list(csv.DictReader(said("export").splitlines()))
    assert {line["account"] for line in lines} >= {"mint", "urn:parley:buyer:buyer1"}
    assert [int(line["line"]) for line in lines] == list(range(1, len(lines) + 1))
    for number in {line["transaction"] for line in lines}:
        assert sum(round(float(line["coins"]) * COIN) for line in lines if line["transaction"] == number) == 0
    kit = read_kit(deployment.kit / "cloud", ["cloud"])
    assert isinstance(kit.party, CloudFile)
    assert audit_ledger(ledger_of(kit)).sentences() == []
