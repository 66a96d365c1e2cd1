"""Plays outsourced training and writes its folder."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from parties.adversaries import Adversary
from parties.outsource.owner import Appraisal
from parties.outsource.service import TrainingService
from parties.outsource.workflow import Outsource, OutsourceRecord
from parties.party import Memory
from parties.workflow import Progress
from protocol.compute.workshop import Handle, Workshop
from protocol.errors import RunFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.messages.outsource import Enrolment, Part
from simulations.evaluation import costs, ranked, with_effects
from simulations.reports.evaluation import Utility
from simulations.runs.seeding import secret
from simulations.runs.session import Session
from simulations.runs.workflows import Simulation
from simulations.runs.workshops import finished
from simulations.workflows.outsource.attacks import service_view
from simulations.workflows.outsource.compared import attack_compared
from simulations.workflows.outsource.leaks import leaks, method_of, pictures_seen, promise, worth
from simulations.workflows.outsource.page import write_outsource_page
from simulations.workflows.outsource.report import OutsourceOutcome, OutsourceReport, inception, outcome_of, tradeoffs
from simulations.workflows.outsource.scenario import OutsourceScenario
from simulations.workflows.outsource.scores import Guessed
from simulations.workflows.outsource.scoring import Recognisers, Scoring
from simulations.workflows.outsource.tradeoff import Lesson, Point, train_and_test
from simulations.workflows.outsource.truth import public_knowledge, truth_of, with_leaks
from simulations.workflows.outsource.words import learned, notes, summary, tables
from simulations.workflows.outsource.world import Labelled, OutsourceWorld, build
from strategies.obfuscation import Obfuscation


def play(
    scenario: OutsourceScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> OutsourceReport:
    """Train, attack what the service saw, train with other settings for comparison, and write the folder.

    Raises:
        RunFailed: When no owner could use the model, or a job failed.
    """
    with Session(scenario, folder, progress, len(Outsource.STEPS)) as session, session.workshop() as workshop:
        session.step("building the world")
        if scenario.attackers.inception is not None:
            inception(scenario.attackers.inception)  # a file that is none is found before all the work
        world = build(scenario, adversaries)
        view = session.view(SERVER_NODE_ID, Enrolment, Part)
        public = public_knowledge(scenario, world)
        recognisers = Recognisers(workshop, public)
        compared = _compare(scenario, world, workshop)
        service = TrainingService(secret(scenario.seed, "service"), workshop)
        with session.grid(world.apps, world.names) as grid:
            outsource = session.server(adversaries, Outsource)
            record = outsource(service, Exchange(grid), session.on_step).run()
            appraisals = _appraisals(record, session)
        session.step("attacking what the service saw")
        node_id = next(iter(record.enrolments))
        seen, first = service_view(list(view.received({node_id}))), node_id - FIRST_NODE_ID
        truth = truth_of(world.owners[first], world.held[first], len(seen.epochs) - 1)
        leaking = with_leaks(public, truth, scenario.attackers.pairs)
        scoring = Scoring(seen, leaking, truth, scenario.attackers.scored, recognisers, world.others)
        attacked = scoring.run(workshop, progress)
        private = None if scenario.cohort is None else scenario.cohort.private.replace("_", " ").lower()
        own = world.assignment.obfuscation
        others = [each for each in scenario.compared if method_of(each) != method_of(own)]
        guesses = attack_compared(
            workshop, others, world.held[first], world.others, public, scenario.service.epochs,
            recognisers.done()["clean"], progress,
        )  # fmt: skip
        session.step("training with other settings")
        points = [end.result() for end in finished(workshop, compared, "training with other settings", progress)]
        digest = _digest(record, appraisals)
        outcome = outcome_of(
            scenario, world, record, appraisals, digest, scoring, points[0], session.flows, recognisers.done()["clean"]
        )
        methods: list[tuple[Obfuscation, Mapping[tuple[str, float], Guessed]]] = [
            (own, scoring.done.guesses),
            *zip(others, guesses, strict=True),
        ]
        report = session.report(
            OutsourceReport,
            record.failures,
            summary=summary(outcome, scoring.done.scores),
            learned=learned(outcome, scoring.done.scores),
            notes=[*world.notes, *notes(scenario, others)],
            leaks=ranked(
                row for setting, found in methods for row in leaks(method_of(setting), found, public, private)
            ),
            utility=_utilities(scenario, own, outcome, points, world.tests),
            costs=costs(session),
            promises=[
                promise(
                    setting, scenario.images.side**2, scenario.service.epochs, _plain(scenario, setting is own), found
                )
                for setting, found in methods
            ],
            outcome=outcome,
            attacks=scoring.done.scores,
            tradeoffs=tradeoffs(scenario, own, outcome, points[1:]),
            losses=record.losses,
            trained_on=workshop.equipment,
            seen={} if scenario.cohort is None else pictures_seen(methods),
        )
        report = with_effects(report, session.twin(play, adversaries))
        session.write(report, lambda path: write_outsource_page(path, report, attacked.grid))
    return report


def _appraisals(record: OutsourceRecord, session: Session) -> dict[int, Appraisal]:
    """Return what each owner that received the model found of it."""
    failed = {failure.node_id for failure in record.failures if failure.step == "receive"}
    received = [node_id for node_id in record.enrolments if node_id not in failed]
    if not received:
        raise RunFailed("no owner could use the model that came back")
    return {node_id: Memory(session.state(node_id)).recall("appraisal", Appraisal) for node_id in received}


def _utilities(
    scenario: OutsourceScenario, own: Obfuscation, outcome: OutsourceOutcome, points: Sequence[Point], tests: Labelled
) -> list[Utility]:
    """Return what each setting is worth, the owners' own first; the first point is of clean images."""
    found = {method_of(own): Point(outcome.accuracy, 0.0)}
    for setting, point in zip(scenario.compared, points[1:], strict=True):
        found.setdefault(method_of(setting), point)
    return [worth(name, point, points[0], tests, outcome.majority) for name, point in found.items()]


def _plain(scenario: OutsourceScenario, own: bool) -> bool:
    """Return whether images are grouped at random, once in an epoch, and obfuscated everywhere."""
    section = scenario.obfuscation
    return section.pairing == "any" and section.each == "once" and not (own and section.region)


def _digest(record: OutsourceRecord, appraisals: Mapping[int, Appraisal]) -> str:
    """Return the SHA-256 of all that must not depend on the grid, the worker count or the clock."""
    digest = hashlib.sha256(record.model)
    for node_id, appraisal in sorted(appraisals.items()):
        digest.update(f"{node_id} {appraisal.correct} of {appraisal.tested}\n".encode())
    return digest.hexdigest()


def _compare(scenario: OutsourceScenario, world: OutsourceWorld, workshop: Workshop) -> list[Handle[Point]]:
    """Hand in trainings on clean images, and with each setting of the plot, on all owners' images together."""
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
        per_epoch=sum(owner.mixtures.count for owner in world.owners),
        intra_class=section.pairing == "intra-class",
        repeat=section.each == "in-each-role",
    )
    seed = int.from_bytes(secret(scenario.seed, "comparison")[:7])
    job = partial(workshop.submit, train_and_test, lesson)
    return [job(setting, seed) for setting in (None, *scenario.compared)]


SIMULATION = Simulation(play, OutsourceReport, tables)
