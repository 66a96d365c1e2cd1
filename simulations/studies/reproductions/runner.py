"""Runs a reproduction and writes its folder."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from parties.workflow import Progress
from protocol.compute.ray_cluster import RayUnavailable
from protocol.compute.workshop import LocalWorkshop, RayWorkshop, Workshop
from protocol.errors import GridUnavailable
from simulations.reports.reproduction import ReproductionReport, write_reproduction
from simulations.runs.output import whole_or_nothing


def run(
    name: str,
    seeds: Sequence[int],
    workers: int,
    address: str | None,
    out: Path,
    progress: Progress,
    **options: object,
) -> ReproductionReport:
    """Run a reproduction and write its folder, ``report.json`` and ``report.html``, whole or not at all.

    Args:
        name: A key of `simulations.studies.reproductions.REPRODUCTIONS`.
        seeds: The seeds of its worlds.
        workers: Parallel jobs on Ray, which is started here; 1: one job after the other in this process.
        address: The address of a running Ray cluster to use instead.
        out: The folder.
        options: Further arguments of this reproduction.

    Raises:
        GridUnavailable: When there is no Ray, or no cluster at the address.
        OutputExists: When the folder is there.
        RunFailed: When a job failed.
    """
    with whole_or_nothing(out) as folder:
        progress("starting", 0, 1)
        try:
            workshop: Workshop = LocalWorkshop() if workers == 1 and address is None else RayWorkshop(workers, address)
        except RayUnavailable as error:
            raise GridUnavailable(str(error)) from None
        with workshop:
            module = import_module(f"simulations.studies.reproductions.{name.replace('-', '_')}")
            report: ReproductionReport = module.reproduce(seeds, workshop, progress, **options)
        draw = getattr(module, "figures", None)
        write_reproduction(folder, report, draw(report) if draw else [])
    return report
