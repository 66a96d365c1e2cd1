"""`parley run`: play a scenario."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer


def scenarios(incomplete: str) -> Iterator[str]:
    """Complete the name of a scenario, or the path of a scenario file."""
    from simulations.scenarios.files import packaged_names

    yield from (name for name in packaged_names() if name.startswith(incomplete))
    given = Path(incomplete)
    folder = given if incomplete.endswith("/") else given.parent
    for path in sorted(folder.glob("*")):
        if str(path).startswith(incomplete) and (path.is_dir() or path.suffix in (".yaml", ".yml")):
            yield f"{path}/" if path.is_dir() else str(path)


def run(
    scenario: Annotated[
        str,
        typer.Argument(help="A name (see `parley list scenarios`) or a .yaml file.", autocompletion=scenarios),
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. buyer.budget=20.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same outcome.")] = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Where the parties run: local, ray or grpc.", autocompletion=lambda: ["local", "ray", "grpc"]
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many processes share the work; the outcome does not depend on it.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: its head node's host:port.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist yet.")] = None,
    adversaries: Annotated[
        Path | None, typer.Option(help="A Python file that declares adversaries of your own.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an earlier run to the same --out has computed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of the table.")] = False,
) -> None:
    """Play a scenario and write its report."""
    from protocol.errors import BadInput
    from simulations.cli.progress import shown
    from simulations.cli.terminal import say, show
    from simulations.scenarios.adversaries import known_adversaries
    from simulations.scenarios.files import load

    if resume and out is None:
        raise BadInput("--resume goes on with an earlier run: name its folder with --out")
    options = {"seed": seed, "grid": grid, "workers": workers, "address": address}
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    with shown() as progress:
        known = None if adversaries is None else known_adversaries(adversaries)
        chosen = load(scenario, [*(settings or []), *given], known)

        from simulations.runs.output import default_folder
        from simulations.runs.runner import run
        from simulations.runs.workflows import simulation

        folder = out or default_folder(Path(scenario).stem, chosen.seed)
        report = run(chosen, folder, progress, known, resume=resume)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    show(simulation(chosen.workflow).tables(report))
    say(f"Report: {folder / 'report.html'}")
