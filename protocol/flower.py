"""The internals of Flower that Parley needs, in one place.

1. `TaskIdentity` is process-global and read by ``Message(...)``; the grids build messages with
   ready-made metadata instead, and `task_identity` sets it for foreign apps that build their own.
2. A message's id has no public setter; Flower's own grids write it the way `with_id` does.
3. `Run.create_empty`, for the run that a `Grid` has to name.
4. A message is put together from its three parts as `Message` itself does it, but without checking its kind,
   which takes eight times as long as the rest.
5. Records are filled at once with values that are known to be of the right types, where they would check each.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flwr.app import DEFAULT_TTL, Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, MetricRecord, RecordDict
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

R = TypeVar("R", bound=ArrayRecord | ConfigRecord | MetricRecord | RecordDict)

SERVER_NODE_ID = 1
"""The node id of the server, Flower's own."""
FIRST_NODE_ID = 2
"""The node id of the first party; the others count on from it."""


def new_run(run_id: int) -> Run:
    """Return an otherwise empty run of this id."""
    return Run.create_empty(run_id)


def new_message(
    content: RecordDict,
    *,
    run_id: int,
    message_type: str,
    dst_node_id: int,
    group_id: str = "",
    ttl: float | None = None,
) -> Message:
    """Build a message from the cloud without consulting the process-global identity."""
    metadata = Metadata(
        run_id=run_id,
        message_id="",
        src_node_id=SERVER_NODE_ID,
        dst_node_id=dst_node_id,
        reply_to_message_id="",
        group_id=group_id,
        created_at=time.time(),
        ttl=ttl or DEFAULT_TTL,
        message_type=message_type,
    )
    return with_content(metadata, content)


def with_content(metadata: Metadata, content: RecordDict | Error) -> Message:
    """Build a message of ready-made metadata; an `Error` makes it the message of a failure."""
    message = Message.__new__(Message)
    failed = isinstance(content, Error)
    metadata.delivered_at = ""  # as Flower's own constructor does, and its grids check
    message.__dict__.update(
        _metadata=metadata, _content=None if failed else content, _error=content if failed else None
    )
    return message


def with_nodes(message: Message, src_node_id: int, dst_node_id: int) -> Message:
    """Return the same message between other nodes."""
    old = message.metadata
    metadata = Metadata(
        run_id=old.run_id,
        message_id=old.message_id,
        src_node_id=src_node_id,
        dst_node_id=dst_node_id,
        reply_to_message_id=old.reply_to_message_id,
        group_id=old.group_id,
        created_at=old.created_at,
        ttl=old.ttl,
        message_type=old.message_type,
    )
    return with_content(metadata, message.error if message.has_error() else message.content)


def reply(message: Message, content: RecordDict | Error) -> Message:
    """Build the reply to a message, as ``Message(content, reply_to=message)`` does."""
    asked, now = message.metadata, time.time()
    metadata = Metadata(
        run_id=asked.run_id,
        message_id="",
        src_node_id=asked.dst_node_id,
        dst_node_id=asked.src_node_id,
        reply_to_message_id=asked.message_id,
        group_id=asked.group_id,
        created_at=now,
        ttl=asked.created_at + asked.ttl - now,
        message_type=asked.message_type,
        src_task_id=asked.dst_task_id,
        dst_task_id=asked.src_task_id,
    )
    return with_content(metadata, content)


def with_id(message: Message, message_id: str) -> Message:
    """Give a message its id."""
    message.metadata.__dict__["_message_id"] = message_id
    return message


def filled(record: R, values: Mapping[str, Any]) -> R:
    """Fill a record with values whose types are known to be right, in place of what it holds."""
    record.__dict__["_data"] = dict(values)
    return record


def copy_array(array: Array) -> Array:
    """Return another array of the same bytes."""
    copy = Array.__new__(Array)
    copy.__dict__.update(dtype=array.dtype, shape=array.shape, stype=array.stype, data=array.data)
    return copy


@contextmanager
def task_identity(run_id: int) -> Iterator[None]:
    """Let code inside the block build messages with Flower's own ``Message(content, dst_node_id, type)``."""
    before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = 0, run_id, SERVER_NODE_ID
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before
