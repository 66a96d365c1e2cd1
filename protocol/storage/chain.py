"""The hash chain over the lines of a ledger: each line is hashed with all before it."""

from collections.abc import Iterable, Iterator
from hashlib import sha256

_LABEL = b"parley ledger line 1\0"
START = sha256(_LABEL).digest()
"""What the first line is chained to."""

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
