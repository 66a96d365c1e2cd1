"""`parley faults`: break everything that can break, from a seed, and see that nobody loses by it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simulations.faults.run import Result

FOUND = 12
"""The exit code when a promise was broken, or so little was achieved that nothing is shown."""


def faults(
    workflow: Annotated[str, typer.Argument(help="purchase, federate or pool")] = "purchase",
    faults: Annotated[int, typer.Option(min=1, help="Faults that have to take effect.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other runs.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes; the results do not depend on it.")] = 1,
    replay: Annotated[str | None, typer.Option(help="Play one run again: what a failed run printed.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for a timeline of each failed run, or of a replay.")
    ] = None,
) -> None:
    """Simulate crashes, full disks, bad networks and cheats; exits with 12 when a promise is broken."""
    from simulations.cli.progress import shown
    from simulations.faults.campaign import campaign
    from simulations.faults.run import TOWNS, Replay, run
    from simulations.faults.shrink import shrink

    if workflow not in TOWNS:
        raise typer.BadParameter(f"there is no simulation of {workflow}; these are: {', '.join(TOWNS)}")
    if replay is not None:
        try:
            wanted = Replay.parse(replay)
            result = run(workflow, wanted.seed, wanted.faults, wanted.without)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        for event in result.events:
            typer.echo(f"{event.at:10.3f} {event.who:10} {event.what}")
        _draw(out, result, "replay")
        typer.echo(f"{len(result.violations)} promises broken; digest {result.digest[:16]}")
        raise typer.Exit(FOUND if result.violations else 0)
    with shown() as progress:
        found = campaign(workflow, seed, faults, workers, progress=progress)
    for number, failed in enumerate(found.failed):
        shrunk = shrink(failed)
        for violation in shrunk.violations:
            typer.echo(f"{violation.promise}: {violation.text}")
        typer.echo(f"  parley faults {workflow} --replay '{shrunk.replay}'")
        _draw(out, shrunk, f"failed-{number + 1}")
    kinds = ", ".join(f"{number} {kind}" for kind, number in found.faults.most_common())
    typer.echo(f"{found.faults.total()} faults in {found.runs} runs ({kinds}); {len(found.failed)} runs failed.")
    typer.echo(", ".join(f"{number} {what}" for what, number in sorted(found.outcomes.items())))
    typer.echo(f"digest {found.digest[:16]}")
    if vacuous := found.vacuous:
        typer.echo(vacuous)
    if found.failed or vacuous:
        raise typer.Exit(FOUND)


def _draw(out: Path | None, result: "Result", name: str) -> None:
    if out is None:
        return
    from simulations.faults.timeline import write_timeline

    out.mkdir(parents=True, exist_ok=True)
    write_timeline(out / f"{name}.html", result)
    typer.echo(f"  {out / name}.html")
