"""The ledger: a journal that every step of a workflow writes to exactly once."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, bindparam, func, insert, select

from protocol.storage.database import Database
from protocol.storage.ledger.audit import Head
from protocol.storage.ledger.errors import IdempotencyConflict, UnknownAccount
from protocol.storage.ledger.posting import Posting
from protocol.storage.ledger.rows import Entry, EscrowRow, EscrowState
from protocol.storage.tables import CLOUD, accounts, books, entries, escrows, replies

_PAGE = 10_000
_REPLY, _ANSWER = select(replies).where(replies.c.key == bindparam("of")), insert(replies)


class Ledger:
    """Double entry in integer minor units.

    1. Money moves only inside `once`: the effect, its response and the key that names the request are
       committed together or not at all, so that after a crash the caller simply asks again.
    2. Each movement is a transaction of the journal, and its lines sum to zero; so all balances do.
    3. No account falls below zero, except those opened with an overdraft (the mint).
    4. Pending money sits in an *escrow*: held once, then posted or voided, once.

    Args:
        database: The URL of a database (SQLite in memory by default; see `Database`), or one that is open.
        checked: See `Database`.

    Raises:
        DatabaseVersion: When the database is newer than this program.
        DatabaseDamaged: When its file is checked, and is not as it was written.

    Examples:
        >>> from protocol.storage.ledger import Transfer
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

    def __init__(self, database: str | Path | Database = "sqlite://", *, checked: bool = False) -> None:
        self.database = database if isinstance(database, Database) else Database(database, CLOUD, checked=checked)

    def once(self, key: str, request: bytes, effect: Callable[[Posting], bytes]) -> bytes:
        """Run an effect unless this key was answered before, and return its response.

        Args:
            key: Names the request among all requests ever made.
            request: What is asked, in full; only its hash is kept.
            effect: Posts to the ledger and returns the response. If it raises, nothing is written and the key stays
                free.

        Returns:
            The effect's response; on retries the stored one.

        Raises:
            IdempotencyConflict: When the key was answered before, for another request.
        """
        digest = sha256(request).digest()
        with self.database.transaction() as connection:
            stored = connection.execute(_REPLY, {"of": key}).one_or_none()
            if stored is None:
                response = effect(Posting(connection))
                row = {"key": key, "request": digest, "response": response}
                connection.execute(_ANSWER, [row])
                return response
            if bytes(stored.request) != digest:
                raise IdempotencyConflict(f"key {key!r} was used before, for another request")
            return bytes(stored.response)

    def id(self) -> str:
        """Return what this ledger is called, since it was made."""
        return str(self.database.read(select(books.c.ledger))[0].ledger)

    def head(self) -> Head:
        """Return the last line of the journal."""
        last = self.database.read(select(entries.c.id, entries.c.hash).order_by(entries.c.id.desc()).limit(1))
        return Head(last[0].id, bytes(last[0].hash)) if last else Head()

    def balance(self, account: str) -> int:
        """Money in one account.

        Raises:
            UnknownAccount: When it is not open.
        """
        found = self.database.read(select(accounts.c.balance).where(accounts.c.name == account))
        if not found:
            raise UnknownAccount(f"there is no account {account!r}")
        return int(found[0].balance)

    def held(self, account: str | None = None) -> int:
        """Money of one account, or of all of them, that is pending in escrow."""
        wanted = [escrows.c.state == EscrowState.PENDING, *([] if account is None else [escrows.c.payer == account])]
        return int(self.database.read(select(func.coalesce(func.sum(escrows.c.amount), 0)).where(*wanted))[0][0])

    def balances(self) -> dict[str, int]:
        """Money in every account, the ledger's own included: by name, summing to zero."""
        rows = self.database.read(select(accounts.c.name, accounts.c.balance).order_by(accounts.c.name))
        return {row.name: row.balance for row in rows}

    def entries(self, account: str | None = None, after: int = 0) -> Iterator[Entry]:
        """Every line of the journal, or those of one account, in the order they were written.

        Args:
            after: The number of a line, to leave out those up to it.
        """
        for row in self._rows(entries, *([] if account is None else [entries.c.account == account]), after=after):
            yield Entry(row.transaction, row.account, row.amount, row.memo, row.id)

    def escrows(self, scope: str | None = None) -> Iterator[EscrowRow]:
        """Every escrow, or those of one workflow, in the order they were held."""
        for row in self._rows(escrows, *([] if scope is None else [escrows.c.scope == scope])):
            yield EscrowRow(row.escrow_id, row.payer, row.amount, row.purpose, EscrowState(row.state), row.scope)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    def _rows(self, table: Table, *wanted: ColumnElement[bool], after: int = 0) -> Iterator[Row[Any]]:
        last = after
        rows = select(table).where(*wanted).order_by(table.c.id).limit(_PAGE)
        while page := self.database.read(rows.where(table.c.id > last)):
            yield from page
            last = page[-1].id
