"""`parley bench`: measure how fast something is."""

from typing import Annotated

import typer

from simulations.cli.names import BENCHMARKS


def bench(
    name: Annotated[
        str,
        typer.Argument(
            help="See `parley list benchmarks`.", callback=BENCHMARKS.check, autocompletion=BENCHMARKS.complete
        ),
    ],
    long: Annotated[bool, typer.Option("--long", help="The longer form: many minutes.")] = False,
) -> None:
    """Run one benchmark, and compare with what is required; exits with 1 when a requirement is missed."""
    from rich.table import Table

    from simulations.cli.terminal import show
    from simulations.studies.benchmarks import LONG, measure

    if long and name not in LONG:
        raise typer.BadParameter(f"{name} has no longer form; {' and '.join(LONG)} have one")
    results = measure(name, long)
    table = Table("what", "measured", "required", "")
    for result in results:
        verdict = {None: "", True: "met", False: "missed"}[result.met]
        table.add_row(result.what, f"{result.value:,.4g} {result.unit}", result.bar, verdict)
    show([table])
    if any(result.met is False for result in results):
        raise typer.Exit(1)
