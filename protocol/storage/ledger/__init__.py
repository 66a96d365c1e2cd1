"""Money: double entry in integer minor units, escrows that resolve exactly once, retries without effect."""

from protocol.storage.ledger.audit import Audit, Head, audit
from protocol.storage.ledger.errors import (
    AccountExists,
    EscrowExists,
    EscrowResolved,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidAmount,
    LedgerError,
    ReservedAccount,
    ScopeClosed,
    Unbalanced,
    UnknownAccount,
    UnknownEscrow,
)
from protocol.storage.ledger.ledger import Ledger
from protocol.storage.ledger.posting import Hold, Posting, Release, Transfer
from protocol.storage.ledger.rows import Entry, EscrowRow, EscrowState
from protocol.storage.tables import ESCROW

__all__ = [
    "ESCROW",
    "AccountExists",
    "Audit",
    "Entry",
    "EscrowExists",
    "EscrowResolved",
    "EscrowRow",
    "EscrowState",
    "Head",
    "Hold",
    "IdempotencyConflict",
    "InsufficientFunds",
    "InvalidAmount",
    "Ledger",
    "LedgerError",
    "Posting",
    "Release",
    "ReservedAccount",
    "ScopeClosed",
    "Transfer",
    "Unbalanced",
    "UnknownAccount",
    "UnknownEscrow",
    "audit",
]
