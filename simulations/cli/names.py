"""Names that a command takes: completed in a shell, and checked with a suggestion."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import typer

from protocol.errors import nearest


@dataclass(frozen=True)
class Names:
    """Names of one kind.

    Attributes:
        kind: What they are names of.
        known: Returns all of them; it may import what is slow to import.
    """

    kind: str
    known: Callable[[], Iterable[str]]

    def complete(self, incomplete: str) -> list[str]:
        """Return the names that begin like this."""
        return [name for name in self.known() if name.startswith(incomplete)]

    def check(self, name: str | None) -> str | None:
        """Refuse a name that there is not."""
        if name is not None and name not in (known := list(self.known())):
            raise typer.BadParameter(f"there is no {self.kind} {name!r}; {nearest(name, known)}")
        return name


def _workflows() -> Iterable[str]:
    from simulations.scenarios.files import WORKFLOWS

    return WORKFLOWS


def _benchmarks() -> Iterable[str]:
    from simulations.studies.benchmarks import BENCHMARKS

    return BENCHMARKS


def _reproductions() -> Iterable[str]:
    from simulations.studies.reproductions import REPRODUCTIONS

    return (*REPRODUCTIONS, ALL)


ALL = "all"
"""Every reproduction, and a page of all claims."""
WORKFLOWS = Names("workflow", _workflows)
BENCHMARKS = Names("benchmark", _benchmarks)
REPRODUCTIONS = Names("reproduction", _reproductions)
