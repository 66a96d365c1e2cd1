"""The audit of a ledger: whether its books are in order, line by line."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain as joined
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from protocol.storage.chain import START, Line, chain
from protocol.storage.ledger.rows import EscrowState
from protocol.storage.migrations import definitions
from protocol.storage.tables import ESCROW, accounts, books, entries, escrows, workflows

_PAGE = 10_000
_STATES = {"post": EscrowState.POSTED, "void": EscrowState.VOIDED}


@dataclass(frozen=True)
class Head:
    """A line of a ledger: its number, and its hash, which covers all lines up to it."""

    line: int = 0
    hash: bytes = START


@dataclass
class Audit:
    """What an audit has counted and found.

    Attributes:
        ledger: The ledger's id.
        lines, transactions, accounts, escrows, pending: How many there are.
        held: Money in pending escrows, minor units.
        findings: What is wrong, one sentence each.
        stranded: Pending escrows that no open workflow holds, so that nobody will release them.
        older: Whether the ledger is not, or no longer, the one that has the known line.
    """

    ledger: str
    lines: int = 0
    transactions: int = 0
    accounts: int = 0
    escrows: int = 0
    pending: int = 0
    held: int = 0
    findings: list[str] = field(default_factory=list)
    stranded: list[str] = field(default_factory=list)
    older: bool = False

    def sentences(self) -> list[str]:
        """Say all that is wrong; nothing when the books are in order."""
        said = list(self.findings)
        if self.older:
            said.append("the ledger is an older copy: it lacks lines that its cloud has written")
        return said + [f"escrow {name} is pending, and no open workflow holds it" for name in self.stranded]


def audit(connection: Connection, known: Head | None = None) -> Audit:
    """Go through the books once, within one transaction that only reads.

    1. The lines are chained by their hashes; each transaction sums to zero, and none is missing.
    2. Each account holds what its lines sum to, and all of them hold zero.
    3. Each escrow was held by one transaction, and resolved, if it was, by one that pays out exactly what was held.
    4. The ledger's own account holds what is pending, and each pending escrow belongs to an open workflow.

    Memory grows with accounts and pending escrows only.

    Args:
        connection: Of a transaction that sees one moment.
        known: A line that the ledger had before, and should still have.
    """
    row = connection.execute(select(books)).one_or_none()
    audit = Audit("" if row is None else row.ledger)
    if row is None:
        audit.findings.append("the ledger has lost its id")
    elif row.definitions != definitions(connection):
        audit.findings.append("the tables are not defined as Parley has defined them")
    _Lines(connection, audit, known or Head()).read()
    return audit


class _Lines:
    """The lines of a ledger as they are read, and the escrows that they hold and resolve."""

    def __init__(self, connection: Connection, audit: Audit, known: Head) -> None:
        self._connection = connection
        self._audit = audit
        self._known = known
        self._last = START
        self._sums: defaultdict[str, int] = defaultdict(int)
        self._held = joined.from_iterable(_pages(connection, escrows))
        """In the order in which lines hold them."""
        self._unresolved: dict[str, Row[Any]] = {}

    def read(self) -> None:
        """Read everything, and add what is found to the audit."""
        self._read_lines()
        for row in self._held:
            self._audit.escrows += 1
            self._found(f"escrow {row.escrow_id} was never held by a line")
        self._check_accounts()
        self._check_pending()

    def _found(self, sentence: str) -> None:
        self._audit.findings.append(sentence)

    def _read_lines(self) -> None:
        self._audit.older = self._known.line > 0
        lines = (line for page in _pages(self._connection, entries) for line in self._chained(page))
        for number, transaction in groupby(lines, key=itemgetter(0)):
            self._check_transaction(number, list(transaction))

    def _chained(self, page: Sequence[Any]) -> list[Line]:
        """Check the hashes of some lines, and return the lines."""
        lines = [(transaction, account, amount, memo) for _, transaction, account, amount, memo, _ in page]
        hashes = [bytes(row[5]) for row in page]
        if list(chain(self._last, lines)) != hashes:
            for row, line, before, after in zip(page, lines, [self._last, *hashes], hashes, strict=False):
                if [after] != list(chain(before, [line])):
                    self._found(f"line {row[0]} does not follow from the one before: one of them was changed")
        if any(
            row[0] == self._known.line and after == self._known.hash for row, after in zip(page, hashes, strict=True)
        ):
            self._audit.older = False
        self._last = hashes[-1]
        self._audit.lines += len(lines)
        if self._connection.dialect.name == "sqlite" and page[-1][0] != self._audit.lines:  # others leave numbers out
            self._found(f"line {self._audit.lines} is numbered {page[-1][0]}")
        return lines

    def _check_transaction(self, number: int, lines: list[Line]) -> None:
        self._audit.transactions += 1
        if number != self._audit.transactions:
            self._found(f"transaction {number} stands where {self._audit.transactions} should")
            self._audit.transactions = number
        total, pending = 0, False
        for _, account, amount, _ in lines:
            self._sums[account] += amount
            total += amount
            pending |= account == ESCROW
        if total:
            self._found(f"transaction {number} sums to {total} and not to zero")
        if pending:
            self._check_escrow(number, lines)

    def _check_escrow(self, number: int, lines: list[Line]) -> None:
        verb, _, escrow_id = lines[0][3].partition(" ")
        moved = [(account, amount) for _, account, amount, _ in lines]
        if verb == "hold":
            self._hold(number, escrow_id, moved)
        elif verb in _STATES:
            self._resolve(number, escrow_id, moved, _STATES[verb])
        else:
            self._found(f"transaction {number} moves pending money, and holds or resolves no escrow")

    def _hold(self, number: int, escrow_id: str, moved: list[tuple[str, int]]) -> None:
        row = next(self._held, None)
        if row is None or row.escrow_id != escrow_id:
            self._found(f"transaction {number} holds escrow {escrow_id}, which is not on record in its place")
        if row is None:
            return
        self._audit.escrows += 1
        self._unresolved[row.escrow_id] = row
        if moved != [(row.payer, -row.amount), (ESCROW, row.amount)]:
            self._found(f"transaction {number} holds another amount, or of another payer, than escrow {escrow_id}")

    def _resolve(self, number: int, escrow_id: str, moved: list[tuple[str, int]], state: EscrowState) -> None:
        row = self._unresolved.pop(escrow_id, None)
        if row is None:
            self._found(f"transaction {number} resolves escrow {escrow_id}, which was not pending")
            return
        released, *paid = moved
        back = paid == [(row.payer, row.amount)]
        if released != (ESCROW, -row.amount) or not (
            all(amount > 0 for _, amount in paid) if state is EscrowState.POSTED else back
        ):
            self._found(f"transaction {number} pays out something else than what escrow {escrow_id} holds")
        if row.state != state:
            self._found(f"escrow {escrow_id} is {row.state}, and transaction {number} says {state}")

    def _check_accounts(self) -> None:
        total = 0
        for row in joined.from_iterable(_pages(self._connection, accounts)):
            self._audit.accounts += 1
            total += row.balance
            if row.balance != (summed := self._sums.pop(row.name, 0)):
                self._found(f"account {row.name} holds {row.balance}, and its lines sum to {summed}")
            if row.balance < 0 and not row.overdraft:
                self._found(f"account {row.name} is below zero, at {row.balance}")
        for name in self._sums:
            self._found(f"lines name account {name}, which is not open")
        if total:
            self._found(f"all accounts together hold {total} and not zero")

    def _check_pending(self) -> None:
        running = set(self._connection.scalars(select(workflows.c.name).where(workflows.c.state == "open")))
        for row in self._unresolved.values():
            if row.state != EscrowState.PENDING:
                self._found(f"escrow {row.escrow_id} is {row.state}, and no line resolves it")
                continue
            self._audit.pending += 1
            self._audit.held += row.amount
            # Escrows of the third version and before name no workflow.
            if row.scope not in running if row.scope else not running:
                self._audit.stranded.append(row.escrow_id)
        own = self._connection.scalar(select(accounts.c.balance).where(accounts.c.name == ESCROW))
        if own != self._audit.held:
            self._found(f"account {ESCROW} holds {own}, and {self._audit.held} are pending")


def _pages(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """Read a table some rows at a time, in the order of its key."""
    (key,) = table.primary_key
    query = select(table).order_by(key).limit(_PAGE)
    page = connection.execute(query).all()
    while page:
        yield page
        page = connection.execute(query.where(key > page[-1][0])).all() if len(page) == _PAGE else []
