"""`parley purchase`: what an operator does with one purchase."""

from pathlib import Path
from typing import Annotated

import typer

from simulations.cli.parties import CloudAddress, address_of

app = typer.Typer(help="End a purchase.", no_args_is_help=True)


@app.callback()
def purchase() -> None:
    """End a purchase."""


@app.command("abort")
def abort(
    name: Annotated[str, typer.Argument(help="The purchase, by its name in `parley status` or the beginning of it.")],
    kit: Annotated[Path, typer.Option(help="An operator's folder, as `parley provision` wrote it.")],
    cloud: CloudAddress = None,
) -> None:
    """End a purchase whose images are not opened yet: everybody gets back what it has locked in it."""
    from deploy.kit import read_kit
    from deploy.operator import abort_purchase

    standing = abort_purchase(read_kit(kit, ["operator"], cloud=address_of(cloud)), name)
    typer.echo(f"The purchase {standing.name} has ended: {standing.note}. What it held went back.")
