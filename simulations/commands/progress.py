"""Progress of a purchase on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

COLUMNS = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())


@contextmanager
def step_by_step() -> Iterator[Callable[[int, str], None]]:
    """Yield a function that is told the number and the name of each step as it begins."""
    with Progress(*COLUMNS, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=14)

        def begin(number: int, name: str) -> None:
            label = f"step {number:2d} of 12: {name}" if 1 <= number <= 12 else name
            progress.update(task, completed=number, description=f"{label:<44}")

        yield begin
