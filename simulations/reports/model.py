"""What the reports of all workflows say: the common part of ``report.json``."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from parties.workflow import Failure
from simulations.reports.evaluation import Cost, Effect, Leak, Promise, Utility


class Flow(BaseModel):
    """All messages of one kind from one role to another: how many, and their bytes together."""

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    step: str
    kind: str
    messages: int
    bytes: int


LIBRARIES = ("parley", "flwr", "torch", "numpy", "numba", "cryptography")


def versions() -> dict[str, str]:
    """Return the versions of Parley and of the libraries that an outcome depends on."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


class FailedStep(BaseModel):
    """Parties that failed a step for the same reason.

    Attributes:
        what: The step and the reason, one line.
        parties: Who, a party once for each time.
        traceback: Where the first of them raised; None for one that was silent or refused.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    parties: list[str]
    traceback: str | None


def failed_steps(failures: Iterable[Failure], name: Callable[[int], str]) -> list[FailedStep]:
    """Group failures, the most frequent first.

    Args:
        name: From a node id to the party's name.
    """
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(failure.line, []).append(failure)
    return [
        FailedStep(
            what=what,
            parties=[name(failure.node_id) for failure in group],
            traceback=next((each.reason.strip() for each in group if "\n" in each.reason.strip()), None),
        )
        for what, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def refused_steps(failures: Iterable[Failure]) -> dict[str, int]:
    """Count what parties' policies refused, by step.

    Examples:
        >>> refused_steps([Failure("publish", 3, "protocol.errors.PolicyRefusal: no"), Failure("read", 2, "no answer")])
        {'publish': 1}
    """
    return dict(Counter(failure.step for failure in failures if failure.refused))


class Learned(BaseModel):
    """One thing that one party learned in the run, and how exactly."""

    model_config = ConfigDict(frozen=True)

    observer: str
    what: str
    detail: str


ORIGINALS = "originals"
"""Under which `RunReport.seen` has the pictures themselves."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What an observer sees of some people of a cohort.

    Attributes:
        observer, attack: Who, and by which attack.
        pictures: (side, side, 3) uint8, by person.
    """

    observer: str
    attack: str
    pictures: dict[int, NDArray[np.uint8]]


class RunReport(BaseModel):
    """A run, written down; each workflow adds its ``outcome``, with a ``digest``, and whatever else it has to tell.

    Attributes:
        schema_version: Raised with every change of the workflow's schema that a reader could notice.
        scenario: The whole scenario, defaults included.
        seed, grid, workers: Out of the scenario, for quick reading.
        summary: One sentence on what happened.
        traffic: Message flows in the order in which they began.
        timings: Wall seconds per step, and ``total``.
        failed: Steps that parties failed, and where they raised.
        refusals: How often parties' policies refused a step.
        leaks, utility, costs, promises: What each way of sharing leaks, is worth and costs, and what is proven of it.
        costs_of_methods: What each of several methods of the run cost, where that was charged to it.
        effects: What the run's adversaries changed of these, beside the same world without them.
        learned: What each party learned.
        seen: By method, what is seen of some people of a cohort; not written to ``report.json``.
        notes: What a reader should know about how the world was built.
        versions: Versions of Parley and of the libraries that the outcome depends on.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    schema_version: int
    scenario: dict[str, Any]
    seed: int
    grid: str
    workers: int
    summary: str
    traffic: list[Flow]
    timings: dict[str, float]
    failed: list[FailedStep]
    refusals: dict[str, int] = {}
    leaks: list[Leak] = []
    utility: list[Utility] = []
    costs: list[Cost] = []
    costs_of_methods: dict[str, list[Cost]] = {}
    promises: list[Promise] = []
    effects: list[Effect] = []
    learned: list[Learned]
    seen: dict[str, Seen] = Field(default={}, exclude=True, repr=False)
    notes: list[str]
    versions: dict[str, str]
