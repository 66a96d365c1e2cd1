"""The ledger: a journal that every step of a workflow writes to exactly once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from sqlalchemy import URL, Connection, Engine, Row, Select, Table, create_engine, event, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from protocol.ledger.errors import IdempotencyConflict, LedgerVersion, UnknownAccount
from protocol.ledger.posting import Posting
from protocol.ledger.schema import (
    ESCROW,
    VERSION,
    Entry,
    EscrowRow,
    EscrowState,
    accounts,
    entries,
    escrows,
    metadata,
    replies,
    versions,
)

_PAGE = 10_000
_BUSY_SECONDS = 30
_WRITES = "parley_writes"


class Ledger:
    """Double entry in integer minor units.

    1. Money moves only inside `once`: the effect, its response and the key that names the request are
       committed together or not at all, so that after a crash the caller simply asks again.
    2. Each movement is a transaction of the journal, and its lines sum to zero; so all balances do.
    3. No account falls below zero, except those opened with an overdraft (the mint).
    4. Pending money sits in an *escrow*: held once, then posted or voided, once.

    Writers take turns, so that what an effect has read stays true until it is committed. A ledger may
    be shared by threads, and its database by processes.

    Parameters
    ----------
    url : str
        Any database SQLAlchemy knows; SQLite in memory by default. SQLite is used in WAL mode with full
        synchronisation: what `once` has returned survives a power cut.

    Raises
    ------
    LedgerVersion
        When the database was written by another version of the schema.

    Examples
    --------
    >>> from protocol.ledger import Transfer
    >>> def pay(posting: Posting) -> bytes:
    ...     posting.open_account("mint", overdraft=True)
    ...     posting.open_account("buyer")
    ...     posting.transfer([Transfer("mint", "buyer", 100, "deposit")])
    ...     return b"paid"
    >>> ledger = Ledger()
    >>> ledger.once("deposit 1", b"100 to buyer", pay)
    b'paid'
    >>> ledger.once("deposit 1", b"100 to buyer", pay)  # a retry: the same answer, no effect
    b'paid'
    >>> ledger.balances()
    {'buyer': 100, 'escrow': 0, 'mint': -100}
    """

    def __init__(self, url: str = "sqlite://") -> None:
        self._engine = _engine(make_url(url))
        self._lock = threading.RLock()
        self._in_use = False
        try:
            self._create_or_check()
        except BaseException:
            self.close()
            raise

    def once(self, key: str, request: bytes, effect: Callable[[Posting], bytes]) -> bytes:
        """Run an effect unless this key was answered before, and return its response.

        Parameters
        ----------
        key : str
            Names the request among all requests ever made.
        request : bytes
            What is asked, in full; only its hash is kept.
        effect : callable
            Posts to the ledger and returns the response. If it raises, nothing is written and the key
            stays free.

        Returns
        -------
        bytes
            The effect's response: fresh the first time, as stored ever after.

        Raises
        ------
        IdempotencyConflict
            When the key was answered before, for another request.
        """
        digest = sha256(request).digest()
        with self._transaction(writes=True) as connection:
            connection.execute(select(versions).with_for_update())
            stored = connection.execute(select(replies).where(replies.c.key == key)).one_or_none()
            if stored is None:
                response = effect(Posting(connection))
                row = {"key": key, "request": digest, "response": response}
                connection.execute(insert(replies), [row])
                return response
            if bytes(stored.request) != digest:
                raise IdempotencyConflict(f"key {key!r} was used before, for another request")
            return bytes(stored.response)

    def balance(self, account: str) -> int:
        """Money in one account.

        Raises
        ------
        UnknownAccount
            When it is not open.
        """
        found = self._read(select(accounts.c.balance).where(accounts.c.name == account))
        if not found:
            raise UnknownAccount(f"there is no account {account!r}")
        return int(found[0].balance)

    def balances(self) -> dict[str, int]:
        """Money in every account, the ledger's own included: by name, summing to zero."""
        rows = self._read(select(accounts.c.name, accounts.c.balance).order_by(accounts.c.name))
        return {row.name: row.balance for row in rows}

    def entries(self) -> Iterator[Entry]:
        """Every line of the journal, in the order they were written."""
        for row in self._rows(entries):
            yield Entry(row.transaction, row.account, row.amount, row.memo)

    def escrows(self) -> Iterator[EscrowRow]:
        """Every escrow, in the order they were held."""
        for row in self._rows(escrows):
            yield EscrowRow(row.escrow_id, row.payer, row.amount, row.purpose, EscrowState(row.state))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _create_or_check(self) -> None:
        with self._transaction(writes=True) as connection:
            if not inspect(connection).has_table(versions.name):
                metadata.create_all(connection, checkfirst=False)
                connection.execute(insert(versions), [{"version": VERSION}])
                connection.execute(insert(accounts), [{"name": ESCROW, "overdraft": False, "balance": 0}])
            found = connection.scalar(select(versions.c.version))
            if found != VERSION:
                raise LedgerVersion(f"this ledger has schema version {found}, but this program needs {VERSION}")

    def _rows(self, table: Table) -> Iterator[Row[Any]]:
        last = 0
        while page := self._read(select(table).where(table.c.id > last).order_by(table.c.id).limit(_PAGE)):
            yield from page
            last = page[-1].id

    def _read(self, query: Select[Any]) -> list[Row[Any]]:
        with self._transaction(writes=False) as connection:
            return list(connection.execute(query))

    @contextmanager
    def _transaction(self, writes: bool) -> Iterator[Connection]:
        with self._lock:
            if self._in_use:
                raise RuntimeError("inside an effect the ledger is reached through its posting only")
            self._in_use = True
            try:
                with self._engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
                    yield connection
            finally:
                self._in_use = False


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    if url.database in (None, "", ":memory:"):
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Leave transactions to `_begin_sqlite`: Python's driver would begin them late and end them early."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock before reading what the writing depends on."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
