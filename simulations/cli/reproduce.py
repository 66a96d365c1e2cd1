"""`parley reproduce`: repeat a paper's experiment."""

from pathlib import Path
from typing import Annotated

import typer

from simulations.cli.names import ALL, REPRODUCTIONS


def reproduce(
    name: Annotated[
        str,
        typer.Argument(
            help="See `parley list reproductions`.", callback=REPRODUCTIONS.check, autocompletion=REPRODUCTIONS.complete
        ),
    ],
    seeds: Annotated[int, typer.Option(min=2, help="How many seeds; more make the intervals narrower.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The first seed; the others follow it.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many models train side by side, on Ray; 1: in this process; default: one per processor."
        ),
    ] = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running Ray cluster, to train there.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Another data set, as in the paper: a published one, or folder.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where published data sets are; with --dataset folder, the folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist yet.")] = None,
) -> None:
    """Repeat a paper's experiments at a small scale: its numbers beside ours, and which of its claims hold.

    `all` repeats those of every paper, and writes one page of all claims.
    """
    from simulations.studies.reproductions import DATASETS

    given = {key: value for key, value in (("dataset", dataset), ("root", root)) if value is not None}
    if given and dataset not in DATASETS.get(name, ()):
        known = DATASETS.get(name)
        raise typer.BadParameter(f"{name} takes {'one of ' + ', '.join(known) if known else 'no other data set'}")

    from joblib import cpu_count

    from simulations.cli.progress import shown
    from simulations.cli.terminal import say, show
    from simulations.reports.reproduction import reproduction_tables
    from simulations.runs.output import default_folder
    from simulations.studies.reproductions.runner import run

    folder = out or default_folder(f"reproduce-{name}", seed)
    processes = workers or cpu_count()
    if name == ALL:
        from simulations.studies.reproductions.everything import run_all

        with shown() as progress:
            whole = range(seed, seed + seeds)
            found = run_all(
                whole, folder, progress, lambda each, to, tell: run(each, whole, processes, address, to, tell)
            )
        say(found.summary)
        say(f"Page: {folder / 'index.html'}")
        return
    with shown() as progress:
        report = run(name, range(seed, seed + seeds), processes, address, folder, progress, **given)
    show(reproduction_tables(report))
    say(f"Report: {folder / 'report.html'}")
