"""Progress on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from parties.workflow import Progress

COLUMNS = (SpinnerColumn(), TextColumn("{task.description:<44}"), BarColumn(bar_width=24), TimeElapsedColumn())


@contextmanager
def shown() -> Iterator[Progress]:
    """Yield a function that shows what is going on, and how much of how much is done."""
    with Bars(*COLUMNS, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("starting")
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)
