"""The tables of the cloud's database: its ledger, and the journal of its workflows."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
)

from protocol.storage.database import Schema

ESCROW = "escrow"
"""The ledger's own account, where everything pending is held."""

metadata = MetaData()

_Rising = BigInteger().with_variant(Integer, "sqlite")

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

workflows = Table(
    "workflows",
    metadata,
    Column("name", Text, primary_key=True),
    Column("workflow", Text, nullable=False),
    Column("opener", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("begun_at", Double, nullable=False),
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


def _open_escrow(connection: Connection) -> None:
    connection.execute(insert(accounts), [{"name": ESCROW, "overdraft": False, "balance": 0}])


def _add_journal(connection: Connection) -> None:
    double, binary = Double().compile(connection.dialect), LargeBinary().compile(connection.dialect)
    for statement in (
        "CREATE TABLE purchases (name TEXT NOT NULL, buyer BIGINT NOT NULL, state TEXT NOT NULL, "
        f"step INTEGER NOT NULL, begun_at {double} NOT NULL, note TEXT NOT NULL, PRIMARY KEY (name), "
        "CONSTRAINT known_purchase_state CHECK (state IN ('open', 'settled', 'failed')))",
        "CREATE TABLE journal (purchase TEXT NOT NULL, number INTEGER NOT NULL, node BIGINT NOT NULL, "
        f"kind TEXT NOT NULL, failure TEXT, content {binary}, "
        "PRIMARY KEY (purchase, number, node), FOREIGN KEY(purchase) REFERENCES purchases (name))",
        "CREATE TABLE blobs (digest TEXT NOT NULL, purchase TEXT NOT NULL, PRIMARY KEY (digest), "
        "FOREIGN KEY(purchase) REFERENCES purchases (name))",
    ):
        connection.exec_driver_sql(statement)


def _journal_any_workflow(connection: Connection) -> None:
    double, binary = Double().compile(connection.dialect), LargeBinary().compile(connection.dialect)
    for statement in (
        "CREATE TABLE workflows (name TEXT NOT NULL, workflow TEXT NOT NULL, opener BIGINT NOT NULL, "
        f"state TEXT NOT NULL, step INTEGER NOT NULL, begun_at {double} NOT NULL, note TEXT NOT NULL, "
        "PRIMARY KEY (name), CONSTRAINT known_workflow_state CHECK (state IN ('open', 'ended', 'failed')))",
        "INSERT INTO workflows SELECT name, 'purchase', buyer, "
        "CASE state WHEN 'settled' THEN 'ended' ELSE state END, step, begun_at, note FROM purchases",
        "ALTER TABLE journal RENAME TO journal_2",
        "ALTER TABLE blobs RENAME TO blobs_2",
        "CREATE TABLE journal (workflow TEXT NOT NULL, number INTEGER NOT NULL, node BIGINT NOT NULL, "
        f"kind TEXT NOT NULL, failure TEXT, content {binary}, "
        "PRIMARY KEY (workflow, number, node), FOREIGN KEY(workflow) REFERENCES workflows (name))",
        "CREATE TABLE blobs (digest TEXT NOT NULL, workflow TEXT NOT NULL, PRIMARY KEY (digest), "
        "FOREIGN KEY(workflow) REFERENCES workflows (name))",
        "INSERT INTO journal SELECT purchase, number, node, kind, failure, content FROM journal_2",
        "INSERT INTO blobs SELECT digest, purchase FROM blobs_2",
        "DROP TABLE journal_2",
        "DROP TABLE blobs_2",
        "DROP TABLE purchases",
    ):
        connection.exec_driver_sql(statement)


CLOUD = Schema("ledger", metadata, migrations=(_add_journal, _journal_any_workflow), prepare=_open_escrow)
"""The cloud's database. Version 2 added the journal of purchases, version 3 made it one of any workflow."""
