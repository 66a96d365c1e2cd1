"""`parley backup` and `parley restore`: copies of a party."""

from pathlib import Path
from typing import Annotated

import typer

from simulations.cli.parties import KitFolder, StateFolder


def backup(
    kit: KitFolder,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")],
    state: StateFolder = None,
) -> None:
    """Copy a party's kit and state to a folder, while it runs or not. The copy holds its keys: keep it as safe."""
    from deploy.backup import back_up
    from deploy.kit import read_kit
    from protocol.crypto.certificates import ROLES

    listed = back_up(read_kit(kit, ROLES, state), out)
    typer.echo(f"{listed.party} as of {listed.made_at}, {len(listed.files)} files: {out}")
    for sentence in listed.missing:
        typer.echo(f"Not in it: {sentence}.")


def restore(
    folder: Annotated[Path, typer.Argument(help="What `parley backup` wrote.")],
    kit: Annotated[Path, typer.Option(help="The kit to make; it must not exist yet.")],
) -> None:
    """Make a party's kit, with its state, from a backup."""
    from deploy.backup import restore

    listed = restore(folder, kit)
    typer.echo(f"{kit} is {listed.party} as of {listed.made_at}. What it has done since is lost.")
    for sentence in listed.missing:
        typer.echo(f"Restore as well: {sentence}.")
