"""Plays a pool and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from parties.adversaries import Adversary
from parties.pool.record import PoolFailed
from parties.pool.workflow import STEPS
from protocol.flower import SERVER_NODE_ID
from protocol.grids import Envelope
from protocol.messages.pool import Contribution, Network
from protocol.vault import Vault
from simulations.errors import RunFailed
from simulations.expectations import figures
from simulations.grids import grid_opener, worker_count
from simulations.pool.attackers import PoolView
from simulations.pool.page import write_pool_page
from simulations.pool.play import party_names, play
from simulations.pool.report import PoolOutcome, PoolReport
from simulations.pool.scenario import PoolScenario
from simulations.pool.scoring import ScoredPool, Scoring
from simulations.pool.terminal import learned, summary, tables
from simulations.pool.world import build
from simulations.progress import Progress, Stopwatch
from simulations.report.failed import failed_steps
from simulations.report.versions import versions
from simulations.traffic import Flow, TrafficLog, View
from simulations.workflows import Workflow
from simulations.workshops import open_workshop


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
