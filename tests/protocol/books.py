"""Small ledgers, and what holds of the books of any."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Engine, event

from protocol.storage.ledger import ESCROW, EscrowState, Ledger, Posting, Transfer


@contextmanager
def funded() -> Iterator[Ledger]:
    """A ledger in memory: a mint, a buyer with 100 and a seller with nothing."""
    with closing(Ledger()) as opened:
        do(opened, fund)
        yield opened


def fund(posting: Posting) -> None:
    posting.open_account("mint", overdraft=True)
    posting.open_accounts(["buyer", "seller"])
    posting.transfer([Transfer("mint", "buyer", 100, "deposit")])


def do(ledger: Ledger, effect: Callable[[Posting], None]) -> None:
    """Post under a key of its own."""
    key = f"step {sum(1 for _ in ledger.entries())} {os.urandom(4).hex()}"

    def answered(posting: Posting) -> bytes:
        effect(posting)
        return b"done"

    ledger.once(key, b"", answered)


def check_books(ledger: Ledger) -> None:
    """Balances are those of the journal, whose transactions each sum to zero; escrow is what is pending."""
    balances: defaultdict[str, int] = defaultdict(int)
    transactions: defaultdict[int, int] = defaultdict(int)
    for entry in ledger.entries():
        balances[entry.account] += entry.amount
        transactions[entry.transaction] += entry.amount
    assert list(transactions) == list(range(1, len(transactions) + 1))
    assert not any(transactions.values())
    assert {name: balances[name] for name in ledger.balances()} == ledger.balances()
    assert sum(ledger.balances().values()) == 0
    assert all(balance >= 0 for name, balance in ledger.balances().items() if name != "mint")
    assert ledger.balance(ESCROW) == sum(row.amount for row in ledger.escrows() if row.state == EscrowState.PENDING)


@contextmanager
def listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)
