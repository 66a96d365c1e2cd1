"""Databases: one engine, transactions that take turns, a schema that is brought up to date when it is opened."""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

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
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateTable

from protocol.errors import ProtocolError

_BUSY_SECONDS = 30
_WRITES = "parley_writes"
_OPENING = 0x7061726C6579
_RESTORE = " and has to be restored from a backup"


_PLAIN = re.compile(r"[^:/?#@]+://([^:/?#@]*(:[^/?#@]*)?@)?(\[[^\]@]*\]|[^:/?#@]*)(:\d*)?(/[^?#@]*)?(\?.*)?", re.DOTALL)
_ROUGH = re.compile(r"([^:/?#@]+)://([^:/@]*):(.*)@([^@]*)", re.DOTALL)


class DatabaseVersion(ProtocolError):
    """The database was written by a newer version of the schema."""


class BadDatabaseUrl(ProtocolError):
    """A database's URL that cannot be read; the text does not show it, for it may hold a password."""


class DatabaseUnavailable(ProtocolError):
    """A database that cannot be opened; the text shows no password."""


class DatabaseDamaged(DatabaseUnavailable):
    """A database whose file is not as it was written."""


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
        found = self.found(connection)
        if found is None:
            self._versions.create(connection)
            for table in self.tables.sorted_tables:
                connection.execute(CreateTable(table))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):  # a set has them in any order
                    index.create(connection, checkfirst=False)
            connection.execute(insert(self._versions), [{"version": self.version}])
            self.prepare(connection)
            return
        if found == self.version:
            return
        for migrate in self.migrations[found - 1 :]:
            migrate(connection)
        connection.execute(update(self._versions).values(version=self.version))

    def found(self, connection: Connection) -> int | None:
        """Return the version that a database has, None when it is empty; raises `DatabaseVersion`."""
        if not inspect(connection).has_table(self._versions.name):
            return None
        found = int(connection.scalars(select(self._versions.c.version)).one())
        if found < 1:
            raise DatabaseDamaged(f"there is no schema version {found}")
        if found > self.version:
            raise DatabaseVersion(
                f"this {self.name} has schema version {found}, but this program needs {self.version}: "
                "start it with the newer program that wrote it"
            )
        return found

    @cached_property
    def _versions(self) -> Table:
        return Table(f"{self.name}_version", MetaData(), Column("version", Integer, primary_key=True))


class Database:
    """A database that threads share, and processes where it is not in memory.

    Writers take turns, so that what a transaction has read stays true until it is committed.

    Args:
        url: A file for SQLite, or any database SQLAlchemy knows, as ``sqlite:////var/parley/cloud.db`` or
            ``postgresql://parley@host/parley``; ``sqlite://`` is in memory. SQLite is used in WAL mode with full
            synchronisation: what was committed survives a power cut. What is deleted there is overwritten. Or an
            engine, prepared by `for_parley` if it is SQLite's.
        schema: Its tables, which are made or brought up to date.
        checked: Whether to go through a whole file of SQLite's first.

    Raises:
        DatabaseVersion: When the database is newer than this program.
        DatabaseDamaged: When its file is checked, and is not as it was written.
    """

    def __init__(self, url: str | Path | Engine, schema: Schema, *, checked: bool = False) -> None:
        self._engine = url if isinstance(url, Engine) else _engine(database_url(url))
        self._schema = schema
        self._lock = threading.RLock()
        self._in_use = False
        self._kept: dict[bool, Connection] = {}
        self.guard: Callable[[Connection], None] = lambda connection: None
        """Called first in every transaction; what it raises keeps the transaction from writing."""
        try:
            with self._exclusive(writes=True) as connection:
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _OPENING})
                if checked:
                    check_file(connection)
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
            self.guard(connection)
            yield connection

    def read(self, query: Select[Any], **parameters: object) -> list[Row[Any]]:
        """Return all rows of a query."""
        with self._exclusive(writes=False) as connection:
            return list(connection.execute(query, parameters))

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._let_go()
        self._engine.dispose()

    @contextmanager
    def _exclusive(self, writes: bool) -> Iterator[Connection]:
        with self._lock:
            if self._in_use:
                raise RuntimeError("inside an effect the ledger is reached through its posting only")
            self._in_use = True
            try:
                with self._connection(writes) as connection, connection.begin():
                    yield connection
            finally:
                self._in_use = False

    @contextmanager
    def _connection(self, writes: bool) -> Iterator[Connection]:
        """Connect; a connection to SQLite is kept until something fails, for it takes longer to make than a query."""
        if self._engine.dialect.name != "sqlite":
            with _connected(self._engine, writes) as connection:
                yield connection
            return
        if writes not in self._kept:
            self._kept[writes] = _connected(self._engine, writes)
        try:
            yield self._kept[writes]
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        while self._kept:
            self._kept.popitem()[1].close()


def database_url(text: str | Path) -> URL:
    """Read a database's URL, or return that of a file for SQLite.

    A password may hold any character; ``%40`` and the like stand for the characters they name.

    Raises:
        BadDatabaseUrl: When it is none.

    Examples:
        >>> database_url("postgres://parley:a/b@c%40d#@host:5432/books").password
        'a/b@c@d#'
    """
    if isinstance(text, Path):
        return URL.create("sqlite", database=str(text))
    rough = None if _PLAIN.fullmatch(text) else _ROUGH.fullmatch(text)
    try:
        if rough is None:
            url = make_url(text)
        else:
            scheme, user, password, rest = rough.groups()
            url = make_url(f"{scheme}://{rest}").set(username=unquote(user), password=unquote(password))
    except (SQLAlchemyError, ValueError):
        raise BadDatabaseUrl(
            "the database's URL cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/NAME, or"
            " sqlite:////PATH/TO/FILE"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def without_secrets(url: URL) -> str:
    """Return a database's URL as it may be shown: without password, and without parameters, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def opening(text: str | Path) -> Iterator[None]:
    """Turn what goes wrong while a database is opened into one sentence.

    Raises:
        DatabaseUnavailable: When it cannot be opened; DatabaseDamaged: when it is damaged; BadDatabaseUrl: when it has
            no such URL.
    """
    url = database_url(text)
    try:
        yield
    except DatabaseDamaged as error:
        raise DatabaseDamaged(f"the database {without_secrets(url)} is damaged{_RESTORE}: {error}") from None
    except (SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        why = " ".join(str(error).split("\n")[0].split())
        for secret in (url.password, *(value for value in url.query.values() if isinstance(value, str))):
            why = why.replace(str(secret), "***") if secret else why
        if _is_damage(error):
            raise DatabaseDamaged(f"the database {without_secrets(url)} is damaged{_RESTORE}: {why}") from None
        raise DatabaseUnavailable(f"the database {without_secrets(url)} cannot be opened: {why}") from None


def is_away(error: BaseException) -> bool:
    """Whether a database cannot be reached, or has broken off: it may be there again later."""
    return isinstance(error, (OperationalError, InterfaceError))


def _is_damage(error: BaseException) -> bool:
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", 0)
    is_text = isinstance(error, UnicodeDecodeError) or "Could not decode" in str(error)
    return is_text or code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def check_file(connection: Connection) -> None:
    """Go through a whole file of SQLite's; other databases check theirs themselves.

    Raises:
        DatabaseDamaged: With the first thing that is wrong.
    """
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one()
        if found != "ok":
            raise DatabaseDamaged(" ".join(str(found).split()))


@contextmanager
def looking_into(
    text: str | Path, *, trial: bool = False, seconds: float = _BUSY_SECONDS
) -> Iterator[Connection | None]:
    """Open a database only to look into it; None for a file that is not there.

    Args:
        text: Its URL.
        trial: Whether to write as well, to see if that is possible; all of it is undone.
        seconds: How long to wait for a connection, or for others that write.

    Raises:
        DatabaseUnavailable, DatabaseDamaged, BadDatabaseUrl: See `opening`.
    """
    url = database_url(text)
    local, path = url.get_backend_name() == "sqlite", url.database or ""
    if local and not (path.startswith("file:") or (path and Path(path).exists())):
        yield None
        return
    with opening(text):
        waits = {"timeout": seconds} if local else {"connect_timeout": max(1, round(seconds))}
        engine = create_engine(url, connect_args=waits)
        event.listen(engine, "begin", _begin_sqlite) if local else None
        try:
            with _connected(engine, writes=trial) as connection:
                transaction = connection.begin()
                try:
                    yield connection
                finally:
                    transaction.rollback()
        finally:
            engine.dispose()


def _connected(engine: Engine, writes: bool) -> Connection:
    """Connect; a transaction that only reads sees one moment."""
    options: dict[str, Any] = {_WRITES: writes}
    if not writes and engine.dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    return engine.connect().execution_options(**options)


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if url.database in (None, "", ":memory:"):
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    return for_parley(engine)


def for_parley(engine: Engine) -> Engine:
    """Prepare an engine of SQLite's that has not connected yet, and return it."""
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
