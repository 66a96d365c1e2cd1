"""Plays a purchase, or a sweep of many, and writes its folder.

Of a purchase it holds ``report.json``, ``report.html``, ``messages.jsonl``, ``ledger.sqlite`` and ``bought/``; of a
sweep, the first two.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from parties.adversaries import Adversary
from parties.featurizers import load_featurizer
from parties.purchase.record import PurchaseFailed
from parties.purchase.workflow import STEPS
from parties.workflow import Progress
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope, NumberedGrid
from protocol.messages.purchase import Bids, Invoice, VerificationCall
from protocol.storage.ledger import Ledger
from protocol.storage.vault import Vault
from simulations.runs.grids import OpenGrid, grid_opener
from simulations.runs.progress import Stopwatch
from simulations.runs.views import TrafficLog, View
from simulations.runs.workflows import Workflow
from simulations.scenarios.expectations import figures
from simulations.workflows.purchase.collusion.schemes import Schemes
from simulations.workflows.purchase.phones import Phones
from simulations.workflows.purchase.play import make_cloud, party_names, play
from simulations.workflows.purchase.report.compile import compile_report, tables
from simulations.workflows.purchase.report.model import CheatAccount, Report
from simulations.workflows.purchase.report.page import write_purchase_page
from simulations.workflows.purchase.report.phones import PhonesAccount, phones_account
from simulations.workflows.purchase.report.sweep import SweepReport
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import PurchaseOutcome, score
from simulations.workflows.purchase.sweep import run_sweep
from simulations.workflows.purchase.world import build
from simulations.workflows.purchase.worth import with_worth


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


def play_purchase(
    scenario: PurchaseScenario,
    folder: Path,
    progress: Progress,
    adversaries: Mapping[str, Adversary],
    stage: Stage | None = None,
) -> Report:
    """Play one purchase and write its folder.

    With a `stage` the parties are not put on a grid: they are on one.
    """
    clock = Stopwatch(progress, len(STEPS))
    clock.step("building the world")
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
                    lambda number: clock.step(STEPS[number - 1], number),
                    schemes.around,
                    _opener(scenario, honest.vault, stage),
                    phones.around,
                )
            except PurchaseFailed as failed:
                raise RunFailed(str(failed)) from None
        clock.step("writing the report")
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
            clock.step("training on what was bought")
            report = with_worth(report, scored)
        (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        write_purchase_page(folder / "report.html", report, scored, phones)
    shutil.rmtree(vault, ignore_errors=True)
    shutil.rmtree(painted, ignore_errors=True)
    if stage and stage.store.is_dir():
        shutil.move(stage.store, bought)
    shutil.rmtree(bought / "sealed", ignore_errors=True)
    return report


def _opener(scenario: PurchaseScenario, vault: Vault, stage: Stage | None) -> OpenGrid:
    """Return what makes the grid, or gives the one that there is; the buyer writes files, and stays here."""
    if stage is not None:
        return lambda apps: nullcontext(stage.grid)
    return grid_opener(scenario, vault, here=(FIRST_NODE_ID,))


def _figures(scenario: PurchaseScenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(PurchaseOutcome, "outcome")
    yield from figures(PhonesAccount, "phones")
    for name in scenario.adversaries:
        yield from figures(CheatAccount, f"adversaries.{name}")


def _play(
    scenario: PurchaseScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> Report | SweepReport:
    if scenario.sweep is not None:
        return run_sweep(scenario, scenario.sweep, folder, progress, adversaries)
    return play_purchase(scenario, folder, progress, adversaries)


WORKFLOW = Workflow(_play, _figures, tables)
