"""The lease of a database: one program writes to it at a time, wherever it runs."""

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from protocol.errors import ProtocolError
from protocol.storage.database import Database
from protocol.storage.tables import lease

RENEWAL, STALE = 5.0, 30.0
"""Seconds after which a lease is renewed, and after which one that was not is free."""

_NOW = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
"""The database's own clock: those of several machines may differ."""
_log = logging.getLogger(__name__)


class LeaseHeld(ProtocolError):
    """Another program writes to the database."""


class LeaseLost(ProtocolError):
    """Another program has taken the database over, and this one must not write to it any more."""


class Lease:
    """A program's right to write to a database.

    1. Taking it names the holder. One that another holder has renewed within `STALE` seconds is refused; the same
       holder, started again, takes it over at once.
    2. Each taking draws a new token. Every transaction that writes checks first that the token is still there: a
       program that was stopped for a while, and whose lease was taken over meanwhile, writes nothing any more.
    3. It is renewed every `RENEWAL` seconds, in a thread, until it is released.

    Args:
        database: What it is for; its `guard` checks the lease from the taking on.
        holder: Names the holder, over its restarts.
        place: Where it runs, for the error of another one.
        on_lost: Called once, in the thread, when another program has taken over.
        on_renewed: Called in the thread after each renewal.
        thread: Makes the thread, as `threading.Thread` does.

    Raises:
        LeaseHeld: With one sentence on who holds it.
    """

    def __init__(
        self,
        database: Database,
        holder: str,
        place: str,
        on_lost: Callable[[LeaseLost], None] = lambda lost: None,
        on_renewed: Callable[[], None] = lambda: None,
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self._database = database
        self._token = secrets.token_hex(16)
        self._on_lost, self._on_renewed = on_lost, on_renewed
        self._released = threading.Event()
        with database.transaction() as connection:
            _take(connection, holder, self._token, place)
        database.guard = self._check
        self._thread = thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def renew(self) -> None:
        """Say that the holder is alive; raises `LeaseLost`."""
        with self._database.transaction() as connection:
            connection.execute(update(lease).values(renewed_at=_now(connection)))

    def close(self) -> None:
        """Release it, unless it was lost."""
        self._released.set()
        self._thread.join()
        try:
            with self._database.transaction() as connection:
                connection.execute(delete(lease))
        except LeaseLost:
            pass
        except SQLAlchemyError as error:
            _log.warning("the lease of the ledger cannot be released: %s", str(error).partition("\n")[0])

    def _check(self, connection: Connection) -> None:
        if connection.scalar(text("SELECT token FROM lease")) != self._token:
            raise LeaseLost(f"the ledger was taken over by {held(connection) or 'another cloud'}")

    def _keep(self) -> None:
        while not self._released.wait(RENEWAL):
            try:
                self.renew()
            except LeaseLost as lost:
                self._on_lost(lost)
                return
            except SQLAlchemyError as error:  # while the database, or its disk, is away nobody writes
                _log.warning("the lease of the ledger cannot be renewed: %s", str(error).partition("\n")[0])
            else:
                self._on_renewed()


@dataclass(frozen=True)
class Held:
    """Who holds a lease, where that program runs, and since when (Unix seconds)."""

    holder: str
    place: str
    since: float

    def __str__(self) -> str:
        return f"the cloud on {self.place}, started at {datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S} UTC"


def held(connection: Connection) -> Held | None:
    """Return who holds the lease; None when it is free, or was not renewed."""
    row = connection.execute(select(lease)).one_or_none()
    if row is None or abs(_now(connection) - row.renewed_at) >= STALE:
        return None
    return Held(row.holder, row.place, row.since)


def _take(connection: Connection, holder: str, token: str, place: str) -> None:
    other = held(connection)
    if other is not None and other.holder != holder:
        raise LeaseHeld(
            f"the ledger is held by {other}: stop that one, or name another ledger; one that was killed holds it for"
            f" {STALE:.0f} s"
        )
    now = _now(connection)
    connection.execute(delete(lease))
    taken = {"id": 1, "holder": holder, "token": token, "place": place, "since": now, "renewed_at": now}
    connection.execute(insert(lease), [taken])


def _now(connection: Connection) -> float:
    return float(connection.exec_driver_sql(_NOW[connection.dialect.name]).scalar_one())
