"""The ledger's tables, and what is read from them."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

VERSION = 1
"""The version of the schema: raise it with any change of the tables."""

ESCROW = "escrow"
"""The ledger's own account, where everything pending is held."""


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


metadata = MetaData()

_Rising = BigInteger().with_variant(Integer, "sqlite")

versions = Table("ledger_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("overdraft", Boolean, nullable=False),
    Column("balance", BigInteger, nullable=False),
    CheckConstraint("overdraft OR balance >= 0", name="never_below_zero"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", _Rising, primary_key=True),
    Column("transaction", BigInteger, nullable=False),
    Column("account", Text, ForeignKey(accounts.c.name), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("memo", Text, nullable=False),
)

escrows = Table(
    "escrows",
    metadata,
    Column("id", _Rising, primary_key=True),
    Column("escrow_id", Text, nullable=False, unique=True),
    Column("payer", Text, ForeignKey(accounts.c.name), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("state", Text, nullable=False),
    CheckConstraint("amount > 0", name="something_is_held"),
    CheckConstraint("state IN ('pending', 'posted', 'voided')", name="known_state"),
)

replies = Table(
    "replies",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
)
