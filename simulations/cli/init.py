"""`parley init`: write a scenario to start from."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from simulations.cli.names import WORKFLOWS


def init(
    path: Annotated[Path, typer.Argument(help="The .yaml file to write.")],
    workflow: Annotated[
        str,
        typer.Option(
            help="What it plays; see `parley list workflows`.",
            callback=WORKFLOWS.check,
            autocompletion=WORKFLOWS.complete,
        ),
    ] = "purchase",
) -> None:
    """Write a commented scenario to start from."""
    from protocol.errors import BadInput, OutputExists
    from simulations.scenarios.files import commented

    if path.exists():
        raise OutputExists(f"{path} is already there; name another file")
    if path.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"a scenario file ends in .yaml, {path} does not")
    try:
        path.write_text(commented(workflow), encoding="utf-8")
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise BadInput(f"{path} cannot be written: {error.strerror}; name another file") from None
    typer.echo(f"Wrote {path}; run it with: parley run {path}")
