"""What is read from the ledger."""

from dataclasses import dataclass
from enum import StrEnum


class EscrowState(StrEnum):
    """Where held money stands; it leaves `PENDING` once, for good."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


@dataclass(frozen=True)
class Entry:
    """One line of the journal. The lines of one transaction sum to zero."""

    transaction: int
    account: str
    amount: int
    memo: str


@dataclass(frozen=True)
class EscrowRow:
    """Money that a payer set aside, and what became of it."""

    escrow_id: str
    payer: str
    amount: int
    purpose: str
    state: EscrowState
