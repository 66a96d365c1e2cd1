"""Plays a comparison: its runs side by side, each kept when it is done, and writes its folder."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from joblib import cpu_count

from parties.adversaries import ADVERSARIES
from parties.workflow import Progress, unwatched
from protocol.compute.ray_cluster import RayUnavailable
from protocol.compute.workshop import Done, LocalWorkshop, ProcessWorkshop, RayWorkshop, Workshop
from protocol.errors import GridUnavailable, RunFailed
from simulations.data.cohort import fitted
from simulations.reports.model import RunReport
from simulations.runs.cells import CELLS, KeepingWorkshop
from simulations.runs.grids import one_thread
from simulations.runs.output import whole_or_nothing
from simulations.runs.workflows import simulation
from simulations.scenarios.files import scenario_class
from simulations.studies.compare.compiling import compiled
from simulations.studies.compare.export import export
from simulations.studies.compare.methods import OwnFile, chosen, declared
from simulations.studies.compare.page import write_comparison_page
from simulations.studies.compare.plan import Run, planned
from simulations.studies.compare.report import ComparisonReport
from simulations.studies.compare.settings import Comparison
from simulations.studies.compare.table import Attacks, Reported

RUNS = "runs"
"""The folder of runs in that of a comparison."""
KEPT = ("report.json", "report.html", "messages.jsonl")
"""What is kept of a run."""


@dataclass(frozen=True)
class Folder:
    """What came of a run: its report, its files by name, and the seconds of CPU that it took."""

    report: RunReport
    files: dict[str, bytes]
    seconds: float


def play(device: torch.device, workflow: str, scenario: dict[str, object], own: tuple[OwnFile, ...]) -> Folder:
    """Play one run; a workshop's job.

    Args:
        scenario: As a report has it.
        own: The user's files of methods, which are imported first.
    """
    began = time.process_time()
    for file in own:
        declared(file)
    with tempfile.TemporaryDirectory(prefix="parley-compare-") as temporary, one_thread():
        folder = Path(temporary)
        found = scenario_class(workflow).model_validate(scenario)
        report = simulation(workflow).play(found, folder, unwatched, ADVERSARIES)
        assert isinstance(report, RunReport)
        files = {name: (folder / name).read_bytes() for name in KEPT if (folder / name).is_file()}
    return Folder(report, files, round(time.process_time() - began, 3))


def compare(
    comparison: Comparison,
    out: Path,
    workers: int | None = None,
    address: str | None = None,
    progress: Progress = unwatched,
    *,
    resume: bool = False,
) -> ComparisonReport:
    """Play all runs of a comparison, and write its folder: ``compare.html``, ``compare.json`` and more.

    Args:
        workers: How many runs are played side by side; None: one for each processor.
        address: Of a running Ray cluster, to play them there.
        resume: Go on with what an earlier comparison to the same folder has played.

    Raises:
        UserError: With one sentence; nothing is left behind, unless it was interrupted.
    """
    comparison = comparison.model_copy(update={"cohort": fitted(comparison.cohort)})
    methods, own = chosen(comparison.methods)
    runs = planned(comparison, methods)
    with whole_or_nothing(out, resume=resume, report="compare.json", written=WRITTEN) as folder, ExitStack() as stack:
        workshop = stack.enter_context(KeepingWorkshop(_workshop(workers or cpu_count(), address), folder / CELLS))
        played = _played(workshop, runs, own, progress)
        for run, each in zip(runs, played, strict=True):
            inside = folder / RUNS / run.name
            inside.mkdir(parents=True)
            for name, content in each.files.items():
                (inside / name).write_bytes(content)
        progress("writing the page", 1, 1)
        reported = [Reported(run, each.report) for run, each in zip(runs, played, strict=True)]
        seconds = {run.name: each.seconds for run, each in zip(runs, played, strict=True)}
        report = compiled(comparison, methods, reported, seconds, Attacks(comparison.attacks))
        (folder / "compare.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        plots = export(folder, report)
        write_comparison_page(folder / "compare.html", report, plots)
    return report


WRITTEN = frozenset({"compare.json", "compare.html", "compare.csv", "compare.tex", "figures", RUNS, CELLS})
"""What a comparison's folder holds."""


def _workshop(workers: int, address: str | None) -> Workshop:
    if address is not None:
        try:
            return RayWorkshop(workers, address)
        except RayUnavailable as unavailable:
            raise GridUnavailable(str(unavailable)) from None
    if workers == 1 or torch.cuda.is_available():
        return LocalWorkshop()
    return ProcessWorkshop(min(workers, cpu_count()))


def _played(workshop: Workshop, runs: Sequence[Run], own: tuple[OwnFile, ...], progress: Progress) -> list[Folder]:
    """Play the runs; the time that is left is told by how long each takes, about."""
    total, done = round(sum(run.seconds for run in runs)), 0.0
    handles = [workshop.submit(play, run.scenario["workflow"], run.scenario, own) for run in runs]
    over = 0
    progress(f"playing {len(runs)} runs", 0, total)

    def count(index: int, end: Done[Folder]) -> None:
        nonlocal done, over
        done, over = done + runs[index].seconds, over + 1
        progress(f"{over} of {len(runs)} runs", round(done), total)

    ends = workshop.gather(handles, count)
    for run, end in zip(runs, ends, strict=True):
        if end.failure is not None:
            last = end.failure.strip().splitlines()[-1]
            raise RunFailed(f"the run {run.name} failed: {last}")
    return [end.result() for end in ends]
