"""The cloud as a daemon: concurrent workflows that resume after the cloud was killed."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self

from flwr.serverapp import Grid
from sqlalchemy.exc import InterfaceError, OperationalError

from parties.workflow import OnStep, WorkflowFailed
from protocol.exchange import Exchange
from protocol.journal import Interrupted, Journal, WorkflowRow, WorkflowState
from protocol.journaled_exchange import JournaledExchange
from protocol.storage.files import disk_failure
from protocol.storage.lease import LeaseLost

FIRST_RETRY, LONGEST_RETRY = 1.0, 300.0
"""Seconds before a workflow that broke off, as without its database, is retried: at first, and at most."""
NOTE = 300
"""Characters of an error in the note of a workflow."""

Play = Callable[[WorkflowRow, Exchange, OnStep], None]
"""Plays a workflow of one kind to its end."""

_log = logging.getLogger(__name__)


class Broker:
    """Plays each workflow in a thread of its own, from the journal.

    1. An attached party asks for a workflow by a name of its own (a wish); asking again refers to the same workflow.
    2. Answers are in the journal before they are used. `resume` continues open workflows.
    3. Money and blobs are held once, however often a workflow is replayed (`settlement`, `Journal`).
    4. Only what the machine fails at is tried again: a full disk, a database that is away. Any other failure ends the
       workflow, gives back what it holds, and is its note.

    Args:
        journal: All workflows, and the answers of parties.
        grid: Carries the messages of all workflows; several threads use it at once.
        plays: By kind of workflow.
        clock: Unix time.
        monotonic: Seconds that no clock setting changes.
        stopping: Set when the program stops; workflows pause by waiting for it.
        thread: Makes the thread of a workflow, as `threading.Thread` does.
    """

    def __init__(
        self,
        journal: Journal,
        grid: Grid,
        plays: Mapping[str, Play],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        stopping: threading.Event | None = None,
        thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self.journal = journal
        self._grid = grid
        self._plays = plays
        self._clock = clock
        self._monotonic = monotonic
        self._stopping = stopping or threading.Event()
        self._thread = thread
        self._changed = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def resume(self) -> list[str]:
        """Continue all open workflows, and return their names; call it once, before the first `open`."""
        self.journal.tidy(self._clock())
        rows = self.journal.workflows(WorkflowState.OPEN)
        for row in rows:
            _log.info("%s %s goes on at step %d", row.workflow, row.name, row.step)
            self._start(row.name)
        return [row.name for row in rows]

    def open(self, workflow: str, opener: int, wish: bytes) -> str:
        """Begin a workflow, unless it was begun before, and return its name.

        Args:
            workflow: Its kind.
            opener: Node id of the party that asks.
            wish: 1 to 32 bytes, new for this party, or those of an earlier workflow.
        """
        if not 1 <= len(wish) <= 32:
            raise ValueError(f"a wish has 1 to 32 bytes, not {len(wish)}")
        name = name_of(opener, wish)
        if self.journal.begin(name, workflow, opener, self._clock(), list(self._grid.get_node_ids())):
            _log.info("%s %s begins", workflow, name)
            self._start(name)
        return name

    def begun(self, name: str) -> bool:
        """Whether a workflow of this name was ever begun."""
        return self.journal.begun(name)

    def wait(self, name: str, timeout: float | None = None) -> WorkflowRow:
        """Wait until a workflow has ended, or the time (seconds) is up, and return its state."""
        with self._changed:
            self._changed.wait_for(lambda: self.journal.workflow(name).state is not WorkflowState.OPEN, timeout)
        return self.journal.workflow(name)

    def abort(self, name: str, why: str, through: int | None = None) -> bool:
        """End a workflow as failed, and give back what it holds.

        Args:
            through: The last step in which it may be ended; None: in any.

        Returns:
            Whether it was open, and no further.
        """
        ended = self._end(name, why, through)
        with self._changed:
            self._changed.notify_all()
        return ended

    def play(self, name: str) -> None:
        """Play an open workflow from its start to its end, in this thread.

        Raises:
            Interrupted: When the broker is closed meanwhile, or the workflow aborted.
            LeaseLost: When another cloud goes on with it.
            OSError, OperationalError, InterfaceError: When the machine cannot go on, and it is worth another try.
        """
        row = self.journal.workflow(name)
        play = self._plays.get(row.workflow)
        if play is None:
            self._end(name, f"this cloud does not play {row.workflow}")
            return
        exchange = JournaledExchange(self._grid, self.journal, name, self._stopping, self._monotonic)
        on_step = partial(self._reach, row)
        try:
            play(row, exchange, on_step)
        except WorkflowFailed as failed:
            self._end(name, str(failed))
        except (Interrupted, LeaseLost, OSError, OperationalError, InterfaceError):
            raise
        except Exception as error:
            if self.journal.workflow(name).state is not WorkflowState.OPEN:  # it was aborted, and holds nothing more
                raise Interrupted from error
            _log.exception("%s %s breaks off", row.workflow, name)
            self._end(name, f"the cloud failed at step {self.journal.workflow(name).step}: {_sentence(error)}")
        else:
            self.journal.end(name, WorkflowState.ENDED)
            _log.info("%s %s has ended", row.workflow, name)

    def _end(self, name: str, why: str, through: int | None = None) -> bool:
        if ended := self.journal.end(name, WorkflowState.FAILED, why, through):
            _log.warning("workflow %s failed: %s", name, why)
        return ended

    def close(self) -> None:
        """Stop all workflows; the next `resume` continues them."""
        self._stopping.set()
        for thread in self._threads.values():
            thread.join()

    def _reach(self, row: WorkflowRow, number: int, step: str) -> None:
        if number > row.step:  # a replay has been at the others
            self.journal.reach(row.name, number)

    def _start(self, name: str) -> None:
        thread = self._thread(target=self._play, args=[name], name=f"workflow {name}", daemon=True)
        self._threads = {name: thread for name, thread in self._threads.items() if thread.is_alive()} | {name: thread}
        thread.start()

    def _play(self, name: str) -> None:
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            try:
                self.play(name)
            except (Interrupted, LeaseLost):
                return
            except Exception as error:
                if why := disk_failure(error):
                    _log.error("workflow %s cannot be recorded (%s) and is played again in %g s", name, why, pause)
                else:
                    _log.exception("workflow %s broke off and is played again in %g s", name, pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                with self._changed:
                    self._changed.notify_all()
                return


def name_of(opener: int, wish: bytes) -> str:
    """Return the name of a workflow.

    Examples:
        >>> name_of(7, b"tea")
        '7-746561'
    """
    return f"{opener}-{wish.hex()}"


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:NOTE]}"
