"""The hash chain over the lines of a ledger: each line is hashed with all before it."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType

from sqlalchemy import BigInteger, Connection, LargeBinary, Text, bindparam, column, select, table, update

_PAGE = 10_000
_LABEL = b"parley ledger line 1\0"
START = sha256(_LABEL).digest()
"""What the first line is chained to."""

_ENTRIES = table(
    "entries",
    column("id", BigInteger),
    column("transaction", BigInteger),
    column("account", Text),
    column("amount", BigInteger),
    column("memo", Text),
    column("hash", LargeBinary),
)

_LINE = ("id", "transaction", "account", "amount", "memo")

Line = tuple[int, str, int, str]
"""A line of the ledger: transaction, account, amount and memo."""


def chain(previous: bytes, lines: Iterable[Line]) -> Iterator[bytes]:
    """Yield the hash of each line, from the hash of the line before the first.

    Examples:
        >>> first, second = chain(START, [(1, "mint", -100, "deposit"), (1, "buyer", 100, "deposit")])
        >>> next(chain(first, [(1, "buyer", 100, "deposit")])) == second
        True
    """
    for transaction, account, amount, memo in lines:
        line = f"{transaction}/{amount}/{len(account)}/{account}{memo}".encode()
        previous = sha256(_LABEL + previous + line).digest()
        yield previous


def chain_again(connection: Connection, renamed: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write the hash of every line anew, some of whose accounts have new names."""
    written = update(_ENTRIES).where(_ENTRIES.c.id == bindparam("line"))
    written = written.values(account=bindparam("name"), hash=bindparam("hashed"))
    query = select(*(_ENTRIES.c[name] for name in _LINE)).order_by(_ENTRIES.c.id).limit(_PAGE)
    last, previous = 0, START
    while rows := connection.execute(query.where(_ENTRIES.c.id > last)).all():
        names = [renamed.get(row.account, row.account) for row in rows]
        lines = [(row.transaction, name, row.amount, row.memo) for row, name in zip(rows, names, strict=True)]
        hashes = list(chain(previous, lines))
        changed = zip(rows, names, hashes, strict=True)
        connection.execute(written, [{"line": row.id, "name": name, "hashed": new} for row, name, new in changed])
        last, previous = rows[-1].id, hashes[-1]
