"""Runs a scenario and writes its folder, whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from parties.adversaries import ADVERSARIES, Adversary
from parties.workflow import Progress, unwatched
from protocol.errors import BadScenario, ExpectationFailed
from simulations.runs.grids import cluster, one_thread
from simulations.runs.output import whole_or_nothing
from simulations.runs.workflows import Workflow, workflow
from simulations.scenarios.base import Scenario
from simulations.scenarios.expectations import unknown, unmet


def run(
    scenario: Scenario,
    out: Path,
    progress: Progress = unwatched,
    adversaries: Mapping[str, Adversary] = ADVERSARIES,
    played: Workflow | None = None,
) -> BaseModel:
    """Play a scenario and write its folder: ``report.json``, ``report.html``, and whatever its workflow keeps.

    Everything is written to a hidden folder beside `out` first, which takes its name when it is complete. It is played
    as its workflow says, or as `played` does.

    Raises
    ------
    UserError
        With one sentence; nothing is left behind.
    ExpectationFailed
        With a sentence for each condition of ``expect`` that does not hold; the folder is there.
    """
    played = played or workflow(scenario.workflow)
    if mistake := unknown(scenario.expect, played.figures(scenario)):
        raise BadScenario(mistake)
    with whole_or_nothing(out) as folder, cluster(scenario), one_thread():
        report = played.play(scenario, folder, progress, adversaries)
    if failed := unmet(scenario.expect, report.model_dump(mode="json")):
        raise ExpectationFailed("\n".join((*failed, f"The report is {out / 'report.html'}.")))
    return report
