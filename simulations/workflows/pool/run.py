"""Plays a pool and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flwr.app import RecordDict

from parties.adversaries import Adversary
from parties.pool.record import PoolFailed, PoolRecord
from parties.pool.workflow import STEPS, Keeper, Pool
from parties.workflow import Progress
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, LocalGrid, ObservedGrid
from protocol.messages.pool import Contribution, Network
from protocol.storage.vault import Vault
from simulations.reports.model import Flow, failed_steps, versions
from simulations.runs.grids import OpenGrid, grid_opener, worker_count
from simulations.runs.progress import Stopwatch
from simulations.runs.views import TrafficLog, View
from simulations.runs.workflows import Workflow
from simulations.runs.workshops import open_workshop
from simulations.scenarios.expectations import figures
from simulations.workflows.pool.attacks import PoolView
from simulations.workflows.pool.page import write_pool_page
from simulations.workflows.pool.report import PoolOutcome, PoolReport
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.scoring import ScoredPool, Scoring
from simulations.workflows.pool.words import learned, summary, tables
from simulations.workflows.pool.world import PoolWorld, build, party_names

RUN_ID = 1


@dataclass(frozen=True)
class PlayedPool:
    """A pool that was played.

    Attributes
    ----------
    record : PoolRecord
        What the cloud wrote down.
    states : list of RecordDict
        What each entity keeps, by index; only the simulation sees it.
    """

    record: PoolRecord
    states: list[RecordDict]


def play(
    world: PoolWorld,
    vault: Vault,
    observe: Callable[[Envelope], None] = lambda envelope: None,
    on_step: Callable[[int], None] = lambda number: None,
    open_grid: OpenGrid = LocalGrid,
) -> PlayedPool:
    """Play a pool: one round, and another with those who join late.

    Raises
    ------
    PoolFailed
        When it could not even begin.
    """
    late = [FIRST_NODE_ID + index for index, member in enumerate(world.members) if member.late]
    with open_grid([member.party.client_app() for member in world.members]) as grid, task_identity(RUN_ID):
        pool = Pool(Keeper(world.rules, vault), ObservedGrid(grid, observe), on_step)
        record = pool.round(absent=late)
        if late:
            record = pool.round()
        states = [grid.state(FIRST_NODE_ID + index) for index in range(len(world.members))]
    return PlayedPool(record, states)


def play_pool(
    scenario: PoolScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> PoolReport:
    """Play one pool, let attackers loose on it, and write its folder."""
    clock = Stopwatch(progress, len(STEPS))
    clock.step("painting images")
    vault, painted = folder / "vault", folder / "painted"
    painted.mkdir()
    world = build(scenario, adversaries, painted.resolve())
    names = party_names(world)
    view = View(SERVER_NODE_ID, Contribution, Network)
    with (folder / "messages.jsonl").open("w", encoding="utf-8") as stream:
        log = TrafficLog(stream, names)

        def observe(envelope: Envelope) -> None:
            log.observe(envelope)
            view.observe(envelope)

        store = Vault(str(vault), lasting=False)
        try:
            played = play(
                world,
                store,
                observe,
                lambda number: clock.step(STEPS[number - 1], number),
                grid_opener(scenario, store, gpus=True),
            )
        except PoolFailed as failed:
            raise RunFailed(str(failed)) from None
    clock.step("controls and attackers")
    with ExitStack() as stack:
        workshop = stack.enter_context(open_workshop(scenario))
        seen = PoolView.of(view, world.rules)
        scored = Scoring(scenario, world, played.record, seen, workshop).score()
    clock.step("writing the report")
    report = compile_report(scored, log.flows, clock.timings(), names)
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_pool_page(folder / "report.html", report, scored)
    shutil.rmtree(vault, ignore_errors=True)
    shutil.rmtree(painted, ignore_errors=True)
    return report


def compile_report(
    scored: ScoredPool, flows: list[Flow], timings: Mapping[str, float], names: Mapping[int, str]
) -> PoolReport:
    """Put everything that is worth saying about a pool into a report."""
    scenario = scored.scenario
    return PoolReport(
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        summary=summary(scored.outcome),
        traffic=flows,
        timings=dict(timings),
        failed=failed_steps(scored.record.failures, lambda node: names[node]),
        learned=learned(scored),
        notes=[],
        versions=versions(),
        outcome=scored.outcome,
        entities=scored.entities,
        attacks=scored.attacks,
        inferences=scored.inferences,
        seconds_of_trainings=scored.seconds,
    )


def _figures(scenario: PoolScenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(PoolOutcome, "outcome")


WORKFLOW = Workflow(play_pool, _figures, tables)
