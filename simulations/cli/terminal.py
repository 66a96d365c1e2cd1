"""What the commands print: results on stdout, errors and progress on stderr.

Text may come from a user or from a file, so that none of it is read as Rich's markup. All consoles are made here.
"""

import sys
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from simulations.reports.tables import fitted, tabbed


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def show(parts: Iterable[RenderableType]) -> None:
    """Print tables and sentences; where stdout is not a terminal, tables as lines with tabs between the cells."""
    screen = console()
    for part in parts:
        if not isinstance(part, Table):
            screen.print(part, soft_wrap=not sys.stdout.isatty())
        elif sys.stdout.isatty():
            screen.print(fitted(part, screen.width))
        else:
            sys.stdout.write("".join(f"{line}\n" for line in tabbed(part)))


def say(text: str) -> None:
    """Print where something is, or what comes next; a path is not broken into lines."""
    console().print(text, style="bold", soft_wrap=True)


def complain(text: str) -> None:
    """Print why a command failed."""
    console(stderr=True).print(Text.assemble(("parley:", "bold red"), " ", text), soft_wrap=True)
