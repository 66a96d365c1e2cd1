"""Groups of commands, a module each: those of deployed parties, and surveys. `simulations.cli` has the others."""

import typer

from simulations.commands import cloud, doctor, parties, provision, survey


def register(app: typer.Typer) -> None:
    """Add the commands to Parley's."""
    app.add_typer(provision.app, name="provision")
    app.command("cloud")(cloud.cloud)
    app.command("seller")(parties.seller)
    app.add_typer(parties.buyer, name="buyer")
    app.command("entity")(parties.entity)
    app.add_typer(survey.app, name="survey")
    app.command("doctor")(doctor.doctor)
    app.command("status")(cloud.status)
    app.command("pool")(cloud.pool)
