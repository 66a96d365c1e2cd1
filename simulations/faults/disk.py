"""The disk of a machine: a database in memory, and a folder in memory, which outlive the programs that use them."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from protocol.storage.database import for_parley

ROTTEN = (sqlite3.DatabaseError, UnicodeDecodeError)
"""What a rotten database raises; the second where its schema is no text any more, which Python's driver would show."""
_NO_LIMIT = 1_073_741_823
_TEMPLATE = create_engine("sqlite://")
_COMPILED: dict[Any, Any] = {}
"""Compiled statements of all databases, whose engines share one dialect."""


class _Handle:
    """One program's connection to a database that outlives it: what is left of a dead program changes nothing more."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.valid = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @property
    def isolation_level(self) -> str | None:
        """As of `sqlite3.Connection`."""
        return self._connection.isolation_level

    @isolation_level.setter
    def isolation_level(self, level: str | None) -> None:
        self._connection.isolation_level = level  # type: ignore[assignment]

    def rollback(self) -> None:
        """As of `sqlite3.Connection`."""
        if self.valid:
            self._connection.rollback()

    def close(self) -> None:
        """Roll back, as SQLite does, and let the database be."""
        self.rollback()
        self.valid = False


@dataclass(frozen=True)
class Image:
    """All that is on a disk at one time: the database, and files by their paths."""

    database: bytes
    files: dict[str, bytes]


class Disk:
    """A machine's disk.

    Args:
        folder: Where its files are; made.
        point: Called before each SQL statement, commit and file call with the name of the kind; may raise.
    """

    def __init__(self, folder: Path, point: Callable[[str], None]) -> None:
        self.folder = folder
        self.point = point
        folder.mkdir(parents=True)
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        self._handles: list[_Handle] = []
        self.full = False

    def engine(self, *, watched: bool = True) -> Engine:
        """Return a new engine on the database, whose statements are points of the program if it is watched."""
        engine = Engine(
            StaticPool(self._connects()),
            _TEMPLATE.dialect,
            _TEMPLATE.url,
            execution_options={"compiled_cache": _COMPILED},
        )
        for_parley(engine)
        if watched:
            event.listen(engine, "before_cursor_execute", lambda *_: self.point("sql"))
            event.listen(engine, "commit", self._commit)
        return engine

    def crash(self) -> None:
        """Forget what is not committed, and who was connected."""
        for handle in self._handles:
            handle.valid = False
        self._handles.clear()
        self._connection.rollback()

    def fill(self) -> None:
        """Leave no room."""
        self.full = True
        with suppress(*ROTTEN):  # a database that is rotten cannot be written anyway
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            self._connection.execute(f"PRAGMA max_page_count = {pages}")

    def make_room(self) -> None:
        """Leave room again."""
        self.full = False
        with suppress(*ROTTEN):
            self._connection.execute(f"PRAGMA max_page_count = {_NO_LIMIT}")

    def image(self) -> Image:
        """Return all that is committed, while no transaction is under way."""
        paths = sorted(path for path in self.folder.rglob("*") if path.is_file())
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        return Image(
            self._connection.serialize() if pages else b"",  # SQLite refuses where there is nothing
            {str(path.relative_to(self.folder)): path.read_bytes() for path in paths},
        )

    def restore(self, image: Image) -> None:
        """Become what it was."""
        if image.database:
            self._connection.deserialize(image.database)
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in image.files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:  # noqa: PTH123 a call of `Path.open` is a point of the program
                file.write(content)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, beside the programs that use the disk."""
        try:
            return self._connection.execute(query).fetchall()
        except UnicodeDecodeError as error:
            raise sqlite3.DatabaseError(str(error)) from None

    def close(self) -> None:
        """Free the memory, of which nobody's connection needs anything more."""
        for handle in self._handles:
            handle.valid = False
        self._connection.close()

    def _connects(self) -> Callable[[], Any]:
        """Return what connects. SQLAlchemy keeps it while a dead program is connected: it refers to no program."""
        connection, handles = self._connection, self._handles

        def connect() -> _Handle:
            handles.append(_Handle(connection))
            return handles[-1]

        return connect

    def _commit(self, connection: Any) -> None:
        if connection.get_execution_options().get("parley_writes"):
            self.point("commit")
