"""The `parley` command.

Exit codes: 0 success (also when nothing matched or the budget was too small), 1 a fault of Parley's
own, 2 a wrong command line, 3 a bad scenario or Flower app, 4 unusable pictures or weights, or a full disk,
5 the output is already there, 6 the protocol could not be finished, 7 an expectation of the scenario did not hold, 8 no
Ray, or no cluster at the address, 9 a kit, a setting or a disk of a deployed party that cannot be used, 10 the cloud
cannot be reached or refuses, 11 `parley doctor` or `parley audit` found something to fix, 12 `parley faults` found a
broken promise, 130 interrupted, 143 terminated. What runs until it is stopped (`parley cloud`, `seller`, `entity`)
ends with 0 when it is.
"""

import gc
import io
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import typer

from protocol.errors import BadInput, UserError
from protocol.storage.files import disk_failure
from simulations.cli import (
    account,
    audit,
    backup,
    bench,
    calibrate,
    catalogue,
    cloud,
    compare,
    doctor,
    faults,
    flower,
    init,
    parties,
    privacy,
    provision,
    purchase,
    reproduce,
    run,
    schema,
    survey,
)
from simulations.cli.paths import with_user_paths
from simulations.cli.terminal import complain

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

INTERRUPTED = 130

app = typer.Typer(
    help="Run, deploy and attack multi-party protocols over private images.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"parley {version('parley')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Run, deploy and attack multi-party protocols over private images."""


PANELS: dict[str, dict[str, typer.Typer | Callable[..., None]]] = {
    "Simulate": {
        "run": run.run,
        "flower": flower.flower,
        "list": catalogue.list_names,
        "init": init.init,
        "schema": schema.schema,
    },
    "Deploy": {
        "provision": provision.app,
        "doctor": doctor.doctor,
        "cloud": cloud.cloud,
        "seller": parties.seller,
        "buyer": parties.buyer,
        "entity": parties.entity,
        "status": cloud.status,
        "privacy": privacy.privacy,
        "drain": cloud.drain,
        "purchase": purchase.app,
        "account": account.app,
        "backup": backup.backup,
        "restore": backup.restore,
        "pool": cloud.pool,
        "audit": audit.app,
    },
    "Measure": {
        "compare": compare.compare,
        "reproduce": reproduce.reproduce,
        "bench": bench.bench,
        "calibrate": calibrate.calibrate,
        "faults": faults.faults,
        "survey": survey.app,
    },
}
"""Commands by panel of the help."""
for panel, commands in PANELS.items():
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, rich_help_panel=panel)
        else:
            app.command(name, rich_help_panel=panel)(command)


def main() -> None:
    """Run the command line; turn mistakes into one sentence and an exit code."""
    start = time.perf_counter()
    gc.set_threshold(200_000, 50, 100)  # looking for cycles among ten thousand parties took a tenth of the time
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another language than Unicode shows a question mark
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that nothing half-written stays
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_warn, warnings.showwarning)
            with_user_paths(typer.main.get_command(app))(prog_name="parley")
    except UserError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except Exception as error:
        if (why := disk_failure(error)) is None:
            raise
        complain(f"what this command writes cannot be written: {why}; make room, or name another place")
        sys.exit(BadInput.exit_code)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != INTERRUPTED:
            raise
        kept = next(_notes(stop), "nothing was written")
        complain(f"interrupted after {time.perf_counter() - start:.0f} s; {kept}")
        sys.exit(INTERRUPTED)


def _notes(error: BaseException | None) -> Iterator[str]:
    """Yield what was noted of an error and of those it came from."""
    while error is not None:
        yield from getattr(error, "__notes__", ())
        error = error.__context__


def _warn(others: Callable[..., None], message: Warning | str, *where: Any) -> None:
    """Show a warning about what the user wrote as a sentence, and others as Python does."""
    if isinstance(message, FutureWarning) and type(message).__module__.startswith("simulations."):
        complain(str(message))
    else:
        others(message, *where)
