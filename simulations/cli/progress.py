"""Progress: a bar on a terminal or in a notebook, and a line per step elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING

from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column

from simulations.cli.terminal import console

if TYPE_CHECKING:
    from parties.workflow import Progress

EVERY = 0.1
"""Seconds between two pictures of a notebook's bar, at least, while the step is the same."""

LEAST, SAID = 8, 48
"""Characters for what is going on."""
BESIDE = 36
"""Characters that spinner, bar and times take."""


def shown() -> "AbstractContextManager[Progress]":
    """Return what yields a function that is told what is going on, and how much of how much is done."""
    screen = console(stderr=True)
    if screen.is_jupyter:
        return _in_notebook()
    return _on_terminal() if sys.stderr.isatty() and screen.is_interactive else _in_lines()


class Pace:
    """How long something has taken, and about how long it will.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._counts: dict[int, tuple[float, int]] = {}

    @property
    def elapsed(self) -> str:
        """How long it has taken."""
        return _duration(self._clock() - self._start)

    def left(self, done: int, total: int) -> str:
        """Say about how long it will take, if that can be told.

        Examples:
            >>> pace = Pace(iter([0.0, 1.0, 4.0, 70.0]).__next__)
            >>> pace.left(0, 12), pace.left(2, 12), pace.left(11, 12)
            ('', '0:15 left', '0:06 left')
        """
        now = self._clock()
        begun, before = self._counts.setdefault(total, (now, done))
        if done < before:  # another thing, with as many parts
            self._counts[total] = begun, before = now, done
        return "" if done == before else f"{_duration((now - begun) / (done - before) * max(0, total - done))} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


@contextmanager
def _on_terminal() -> "Iterator[Progress]":
    """Show a bar that is gone in the end."""
    pace, screen = Pace(), console(stderr=True)
    said = Column(width=max(LEAST, min(SAID, screen.width - BESIDE)), no_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=said),
        BarColumn(bar_width=12),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Bars(*columns, console=screen, transient=True) as bars:
        task = bars.add_task("starting", left="")
        yield lambda what, done, total: bars.update(
            task, description=what, completed=done, total=total, left=pace.left(done, total)
        )


@contextmanager
def _in_lines() -> "Iterator[Progress]":
    """Print a line as each step begins."""
    pace, last = Pace(), ""

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        left = pace.left(done, total)
        if what != last:
            last = what
            print(f"{pace.elapsed} {what}{left and f', {left}'}", file=sys.stderr, flush=True)

    yield tell


@contextmanager
def _in_notebook() -> "Iterator[Progress]":
    """Show a bar below a notebook's cell; it needs no widgets, and is gone in the end."""
    notebook = import_module("IPython.display")
    pace, last, drawn = Pace(), "", 0.0
    handle = notebook.display(notebook.HTML("starting"), display_id=True)

    def draw(what: str, done: int, total: int) -> None:
        nonlocal last, drawn
        left = pace.left(done, total)
        if what != last or time.monotonic() - drawn >= EVERY:
            last, drawn = what, time.monotonic()
            bar = f'<progress value="{done}" max="{total}"></progress>'
            handle.update(notebook.HTML(f"{bar} {escape(what)} ({pace.elapsed}{left and f', {left}'})"))

    try:
        yield draw
    finally:
        handle.update(notebook.HTML(""))
