"""A party's memory and its answers, in a small database of its own."""

import errno
import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import OperationalError

from protocol.encoding.records import pack, unpack
from protocol.grids.guard import HostFailed
from protocol.storage.database import Database, Schema, opening

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
KEPT_DAYS = 90
"""Days after which a silent conversation is deleted."""

_metadata = MetaData()

_states = Table(
    "states",
    _metadata,
    Column("conversation", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("touched_at", Double, nullable=False),
)

_replies = Table(
    "replies",
    _metadata,
    Column("conversation", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("question", LargeBinary, nullable=False),
    Column("reply", LargeBinary),
)

spent = Table(
    "spent",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("question", LargeBinary, nullable=False),
    Column("what", Text, nullable=False),
    Column("divergences", LargeBinary),
    Column("delta", Double, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""The privacy ledger (`parties.policy.ledger`)."""

shown = Table(
    "shown",
    _metadata,
    Column("reached", BigInteger, primary_key=True, autoincrement=False),
    Column("head", LargeBinary, nullable=False),
)
"""The latest head of the privacy ledger that the cloud has shown."""


def _add_ledger(connection: Connection) -> None:
    """Lead to version 2."""
    for statement in (
        "CREATE TABLE spent (number INTEGER NOT NULL, at DOUBLE NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL, "
        "question BLOB NOT NULL, what TEXT NOT NULL, divergences BLOB, delta DOUBLE NOT NULL, hash BLOB NOT NULL, "
        "PRIMARY KEY (number))",
        "CREATE TABLE shown (reached BIGINT NOT NULL, head BLOB NOT NULL, PRIMARY KEY (reached))",
    ):
        connection.exec_driver_sql(statement)


PARTY = Schema("party", _metadata, migrations=(_add_ledger,))
"""A party's database. Version 2 added the privacy ledger."""


class DiskFailed(HostFailed):
    """The party's database cannot be written.

    This is not an error of the step, which would be reported to the cloud: the party leaves without an answer, and is
    asked again when it is back.
    """


class PartyStore:
    """The states and replies of one party, in one SQLite file.

    Args:
        path: The file; made if missing. It holds what the party remembers between messages, including a buyer's
            one-time keys: it belongs in a private folder. Or a database that is open.
        clock: Unix time.

    Raises:
        DatabaseUnavailable: When the file cannot be opened.
        DatabaseDamaged: When it is not as it was written.
        DatabaseVersion: When the file was written by a newer program.
    """

    def __init__(self, path: Path | Database, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.database = path if isinstance(path, Database) else _private_database(path)
        with self.database.transaction() as connection:
            old = select(_states.c.conversation).where(_states.c.touched_at < clock() - KEPT_DAYS * 86_400)
            connection.execute(delete(_replies).where(_replies.c.conversation.in_(old)))
            connection.execute(delete(_states).where(_states.c.conversation.in_(old)))

    def app(self, app: ClientApp) -> "RememberingApp":
        """Return an app that answers as this one does, and after a crash as it did before."""
        return RememberingApp(app, self)

    def state(self, conversation: str) -> RecordDict:
        """Return what the party remembers of a conversation."""
        found = self.database.read(select(_states.c.content).where(_states.c.conversation == conversation))
        return unpack(bytes(found[0].content)) if found else RecordDict()

    def close(self) -> None:
        """Close the file."""
        self.database.close()


def _private_database(path: Path) -> Database:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with opening(path):
        database = Database(path, PARTY, checked=True)
    path.chmod(0o600)
    return database


class RememberingApp(ClientApp):
    """An app whose answers are committed, each with the new state, before they are sent.

    A conversation is what messages name before the last ``/`` of their group, as the purchases of a
    `protocol.journal` do; its questions are numbered after it. Messages of other groups are
    passed on.

    1. the question that was answered last gets the same answer again;
    2. the app answers any other, with the conversation's own state. What was answered before has arrived, and is
       deleted. Who asks under an earlier number was restored from a backup: the party follows it, and does not lose by
       what the other has forgotten;
    3. the state and the answer are committed together.

    When the disk fails, it raises `DiskFailed`, which no grid takes for an answer.
    """

    def __init__(self, app: ClientApp, store: PartyStore) -> None:
        super().__init__()
        self._app = app
        self._store = store
        self._turn = threading.Lock()

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message."""
        conversation, _, number = message.metadata.group_id.rpartition("/")
        with self._turn:
            if not conversation or not number.isdecimal():
                return self._app(message, context)
            try:
                return self._answer(conversation, int(number), message, context)
            except OperationalError as error:
                raise DiskFailed(str(error.orig)) from error
            except OSError as error:
                if error.errno not in _DISK:
                    raise
                raise DiskFailed(str(error)) from error

    def _answer(self, conversation: str, number: int, message: Message, context: Context) -> Message:
        database = self._store.database
        question = hashlib.sha256(message.metadata.message_type.encode() + pack(message.content)).digest()
        same = (_replies.c.conversation == conversation) & (_replies.c.number == number)
        known = database.read(select(_replies).where(same))
        if known and bytes(known[0].question) == question and known[0].reply is not None:
            return Message(unpack(bytes(known[0].reply)), reply_to=message)
        own = Context(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=self._store.state(conversation),
            run_config=context.run_config,
        )
        reply = self._app(message, own)
        if reply.has_error():
            return reply
        with database.transaction() as connection:
            connection.execute(delete(_states).where(_states.c.conversation == conversation))
            state = {"conversation": conversation, "content": pack(own.state), "touched_at": self._store.clock()}
            connection.execute(insert(_states), [state])
            connection.execute(delete(_replies).where(_replies.c.conversation == conversation))
            answered = {
                "conversation": conversation,
                "number": number,
                "question": question,
                "reply": pack(reply.content),
            }
            connection.execute(insert(_replies), [answered])
        return reply
