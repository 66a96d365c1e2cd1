"""Runs a scenario and writes its folder, whole or not at all."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from parties.adversaries import ADVERSARIES, Adversary
from parties.purchase import STEPS
from parties.record import PurchaseFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope, NumberedGrid
from protocol.ledger import Ledger
from protocol.messages.purchase import Bids, Invoice, VerificationCall
from protocol.ray_cluster import RayUnavailable, connect
from protocol.vault import Vault
from simulations.collusion.schemes import Schemes
from simulations.errors import BadInput, BadScenario, ExpectationFailed, GridUnavailable, OutputExists, RunFailed
from simulations.expectations import figures, unknown, unmet
from simulations.featurizers import load_featurizer
from simulations.phones.population import Phones
from simulations.play import grid_opener, make_cloud, party_names, play, worker_count
from simulations.report import Report
from simulations.report.compile import compile_report
from simulations.report.model import CheatAccount
from simulations.report.page import write_page
from simulations.report.phones import PhonesAccount, phones_account
from simulations.report.sweep import SweepReport
from simulations.scenario import Scenario
from simulations.scoring import PurchaseOutcome, score
from simulations.sweep import run_sweep
from simulations.traffic import TrafficLog, View
from simulations.world import build
from simulations.worth import with_worth

Progress = Callable[[int, str], None]
"""Told the number (0: building the world, 13: writing the report) and the name of each step as it begins."""


@dataclass(frozen=True)
class Stage:
    """Where a scenario's parties are already, put there by one of Flower's runtimes.

    Attributes
    ----------
    grid : NumberedGrid
        The buyer is its first node, the sellers follow.
    store : Path
        Where its buyer keeps what it buys; not here, if the buyer is on another machine.
    """

    grid: NumberedGrid
    store: Path


def default_folder(name: str, seed: int) -> Path:
    """Name a new folder under ``runs/`` after the scenario, the seed and the time."""
    return Path("runs") / f"{name}-{seed}-{datetime.now():%Y%m%d-%H%M%S}"


def run(
    scenario: Scenario,
    out: Path,
    progress: Progress = lambda number, name: None,
    adversaries: Mapping[str, Adversary] = ADVERSARIES,
    stage: Stage | None = None,
) -> Report | SweepReport:
    """Play a scenario and write its folder.

    It holds ``report.json``, ``report.html``, ``messages.jsonl``, ``ledger.sqlite`` and ``bought/``; of a
    sweep, the first two.

    Everything is written to a hidden folder beside `out` first, which takes its name when it is complete.
    With a `stage` the parties are not put on a grid: they are on one.

    Raises
    ------
    UserError
        With one sentence; nothing is left behind.
    ExpectationFailed
        With a sentence for each condition of ``expect`` that does not hold; the folder is there.
    """
    if mistake := unknown(scenario.expect, _figures(scenario)):
        raise BadScenario(mistake)
    if out.exists():
        raise OutputExists(f"the output folder {out} is already there; name another one with --out, or remove it")
    with whole_or_nothing(out) as partial, _cluster(scenario), _one_thread():
        if scenario.sweep is None:
            report: Report | SweepReport = _run(scenario, partial, progress, adversaries, stage)
        else:
            report = run_sweep(scenario, scenario.sweep, partial, progress, adversaries)
    if failed := unmet(scenario.expect, report.model_dump(mode="json")):
        raise ExpectationFailed("\n".join((*failed, f"The report is {out / 'report.html'}.")))
    return report


@contextmanager
def whole_or_nothing(out: Path) -> Iterator[Path]:
    """Give a hidden folder to write, which becomes `out` in the end; if that fails, no folder stays that was made."""
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    made = [parent for parent in partial.parents if not parent.exists()]
    try:
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise BadInput(
                f"the output folder {out} cannot be made: {error.strerror}; name another one with --out"
            ) from None
        yield partial
        if out.exists():
            raise OutputExists(f"the output folder {out} appeared while the run was going on; name another one")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for parent in made:
            with suppress(OSError):  # it holds something: this run, or that of somebody else
                parent.rmdir()


def _run(
    scenario: Scenario,
    folder: Path,
    progress: Progress,
    adversaries: Mapping[str, Adversary],
    stage: Stage | None = None,
) -> Report:
    clock = _Stopwatch(progress)
    clock.step(0, "building the world")
    featurizer = load_featurizer(scenario.cloud.featurizer, scenario.cloud.weights, scenario.cloud.calibration)
    bought = folder / "bought"
    vault, painted = folder / "vault", folder / "painted"
    painted.mkdir()
    world = build(scenario, featurizer, stage.store if stage else bought, adversaries, painted.resolve())
    with closing(Ledger(f"sqlite:///{folder / 'ledger.sqlite'}")) as ledger:
        cloud_view, buyer_view = View(SERVER_NODE_ID, Bids), View(FIRST_NODE_ID, Invoice, VerificationCall)
        phones = Phones(scenario, world)
        honest = phones.tell_time(make_cloud(scenario, featurizer, ledger, Vault(str(vault), lasting=False)))
        schemes = Schemes(scenario, world, honest)
        with (folder / "messages.jsonl").open("w", encoding="utf-8") as stream:
            log = TrafficLog(stream, party_names(world))

            def observe(envelope: Envelope) -> None:
                log.observe(envelope)
                cloud_view.observe(envelope)
                buyer_view.observe(envelope)

            try:
                record = play(
                    world,
                    schemes.cloud,
                    observe,
                    lambda number: clock.step(number, STEPS[number - 1]),
                    schemes.around,
                    (lambda apps: nullcontext(stage.grid)) if stage else grid_opener(scenario, honest.vault),
                    phones.around,
                )
            except PurchaseFailed as failed:
                raise RunFailed(str(failed)) from None
        clock.step(len(STEPS) + 1, "writing the report")
        schemes.reveal(record)
        scored = score(scenario, featurizer, world, record, ledger)
        report = compile_report(scored, cloud_view, log.flows, clock.timings())
        report = report.model_copy(
            update={
                "learned": schemes.learned(report.learned, scored, cloud_view, buyer_view),
                "grid": "flower" if stage else scenario.grid,
                "phones": phones_account(phones, scored),
            }
        )
        if scenario.buyer.train:
            clock.step(len(STEPS) + 1, "training on what was bought")
            report = with_worth(report, scored)
        (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_page(folder / "report.html", report, scored, phones)
    shutil.rmtree(vault, ignore_errors=True)
    shutil.rmtree(painted, ignore_errors=True)
    if stage and stage.store.is_dir():
        shutil.move(stage.store, bought)
    shutil.rmtree(bought / "sealed", ignore_errors=True)
    return report


def _figures(scenario: Scenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(PurchaseOutcome, "outcome")
    yield from figures(PhonesAccount, "phones")
    for name in scenario.adversaries:
        yield from figures(CheatAccount, f"adversaries.{name}")


class _Stopwatch:
    """Wall seconds per step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._begun: list[tuple[str, float]] = []

    def step(self, number: int, name: str) -> None:
        if not self._begun or self._begun[-1][0] != name:
            self._begun.append((name, time.perf_counter()))
            self._progress(number, name)

    def timings(self) -> dict[str, float]:
        now = time.perf_counter()
        ends = [start for _, start in self._begun[1:]] + [now]
        seconds: dict[str, float] = {}
        for (name, start), end in zip(self._begun, ends, strict=True):
            seconds[name] = seconds.get(name, 0.0) + end - start
        return seconds | {"total": now - self._begun[0][1]}


def _warm() -> None:
    """Do nothing in a Ray worker; to get there it has imported all that parties need, while the world is built."""


@contextmanager
def _cluster(scenario: Scenario) -> Iterator[None]:
    """Have Ray up for the whole run, where it is wanted."""
    if scenario.grid != "ray":
        yield
        return
    try:
        with connect(worker_count(scenario), scenario.address) as ray:
            warm = ray.remote(num_cpus=0)(_warm)
            for _ in range(worker_count(scenario)):
                warm.remote()
            yield
    except RayUnavailable as unavailable:
        raise GridUnavailable(str(unavailable)) from None


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one torch thread, so that sums are always taken in the same order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
