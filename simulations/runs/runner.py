"""Runs a scenario and writes its folder, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from parties.adversaries import ADVERSARIES, Adversary
from parties.workflow import Progress, WorkflowFailed, unwatched
from protocol.errors import BadScenario, ExpectationFailed, RunFailed
from simulations.reports.model import RunReport
from simulations.runs.grids import cluster, one_thread
from simulations.runs.output import whole_or_nothing
from simulations.runs.workflows import Simulation, simulation
from simulations.scenarios.base import Scenario
from simulations.scenarios.expectations import report_keys, unknown, unmet


def run(
    scenario: Scenario,
    out: Path,
    progress: Progress = unwatched,
    adversaries: Mapping[str, Adversary] | None = None,
    simulated: Simulation | None = None,
    *,
    resume: bool = False,
) -> BaseModel:
    """Play a scenario and write its folder: ``report.json``, ``report.html``, and whatever its workflow keeps.

    Everything is written to a hidden folder beside `out` first, which takes its name when it is complete. It is played
    as its workflow says, or as `simulated` does.

    Args:
        adversaries: Those that the scenario may name; None: the built-in ones.
        resume: Go on with what a run to the same folder has computed, whether it was interrupted or has finished.

    Raises:
        UserError: With one sentence; nothing is left behind.
        ExpectationFailed: With a sentence for each condition of ``expect`` that does not hold; the folder is there.
    """
    simulated = simulated or simulation(scenario.workflow)
    if mistake := unknown(scenario.expect, list(report_keys(simulated.report, RunReport, scenario))):
        raise BadScenario(mistake)
    with whole_or_nothing(out, resume=resume) as folder, cluster(scenario), one_thread():
        try:
            report = simulated.play(scenario, folder, progress, ADVERSARIES if adversaries is None else adversaries)
        except WorkflowFailed as failed:
            raise RunFailed(str(failed)) from None
    if missed := unmet(scenario.expect, report.model_dump(mode="json")):
        raise ExpectationFailed("\n".join((*missed, f"The report is {out / 'report.html'}.")))
    return report
