"""What is read from the ledger."""

from dataclasses import dataclass, field
from enum import StrEnum


class EscrowState(StrEnum):
    """The state of held money; it leaves `PENDING` once, for good."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


@dataclass(frozen=True)
class Entry:
    """One line of the journal. The lines of one transaction sum to zero; `number` counts all lines."""

    transaction: int
    account: str
    amount: int
    memo: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True)
class EscrowRow:
    """Money that a payer set aside, its state, and the workflow that holds it."""

    escrow_id: str
    payer: str
    amount: int
    purpose: str
    state: EscrowState
    scope: str = ""
