"""What an effect may do to the ledger, inside its transaction."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Row, Table, bindparam, insert, select, update

from protocol.storage.chain import START, chain
from protocol.storage.ledger.errors import (
    AccountExists,
    EscrowExists,
    EscrowResolved,
    InsufficientFunds,
    InvalidAmount,
    ReservedAccount,
    ScopeClosed,
    Unbalanced,
    UnknownAccount,
    UnknownEscrow,
)
from protocol.storage.ledger.rows import EscrowState
from protocol.storage.tables import ESCROW, accounts, entries, escrows, workflows

MAX_BALANCE = 2**63 - 1
"""The largest amount and the largest balance: what a database's integer holds."""

_CHUNK = 10_000

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_LAST = select(entries.c.transaction, entries.c.hash).order_by(entries.c.id.desc()).limit(1)
_STATE = select(workflows.c.state).where(workflows.c.name == bindparam("of"))
_ACCOUNTS = select(accounts).where(accounts.c.name.in_(_IDS))
_ESCROWS = select(escrows).where(escrows.c.escrow_id.in_(_IDS))
_HELD = (
    select(escrows.c.escrow_id)
    .where(escrows.c.scope == bindparam("of"), escrows.c.state == EscrowState.PENDING)
    .order_by(escrows.c.id)
)
_RESOLVE = (
    update(escrows)
    .where(escrows.c.escrow_id.in_(_IDS), escrows.c.state == EscrowState.PENDING)
    .values(state=bindparam("becomes"))
)
_CHANGE = (
    update(accounts).where(accounts.c.name == bindparam("of")).values(balance=accounts.c.balance + bindparam("change"))
)
"""Statements are built once: that takes longer than to execute one."""


@dataclass(frozen=True)
class Transfer:
    """Money to move from one account to another, in minor units."""

    source: str
    target: str
    amount: int
    memo: str


@dataclass(frozen=True)
class Hold:
    """Money for a payer to set aside, under an id never used before; `scope` names the workflow that holds it."""

    escrow_id: str
    payer: str
    amount: int
    purpose: str
    scope: str = ""


@dataclass(frozen=True)
class Release:
    """Who gets the money held in an escrow: payouts of zero or more that sum to exactly that."""

    escrow_id: str
    payouts: Mapping[str, int]


@dataclass
class _Account:
    overdraft: bool
    balance: int


@dataclass(frozen=True)
class _Movement:
    """One transaction of the journal, its lines summing to zero."""

    memo: str
    lines: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class _Checked:
    """Movements that may be written, and the change of each balance that they make together."""

    movements: Sequence[_Movement]
    changes: Mapping[str, int]


class Posting:
    """The ledger within one transaction; see `Ledger.once`.

    Each call does everything it was asked or, when it raises, nothing: an effect may catch a
    `LedgerError` and answer with a refusal. Balances are checked once per call, when all of it has moved.
    Calls take many items at once because that is what is fast.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._accounts: dict[str, _Account] = {}
        row = connection.execute(_LAST).one_or_none()
        self._last_transaction: int = 0 if row is None else row.transaction
        self._last_hash = START if row is None else bytes(row.hash)

    def open_account(self, account: str, overdraft: bool = False) -> None:
        """Open one account; see `open_accounts`."""
        self.open_accounts([account], overdraft)

    def open_accounts(self, names: Iterable[str], overdraft: bool = False) -> list[str]:
        """Open accounts with nothing in them; those open already stay as they are.

        Args:
            overdraft: Whether they may fall below zero, as only the mint may.

        Returns:
            The accounts that were not open before.

        Raises:
            AccountExists: When one is open already with the other kind of overdraft.
            ReservedAccount: When one is the ledger's own.
        """
        wanted = list(dict.fromkeys(names))
        _refuse_reserved(wanted)
        self._load(wanted)
        for name in wanted:
            if name in self._accounts and self._accounts[name].overdraft != overdraft:
                raise AccountExists(
                    f"account {name!r} is open already, {'without' if overdraft else 'with'} an overdraft"
                )
        new = [name for name in wanted if name not in self._accounts]
        if new:
            rows = [{"name": name, "overdraft": overdraft, "balance": 0} for name in new]
            self._connection.execute(insert(accounts), rows)
            self._accounts.update((name, _Account(overdraft, 0)) for name in new)
        return new

    def balance(self, account: str) -> int:
        """Money in an account as this transaction has left it so far.

        Raises:
            UnknownAccount: When it is not open.
        """
        return self.balances([account])[account]

    def balances(self, names: Collection[str]) -> dict[str, int]:
        """Money in each of these accounts; see `balance`."""
        self._load(names)
        return {name: self._known(name).balance for name in names}

    def transfer(self, transfers: Sequence[Transfer]) -> None:
        """Move money between accounts.

        Raises:
            InvalidAmount, UnknownAccount, ReservedAccount, InsufficientFunds: When one of the transfers cannot be made.
        """
        for transfer in transfers:
            _check_amount(transfer.amount, f"a transfer from {transfer.source!r} to {transfer.target!r}", least=1)
            _refuse_reserved((transfer.source, transfer.target))
        self._write(
            self._checked(
                [_Movement(item.memo, ((item.source, -item.amount), (item.target, item.amount))) for item in transfers]
            )
        )

    def hold(self, holds: Sequence[Hold]) -> None:
        """Set money aside: from its payer to `ESCROW`, pending.

        Raises:
            EscrowExists: When an id was held before, whatever became of it.
            ScopeClosed: When the workflow that is their scope has ended.
            InvalidAmount, UnknownAccount, ReservedAccount, InsufficientFunds: When one of the holds cannot be made.
        """
        for scope in {hold.scope for hold in holds if hold.scope}:
            if self._connection.scalar(_STATE, {"of": scope}) not in (None, "open"):
                raise ScopeClosed(f"the workflow {scope!r} has ended, and holds nothing more")
        for hold in holds:
            _check_amount(hold.amount, f"escrow {hold.escrow_id!r}", least=1)
            _refuse_reserved((hold.payer,))
        held = self._escrows([hold.escrow_id for hold in holds])
        seen: set[str] = set()
        for hold in holds:
            if hold.escrow_id in held or hold.escrow_id in seen:
                raise EscrowExists(f"escrow {hold.escrow_id!r} was held before")
            seen.add(hold.escrow_id)
        checked = self._checked(
            [_Movement(f"hold {hold.escrow_id}", ((hold.payer, -hold.amount), (ESCROW, hold.amount))) for hold in holds]
        )
        if holds:
            pending = str(EscrowState.PENDING)
            rows = [(hold.escrow_id, hold.payer, hold.amount, hold.purpose, pending, hold.scope) for hold in holds]
            self._insert(escrows, ("escrow_id", "payer", "amount", "purpose", "state", "scope"), rows)
        self._write(checked)

    def post(self, releases: Sequence[Release]) -> None:
        """Pay out what is held: pending to posted.

        Raises:
            UnknownEscrow, EscrowResolved: When an escrow was never held, or is not pending any more.
            InvalidAmount: When payouts are negative or do not sum to exactly what is held.
            UnknownAccount, ReservedAccount: When a payout goes to no account, or to the ledger's own.
        """
        pending = self._pending([release.escrow_id for release in releases])
        movements = []
        for release in releases:
            held = pending[release.escrow_id].amount
            for account, amount in release.payouts.items():
                _check_amount(amount, f"the payout of escrow {release.escrow_id!r} to {account!r}", least=0)
            _refuse_reserved(release.payouts)
            paid = sum(release.payouts.values())
            if paid != held:
                raise InvalidAmount(f"the payouts of escrow {release.escrow_id!r} sum to {paid}, but {held} are held")
            payouts = [(account, amount) for account, amount in release.payouts.items() if amount]
            movements.append(_Movement(f"post {release.escrow_id}", ((ESCROW, -held), *payouts)))
        self._resolve(pending, movements, EscrowState.POSTED)

    def void(self, escrow_ids: Sequence[str]) -> None:
        """Give what is held back to its payers: pending to voided.

        Raises:
            UnknownEscrow, EscrowResolved: When an escrow was never held, or is not pending any more.
        """
        pending = self._pending(escrow_ids)
        movements = [
            _Movement(f"void {escrow_id}", ((ESCROW, -row.amount), (row.payer, row.amount)))
            for escrow_id, row in ((escrow_id, pending[escrow_id]) for escrow_id in escrow_ids)
        ]
        self._resolve(pending, movements, EscrowState.VOIDED)

    def pending(self, scope: str) -> list[str]:
        """Return the ids of the escrows of a workflow that are pending, in the order they were held."""
        return list(self._connection.scalars(_HELD, {"of": scope}))

    def _pending(self, escrow_ids: Sequence[str]) -> dict[str, Row[Any]]:
        """Read escrows that must be pending, and must be named once each."""
        rows = self._escrows(escrow_ids)
        seen: set[str] = set()
        for escrow_id in escrow_ids:
            if escrow_id not in rows:
                raise UnknownEscrow(f"there is no escrow {escrow_id!r}")
            if rows[escrow_id].state != EscrowState.PENDING:
                raise EscrowResolved(f"escrow {escrow_id!r} was {rows[escrow_id].state} before")
            if escrow_id in seen:
                raise EscrowResolved(f"escrow {escrow_id!r} is named twice, and resolves only once")
            seen.add(escrow_id)
        return rows

    def _resolve(self, ids: Collection[str], movements: Sequence[_Movement], state: EscrowState) -> None:
        checked = self._checked(movements)
        for chunk in _chunks(ids):
            resolved = self._connection.execute(_RESOLVE, {"ids": chunk, "becomes": state}).rowcount
            if resolved != len(chunk):
                raise EscrowResolved(f"{len(chunk) - resolved} escrows were resolved meanwhile by another process")
        self._write(checked)

    def _escrows(self, escrow_ids: Collection[str]) -> dict[str, Row[Any]]:
        return {
            row.escrow_id: row
            for chunk in _chunks(escrow_ids)
            for row in self._connection.execute(_ESCROWS, {"ids": chunk})
        }

    def _insert(self, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, whose columns are in the order of the table's, past SQLAlchemy, which looks at every value."""
        statement, positional = _insertion(table, columns, self._connection.dialect)
        named = rows if positional else [dict(zip(columns, row, strict=True)) for row in rows]
        self._connection.exec_driver_sql(statement, named)

    def _load(self, names: Iterable[str]) -> None:
        """Read the accounts that this transaction has not read yet; the lock keeps them as they are."""
        for chunk in _chunks([name for name in names if name not in self._accounts]):
            for row in self._connection.execute(_ACCOUNTS, {"ids": chunk}):
                self._accounts[row.name] = _Account(row.overdraft, row.balance)

    def _known(self, name: str) -> _Account:
        if name not in self._accounts:
            raise UnknownAccount(f"there is no account {name!r}")
        return self._accounts[name]

    def _checked(self, movements: Sequence[_Movement]) -> _Checked:
        changes: defaultdict[str, int] = defaultdict(int)
        for movement in movements:
            for name, amount in movement.lines:
                changes[name] += amount
            if sum(amount for _, amount in movement.lines):
                raise Unbalanced(f"the lines of {movement.memo!r} do not sum to zero")
        self._load(changes)
        for name, change in changes.items():
            account = self._known(name)
            after = account.balance + change
            if after < 0 and not account.overdraft:
                raise InsufficientFunds(f"account {name!r} holds {account.balance}, which is {-after} too little")
            if abs(after) > MAX_BALANCE:
                raise InvalidAmount(f"account {name!r} would hold {after}, more than the ledger can count")
        return _Checked(movements, changes)

    def _write(self, checked: _Checked) -> None:
        if not checked.movements:
            return
        numbered = enumerate(checked.movements, start=self._last_transaction + 1)
        lines = [
            (number, account, amount, movement.memo)
            for number, movement in numbered
            for account, amount in movement.lines
        ]
        hashes = list(chain(self._last_hash, lines))
        rows = [(*line, hashed) for line, hashed in zip(lines, hashes, strict=True)]
        self._insert(entries, ("transaction", "account", "amount", "memo", "hash"), rows)
        changes = [{"of": name, "change": change} for name, change in checked.changes.items()]
        written = self._connection.execute(_CHANGE, changes)
        if written.rowcount != len(checked.changes):
            raise Unbalanced(f"{len(checked.changes)} accounts should change, and {written.rowcount} did")
        for name, change in checked.changes.items():
            self._accounts[name].balance += change
        self._last_transaction += len(checked.movements)
        self._last_hash = hashes[-1]


@lru_cache
def _insertion(table: Table, columns: tuple[str, ...], dialect: Dialect) -> tuple[str, bool]:
    """Return an insertion's SQL, and whether its parameters have places and no names."""
    compiled = insert(table).compile(dialect=dialect, column_keys=columns)
    return str(compiled), compiled.positional


def _check_amount(amount: int, what: str, least: int) -> None:
    if type(amount) is not int or not least <= amount <= MAX_BALANCE:
        raise InvalidAmount(f"{what} must be an integer of minor units, {least} or more, not {amount!r}")


def _refuse_reserved(names: Iterable[str]) -> None:
    if ESCROW in names:
        raise ReservedAccount(f"account {ESCROW!r} is the ledger's own: only hold, post and void move its money")


def _chunks(items: Collection[str]) -> Iterator[list[str]]:
    """Split what goes into one IN (...): databases bound the number of parameters."""
    remaining = list(items)
    for start in range(0, len(remaining), _CHUNK):
        yield remaining[start : start + _CHUNK]
