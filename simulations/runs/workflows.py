"""The workflows: each is a package of its name, with a scenario (`scenario.py`) and what plays it (`run.py`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType

from parties.adversaries import Adversary
from parties.workflow import Progress


@dataclass(frozen=True)
class Workflow:
    """How a workflow is played.

    Attributes
    ----------
    play : callable
        Given a scenario of it, a folder to write ``report.json`` and ``report.html`` into, whom to tell of progress,
        and the adversaries there are; returns the report.
    figures : callable
        From a scenario to the keys of its report that hold numbers: what ``expect`` may name.
    tables : callable
        From a report to what is worth printing of it.
    """

    play: Callable[[Any, Path, Progress, Mapping[str, Adversary]], BaseModel]
    figures: Callable[[Any], Iterator[str]]
    tables: Callable[[Any], Iterable[RenderableType]]


def workflow(name: str) -> Workflow:
    """Return a workflow of `WORKFLOWS`."""
    found: Workflow = import_module(f"simulations.workflows.{name}.run").WORKFLOW
    return found
