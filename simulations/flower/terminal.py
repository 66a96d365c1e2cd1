"""A run of a Flower app, for a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table

from simulations.flower.apps import Failure, FlowerRun
from simulations.reports.words import count

EXAMPLES = 3
"""How many tracebacks are shown whole."""
NAMED = 5
"""How many nodes that failed alike are named, and lines that no seed reaches."""


def tables(run: FlowerRun) -> Iterator[RenderableType]:
    """Yield what was asked, who failed and what it took."""
    title = f"{run.app}, {count(run.nodes, 'node')}"
    table = Table("message", "rounds", "messages", "failures", title=title, title_justify="left")
    for exchange in run.exchanges:
        numbers = (exchange.rounds, exchange.messages, exchange.failures)
        table.add_row(exchange.message_type, *(f"{number:,}" for number in numbers))
    yield table
    for reason, failures in _alike(run).items():
        nodes = sorted({failure.partition for failure in failures})
        named = ", ".join(str(node) for node in nodes[:NAMED]) + (", ..." if len(nodes) > NAMED else "")
        yield f"{count(len(failures), 'failure')} of {count(len(nodes), 'node')} ({named}): {reason}"
    for line in run.unseeded[:NAMED]:
        yield f"{line}: this draws from os.urandom, which no seed reaches, so the run may not repeat"
    yield f"{count(run.messages, 'message')} in {run.seconds:.1f} s, seed {run.seed}"


def tracebacks(run: FlowerRun) -> Iterator[str]:
    """Yield some tracebacks of nodes that raised, one for each kind of failure."""
    for failures in list(_alike(run).values())[:EXAMPLES]:
        yield f"node {failures[0].partition}, {failures[0].message_type}:\n{failures[0].traceback.rstrip()}"


def _alike(run: FlowerRun) -> dict[str, list[Failure]]:
    """Group failures by the last lines of their tracebacks."""
    groups: dict[str, list[Failure]] = {}
    for failure in run.failures:
        groups.setdefault(failure.reason, []).append(failure)
    return groups
