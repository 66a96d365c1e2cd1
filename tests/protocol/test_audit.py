"""The audit finds every change of a ledger: forgeries by SQL, flipped bits, older copies."""

import random
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ProtocolError
from protocol.grids.grpc import EnrolledRoster
from protocol.journal import Entry, Journal, WorkflowState
from protocol.storage.database import check_file, looking_into, opening
from protocol.storage.ledger import Audit, Head, Hold, Ledger, Posting, Release, Transfer, audit
from protocol.storage.vault import Vault

SELLERS = [f"urn:parley:seller:s{number}" for number in range(4)]
BUYER = "urn:parley:buyer:ann"


def opened(posting: Posting) -> bytes:
    posting.open_account("mint", overdraft=True)
    names = posting.open_accounts([BUYER, *SELLERS, "cloud"])
    posting.transfer([Transfer("mint", name, 1000, "deposit") for name in names])
    return b""


def held(name: str) -> Callable[[Posting], bytes]:
    def effect(posting: Posting) -> bytes:
        posting.hold([Hold(f"{name}/{number}", BUYER, 10, "an image", name) for number in range(4)])
        return b""

    return effect


def settled(name: str) -> Callable[[Posting], bytes]:
    def effect(posting: Posting) -> bytes:
        posting.post([Release(f"{name}/{number}", {SELLERS[number]: 9, "cloud": 1}) for number in range(3)])
        posting.void([f"{name}/3"])
        return b""

    return effect


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cloud's database after three purchases, and in the middle of a fourth."""
    path = tmp_path_factory.mktemp("ledger") / "cloud.sqlite"
    with closing(Ledger(path)) as ledger:
        journal = Journal(ledger.database, Vault("memory://audit"))
        roster = EnrolledRoster(ledger.database, clock=lambda: 1000.0)
        for urn in (BUYER, *SELLERS):
            roster.node_id(urn)
        ledger.once("accounts", b"", opened)
        for name in ("2-aa", "2-bb", "2-cc", "2-dd"):
            journal.begin(name, "purchase", 2, 1000.0)
            answers = {node: Entry(None, bytes(range(100))) for node in range(2, 7)}
            journal.write(name, 1, "query.bid", answers, 1001.0)
            ledger.once(f"{name}/hold", b"", held(name))
            if name != "2-dd":
                ledger.once(f"{name}/settle", b"", settled(name))
                journal.end(name, WorkflowState.ENDED)
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "cloud.sqlite"
    copy.write_bytes(original.read_bytes())
    return copy


def audited(path: Path, known: Head | None = None) -> Audit:
    with looking_into(path) as connection:
        assert connection is not None
        check_file(connection)
        return audit(connection, known)


def forge(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_books_in_order(path: Path) -> None:
    before = path.read_bytes()
    found = audited(path)
    assert found.sentences() == []
    assert (found.lines, found.transactions, found.accounts) == (77, 34, 8)
    assert (found.escrows, found.pending, found.held) == (16, 4, 40)
    assert path.read_bytes() == before


@pytest.mark.parametrize("rows", [2, 3, 7])
def test_books_are_read_some_rows_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(sys.modules[Audit.__module__], "_PAGE", rows)
    test_books_in_order(path)


def test_it_reads_while_the_cloud_writes(path: Path) -> None:
    with closing(Ledger(path)) as ledger, ledger.database.transaction():
        assert audited(path).sentences() == []


FORGERIES = {
    "balance": (
        f"UPDATE accounts SET balance = balance + 5 WHERE name = '{BUYER}'",
        "holds 875, and its lines",
    ),
    "two balances": (
        "UPDATE accounts SET balance = balance + CASE name WHEN 'cloud' THEN 5 ELSE -5 END WHERE name != 'mint'",
        "its lines sum to",
    ),
    "overdraft": ("INSERT INTO accounts VALUES ('more', 1, 7)", "account more holds 7, and its lines sum to 0"),
    "amounts": ('UPDATE entries SET amount = amount * 2 WHERE "transaction" = 3', "does not follow from"),
    "account": ("UPDATE entries SET account = 'cloud' WHERE id = 4", "does not follow from"),
    "memo": ("UPDATE entries SET memo = 'gift' WHERE id = 4", "line 4 does not follow from the one before"),
    "hash": ("UPDATE entries SET hash = zeroblob(32) WHERE id = 4", "line 5 does not follow from the one before"),
    "no line": ("DELETE FROM entries WHERE id = 4", "does not follow from"),
    "no transaction": ('DELETE FROM entries WHERE "transaction" = 34', "its lines sum to"),
    "a line more": (
        "INSERT INTO entries SELECT 78, 35, 'cloud', 5, 'gift', hash FROM entries WHERE id = 77",
        "transaction 35 sums to 5",
    ),
    "payer": (f"UPDATE escrows SET payer = '{SELLERS[0]}' WHERE id = 1", "or of another payer, than escrow 2-aa/0"),
    "amount": ("UPDATE escrows SET amount = 11 WHERE id = 1", "pays out something else than what escrow 2-aa/0 holds"),
    "posted again": ("UPDATE escrows SET state = 'pending' WHERE id = 1", "escrow 2-aa/0 is pending, and transaction"),
    "voided": ("UPDATE escrows SET state = 'voided' WHERE id = 1", "escrow 2-aa/0 is voided, and transaction"),
    "resolved": (
        "UPDATE escrows SET state = 'posted' WHERE id = 16",
        "escrow 2-dd/3 is posted, and no line",
    ),
    "no escrow": ("DELETE FROM escrows WHERE id = 16", "holds escrow 2-dd/3, which is not on record"),
    "an escrow more": (
        f"INSERT INTO escrows VALUES (17, 'x', '{BUYER}', 5, '', 'pending', '2-dd')",
        "escrow x was never held by a line",
    ),
    "workflow ended": (
        "UPDATE workflows SET state = 'ended'",
        "escrow 2-dd/0 is pending, and no open",
    ),
    "scope": ("UPDATE escrows SET scope = '2-aa' WHERE id = 16", "escrow 2-dd/3 is pending, and no open workflow"),
    "no id": ("DELETE FROM books", "the ledger has lost its id"),
    "constraint": ("ALTER TABLE accounts RENAME COLUMN overdraft TO over", "cannot be opened|not defined"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_forged_is_found(path: Path, name: str) -> None:
    statement, sentence = FORGERIES[name]
    forge(path, statement)
    try:
        found = audited(path).sentences()
    except ProtocolError as error:
        found = [str(error)]
    assert any(part in line for line in found for part in sentence.split("|")), found


def test_an_older_copy_lacks_a_line_that_is_remembered(path: Path, original: Path) -> None:
    with closing(Ledger(path)) as ledger:
        journal = Journal(ledger.database, Vault("memory://audit"))
        journal.end("2-dd", WorkflowState.FAILED)
        head = ledger.head()
    assert audited(path, head).sentences() == []
    assert audited(original, head).sentences() == [
        "the ledger is an older copy: it lacks lines that its cloud has written"
    ]


def test_a_line_of_another_history_is_not_the_one_that_is_remembered(
    path: Path, original: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.sqlite"
    other.write_bytes(original.read_bytes())
    heads = []
    for each, amount in ((path, 1), (other, 2)):
        with closing(Ledger(each)) as ledger:
            ledger.once("gift", b"", given(amount))
            heads.append(ledger.head())
    assert heads[0].line == heads[1].line
    assert audited(path, heads[0]).sentences() == []
    assert audited(path, heads[1]).older


def given(amount: int) -> Callable[[Posting], bytes]:
    def effect(posting: Posting) -> bytes:
        posting.transfer([Transfer("cloud", BUYER, amount, "gift")])
        return b""

    return effect


def contents(path: Path) -> dict[str, Any]:
    """All rows and definitions of a database: what a flipped bit may not change without a word."""
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        tables = [name for kind, name, _ in found if kind == "table"]
        rows = {name: database.execute(f"SELECT * FROM {name} NOT INDEXED").fetchall() for name in tables}
        return rows | {"definitions": found}


def flipped(original: Path, folder: Path, seed: int, count: int) -> tuple[int, list[int]]:
    """Flip one bit at a time; return how many changed the contents, and those of them that are not refused.

    Three quarters are in bytes that are not zero: most of a small database is empty.
    """
    whole, expected = original.read_bytes(), contents(original)
    used = [place for place, byte in enumerate(whole) if byte]
    generator = random.Random(seed)
    damaged, silent = 0, []
    for _ in range(count):
        place = generator.choice(used) if generator.random() < 0.75 else generator.randrange(len(whole))
        bit = 8 * place + generator.randrange(8)
        broken = bytearray(whole)
        broken[place] ^= 1 << bit % 8
        path = folder / f"{bit}.sqlite"
        path.write_bytes(broken)
        try:
            same = contents(path) == expected
        except (sqlite3.Error, UnicodeDecodeError):
            same = False
        path.write_bytes(broken)
        damaged += not same
        if not same and starts(path):
            silent.append(bit)
        for file in folder.glob(f"{path.name}*"):
            file.unlink()
    return damaged, silent


def starts(path: Path) -> bool:
    """Whether a cloud would start on this database; any other error than a sentence is one of the test."""
    try:
        with opening(path):
            Ledger(path, checked=True).close()
        return audited(path).sentences() == []
    except ProtocolError:
        return False


def test_no_flipped_bit_that_changes_something_goes_unnoticed(original: Path, tmp_path: Path) -> None:
    damaged, silent = flipped(original, tmp_path, seed=1, count=400)
    assert damaged > 100
    assert silent == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_no_flipped_bit_of_many_goes_unnoticed(original: Path, tmp_path: Path, seed: int) -> None:
    damaged, silent = flipped(original, tmp_path, seed, count=5000)
    assert damaged > 1000
    assert silent == []
