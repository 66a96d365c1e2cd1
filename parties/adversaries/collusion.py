"""Shared knowledge of colluders."""

from typing import Protocol, runtime_checkable


class Blackboard:
    """Notes that colluders leave for each other, by topic.

    The population hands one board to all parties that play the same cheat, and lets them join in
    the order of their nodes before the first message: what they post on joining is there for all of
    them. What they post later is there for those who come later, which is in the order of nodes
    where parties take turns in one process, and not defined elsewhere. Colluders on separate
    machines have no board: they need a channel of their own.

    Examples:
        >>> board = Blackboard()
        >>> board.post("costs", 3)
        >>> board.post("costs", 5)
        >>> board.read("costs"), board.read("albums")
        ([3, 5], [])
    """

    def __init__(self) -> None:
        self._notes: dict[str, list[object]] = {}

    def post(self, topic: str, note: object) -> None:
        """Add a note."""
        self._notes.setdefault(topic, []).append(note)

    def read(self, topic: str) -> list[object]:
        """Return the notes on a topic, oldest first."""
        return list(self._notes.get(topic, ()))


@runtime_checkable
class Colluder(Protocol):
    """A party that uses a board."""

    def join(self, board: Blackboard) -> None:
        """Take the board and post what the others should know."""
