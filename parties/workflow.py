"""Who is there: what every workflow begins with."""

from collections.abc import Callable

from protocol.exchange import Exchange
from protocol.messages.base import Hello, Introduction

Progress = Callable[[str, int, int], None]
"""Told what is going on, and how much of how much is done."""


def unwatched(what: str, done: int, total: int) -> None:
    """Tell nobody."""


RETURN = 30.0
"""Seconds for which a party that has left is waited for to say who it is."""


def roll_call(exchange: Exchange, patience: float) -> dict[str, list[int]]:
    """Ask every node who it is; return node ids by role, ascending. Who does not answer is not there."""
    present: dict[str, list[int]] = {}
    everyone = dict.fromkeys(exchange.node_ids(), Hello())
    replies = exchange.ask("introduce", everyone, Introduction, exchange.now() + patience, RETURN)
    for node_id, introduction in replies.answers.items():
        present.setdefault(introduction.role, []).append(node_id)
    return present
