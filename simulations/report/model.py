"""What the reports of all workflows say: the common part of ``report.json``."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from simulations.report.failed import FailedStep
from simulations.traffic import Flow


class Learned(BaseModel):
    """One thing that one party learned in the run, and how exactly."""

    model_config = ConfigDict(frozen=True)

    observer: str
    what: str
    detail: str


class RunReport(BaseModel):
    """A run, written down; each workflow adds its ``outcome``, with a ``digest``, and whatever else it has to tell.

    Attributes
    ----------
    schema_version : int
        Raised with every change of the workflow's schema that a reader could notice.
    scenario : dict
        The whole scenario, defaults included.
    seed, grid, workers
        Out of the scenario, for quick reading.
    summary : str
        One sentence on what happened.
    traffic : list of Flow
        Message flows in the order in which they began.
    timings : dict of str to float
        Wall seconds per step, and ``total``.
    failed : list of FailedStep
        Steps that parties failed, and where they raised.
    learned : list of Learned
        What each party learned.
    notes : list of str
        What a reader should know about how the world was built.
    versions : dict of str to str
        Versions of Parley and of the libraries that the outcome depends on.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int
    scenario: dict[str, Any]
    seed: int
    grid: str
    workers: int
    summary: str
    traffic: list[Flow]
    timings: dict[str, float]
    failed: list[FailedStep]
    learned: list[Learned]
    notes: list[str]
    versions: dict[str, str]
