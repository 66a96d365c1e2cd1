"""Plays a pool and writes its folder."""

from collections.abc import Mapping
from pathlib import Path

from parties.adversaries import Adversary
from parties.pool.workflow import Keeper, Pool
from parties.workflow import Progress
from protocol.exchange import Exchange
from protocol.flower import SERVER_NODE_ID
from protocol.messages.pool import PoisonedFeatures, SignedNetwork
from simulations.evaluation import costs, ranked, with_effects
from simulations.runs.session import Session
from simulations.runs.workflows import Simulation
from simulations.workflows.pool.attacks import PoolView
from simulations.workflows.pool.evaluation import Evaluation
from simulations.workflows.pool.page import write_pool_page
from simulations.workflows.pool.report import PoolReport
from simulations.workflows.pool.rows import leaks, pictures_seen, promises, worth
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.scoring import Scoring
from simulations.workflows.pool.words import learned, notes, summary, tables
from simulations.workflows.pool.world import build


def play(scenario: PoolScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]) -> PoolReport:
    """Play a pool, attack what was pooled, and write the folder."""
    with Session(scenario, folder, progress, len(Pool.STEPS)) as session:
        session.step("painting images")
        world = build(scenario, adversaries, session.scratch("painted"))
        view = session.view(SERVER_NODE_ID, PoisonedFeatures, SignedNetwork)
        with session.grid(world.apps, world.names, gpus=True) as grid:
            keeper = Keeper(world.rules, session.vault)
            pool = session.server(adversaries, Pool)
            exchange, late = Exchange(grid), world.late
            record = pool(keeper, exchange, session.on_step, late=late, publishers=world.publishers).run()
        session.step("controls and attackers")
        with session.workshop() as workshop:
            evaluation = Evaluation(scenario, world, record, PoolView.of(view, world.rules), workshop)
            scored = Scoring(evaluation, evaluation.run()).score()
        found = ranked(leaks(scored))
        report = session.report(
            PoolReport,
            record.failures,
            leaks=found,
            utility=list(worth(scored)),
            costs=costs(session),
            promises=promises({row.method for row in found}),
            summary=summary(scored.outcome),
            learned=learned(scored),
            notes=notes(scored, scenario),
            outcome=scored.outcome,
            entities=scored.entities,
            attacks=scored.attacks,
            seconds_of_trainings=scored.seconds,
            seen={} if world.people is None else pictures_seen(scored),
        )
        report = with_effects(report, session.twin(play, adversaries))
        session.write(report, lambda path: write_pool_page(path, report, scored, world.rules.names))
    return report


SIMULATION = Simulation(play, PoolReport, tables)
