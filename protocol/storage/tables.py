"""The tables of the cloud's database: its ledger, the journal of its workflows, its parties, and who may write."""

import secrets

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    text,
    update,
)

from protocol.storage.chain import START, chain
from protocol.storage.database import Schema

ESCROW = "escrow"
"""The ledger's own account, where everything pending is held."""

metadata = MetaData()

_PAGE = 10_000

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
    Column("hash", LargeBinary, nullable=False),
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
_IS_PENDING = text("state = 'pending'")
Index("pending_escrows", escrows.c.scope, sqlite_where=_IS_PENDING, postgresql_where=_IS_PENDING)

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

books = Table(
    "books",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("ledger", Text, nullable=False),
    Column("secret", LargeBinary),
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


def _prepare(connection: Connection) -> None:
    connection.execute(insert(accounts), [{"name": ESCROW, "overdraft": False, "balance": 0}])
    _name_ledger(connection)


def _name_ledger(connection: Connection) -> None:
    connection.execute(insert(books), [{"id": 1, "ledger": secrets.token_hex(16), "secret": None}])


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


def _chain_and_enrol(connection: Connection) -> None:
    double, binary = Double().compile(connection.dialect), LargeBinary().compile(connection.dialect)
    for statement in (
        f"ALTER TABLE entries ADD COLUMN hash {binary} NOT NULL DEFAULT ''",
        "ALTER TABLE escrows ADD COLUMN scope TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX pending_escrows ON escrows (scope) WHERE state = 'pending'",
        f"ALTER TABLE workflows ADD COLUMN heard_at {double} NOT NULL DEFAULT 0",
        "UPDATE workflows SET heard_at = begun_at",
        "CREATE TABLE parties (node_id BIGINT NOT NULL, urn TEXT NOT NULL, "
        f"enrolled_at {double} NOT NULL, PRIMARY KEY (node_id), UNIQUE (urn))",
        f"CREATE TABLE books (id INTEGER NOT NULL, ledger TEXT NOT NULL, secret {binary}, "
        "PRIMARY KEY (id), CONSTRAINT one_ledger CHECK (id = 1))",
        "CREATE TABLE lease (id INTEGER NOT NULL, holder TEXT NOT NULL, token TEXT NOT NULL, place TEXT NOT NULL, "
        f"since {double} NOT NULL, renewed_at {double} NOT NULL, PRIMARY KEY (id), "
        "CONSTRAINT one_holder CHECK (id = 1))",
    ):
        connection.exec_driver_sql(statement)
    chain_again(connection)
    _name_ledger(connection)


def chain_again(connection: Connection) -> None:
    """Write the hash of every line anew, after lines were changed on purpose."""
    lines = select(entries.c.id, entries.c.transaction, entries.c.account, entries.c.amount, entries.c.memo)
    write = update(entries).where(entries.c.id == bindparam("line")).values(hash=bindparam("hashed"))
    last, previous = 0, START
    while rows := connection.execute(lines.where(entries.c.id > last).order_by(entries.c.id).limit(_PAGE)).all():
        hashes = list(chain(previous, ((row.transaction, row.account, row.amount, row.memo) for row in rows)))
        changed = [{"line": row.id, "hashed": hashed} for row, hashed in zip(rows, hashes, strict=True)]
        connection.execute(write, changed)
        last, previous = rows[-1].id, hashes[-1]


CLOUD = Schema("ledger", metadata, migrations=(_add_journal, _journal_any_workflow, _chain_and_enrol), prepare=_prepare)
"""The cloud's database.

Version 2 added the journal of purchases, version 3 made it one of any workflow. Version 4 chains the ledger's lines,
names the workflow that holds an escrow, and adds the parties, the lease, and what the books remember of their cloud.
"""
