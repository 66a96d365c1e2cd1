"""A party's memory and its answers, in a small database of its own."""

import errno
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    Connection,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import OperationalError

from parties.party import LastingContext
from protocol.encoding.records import pack, unpack
from protocol.grids.guard import HostFailed
from protocol.storage.database import Database, Schema, opening

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
KEPT_DAYS = 90
"""Days after which a silent conversation is deleted."""

_metadata = MetaData()

_conversations = Table(
    "conversations",
    _metadata,
    Column("conversation", Text, primary_key=True),
    Column("touched_at", Double, nullable=False),
)

_records = Table(
    "records",
    _metadata,
    Column("conversation", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""The states of conversations, a row for each message that is kept: all of them may be larger than a row can be."""

_replies = Table(
    "replies",
    _metadata,
    Column("conversation", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("question", LargeBinary, nullable=False),
    Column("reply", LargeBinary),
)

_facts = Table(
    "facts",
    _metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)


def _add_facts(connection: Connection) -> None:
    """Lead to version 2."""
    connection.exec_driver_sql("CREATE TABLE facts (name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (name))")


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
    """Lead to version 3."""
    for statement in (
        "CREATE TABLE spent (number INTEGER NOT NULL, at DOUBLE NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL, "
        "question BLOB NOT NULL, what TEXT NOT NULL, divergences BLOB, delta DOUBLE NOT NULL, hash BLOB NOT NULL, "
        "PRIMARY KEY (number))",
        "CREATE TABLE shown (reached BIGINT NOT NULL, head BLOB NOT NULL, PRIMARY KEY (reached))",
    ):
        connection.exec_driver_sql(statement)


def _split_states(connection: Connection) -> None:
    """Lead to version 4."""
    for statement in (
        "CREATE TABLE conversations (conversation TEXT NOT NULL, touched_at DOUBLE NOT NULL, "
        "PRIMARY KEY (conversation))",
        "CREATE TABLE records (conversation TEXT NOT NULL, name TEXT NOT NULL, content BLOB NOT NULL, "
        "PRIMARY KEY (conversation, name))",
        "INSERT INTO conversations SELECT conversation, touched_at FROM states",
    ):
        connection.exec_driver_sql(statement)
    for conversation, content in connection.exec_driver_sql("SELECT conversation, content FROM states").all():
        rows = [
            {"conversation": conversation, "name": name, "content": packed}
            for name, packed in _packed(unpack(bytes(content)))
        ]
        if rows:
            connection.execute(_KEEP, rows)
    connection.exec_driver_sql("DROP TABLE states")


_OF: BindParameter[Any] = bindparam("of")
_STATE = select(_records.c.name, _records.c.content).where(_records.c.conversation == _OF).order_by(_records.c.name)
_REPLY = select(_replies).where(_replies.c.conversation == _OF, _replies.c.number == bindparam("at"))
_FORGET = [delete(table).where(table.c.conversation == _OF) for table in (_conversations, _replies)]
_FORGET_RECORD = delete(_records).where(_records.c.conversation == _OF, _records.c.name == bindparam("known"))
_OLD = select(_conversations.c.conversation).where(_conversations.c.touched_at < bindparam("before"))
_FORGET_OLD = [delete(table).where(table.c.conversation.in_(_OLD)) for table in (_replies, _records, _conversations)]
_TOUCH, _KEEP, _ANSWER = insert(_conversations), insert(_records), insert(_replies)

_FACT = select(_facts.c.value).where(_facts.c.name == bindparam("known"))
_FORGET_FACT, _KNOW = delete(_facts).where(_facts.c.name == bindparam("known")), insert(_facts)

PARTY = Schema("party", _metadata, (_add_facts, _add_ledger, _split_states))
"""A party's database. Version 2 added facts, version 3 the privacy ledger, version 4 rows of states."""


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
            for forget in _FORGET_OLD:
                connection.execute(forget, {"before": clock() - KEPT_DAYS * 86_400})

    def app(self, app: ClientApp) -> "RememberingApp":
        """Return an app that answers as this one does, and after a crash as it did before."""
        return RememberingApp(app, self)

    def state(self, conversation: str) -> RecordDict:
        """Return what the party remembers of a conversation."""
        return self.remembered(conversation)[0]

    def remembered(self, conversation: str) -> tuple[RecordDict, dict[str, bytes]]:
        """Return what the party remembers of a conversation, and a hash of each of its rows."""
        state, hashes = RecordDict(), {}
        for row in self.database.read(_STATE, of=conversation):
            content = bytes(row.content)
            hashes[row.name] = _hash(content)
            for name, record in unpack(content).items():
                state[name] = record
        return state, hashes

    def close(self) -> None:
        """Close the file."""
        self.database.close()


class StoredFacts:
    """What a party knows for good, which is never deleted; what is new is written when its answer is.

    Attributes:
        new: What was put since.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.new: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """Return what is known under a name."""
        if name in self.new:
            return self.new[name]
        found = self._database.read(_FACT, known=name)
        return bytes(found[0].value) if found else None

    def put(self, name: str, value: bytes) -> None:
        """Remember."""
        self.new[name] = value

    def write(self, connection: Connection) -> None:
        """Write what is new."""
        for name, value in self.new.items():
            connection.execute(_FORGET_FACT, {"known": name})
            connection.execute(_KNOW, [{"name": name, "value": value}])


def _packed(state: RecordDict) -> Iterator[tuple[str, bytes]]:
    """Write a state, the records of each message that was kept together (`parties.party.Memory`), and its name."""
    for name, records in groupby(sorted(state, key=_message), _message):
        yield name, pack(RecordDict({record: state[record] for record in records}))


def _message(record: str) -> str:
    return record.rpartition(":")[0] or record


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


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
    passed on. Facts (`parties.party.Facts`) outlast conversations, and are committed with the answers that they are of.

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
            try:
                if not conversation or not number.isdecimal():
                    return self._pass_on(message, context)
                return self._answer(conversation, int(number), message, context)
            except OperationalError as error:
                raise DiskFailed(str(error.orig)) from error
            except OSError as error:
                if error.errno not in _DISK:
                    raise
                raise DiskFailed(str(error)) from error

    def _pass_on(self, message: Message, context: Context) -> Message:
        own, facts = self._lasting(context, context.state)
        reply = self._app(message, own)
        context.state = own.state
        if facts.new and not reply.has_error():
            with self._store.database.transaction() as connection:
                facts.write(connection)
        return reply

    def _lasting(self, context: Context, state: RecordDict) -> tuple[LastingContext, StoredFacts]:
        own = LastingContext(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=state,
            run_config=context.run_config,
        )
        own.facts = facts = StoredFacts(self._store.database)
        return own, facts

    def _answer(self, conversation: str, number: int, message: Message, context: Context) -> Message:
        database = self._store.database
        question = hashlib.sha256(message.metadata.message_type.encode() + pack(message.content)).digest()
        known = database.read(_REPLY, of=conversation, at=number)
        if known and bytes(known[0].question) == question and known[0].reply is not None:
            return Message(unpack(bytes(known[0].reply)), reply_to=message)
        state, before = self._store.remembered(conversation)
        own, facts = self._lasting(context, state)
        reply = self._app(message, own)
        if reply.has_error():
            return reply
        new = {name: content for name, content in _packed(own.state) if before.pop(name, b"") != _hash(content)}
        with database.transaction() as connection:
            facts.write(connection)
            for forget in _FORGET:
                connection.execute(forget, {"of": conversation})
            if stale := [*before, *new]:
                connection.execute(_FORGET_RECORD, [{"of": conversation, "known": name} for name in stale])
            if new:
                kept = [{"conversation": conversation, "name": name, "content": new[name]} for name in new]
                connection.execute(_KEEP, kept)
            connection.execute(_TOUCH, [{"conversation": conversation, "touched_at": self._store.clock()}])
            answered = {
                "conversation": conversation,
                "number": number,
                "question": question,
                "reply": pack(reply.content),
            }
            connection.execute(_ANSWER, [answered])
        return reply
