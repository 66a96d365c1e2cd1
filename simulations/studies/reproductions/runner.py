"""Runs a reproduction and writes its folder."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from parties.workflow import Progress
from protocol.compute.ray_cluster import RayUnavailable
from protocol.compute.workshop import LocalWorkshop, RayWorkshop, Workshop
from protocol.errors import GridUnavailable, OutputExists
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
        seeds: Worlds.
        workers: Jobs side by side on a Ray that is started here; 1: one after the other in this process.
        address: Of a running Ray cluster instead.
        out: The folder.
        options: What this reproduction takes beside that.

    Raises:
        GridUnavailable: When there is no Ray, or no cluster at the address.
        OutputExists: When the folder is there.
        RunFailed: When a job failed.
    """
    if out.exists():
        raise OutputExists(f"the output folder {out} is already there; name another one with --out, or remove it")
    progress("starting", 0, 1)
    with whole_or_nothing(out) as folder:
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
