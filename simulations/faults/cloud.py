"""The cloud's machine: a grid, the links of its parties, and tasks."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulations.faults.machine import Machine
from simulations.faults.network import Link, SimulatedGrid
from simulations.faults.virtual import Task

if TYPE_CHECKING:
    from simulations.faults.town import Town

GATHERING = 4.0
"""Seconds that parties have to attach before the cloud goes on with its workflows."""
SLACK = 1.0
"""Seconds that a pause of a workflow takes at least, unless an answer comes: a host may be slow, and time is free."""


class Stopping(threading.Event):
    """Tells tasks to stop, and lets them pause in virtual time."""

    def __init__(self, town: "Town") -> None:
        super().__init__()
        self._town = town

    def wait(self, timeout: float | None = None) -> bool:
        """Pause the task that runs."""
        task = self._town.agenda.task
        assert task is not None
        task.pause(max(SLACK, timeout or 0.0))
        return self.is_set()


class CloudMachine(Machine):
    """The cloud's machine; what it leads is in its kinds.

    Attributes:
        life: How often it has started.
        began: When it began to listen.
    """

    def __init__(self, town: "Town") -> None:
        super().__init__(town, "cloud")
        self.tasks: list[Task] = []
        self.life = 0
        self.began = 0.0
        self.stopping: Stopping | None = None
        self.grid: SimulatedGrid | None = None
        self.links: dict[int, Link] = {}

    def begin(self) -> None:
        """Listen."""
        self.life += 1
        self.began = self.town.agenda.now
        self.stopping = Stopping(self.town)
        self.grid = SimulatedGrid(self.town, self.links, self.life)

    def admit(self, link: Link) -> None:
        """Called as a party attaches."""

    def gathered(self, go_on: Callable[[], None]) -> None:
        """Go on when parties had time to attach, unless the machine has died by then."""
        life = self.life
        self.town.agenda.after(GATHERING, lambda: go_on() if self.alive and self.life == life else None)

    def leave(self) -> None:
        """Break all links."""
        self.grid = None
        for link in self.links.values():
            link.disconnect()

    def end(self) -> None:
        """Stop all workflows, or unwind them where the machine has died."""
        tasks, self.tasks = self.tasks, []
        if self.alive and self.stopping is not None:
            self.stopping.set()
        for task in tasks:
            task.join() if self.alive else task.kill()

    def hear(self, frame: bytes) -> None:
        """Take an answer off the wire."""
        if self.grid is not None:
            self.grid.hear(frame)

    def thread(self, target: Any, args: Any, name: str, daemon: bool = True) -> Any:
        """Make a task, in place of `threading.Thread`."""
        task = Task(self.town.agenda, target, args, name, self.town.broken)
        self.tasks = [each for each in self.tasks if each.is_alive()] + [task]
        return task
