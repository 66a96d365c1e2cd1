"""A database of an older version is brought up to date, one of a newer version refused."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, create_engine, inspect, select, text

from protocol.journal import Journal, WorkflowState
from protocol.storage.chain import START, chain
from protocol.storage.database import Database, DatabaseVersion, Schema
from protocol.storage.ledger import Ledger, Transfer
from protocol.storage.tables import CLOUD, entries
from protocol.storage.vault import Vault

VERSION_1 = """
CREATE TABLE ledger_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE accounts (
    name TEXT NOT NULL, overdraft BOOLEAN NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (name),
    CONSTRAINT never_below_zero CHECK (overdraft OR balance >= 0));
CREATE TABLE escrows (
    id INTEGER NOT NULL, escrow_id TEXT NOT NULL, payer TEXT NOT NULL, amount BIGINT NOT NULL,
    purpose TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (id), CONSTRAINT something_is_held CHECK (amount > 0),
    CONSTRAINT known_state CHECK (state IN ('pending', 'posted', 'voided')), UNIQUE (escrow_id),
    FOREIGN KEY(payer) REFERENCES accounts (name));
CREATE TABLE entries (
    id INTEGER NOT NULL, "transaction" BIGINT NOT NULL, account TEXT NOT NULL, amount BIGINT NOT NULL,
    memo TEXT NOT NULL, PRIMARY KEY (id), FOREIGN KEY(account) REFERENCES accounts (name));
CREATE TABLE replies (key TEXT NOT NULL, request BLOB NOT NULL, response BLOB NOT NULL, PRIMARY KEY (key));
INSERT INTO ledger_version VALUES (1);
INSERT INTO accounts VALUES ('escrow', 0, 0), ('mint', 1, -100), ('buyer', 0, 100);
INSERT INTO entries VALUES (1, 1, 'mint', -100, 'deposit'), (2, 1, 'buyer', 100, 'deposit');
"""
"""What the first version of the ledger wrote."""
DIGEST = "d" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cloud.db"


@pytest.fixture
def old(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_1)
    return f"sqlite:///{path}"


def shape(url: str) -> dict[str, list[tuple[str, str, bool]]]:
    """Tables with their columns."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        inspector = inspect(engine)
        return {
            table: sorted(
                (c["name"], str(c["type"]).split("(")[0], bool(c["nullable"])) for c in inspector.get_columns(table)
            )
            for table in inspector.get_table_names()
        }
    finally:
        engine.dispose()


def test_a_ledger_of_the_first_version_goes_on_with_a_journal(old: str, tmp_path: Path) -> None:
    with closing(Ledger(old)) as ledger:
        assert ledger.balances() == {"buyer": 100, "escrow": 0, "mint": -100}

        def spend(posting):  # type: ignore[no-untyped-def]
            posting.open_account("seller")
            posting.transfer([Transfer("buyer", "seller", 1, "")])
            return b""

        ledger.once("key", b"", spend)
        assert Journal(ledger.database, Vault(str(tmp_path / "vault"))).begin("p", "purchase", 2, 0.0)
    with closing(Ledger(old)) as ledger:
        lines = [(row.transaction, row.account, row.amount, row.memo) for row in ledger.entries()]
        assert [transaction for transaction, *_ in lines] == [1, 1, 2, 2]
        assert ledger.database.read(select(entries.c.hash)) == [(hashed,) for hashed in chain(START, lines)]


def test_an_old_database_becomes_the_one_that_is_made_now(old: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path / 'new.db'}"
    for url in (old, new):
        Ledger(url).close()
    assert shape(old) == shape(new)


def test_all_databases_are_made_in_the_same_order(path: Path) -> None:
    """The fault simulation counts their bytes."""
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as database:
        made = database.execute("SELECT name FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name = 'escrows'")
        assert made.fetchall() == [("escrows",), ("escrows_by_scope",), ("escrows_copy",)]


def test_purchases_of_the_second_version_are_workflows_of_the_third(old: str, path: Path, tmp_path: Path) -> None:
    Database(old, replace(CLOUD, migrations=CLOUD.migrations[:1])).close()
    with closing(sqlite3.connect(path)) as database:
        database.executescript(f"""
            INSERT INTO purchases VALUES ('2-aa', 2, 'settled', 12, 1.0, ''), ('2-bb', 2, 'open', 4, 2.0, '');
            INSERT INTO journal VALUES ('2-bb', 1, 0, 'now', NULL, x'322e30');
            INSERT INTO blobs VALUES ('{DIGEST}', '2-bb');
        """)
    with closing(Ledger(old)) as ledger:
        journal = Journal(ledger.database, Vault(str(tmp_path / "vault")))
        rows = [(row.name, row.workflow, row.opener, str(row.state), row.step) for row in journal.workflows()]
        assert rows == [("2-aa", "purchase", 2, "ended", 12), ("2-bb", "purchase", 2, "open", 4)]
        assert journal.recorded("2-bb")[1].entries[0].content == b"2.0"
        assert [row.heard_at for row in journal.workflows()] == [1.0, 2.0]
        journal.end("2-bb", WorkflowState.FAILED)
        assert journal.recorded("2-bb") == {}


def test_it_migrates_once(old: str, path: Path) -> None:
    for _ in range(2):
        Ledger(old).close()
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT version FROM ledger_version").fetchall() == [(CLOUD.version,)]


def schema(*migrations: Callable[[Connection], None]) -> Schema:
    tables = MetaData()
    columns = [Column("id", Integer, primary_key=True), *(Column(f"c{n}", Text) for n in range(len(migrations)))]
    Table("things", tables, *columns)
    return Schema("toy", tables, migrations)


def add(number: int) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(text(f"ALTER TABLE things ADD COLUMN c{number} TEXT")) and None


def test_every_version_leads_to_the_last(path: Path) -> None:
    url = f"sqlite:///{path}"
    for versions in ([], [add(0)], [add(0), add(1), add(2)]):
        with closing(Database(url, schema(*versions))) as database:
            assert database.read(select(schema(*versions).tables.tables["things"])) == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(path: Path) -> None:
    def broken(connection: Connection) -> None:
        raise RuntimeError("no")

    url = f"sqlite:///{path}"
    Database(url, schema()).close()
    with pytest.raises(RuntimeError, match="no"):
        Database(url, schema(add(0), broken))
    Database(url, schema(add(0), add(1))).close()


def test_a_newer_database_is_refused_with_what_to_do(path: Path) -> None:
    url = f"sqlite:///{path}"
    Database(url, schema(add(0))).close()
    with pytest.raises(
        DatabaseVersion, match="has schema version 2, but this program needs 1: start it with the newer"
    ):
        Database(url, schema())


def test_what_is_deleted_is_overwritten(path: Path) -> None:
    """One-time keys and answers are not to be found in the file when they are gone."""
    with closing(Database(f"sqlite:///{path}", schema(add(0)))) as database:
        with database.transaction() as connection:
            connection.exec_driver_sql("INSERT INTO things (c0) VALUES ('a secret that goes')")
        with database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM things")
    assert b"a secret that goes" not in path.read_bytes()
