"""Asking parties typed questions over any Flower grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from flwr.serverapp import Grid

from protocol.codec import UnreadableMessage, decode, encode
from protocol.messages.base import ProtocolMessage

R = TypeVar("R", bound=ProtocolMessage)

SILENT = "no answer"
"""Why there is no answer from a party that was not heard of at all."""


@dataclass(frozen=True)
class Replies(Generic[R]):
    """What came back: readable answers by node id, and why there is none from the others."""

    answers: dict[int, R]
    failures: dict[int, str]


def ask(
    grid: Grid,
    step: str,
    questions: Mapping[int, ProtocolMessage],
    answer: type[R] | tuple[type[R], ...],
    timeout: float | None = None,
) -> Replies[R]:
    """Ask each node its question and read the answers.

    A party that raises, stays silent or answers something else is a failure of that party alone.

    Parameters
    ----------
    grid : Grid
        Any implementation of Flower's grid.
    step : str
        The step to ask for; sent as the message type ``query.<step>``.
    questions : mapping of int to ProtocolMessage
        One question per node id. Equal objects are encoded once.
    answer : type, or tuple of types
        The message each answer has to be, or one of several.
    timeout : float, optional
        Seconds to wait, which is also each question's time to live; those silent by then are failures.

    Returns
    -------
    Replies
        Answers and failures, each in ascending order of node ids.
    """
    encoded = {id(question): encode(question) for question in questions.values()}
    messages = [
        grid.create_message(encoded[id(question)], f"query.{step}", node_id, group_id=step, ttl=timeout)
        for node_id, question in sorted(questions.items())
    ]
    expected = answer if isinstance(answer, tuple) else (answer,)
    answers: dict[int, R] = {}
    failures = dict.fromkeys(sorted(questions), SILENT)
    for reply in sorted(
        grid.send_and_receive(messages, timeout=timeout), key=lambda message: message.metadata.src_node_id
    ):
        node_id = reply.metadata.src_node_id
        if node_id not in questions:
            continue
        if reply.has_error():
            failures[node_id] = reply.error.reason or f"error {reply.error.code}"
            continue
        try:
            answers[node_id] = decode(reply.content, *expected)
            del failures[node_id]
        except UnreadableMessage as unreadable:
            failures[node_id] = str(unreadable)
    return Replies(answers, failures)
