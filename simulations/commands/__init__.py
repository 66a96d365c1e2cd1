"""The commands of deployed parties, a module for each group of them; `simulations.cli` runs single scenarios."""

import typer

from simulations.commands import doctor, provision


def register(app: typer.Typer) -> None:
    """Add the commands to Parley's."""
    app.add_typer(provision.app, name="provision")
    app.command("doctor")(doctor.doctor)
