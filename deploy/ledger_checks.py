"""What `parley doctor` checks of the cloud's ledger."""

import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from deploy.books import audit_ledger, ledger_of
from deploy.findings import Finding, failed, ok, warning
from deploy.kit import Kit
from deploy.ledger_memory import LedgerMemory
from protocol.errors import BadKit, ProtocolError
from protocol.storage.database import database_url, looking_into, without_secrets
from protocol.storage.lease import held
from protocol.storage.tables import CLOUD

PATIENCE = 5.0
"""Seconds that the database may take to answer."""
_START = "start the database, or correct `ledger` in party.yaml or PARLEY_LEDGER"
_GRANT = "let the cloud's user, or its role in the database, make tables and write to all of them"


def check_ledger(kit: Kit, url: str | None) -> Iterator[Finding]:
    """Check that the ledger is there, may be written, is held by no other cloud, and is in order."""
    place = ledger_of(kit, url)
    try:
        shown = without_secrets(database_url(place))
        with looking_into(place, trial=True, seconds=PATIENCE) as connection:
            if connection is None:
                yield _can_be_made(Path(database_url(place).database or ""), kit.state)
                return
            version = CLOUD.found(connection)
            if (why := _cannot_write(connection, version)) is not None:
                yield failed("ledger", f"{shown} cannot be written: {why}", _GRANT)
                return
            yield ok("ledger", shown)
            if version == CLOUD.version:
                yield _lease(connection, LedgerMemory(kit.state).last.holder)
            yield from _checksums(connection)
        if version == CLOUD.version:
            yield _audit(place, kit.state)
    except BadKit as error:
        yield failed("ledger", str(error), "restore the cloud's state folder from a backup")
    except ProtocolError as error:
        yield failed("ledger", str(error), _START)


def _can_be_made(path: Path, state: Path) -> Finding:
    folder = path.absolute().parent
    if folder != state.absolute() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        return failed("ledger", f"{path} cannot be made: {folder} is no folder that can be written to", _START)
    return ok("ledger", f"{path} is made when the cloud starts")


def _cannot_write(connection: Connection, version: int | None) -> str | None:
    """Write as the cloud would, to be undone; return what the database says against it."""
    try:
        if version != CLOUD.version:
            connection.execute(text("CREATE TABLE parley_doctor (id INTEGER PRIMARY KEY)"))
        else:
            for name, table in CLOUD.tables.tables.items():
                column = table.columns[0].name
                connection.execute(text(f"INSERT INTO {name} SELECT * FROM {name} WHERE 1 = 0"))
                connection.execute(text(f"UPDATE {name} SET {column} = {column} WHERE 1 = 0"))
                connection.execute(text(f"DELETE FROM {name} WHERE 1 = 0"))
    except SQLAlchemyError as error:
        return " ".join(str(getattr(error, "orig", error)).split())
    return None


def _lease(connection: Connection, own: str) -> Finding:
    holder = held(connection)
    if holder is None:
        return ok("lease", "no cloud holds the ledger")
    if holder.holder != own:
        return warning("lease", f"the ledger is held by {holder}", "stop that cloud before this one is started")
    return ok("lease", f"held by {holder}")


def _checksums(connection: Connection) -> Iterator[Finding]:
    if connection.dialect.name == "postgresql" and connection.scalar(text("SHOW data_checksums")) != "on":
        fix = "stop the database and run `pg_checksums --enable`"
        yield warning("checksums", "PostgreSQL does not notice damaged pages", fix)


def _audit(url: str | Path, state: Path) -> Finding:
    found = audit_ledger(url, state)
    if wrong := found.sentences():
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return failed("books", f"{wrong[0]}{more}", "`parley audit ledger` shows everything; restore a backup")
    return ok("books", f"{found.lines:,} lines in order")
