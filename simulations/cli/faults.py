"""`parley faults`: break everything that can break, from a seed, and see that nobody loses by it."""

from typing import Annotated

import typer

FOUND = 12
"""The exit code when a promise was broken."""


def faults(
    workflow: Annotated[str, typer.Argument(help="purchase")] = "purchase",
    faults: Annotated[int, typer.Option(min=1, help="Faults that have to take effect.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other runs.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the results do not depend on it.")] = 1,
    replay: Annotated[str | None, typer.Option(help="Play one run again: what a failed run printed.")] = None,
) -> None:
    """Simulate crashes, full disks, bad networks and cheats; exits with 12 when a promise is broken."""
    from simulations.cli.progress import shown
    from simulations.faults.campaign import campaign
    from simulations.faults.run import Replay, run

    if workflow != "purchase":
        raise typer.BadParameter(f"there is no simulation of {workflow}; there is one of purchase")
    if replay is not None:
        try:
            wanted = Replay.parse(replay)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        result = run(wanted.seed, wanted.faults)
        for event in result.events:
            typer.echo(f"{event.at:10.3f} {event.who:10} {event.what}")
        typer.echo(f"{len(result.violations)} promises broken; digest {result.digest[:16]}")
        raise typer.Exit(FOUND if result.violations else 0)
    with shown() as progress:
        found = campaign(seed, faults, workers, progress=progress)
    for failed in found.failed:
        for violation in failed.violations:
            typer.echo(f"{violation.promise}: {violation.text}")
        typer.echo(f"  parley faults {workflow} --replay '{failed.replay}'")
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.faults.most_common())
    typer.echo(f"{found.faults.total()} faults in {found.runs} runs ({kinds}); {len(found.failed)} runs failed.")
    typer.echo(", ".join(f"{number} {what}" for what, number in sorted(found.outcomes.items())))
    typer.echo(f"digest {found.digest[:16]}")
    if found.failed:
        raise typer.Exit(FOUND)
