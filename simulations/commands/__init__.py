"""The commands of deployed parties, a module for each group of them; `simulations.cli` runs single scenarios."""

import typer

from simulations.commands import cloud, doctor, parties, provision


def register(app: typer.Typer) -> None:
    """Add the commands to Parley's."""
    app.add_typer(provision.app, name="provision")
    app.command("cloud")(cloud.cloud)
    app.command("seller")(parties.seller)
    app.add_typer(parties.buyer, name="buyer")
    app.command("entity")(parties.entity)
    app.command("doctor")(doctor.doctor)
    app.command("status")(cloud.status)
