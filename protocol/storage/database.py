"""Databases: one engine, transactions that take turns, a schema that is brought up to date when it is opened."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import make_url
from sqlalchemy.pool import StaticPool

from protocol.errors import ProtocolError

_BUSY_SECONDS = 30
_WRITES = "parley_writes"
_OPENING = 0x7061726C6579


class DatabaseVersion(ProtocolError):
    """The database was written by a newer version of the schema."""


@dataclass(frozen=True)
class Schema:
    """The tables of one kind of database, in all their versions.

    To change a table: change it in `tables`, and append a migration that makes the same change to a
    database that exists. Migration n (from 1) leads from version n to n + 1; none is ever edited.

    Attributes:
        name: What such a database is called, in errors and in ``<name>_version``, its table of one number.
        tables: The tables as they are now.
        migrations: What to do to an older database, in order; each gets the connection of the opening transaction.
        prepare: Fills tables that were just made.
    """

    name: str
    tables: MetaData
    migrations: Sequence[Callable[[Connection], None]] = ()
    prepare: Callable[[Connection], None] = lambda connection: None

    @property
    def version(self) -> int:
        """The version that this program works with."""
        return 1 + len(self.migrations)

    def open(self, connection: Connection) -> None:
        """Make the tables, or bring them up to date, or refuse what is newer than this program."""
        versions = Table(f"{self.name}_version", MetaData(), Column("version", Integer, primary_key=True))
        if not inspect(connection).has_table(versions.name):
            versions.create(connection)
            self.tables.create_all(connection, checkfirst=False)
            connection.execute(insert(versions), [{"version": self.version}])
            self.prepare(connection)
            return
        found = int(connection.scalars(select(versions.c.version)).one())
        if found > self.version:
            raise DatabaseVersion(
                f"this {self.name} has schema version {found}, but this program needs {self.version}: "
                "start it with the newer program that wrote it"
            )
        for migrate in self.migrations[found - 1 :]:
            migrate(connection)
        connection.execute(update(versions).values(version=self.version))


class Database:
    """A database that threads share, and processes where it is not in memory.

    Writers take turns, so that what a transaction has read stays true until it is committed.

    Args:
        url: Any database SQLAlchemy knows, as ``sqlite:////var/parley/cloud.db`` or
            ``postgresql://parley@host/parley``; ``sqlite://`` is in memory. SQLite is used in WAL mode with full
            synchronisation: what was committed survives a power cut. What is deleted there is overwritten.
        schema: Its tables, which are made or brought up to date.

    Raises:
        DatabaseVersion: When the database is newer than this program.
    """

    def __init__(self, url: str, schema: Schema) -> None:
        self._engine = _engine(make_url(url))
        self._schema = schema
        self._lock = threading.RLock()
        self._in_use = False
        try:
            with self._exclusive(writes=True) as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING})
                schema.open(connection)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Write: all of it is committed when the block ends, nothing when it raises."""
        with self._exclusive(writes=True) as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(text(f"SELECT version FROM {self._schema.name}_version FOR UPDATE"))
            yield connection

    def read(self, query: Select[Any]) -> list[Row[Any]]:
        """Return all rows of a query."""
        with self._exclusive(writes=False) as connection:
            return list(connection.execute(query))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    @contextmanager
    def _exclusive(self, writes: bool) -> Iterator[Connection]:
        with self._lock:
            if self._in_use:
                raise RuntimeError("inside an effect the ledger is reached through its posting only")
            self._in_use = True
            try:
                with self._engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
                    yield connection
            finally:
                self._in_use = False


def _engine(url: URL) -> Engine:
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database in (None, "", ":memory:"):
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Leave transactions to `_begin_sqlite`: Python's driver would begin them late and end them early."""
    connection.isolation_level = None
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock before reading what the writing depends on."""
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
