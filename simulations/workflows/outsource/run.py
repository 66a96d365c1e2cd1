"""Plays outsourced training and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid

from parties.adversaries import Adversary
from parties.outsource.owner import Appraisal
from parties.outsource.service import TrainingService
from parties.outsource.workflow import STEPS, Outsource, OutsourceFailed, OutsourceRecord
from parties.party import Memory
from parties.workflow import Progress
from protocol.compute.workshop import Workshop
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, ObservedGrid
from protocol.messages.outsource import Enrolment, Part
from protocol.storage.vault import Vault
from simulations.runs.grids import grid_opener
from simulations.runs.progress import Stopwatch
from simulations.runs.seeding import secret
from simulations.runs.views import TrafficLog, View
from simulations.runs.workflows import Workflow
from simulations.runs.workshops import finished, open_workshop
from simulations.scenarios.expectations import figures
from simulations.workflows.outsource.attacks import ATTACKS, service_view
from simulations.workflows.outsource.page import write_outsource_page
from simulations.workflows.outsource.report import OutsourceOutcome, OutsourceReport, compile_report, tables
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scoring import AttackScore, Scoring, public_knowledge, truth_of
from simulations.workflows.outsource.tradeoff import Lesson, Point, train_and_test
from simulations.workflows.outsource.world import OutsourceWorld, build

RUN_ID = 1


def play_outsource(
    scenario: OutsourceScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> OutsourceReport:
    """Play a scenario: train, attack what the service saw, and train with other settings for comparison.

    Raises
    ------
    RunFailed
        When there is nobody to train for in the end, or a job failed.
    """
    clock = Stopwatch(progress, len(STEPS))
    clock.step("building the world")
    world = build(scenario)
    view = View(SERVER_NODE_ID, Enrolment, Part)
    with ExitStack() as stack:
        workshop = stack.enter_context(open_workshop(scenario))
        log = TrafficLog(stack.enter_context((folder / "messages.jsonl").open("w", encoding="utf-8")), _names(world))
        record, appraisals = _train(scenario, world, workshop, folder / "vault", log, view, clock)
        clock.step("attacking what the service saw")
        node_id = next(iter(record.enrolments))
        seen, first = service_view(list(view.received({node_id}))), node_id - FIRST_NODE_ID
        truth = truth_of(world.owners[first], world.held[first], len(seen.epochs) - 1)
        scoring = Scoring(seen, public_knowledge(scenario, world, truth), truth, scenario.attackers.scored)
        attacked = scoring.run()
        clock.step("training with other settings")
        points = _compare(scenario, world, workshop, sum(each.mixtures for each in record.enrolments.values()))
        clock.step("writing the report")
        report = compile_report(
            scenario, world, record, appraisals, _digest(record, appraisals), scoring, points, log.flows,
            workshop.equipment, clock.timings(),
        )  # fmt: skip
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_outsource_page(folder / "report.html", report, attacked.grid)
    shutil.rmtree(folder / "vault", ignore_errors=True)
    return report


def _names(world: OutsourceWorld) -> dict[int, str]:
    owners = {FIRST_NODE_ID + number: f"owner-{number + 1}" for number in range(len(world.owners))}
    return {SERVER_NODE_ID: "service", **owners}


def _train(
    scenario: OutsourceScenario,
    world: OutsourceWorld,
    workshop: Workshop,
    vault: Path,
    log: TrafficLog,
    view: View,
    clock: Stopwatch,
) -> tuple[OutsourceRecord, dict[int, Appraisal]]:
    """Play the workflow; return what the service knows, and what each owner found of the model."""
    records: list[OutsourceRecord] = []

    def observe(envelope: Envelope) -> None:
        log.observe(envelope)
        view.observe(envelope)

    def workflow(service: TrainingService, grid: Grid) -> None:
        records.append(Outsource(service, grid, lambda number: clock.step(STEPS[number - 1], number)).run())

    service = TrainingService(secret(scenario.seed, "service"), workshop)
    context = Context(run_id=RUN_ID, node_id=SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config={})
    open_grid = grid_opener(scenario, Vault(str(vault), lasting=False))
    with open_grid([owner.client_app() for owner in world.owners]) as grid, task_identity(RUN_ID):
        try:
            service.server_app(workflow)(ObservedGrid(grid, observe), context)
        except OutsourceFailed as failed:
            raise RunFailed(str(failed)) from None
        states = {node_id: Memory(grid.state(node_id)) for node_id in records[0].enrolments}
        failed_to_receive = {node_id for step, node_id, _ in records[0].failures if step == "receive"}
        appraisals = {
            node_id: memory.recall("appraisal", Appraisal)
            for node_id, memory in states.items()
            if node_id not in failed_to_receive
        }
    if not appraisals:
        raise RunFailed("no owner could use the model that came back")
    return records[0], appraisals


def _digest(record: OutsourceRecord, appraisals: Mapping[int, Appraisal]) -> str:
    """Return the SHA-256 of all that must not depend on the grid, the worker count or the clock."""
    digest = hashlib.sha256(record.model)
    for node_id, appraisal in sorted(appraisals.items()):
        digest.update(f"{node_id} {appraisal.correct} of {appraisal.tested}\n".encode())
    return digest.hexdigest()


def _compare(scenario: OutsourceScenario, world: OutsourceWorld, workshop: Workshop, per_epoch: int) -> list[Point]:
    """Train on clean images, and with each setting of the plot, on all owners' images together."""
    section, service = scenario.obfuscation, scenario.service
    lesson = Lesson(
        pictures=np.concatenate([held.pictures for held in world.held]),
        labels=np.concatenate([held.tasks for held in world.held]),
        tests=world.tests.pictures,
        test_labels=world.tests.tasks,
        classes=len(world.task_names),
        architecture=service.architecture,
        epochs=service.epochs,
        batch=service.batch,
        per_epoch=per_epoch,
        intra_class=section.pairing == "intra-class",
        repeat=section.each == "in-each-role",
    )
    seed = int.from_bytes(secret(scenario.seed, "comparison")[:7])
    job = partial(workshop.submit, train_and_test, lesson)
    jobs = [job(setting, seed) for setting in (None, *scenario.compared)]
    return [end.result() for end in finished(workshop, jobs, "training for comparison")]


def _figures(scenario: OutsourceScenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(OutsourceOutcome, "outcome")
    for name in ATTACKS:
        yield from figures(AttackScore, f"attacks.{name}")


WORKFLOW = Workflow(play_outsource, _figures, tables)
