"""Plays a purchase, or a sweep of many, and writes its folder.

Beside what every run writes, that of a purchase holds ``ledger.sqlite`` and ``bought/``.
"""

import shutil
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from parties.adversaries import Adversary
from parties.featurizers import load_featurizer
from parties.purchase.workflow import Purchase
from parties.workflow import Progress
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import NumberedGrid
from protocol.messages.purchase import Bids, Invoice, VerificationCall
from protocol.storage.ledger import Ledger
from simulations.evaluation import costs
from simulations.reports.evaluation import Leak, Utility
from simulations.reports.model import Seen
from simulations.runs.session import Session
from simulations.runs.views import View
from simulations.runs.workflows import Simulation
from simulations.workflows.purchase.attacks import learned
from simulations.workflows.purchase.cohort import leaks_of_cohort, seen_of_cohort, worth_of_cohort
from simulations.workflows.purchase.collusion.schemes import Schemes
from simulations.workflows.purchase.leaks import leaks, method_of, promises, useful
from simulations.workflows.purchase.phones import Phones
from simulations.workflows.purchase.play import make_cloud, remember
from simulations.workflows.purchase.report.compile import findings
from simulations.workflows.purchase.report.model import PurchaseReport
from simulations.workflows.purchase.report.money import compared
from simulations.workflows.purchase.report.page import write_purchase_page
from simulations.workflows.purchase.report.phones import phones_account
from simulations.workflows.purchase.report.sweep import SweepReport
from simulations.workflows.purchase.scenario import PurchaseScenario
from simulations.workflows.purchase.scoring import ScoredPurchase, score
from simulations.workflows.purchase.sweep import run_sweep
from simulations.workflows.purchase.words import tables
from simulations.workflows.purchase.world import build
from simulations.workflows.purchase.worth import with_worth


@dataclass(frozen=True)
class Stage:
    """Where a scenario's parties are already, put there by one of Flower's runtimes.

    Attributes:
        grid: The buyer is its first node, the sellers follow.
        store: Where its buyer keeps what it buys; not here, if the buyer is on another machine.
    """

    grid: NumberedGrid
    store: Path


def play_purchase(
    scenario: PurchaseScenario,
    folder: Path,
    progress: Progress,
    adversaries: Mapping[str, Adversary],
    stage: Stage | None = None,
) -> PurchaseReport:
    """Play one purchase and write its folder.

    With a `stage` the parties are not put on a grid: they are on one.
    """
    with (
        Session(scenario, folder, progress, len(Purchase.STEPS)) as session,
        closing(Ledger(folder / "ledger.sqlite")) as ledger,
    ):
        session.step("building the world")
        featurizer = load_featurizer(scenario.cloud.featurizer, scenario.cloud.weights, scenario.cloud.calibration)
        bought, painted = folder / "bought", session.scratch("painted")
        world = build(scenario, featurizer, stage.store if stage else bought, adversaries, painted)
        cloud_view = session.view(SERVER_NODE_ID, Bids)
        buyer_view = session.view(FIRST_NODE_ID, Invoice, VerificationCall)
        phones = Phones(scenario, world)
        honest = phones.tell_time(make_cloud(scenario, featurizer, ledger, session.vault))
        schemes = Schemes(scenario, world, honest)
        opened = stage.grid if stage else None
        with session.grid(world.apps, world.names, here=[FIRST_NODE_ID], carry=phones.around, opened=opened) as grid:
            exchange = schemes.exchange(Exchange(grid, honest.clock))
            purchase = session.server(adversaries, Purchase)
            record = purchase(schemes.cloud, exchange, session.on_step).run()
            remember(world, session.state)
        schemes.reveal(record)
        scored = score(scenario, featurizer, world, record, ledger)
        rows, worth, seen = _of_cohort(scored, cloud_view, session)
        report = session.report(
            PurchaseReport,
            record.failures,
            leaks=leaks(scored, cloud_view, buyer_view, rows),
            utility=worth or useful(scored),
            seen=seen,
            costs=costs(session),
            promises=promises(scored),
            learned=schemes.learned(learned(scored, cloud_view), scored, cloud_view, buyer_view),
            phones=phones_account(phones, scored),
            **findings(scored),
        )
        if stage:
            report = report.model_copy(update={"grid": "flower"})
        if scenario.buyer.train:
            session.step("training on what was bought")
            report = with_worth(report, scored, session.workshop)
        if stage is None:
            report = compared(report, session.twin(play_purchase, adversaries))
        session.write(report, lambda path: write_purchase_page(path, report, scored, phones))
    if stage and stage.store.is_dir():
        shutil.move(stage.store, bought)
    shutil.rmtree(bought / "sealed", ignore_errors=True)
    return report


def _of_cohort(
    scored: ScoredPurchase, view: View, session: Session
) -> tuple[list[Leak], list[Utility], dict[str, Seen]]:
    """Measure a purchase of a cohort's images on the scales of other workflows; nothing where there is no cohort."""
    call, method = scored.record.call, method_of(scored)
    if scored.world.cohort is None or call is None:
        return [], [], {}
    session.step("measuring what leaks, and training on what was bought")
    with session.workshop() as workshop:
        rows = list(leaks_of_cohort(method, scored, view, call, workshop))
        worth = worth_of_cohort(method, scored, workshop)
    seen = seen_of_cohort(scored, view, call)
    return rows, worth, {} if seen is None else {method: seen}


def play(
    scenario: PurchaseScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> PurchaseReport | SweepReport:
    """Play a purchase, or a sweep of many."""
    if scenario.sweep is not None:
        return run_sweep(scenario, scenario.sweep, folder, progress, adversaries)
    return play_purchase(scenario, folder, progress, adversaries)


SIMULATION = Simulation(play, PurchaseReport, tables)
