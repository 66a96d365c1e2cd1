"""Plays a round of crowdsourcing and writes its folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn

from parties.adversaries import Adversary
from parties.crowdsource.collector import Collector
from parties.crowdsource.plan import recipe_of, sign_plan
from parties.crowdsource.training import JointTraining
from parties.crowdsource.workflow import Crowdsource, CrowdsourceRecord
from parties.workflow import Failure, Progress, WorkflowFailed
from protocol.compute.workshop import Handle, Workshop
from protocol.crypto.signing import SigningKey
from protocol.errors import RunFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.messages.crowdsource import SignedTrainingPlan, TrainingPlan
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from simulations.runs.session import Session
from simulations.runs.workflows import Simulation
from simulations.runs.workshops import finished, open_workshop
from simulations.workflows.crowdsource.attacks import (
    Material,
    Measured,
    measured,
    measured_alone,
    trained,
)
from simulations.workflows.crowdsource.page import write_crowdsource_page
from simulations.workflows.crowdsource.report import (
    SCHEMA_VERSION,
    CrowdsourceReport,
    Setting,
)
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.scoring import guesses, induced, outcome_of
from simulations.workflows.crowdsource.words import learned, notes, summary, tables
from simulations.workflows.crowdsource.world import CrowdsourceWorld, Portraits, build
from strategies.pric.federated import Leader
from strategies.pric.training import Recipe, Trained, new_players

Trainings = dict[float | None, Handle[Trained]]
"""By lambda."""
FEWEST = 20
"""Participants whose representations and labels it takes, at least, to measure anything."""


def play(
    scenario: CrowdsourceScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> CrowdsourceReport:
    """Play one round, measure what leaks, and write the folder.

    Raises:
        RunFailed: When too few participants sent anything, or an extractor could not be trained.
    """
    steps = len(Crowdsource.STEPS) + 2
    with Session(scenario, folder, progress, steps) as session, open_workshop(scenario) as workshop:
        session.step("making the pictures")
        key = secret(scenario.seed, "collector")
        world = build(scenario, SigningKey.derive(key, "identity").public, adversaries)
        session.step("training the extractor")
        trainings = _trainings(scenario, world, workshop)
        done = None
        if not scenario.federated.rounds:
            first = trainings.pop(scenario.collector.weight)
            done = finished(workshop, [first], "training the extractor")[0].result()
        with session.grid(world.apps, world.names) as grid:
            exchange = Exchange(grid)
            players, failures = (done, []) if done else trained_by_participants(scenario, exchange, key, progress)
            crowdsource = session.server(adversaries, Crowdsource)
            round = crowdsource(_collector(scenario, key, players), exchange, session.on_step)
            record = round.run()
            players = replace(players, extractor=cast(nn.Sequential, round.collector.extractor))
        record.failures[:0] = failures
        if len(record.labels) < FEWEST:
            why = f": {record.failures[0].sentence}" if record.failures else ""
            raise RunFailed(f"only {len(record.labels)} participants sent representations and labels{why}")
        session.step("measuring what leaks, and other lambdas")
        material = _material(scenario, world, record)
        ends = finished(
            workshop, _jobs(scenario, workshop, material, players, trainings, record), "measuring", progress
        )
        results = [end.result() for end in ends]
        report = _report(scenario, world, record, material, [each.setting for each in results], session, workshop)
        session.write(report, lambda path: write_crowdsource_page(path, report, world, material, results))
    return report


def _trainings(scenario: CrowdsourceScenario, world: CrowdsourceWorld, workshop: Workshop) -> Trainings:
    """Hand in one extractor for each lambda, the one to publish first, and one that hides nothing, None."""
    section = scenario.collector
    recipes: dict[float | None, Recipe] = {
        weight: section.recipe(weight) for weight in (section.weight, *sorted(section.curve))
    }
    recipes[None] = section.undefended()
    return {
        weight: workshop.submit(trained, world.public, section.hide, recipe, section.extractor, scenario.seed)
        for weight, recipe in recipes.items()
    }


def trained_by_participants(
    scenario: CrowdsourceScenario, exchange: Exchange, key: bytes, progress: Progress
) -> tuple[Trained, list[Failure]]:
    """Have participants train the extractor; return the networks, and who failed.

    Raises:
        WorkflowFailed: When too many drop out of a round.
    """
    section, federated = scenario.collector, scenario.federated
    signed = plan_of(scenario, SigningKey.derive(key, "identity"))
    generator = torch_generator(scenario.seed, "extractor")
    recipe = replace(
        recipe_of(signed.plan),
        learning_rate=federated.learning_rate,
        adversary_learning_rate=federated.adversary_learning_rate,
    )
    leader = Leader(new_players(section.extractor, recipe, len(section.hide), generator), recipe)
    training = JointTraining(
        signed,
        leader,
        exchange,
        federated.rounds,
        federated.called,
        numpy_generator(scenario.seed, "called"),
        lambda number, name: progress(name, number - 1, federated.rounds),
    )
    try:
        training.run()
    except WorkflowFailed as failed:
        raise WorkflowFailed(f"participants could not train the extractor: {failed}") from None
    return leader.players, training.record.failures


def plan_of(scenario: CrowdsourceScenario, collector: SigningKey) -> SignedTrainingPlan:
    """Return the plan that participants are asked to agree to."""
    section, federated = scenario.collector, scenario.federated
    plan = TrainingPlan(
        number=1,
        architecture=section.extractor,
        side=scenario.side,
        hides=section.hide,
        warm_up=federated.warm_up,
        weight=section.weight,
        bound=section.bound,
        conditional=section.conditional,
        ascent=section.ascent,
    )
    return sign_plan(plan, collector)


def _collector(scenario: CrowdsourceScenario, key: bytes, players: Trained) -> Collector:
    section = scenario.collector
    return Collector(
        key, players.extractor, section.extractor, scenario.side, section.hide, section.tasks, section.quantised
    )


def _material(scenario: CrowdsourceScenario, world: CrowdsourceWorld, record: CrowdsourceRecord) -> Material:
    """Return what to measure with: of the participants, those who sent representations and labels."""
    album = scenario.participants.album
    rows = np.concatenate([np.arange(album) + (node_id - FIRST_NODE_ID) * album for node_id in record.labels])
    held = Portraits(world.held.images[rows], world.held.attributes[rows], world.held.persons[rows], world.held.names)
    section = scenario.collector
    return Material(
        world.public, held, world.test, record.labelled()[1].astype(bool),
        section.hide, section.tasks, section.quantised, scenario.seed,
    )  # fmt: skip


def _jobs(
    scenario: CrowdsourceScenario,
    workshop: Workshop,
    material: Material,
    done: Trained,
    trainings: Trainings,
    record: CrowdsourceRecord,
) -> list[Handle[Measured]]:
    """Hand in what is to be measured: undefended, by lambda, and last what participants trained.

    Args:
        done: What was published.
        trainings: Of the other extractors; each is measured as soon as it is trained.
    """
    section, attackers = scenario.collector, scenario.attackers
    how = (attackers.pictures, attackers.leaked)
    together = scenario.federated.rounds > 0

    def published() -> Handle[Measured]:
        return workshop.submit(measured, done, record.labelled()[0], material, section.weight, *how, True, together)

    jobs: dict[float | None, Handle[Measured]] = {} if together else {section.weight: published()}
    for weight, training in trainings.items():
        extractor = finished(workshop, [training], "training extractors")[0].result()
        closely = (*how, True) if weight is None else ((), 0.0, False)
        jobs[weight] = workshop.submit(measured_alone, extractor, material, weight, *closely)
    ordered = [jobs[None], *(jobs[weight] for weight in sorted(weight for weight in jobs if weight is not None))]
    return [*ordered, published()] if together else ordered


def _report(
    scenario: CrowdsourceScenario,
    world: CrowdsourceWorld,
    record: CrowdsourceRecord,
    material: Material,
    settings: list[Setting],
    session: Session,
    workshop: Workshop,
) -> CrowdsourceReport:
    section = scenario.collector
    chosen = next(
        number
        for number, each in enumerate(settings)
        if (each.weight, each.together) == (section.weight, scenario.federated.rounds > 0)
    )
    truth = material.held.columns(section.hide)
    floor = guesses(section.hide, truth)
    told = induced(
        section.hide, material.public.columns(section.tasks), material.public.columns(section.hide),
        material.held.columns(section.tasks), truth,
    )  # fmt: skip
    outcome = outcome_of(scenario, record, settings[0], settings[chosen], floor, told)
    report = session.report(
        CrowdsourceReport,
        record.failures,
        schema_version=SCHEMA_VERSION,
        summary="",
        learned=[],
        notes=notes(scenario, world),
        outcome=outcome,
        majority=floor,
        induced=told,
        settings=settings,
        chosen=chosen,
        equipment=workshop.equipment,
    )
    return report.model_copy(update={"summary": summary(report), "learned": learned(report)})


SIMULATION = Simulation(play, CrowdsourceReport, tables)
