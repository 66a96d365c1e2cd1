"""Money: double entry in integer minor units, escrows that resolve exactly once, retries without effect."""

from protocol.ledger.errors import (
    AccountExists,
    EscrowExists,
    EscrowResolved,
    IdempotencyConflict,
    InsufficientFunds,
    InvalidAmount,
    LedgerError,
    ReservedAccount,
    UnknownAccount,
    UnknownEscrow,
)
from protocol.ledger.ledger import Ledger
from protocol.ledger.posting import Hold, Posting, Release, Transfer
from protocol.ledger.rows import Entry, EscrowRow, EscrowState
from protocol.tables import ESCROW

__all__ = [
    "ESCROW",
    "AccountExists",
    "Entry",
    "EscrowExists",
    "EscrowResolved",
    "EscrowRow",
    "EscrowState",
    "Hold",
    "IdempotencyConflict",
    "InsufficientFunds",
    "InvalidAmount",
    "Ledger",
    "LedgerError",
    "Posting",
    "Release",
    "ReservedAccount",
    "Transfer",
    "UnknownAccount",
    "UnknownEscrow",
]
