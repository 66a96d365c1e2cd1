"""The workflows: each is a package of its name, with a scenario (`scenario.py`) and what plays it (`run.py`)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import RenderableType

from parties.adversaries import Adversary
from simulations.progress import Progress
from simulations.scenario import Scenario

WORKFLOWS = {
    "purchase": "CrowdBuy: bids, selection, escrow, sealed delivery, verification, arbitration, payout",
    "pool": "Deep Poisoning: entities pool features that cannot be turned back into images, and refine on them",
    "outsource": "image obfuscation: owners publish obfuscated images, a service trains on them and returns the model",
    "crowdsource": "PRIC: representations that hide chosen attributes, collected for tasks unknown beforehand",
    "publish": "owners publish pictures with differential privacy: DP-Pix, DP-SVD, Snow",
    "federate": "clients learn together by Flower's strategies, by secure sums, with and without differential privacy",
}
"""Workflows by name, with one line each."""


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


def scenario_class(name: str) -> type[Scenario]:
    """Return what a scenario of a workflow may hold."""
    found: type[Scenario] = import_module(f"simulations.{name}.scenario").SCENARIO
    return found


def workflow(name: str) -> Workflow:
    """Return a workflow of `WORKFLOWS`."""
    found: Workflow = import_module(f"simulations.{name}.run").WORKFLOW
    return found
