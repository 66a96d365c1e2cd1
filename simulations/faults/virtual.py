"""Virtual time: what happens next, and tasks of which one runs at a time."""

import heapq
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from protocol.grids.guard import HostFailed

START = 4_000_000_000.0
"""The Unix time at which a world begins: later than that of any file on the disk that plays it."""


class Killed(HostFailed):
    """The machine that runs this program has died."""


class Agenda:
    """What happens at which virtual time; what is due at the same time happens in the order of its entry.

    Attributes:
        now: Seconds since the world began.
        task: The task that runs, if one does.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.task: Task | None = None
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._due, (self.now + seconds, next(self._numbers), action))

    def step(self) -> bool:
        """Do what is due next; False when nothing ever is."""
        if not self._due:
            return False
        due, _, action = heapq.heappop(self._due)
        self.now = max(self.now, due)
        action()
        return True


class Task:
    """A thread that runs while it has its turn, in place of `threading.Thread`.

    Args:
        agenda: Gives it its turn.
        target, args, name: As for `threading.Thread`.
        ended: Called with what it raised, if it was no `Killed`.
    """

    def __init__(
        self,
        agenda: Agenda,
        target: Callable[..., object],
        args: Sequence[Any],
        name: str,
        ended: Callable[[BaseException], None],
    ) -> None:
        self.name = name
        self._agenda = agenda
        self._ended = ended
        self._mine, self._given_back = threading.Lock(), threading.Lock()
        self._mine.acquire()
        self._given_back.acquire()
        self._pauses = 0
        self._killed = False
        self._running = True
        self._thread = threading.Thread(target=self._run, args=[target, args], name=name, daemon=True)

    def start(self) -> None:
        """Begin at the next opportunity."""
        self._thread.start()
        self._agenda.after(0.0, self.waker())

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._running

    def join(self) -> None:
        """Let it run until it ends: it has been told to stop."""
        while self._running:
            self._turn()

    def kill(self) -> None:
        """Raise `Killed` where it waits."""
        self._killed = True
        self.join()

    def waker(self) -> Callable[[], None]:
        """Return what ends the present pause; of several of them the first one does."""
        pause = self._pauses
        return lambda: self._turn() if self._running and self._pauses == pause else None

    def pause(self, seconds: float) -> None:
        """Wait, at most for so long; called by the task itself."""
        self._agenda.after(seconds, self.waker())
        self._given_back.release()
        self._mine.acquire()
        self._pauses += 1
        if self._killed:
            raise Killed(f"{self.name} was killed")

    def _turn(self) -> None:
        before, self._agenda.task = self._agenda.task, self
        self._mine.release()
        self._given_back.acquire()
        self._agenda.task = before

    def _run(self, target: Callable[..., object], args: Sequence[Any]) -> None:
        self._mine.acquire()
        self._pauses += 1
        try:
            if not self._killed:
                target(*args)
        except Killed:
            pass
        except BaseException as error:  # nothing may be lost: the world's own faults, too
            self._ended(error)
        finally:
            self._running = False
            self._given_back.release()
