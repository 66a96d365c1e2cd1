"""The tables of the cloud's database: its ledger, the journal of its workflows, its parties, and who may write."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
)

from protocol.storage import migrations
from protocol.storage.database import Schema

ESCROW = "escrow"
"""The ledger's own account, where everything pending is held."""

metadata = MetaData()

_Rising = BigInteger().with_variant(Integer, "sqlite")


class _Hash(LargeBinary):
    """Bytes that drivers take as they are: to convert each one takes longer than to hash it."""

    def bind_processor(self, dialect: Dialect) -> None:
        """Return no conversion."""


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
    Column("hash", _Hash, nullable=False),
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
    Column("scope", Text, nullable=False, server_default=""),
    CheckConstraint("amount > 0", name="something_is_held"),
    CheckConstraint("state IN ('pending', 'posted', 'voided')", name="known_state"),
)
Index("escrows_by_scope", escrows.c.scope)

replies = Table(
    "replies",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
)

workflows = Table(
    "workflows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("opener", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("begun_at", Double, nullable=False),
    Column("heard_at", Double, nullable=False),
    Column("note", Text, nullable=False),
    CheckConstraint("state IN ('open', 'ended', 'failed')", name="known_workflow_state"),
)

journal = Table(
    "journal",
    metadata,
    Column("workflow", Text, ForeignKey(workflows.c.name), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("node", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("failure", Text),
    Column("content", LargeBinary),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("workflow", Text, ForeignKey(workflows.c.name), nullable=False),
)

parties = Table(
    "parties",
    metadata,
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("urn", Text, nullable=False, unique=True),
    Column("enrolled_at", Double, nullable=False),
)

heads = Table(
    "heads",
    metadata,
    Column("node_id", BigInteger, ForeignKey(parties.c.node_id), primary_key=True, autoincrement=False),
    Column("reached", BigInteger, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

books = Table(
    "books",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ledger", Text, nullable=False),
    Column("secret", LargeBinary),
    Column("definitions", LargeBinary),
    CheckConstraint("id = 1", name="one_ledger"),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("holder", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("renewed_at", Double, nullable=False),
    CheckConstraint("id = 1", name="one_holder"),
)


for _table in (accounts, escrows, replies, workflows, journal, blobs, parties, heads, books, lease):
    Index(f"{_table.name}_copy", *_table.columns).ddl_if(dialect="sqlite")
"""SQLite keeps every row twice, but for the chained ones, and `PRAGMA integrity_check` compares them."""


def _prepare(connection: Connection) -> None:
    connection.execute(insert(accounts), [{"name": ESCROW, "overdraft": False, "balance": 0}])
    migrations.name_ledger(connection)


CLOUD = Schema(
    "ledger",
    metadata,
    migrations=(
        migrations.add_journal,
        migrations.journal_any_workflow,
        migrations.chain_and_enrol,
        migrations.remember_heads,
    ),
    prepare=_prepare,
)
"""The cloud's database.

Version 2 added the journal of purchases, version 3 made it one of any workflow. Version 4 chains the ledger's lines,
names the workflow that holds an escrow, and adds the parties, the lease, and what the books remember of their cloud.
Version 5 adds the heads of parties' privacy ledgers.
"""
