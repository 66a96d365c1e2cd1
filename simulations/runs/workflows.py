"""How workflows are simulated: each is a package of its name, with a scenario (`scenario.py`) and a run (`run.py`)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType

from parties.adversaries import Adversary
from parties.workflow import Progress

Play = Callable[[Any, Path, Progress, Mapping[str, Adversary]], BaseModel]
"""Given a scenario, a folder to write, whom to tell of progress, and the adversaries there are; returns the report."""


@dataclass(frozen=True)
class Simulation:
    """How a workflow is simulated.

    Attributes:
        play: Plays a scenario and writes its folder.
        report: What it returns; ``expect`` may name its numbers.
        tables: From a report to what is worth printing of it.
    """

    play: Play
    report: type[BaseModel]
    tables: Callable[[Any], Iterable[RenderableType]]


def simulation(workflow: str) -> Simulation:
    """Return how a workflow of `WORKFLOWS` is simulated."""
    found: Simulation = import_module(f"simulations.workflows.{workflow}.run").SIMULATION
    return found
