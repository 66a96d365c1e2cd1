"""Scenarios, loaded and played."""

import atexit
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_jsonable_python

from protocol.errors import BadInput, BadScenario, ExpectationFailed
from protocol.storage.user_files import user_path
from simulations.scenarios.adversaries import known_adversaries
from simulations.scenarios.base import Scenario
from simulations.scenarios.files import load as load_scenario

if TYPE_CHECKING:
    from .report import Report

Source = str | PathLike[str] | Scenario
"""The name of a packaged scenario, the path of a ``.yaml`` file, or a scenario."""
Adversaries = str | PathLike[str] | Iterable[Callable[..., Any]]
"""A Python file that declares adversaries; or classes and functions that are declared with `parley.adversary`."""


def load(
    scenario: Source, settings: Mapping[str, Any] | None = None, *, adversaries: Adversaries | None = None
) -> Scenario:
    """Read a scenario, and change some of its keys.

    Args:
        scenario: A packaged scenario's name (`parley list scenarios`), the path of a ``.yaml`` file, or a scenario.
        settings: Values by key, such as ``{"buyer.budget": 20, "sellers.album.images": [1, 5]}``.
        adversaries: Adversaries of your own that it may name: a Python file, or the declared classes and functions.

    Raises:
        UserError: With one sentence that names the key at fault.
    """
    known = None if adversaries is None else known_adversaries(adversaries)
    return load_scenario(scenario, _plain(settings), known)


def run(
    scenario: Source,
    *,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    grid: Literal["local", "ray", "grpc"] | None = None,
    workers: int | None = None,
    address: str | None = None,
    adversaries: Adversaries | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> "Report":
    """Play a scenario, and return its report.

    A script needs no ``if __name__ == "__main__":`` for it, on any grid.

    Args:
        scenario: A packaged scenario's name (`parley list scenarios`), the path of a ``.yaml`` file, or a scenario.
        seed: The same seed gives the same outcome; None: the scenario's.
        settings: Values by key, such as ``{"buyer.budget": 20}``, instead of the scenario's.
        grid: Where the parties run; None: as the scenario says.
        workers: How many processes share the work, for ``ray`` and ``grpc``.
        address: ``host:port`` of a running Ray cluster's head node.
        adversaries: Adversaries of your own that the scenario may name: a Python file, or the declared classes and
            functions.
        resume: Go on with what an earlier run to the same `out` has computed, whether it was interrupted or has
            finished.
        out: The folder to write, which must not exist yet. None: a temporary folder, which is removed with the report:
            copy from it what you want to keep.
        progress: Whether to show progress, below a notebook's cell or on stderr.

    Raises:
        UserError: With one sentence; nothing is left behind, unless it says where the report is.

    Examples:
        >>> small = {"sellers.count": 4, "sellers.album.images": 2, "buyer.samples.count": 2}
        >>> report = run("purchase", seed=7, settings=small, progress=False)
        >>> report.outcome.sellers
        4
    """
    from simulations.cli.progress import shown

    if resume and out is None:
        raise BadInput("resume goes on with an earlier run: name its folder with out")
    options = {"seed": seed, "grid": grid, "workers": workers, "address": address}
    given = {key: value for key, value in options.items() if value is not None}
    with ExitStack() as temporary, shown() if progress else nullcontext(None) as watch:
        known = None if adversaries is None else known_adversaries(adversaries)
        chosen = load_scenario(scenario, {**_plain(settings), **_plain(given)}, known)

        from parties.workflow import unwatched
        from simulations.runs import runner

        from .report import Report

        if out is None:
            folder = Path(tempfile.mkdtemp(prefix="parley-")) / chosen.workflow
            temporary.callback(shutil.rmtree, folder.parent, ignore_errors=True)
        else:
            folder = user_path(out)
        try:
            report = Report(runner.run(chosen, folder, watch or unwatched, known, resume=resume), folder)
        except ExpectationFailed:  # it says where the report is
            atexit.register(temporary.pop_all().close)
            raise
        weakref.finalize(report, temporary.pop_all().close)
    return report


def _plain(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return settings as a scenario file holds them: paths as text, numbers of NumPy as Python's."""
    if settings is not None and not isinstance(settings, Mapping):
        raise BadScenario(f'settings are values by key, such as {{"buyer.budget": 20}}, not {settings!r}')

    def other(value: Any) -> Any:
        return value.item() if hasattr(value, "item") else str(value)

    plain: dict[str, Any] = to_jsonable_python(dict(settings or {}), fallback=other)
    return plain
