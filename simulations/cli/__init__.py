"""The `parley` command.

Exit codes: 0 success (also when nothing matched or the budget was too small), 1 a fault of Parley's
own, 2 a wrong command line, 3 a bad scenario or Flower app, 4 unusable pictures or weights, 5 the output is
already there, 6 the protocol could not be finished, 7 an expectation of the scenario did not hold, 8 no Ray, or no
cluster at the address, 9 a kit or a setting of a deployed party that cannot be used, 10 the cloud cannot be reached or
refuses, 11 `parley doctor` found something to mend, 130 interrupted, 143 terminated. What runs until it is stopped
(`parley cloud`, `seller`, `entity`) ends with 0 when it is.
"""

import gc
import os
import signal
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from protocol.errors import OutputExists, UserError
from simulations.cli import cloud, doctor, parties, provision, survey
from simulations.cli.progress import shown

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")


app = typer.Typer(
    help="Run, deploy and attack multi-party protocols over private images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(provision.app, name="provision")
app.command("cloud")(cloud.cloud)
app.command("seller")(parties.seller)
app.add_typer(parties.buyer, name="buyer")
app.command("entity")(parties.entity)
app.add_typer(survey.app, name="survey")
app.command("doctor")(doctor.doctor)
app.command("status")(cloud.status)
app.command("pool")(cloud.pool)
screen = Console(stderr=True)
"""Progress and errors go to stderr; results go to stdout."""
INTERRUPTED = 130


@app.command("run")
def run_scenario(
    scenario: Annotated[str, typer.Argument(help="A scenario's name (see `parley list`) or a .yaml file.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one key, e.g. buyer.budget=20.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed; the same one gives the same outcome.")] = None,
    grid: Annotated[str | None, typer.Option(help="Where the parties run: local, ray or grpc.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the work, for ray or grpc.")] = None,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster: its head node's host:port.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist yet.")] = None,
    adversaries: Annotated[
        Path | None, typer.Option(help="A Python file with cheats of your own, beside the built-in ones.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print report.json instead of the table.")] = False,
) -> None:
    """Play a scenario and write its report."""
    from simulations.scenarios.adversaries import known_adversaries
    from simulations.scenarios.files import load

    cheats = known_adversaries(adversaries)
    options = {"seed": seed, "grid": grid, "workers": workers, "address": address}
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    chosen = load(scenario, [*(settings or []), *given], cheats)

    from simulations.runs.output import default_folder
    from simulations.runs.runner import run

    folder = out or default_folder(Path(scenario).stem, chosen.seed)
    with shown() as progress:
        report = run(chosen, folder, progress, cheats)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    from simulations.runs.workflows import simulation

    console = Console()
    for part in simulation(chosen.workflow).tables(report):
        console.print(part)
    console.print(f"Report: {folder / 'report.html'}", style="bold", soft_wrap=True)


@app.command("flower")
def flower(
    directory: Annotated[Path, typer.Argument(metavar="APP_DIR", help="A Flower app: its pyproject.toml and code.")],
    nodes: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many nodes run the ClientApp.")] = 10,
    grid: Annotated[
        Literal["local", "ray"], typer.Option(help="Where they run: in this process, or on Ray.")
    ] = "local",
    workers: Annotated[int, typer.Option(min=1, help="Ray processes that share the nodes.")] = 2,
    address: Annotated[str | None, typer.Option(help="A running Ray cluster; none: RAY_ADDRESS, or one here.")] = None,
    run_config: Annotated[
        list[str] | None,
        typer.Option("--run-config", "-c", help="As for `flwr run`: 'key=1 other=0.5 name=\"x\"', or a .toml file."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same one gives the same run.")] = 7,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with every traceback, instead of the table.")
    ] = False,
) -> None:
    """Run a Flower app on our grids; what it computes goes where its ServerApp puts it."""
    from protocol.flower_project import set_log_colours
    from simulations.flower.apps import on_grid, run
    from simulations.flower.terminal import tables, tracebacks

    set_log_colours(screen.is_terminal)
    with redirect_stdout(sys.stderr) if json else nullcontext():
        done = run(directory, on_grid(grid, workers, address), nodes, run_config or (), seed)
    if json:
        typer.echo(done.model_dump_json(indent=2))
        return
    for text in tracebacks(done):
        screen.print(text, markup=False, highlight=False, soft_wrap=True)
    console = Console()
    for part in tables(done):
        console.print(part, highlight=False, soft_wrap=True)


@app.command("list")
def list_all(
    adversaries: Annotated[
        Path | None, typer.Option(help="A Python file with cheats of your own, to list beside the built-in ones.")
    ] = None,
) -> None:
    """List scenarios, workflows, mechanisms, data sets, featurizers and adversaries."""
    from simulations.cli.catalogue import catalogue
    from simulations.scenarios.adversaries import known_adversaries

    for group, entries in catalogue(known_adversaries(adversaries)).items():
        typer.secho(group, bold=True)
        for name, line in entries.items():
            typer.echo(f"  {name:<26}{line}")


@app.command("init")
def init(
    path: Annotated[Path, typer.Argument(help="The .yaml file to write.")],
    workflow: Annotated[str, typer.Option(help="What it plays; `parley list` names the workflows.")] = "purchase",
) -> None:
    """Write a commented scenario to start from."""
    from simulations.scenarios.files import WORKFLOWS, commented

    if workflow not in WORKFLOWS:
        raise typer.BadParameter(f"there is no workflow {workflow}; choose from {', '.join(WORKFLOWS)}")

    if path.exists():
        raise OutputExists(f"{path} is already there; name another file")
    if path.suffix not in (".yaml", ".yml"):
        raise typer.BadParameter(f"a scenario file ends in .yaml, {path} does not")
    path.write_text(commented(workflow), encoding="utf-8")
    typer.echo(f"Wrote {path}; run it with: parley run {path}")


@app.command("calibrate")
def calibrate(
    featurizer: Annotated[str, typer.Option(help="small or vgg16.")] = "small",
    images: Annotated[
        Path | None, typer.Option(help="A folder of public pictures; sub-folders are categories.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Instead: the public half of pets or digits.")] = None,
    weights: Annotated[str | None, typer.Option(help="vgg16's weights: a .pth or .safetensors file.")] = None,
    per_category: Annotated[int, typer.Option(min=4, help="Pictures of each category, at most.")] = 100,
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")] = Path("calibration"),
) -> None:
    """Choose R and d for a featurizer from public pictures, and draw Fig. 1."""
    from simulations.studies.calibration.calibrate import run
    from simulations.studies.calibration.table import lines

    with shown() as count:
        calibrated = run(featurizer, weights, images, dataset, per_category, out, count)
    table = Table("", "fc8", "plane", title=f"Featurizer {featurizer}", title_justify="left")
    for line in lines(calibrated):
        table.add_row(*line)
    console = Console()
    console.print(table)
    console.print(f"Calibration: {out}; use it with --set cloud.calibration={out}", style="bold", soft_wrap=True)


@app.command("bench")
def bench(
    what: Annotated[str, typer.Argument(help="`parley list` names them.")],
    long: Annotated[bool, typer.Option("--long", help="The longer form: many minutes.")] = False,
) -> None:
    """Measure one thing beside its bar, in one run; exits 1 when a bar is missed."""
    from simulations.studies.benchmarks import BENCHMARKS, LONG, measure

    if what not in BENCHMARKS:
        raise typer.BadParameter(f"there is no benchmark {what}; choose from {', '.join(BENCHMARKS)}")
    if long and what not in LONG:
        raise typer.BadParameter(f"{what} has no longer form; {' and '.join(LONG)} have one")
    table = Table("what", "measured", "bar", "")
    missed = False
    for result in measure(what, long):
        verdict = {None: "", True: "met", False: "missed"}[result.met]
        missed |= result.met is False
        table.add_row(result.what, f"{result.value:,.4g} {result.unit}", result.bar, verdict)
    Console().print(table)
    if missed:
        raise typer.Exit(1)


@app.command("reproduce")
def reproduce(
    name: Annotated[str, typer.Argument(help="A paper's experiments; `parley list` names them.")],
    seeds: Annotated[int, typer.Option(min=2, help="How many worlds; more make the intervals narrower.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The first world; the others follow.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Train so many models side by side, on Ray; 1: here; default: one per processor."),
    ] = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running Ray cluster, to train there.")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Published pictures, or a folder, at full size, where the paper's were that."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Where published data sets are; with --dataset folder, the folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; it must not exist yet.")] = None,
) -> None:
    """Repeat a paper's experiment at a small scale: its numbers beside ours, and which of its claims hold."""
    from simulations.studies.reproductions import DATASETS, REPRODUCTIONS

    if name not in REPRODUCTIONS:
        raise typer.BadParameter(f"there is no reproduction {name}; choose from {', '.join(REPRODUCTIONS)}")
    from simulations.reports.reproduction import reproduction_tables
    from simulations.runs.output import default_folder
    from simulations.studies.reproductions.runner import run

    given = {key: value for key, value in (("dataset", dataset), ("root", root)) if value is not None}
    if given and dataset not in DATASETS.get(name, ()):
        raise typer.BadParameter(f"{name} takes the data sets: {', '.join(DATASETS.get(name, ())) or 'its own alone'}")
    folder = out or default_folder(f"reproduce-{name}", seed)
    processes = workers or len(os.sched_getaffinity(0))
    with shown() as count:
        report = run(name, range(seed, seed + seeds), processes, address, folder, count, **given)
    console = Console()
    for part in reproduction_tables(report):
        console.print(part)
    console.print(f"Report: {folder / 'report.html'}", style="bold", soft_wrap=True)


def main() -> None:
    """Run the command line; turn mistakes into one sentence and an exit code."""
    start = time.perf_counter()
    gc.set_threshold(200_000, 50, 100)  # looking for cycles among ten thousand parties took a tenth of the time
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing half-written stays
    try:
        app()
    except UserError as error:
        screen.print(f"[bold red]parley:[/bold red] {error}", soft_wrap=True, highlight=False)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        screen.print(f"parley: interrupted after {time.perf_counter() - start:.0f} s; nothing was written")
        sys.exit(INTERRUPTED)
