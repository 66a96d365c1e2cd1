"""`parley flower`: run a Flower app."""

import os
import subprocess
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer


def flower(
    directory: Annotated[Path, typer.Argument(metavar="APP_DIR", help="A Flower app: its pyproject.toml and code.")],
    nodes: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many nodes run the ClientApp.")] = 10,
    grid: Annotated[
        Literal["local", "ray"], typer.Option(help="Where they run: in this process, or on Ray.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="How many Ray processes share the nodes.")] = 2,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster; default: RAY_ADDRESS, or one that is started here.")
    ] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option("--run-config", "-c", help="As for `flwr run`: 'key=1 other=0.5 name=\"x\"', or a .toml file."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same run.")] = 7,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every traceback, instead of the table.")
    ] = False,
) -> None:
    """Run a Flower app on Parley's grids; results are written by its ServerApp."""
    _begin_with_hashes_of(seed)
    from protocol.flower_project import set_log_colours
    from simulations.cli.terminal import console, show
    from simulations.flower.apps import on_grid, run
    from simulations.flower.terminal import tables, tracebacks

    errors = console(stderr=True)
    set_log_colours(errors.is_terminal)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        done = run(directory, on_grid(grid, workers, address), nodes, run_config or (), seed)
    if json:
        typer.echo(done.model_dump_json(indent=2))
        return
    for text in tracebacks(done):
        errors.print(text, soft_wrap=True)
    show(tables(done))


def _begin_with_hashes_of(seed: int) -> None:
    """Start this program again where ``hash("x")`` and the order of sets differ from process to process.

    Python takes the seed of hashes from the environment, once, as it starts.
    """
    words = sys.argv[1:]
    is_program = words == sys.orig_argv[len(sys.orig_argv) - len(words) :]
    if "PYTHONHASHSEED" in os.environ or not is_program:
        return
    os.environ["PYTHONHASHSEED"] = str(seed % 2**32)
    again = [sys.executable, *sys.orig_argv[1:]]
    if os.name == "nt":  # there, a program that is replaced seems to have ended
        sys.exit(subprocess.run(again, check=False).returncode)
    os.execv(sys.executable, again)
