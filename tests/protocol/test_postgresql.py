"""The ledger and the journal on a real PostgreSQL: the contracts that they keep on SQLite, and what is its own."""

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest
from books import do, fund
from postgresql import new_schema, server
from sqlalchemy import create_engine, select, text
from test_database import shape
from test_journal import JournalContract
from test_lease import TestLease as Leases
from test_ledger import TestAccounts as Accounts
from test_ledger import TestEscrow as Escrow
from test_ledger import TestTransfer as Transfers
from test_ledger_crash import TestCrash as Crashes
from test_ledger_crash import purchase
from test_ledger_once import TestOnce as Once
from test_renaming import TestRenaming as Renaming

from protocol.storage.ledger import Ledger, Posting, Transfer
from protocol.storage.tables import entries

_numbers = count()


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with server() as url:
        yield url


@pytest.fixture
def url(running: str) -> str:
    return new_schema(running, f"test{next(_numbers)}")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as opened:
        do(opened, fund)
        yield opened


class TestTransfersHere(Transfers):
    pass


class TestAccountsHere(Accounts):
    pass


class TestEscrowHere(Escrow):
    test_more_than_one_statement_can_name = None  # 20,000 rows: slow here, and the same code


class TestOnceHere(Once):
    pass


class TestJournalHere(JournalContract):
    pass


class TestLeaseHere(Leases):
    pass


class TestRenamingHere(Renaming):
    pass


class TestCrashHere:
    """A ledger whose process was killed at a few of the points goes on as SQLite's does at all of them."""

    expected = Crashes.expected
    number_of_points = Crashes.number_of_points

    @pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
    def test_a_killed_process_leaves_a_ledger_that_goes_on(
        self, url: str, expected: tuple[Any, ...], number_of_points: int, part: float
    ) -> None:
        Crashes().test_a_killed_process_leaves_a_ledger_that_goes_on(url, expected, number_of_points, part)


def test_the_purchase_is_the_one_on_sqlite(url: str) -> None:
    assert purchase(url) == purchase("sqlite://")


def test_a_ledger_of_the_first_version_gets_a_journal_and_a_chain(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        do(ledger, fund)
        lines = ledger.database.read(select(entries.c.id, entries.c.hash))
    made = shape(url)
    engine = create_engine(url.replace("://", "+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE heads, journal, blobs, workflows, parties, books, lease"))
        connection.execute(text("ALTER TABLE entries DROP COLUMN hash"))
        connection.execute(text("ALTER TABLE escrows DROP COLUMN scope"))
        connection.execute(text("UPDATE ledger_version SET version = 1"))
    engine.dispose()
    with closing(Ledger(url)) as ledger:
        assert ledger.database.read(select(entries.c.id, entries.c.hash)) == lines
    assert shape(url) == made


def test_many_may_open_an_empty_database_at_once(url: str) -> None:
    failures: list[BaseException] = []

    def open_one() -> None:
        try:
            Ledger(url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_two_clouds_cannot_spend_the_same_money(url: str) -> None:
    with closing(Ledger(url)) as first, closing(Ledger(url)) as second:
        do(first, fund)
        spent: list[str] = []

        def spend(ledger: Ledger, name: str) -> None:
            def effect(posting: Posting) -> bytes:
                if posting.balance("buyer") < 60:
                    return b"too little"
                posting.transfer([Transfer("buyer", "seller", 60, "")])
                return b"spent"

            spent.append(ledger.once(name, b"", effect).decode())

        threads = [threading.Thread(target=spend, args=pair) for pair in ((first, "a"), (second, "b"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(spent) == ["spent", "too little"]
        assert first.balance("buyer") == 40
