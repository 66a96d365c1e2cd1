"""What brings the cloud's database from one version to the next; none is ever edited."""

import secrets
from hashlib import sha256

from sqlalchemy import Connection, Double, LargeBinary, text

from protocol.storage.chain import chain_again


def add_journal(connection: Connection) -> None:
    """Lead to version 2."""
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


def journal_any_workflow(connection: Connection) -> None:
    """Lead to version 3."""
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


def chain_and_enrol(connection: Connection) -> None:
    """Lead to version 4."""
    double, binary = Double().compile(connection.dialect), LargeBinary().compile(connection.dialect)
    for statement in (
        f"ALTER TABLE entries ADD COLUMN hash {binary} NOT NULL DEFAULT ''",
        "ALTER TABLE escrows ADD COLUMN scope TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX escrows_by_scope ON escrows (scope)",
        f"ALTER TABLE workflows ADD COLUMN heard_at {double} NOT NULL DEFAULT 0",
        "UPDATE workflows SET heard_at = begun_at",
        "CREATE TABLE parties (node_id BIGINT NOT NULL, urn TEXT NOT NULL, "
        f"enrolled_at {double} NOT NULL, PRIMARY KEY (node_id), UNIQUE (urn))",
        f"CREATE TABLE books (id INTEGER NOT NULL, ledger TEXT NOT NULL, secret {binary}, definitions {binary}, "
        "PRIMARY KEY (id), CONSTRAINT one_ledger CHECK (id = 1))",
        "CREATE TABLE lease (id INTEGER NOT NULL, holder TEXT NOT NULL, token TEXT NOT NULL, place TEXT NOT NULL, "
        f"since {double} NOT NULL, renewed_at {double} NOT NULL, PRIMARY KEY (id), "
        "CONSTRAINT one_holder CHECK (id = 1))",
    ):
        connection.exec_driver_sql(statement)
    chain_again(connection)
    if connection.dialect.name == "sqlite":
        for table, columns in (
            ("accounts", "name, overdraft, balance"),
            ("escrows", "id, escrow_id, payer, amount, purpose, state, scope"),
            ("replies", "key, request, response"),
            ("workflows", "name, workflow, opener, state, step, begun_at, heard_at, note"),
            ("journal", "workflow, number, node, kind, failure, content"),
            ("blobs", "digest, workflow"),
            ("parties", "node_id, urn, enrolled_at"),
            ("books", "id, ledger, secret, definitions"),
            ("lease", "id, holder, token, place, since, renewed_at"),
        ):
            connection.exec_driver_sql(f"CREATE INDEX {table}_copy ON {table} ({columns})")
    name_ledger(connection)


def remember_heads(connection: Connection) -> None:
    """Lead to version 5."""
    binary = LargeBinary().compile(connection.dialect)
    connection.exec_driver_sql(
        f"CREATE TABLE heads (node_id BIGINT NOT NULL, reached BIGINT NOT NULL, head {binary} NOT NULL, "
        f"signature {binary} NOT NULL, PRIMARY KEY (node_id), FOREIGN KEY(node_id) REFERENCES parties (node_id))"
    )
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("CREATE INDEX heads_copy ON heads (node_id, reached, head, signature)")
    connection.execute(text("UPDATE books SET definitions = :now"), {"now": definitions(connection)})


def name_ledger(connection: Connection) -> None:
    """Give the ledger its id, when its tables are complete."""
    statement = "INSERT INTO books (id, ledger, definitions) VALUES (1, :ledger, :definitions)"
    connection.execute(text(statement), {"ledger": secrets.token_hex(16), "definitions": definitions(connection)})


def definitions(connection: Connection) -> bytes | None:
    """Hash the definitions of all tables, as SQLite keeps them; None elsewhere."""
    if connection.dialect.name != "sqlite":
        return None
    query = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name"
    return sha256(repr([tuple(row) for row in connection.exec_driver_sql(query)]).encode()).digest()
