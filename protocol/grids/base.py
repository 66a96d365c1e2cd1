"""The base of grids that carry messages themselves."""

from abc import abstractmethod
from typing import Self

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run

from protocol.exchange import CLOUD_FAILED
from protocol.flower import new_message, new_run

APP_FAILED = 2
UNKNOWN_NODE = 3
TOO_LATE = 4
UNREADABLE = 5
GIVEN_UP = 6
"""Codes of the errors with which a grid answers for a party: it raised; it does not exist; it was too slow; its answer
could not be read; nobody waits for it any longer, and nobody gets this error. With `CLOUD_FAILED` it is the cloud that
failed. No party sends one of the last two by itself."""


def of_a_party(error: Error) -> Error:
    """Return the error that a party has sent, with a code that parties may send."""
    return Error(APP_FAILED, error.reason) if error.code in (GIVEN_UP, CLOUD_FAILED) else error


def given_up(answer: RecordDict | Error) -> bool:
    """Whether this stands for a party that took longer than the timeout."""
    return isinstance(answer, Error) and answer.code == GIVEN_UP


class MessageMaker(Grid):
    """A grid that makes messages itself; those of Flower's runtimes are slow at it, and call it deprecated."""

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Create a message to a node."""
        return new_message(
            content,
            run_id=self.run.run_id,
            message_type=message_type,
            dst_node_id=dst_node_id,
            group_id=group_id,
            ttl=ttl,
        )


class CarryingGrid(MessageMaker):
    """A grid with a run of its own, whose messages it makes, and resources to release."""

    def __init__(self, run_id: int) -> None:
        self._run = new_run(run_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what the grid holds."""

    def set_run(self, run: Run) -> None:
        """Set the run that messages belong to."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run that messages belong to."""
        return self._run
