"""Plays a round of crowdsourcing and writes its folder."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import nn

from parties.adversaries import Adversary
from parties.crowdsource.collector import Collector
from parties.crowdsource.plan import recipe_of, sign_plan
from parties.crowdsource.training import JointTraining
from parties.crowdsource.workflow import Crowdsource, CrowdsourceRecord
from parties.workflow import Failure, Progress, WorkflowFailed
from protocol.compute.workshop import Workshop
from protocol.crypto.signing import SigningKey
from protocol.errors import RunFailed
from protocol.exchange import Exchange
from protocol.messages.crowdsource import SignedTrainingPlan, TrainingPlan
from simulations.evaluation import costs, ranked, with_effects
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from simulations.runs.session import Session
from simulations.runs.workflows import Simulation
from simulations.runs.workshops import finished
from simulations.workflows.crowdsource.evaluation import Evaluated, evaluate, train
from simulations.workflows.crowdsource.page import write_crowdsource_page
from simulations.workflows.crowdsource.report import CrowdsourceReport
from simulations.workflows.crowdsource.rows import leaks, pictures_seen, promises, worth
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.scoring import guesses, induced, outcome_of
from simulations.workflows.crowdsource.words import learned, notes, summary, tables
from simulations.workflows.crowdsource.world import CrowdsourceWorld, build
from strategies.pric.federated import Leader
from strategies.pric.training import Trained, new_players

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
    with Session(scenario, folder, progress, steps) as session, session.workshop() as workshop:
        session.step("making the pictures")
        key = secret(scenario.seed, "collector")
        world = build(scenario, SigningKey.derive(key, "identity").public, adversaries)
        session.step("training the extractor")
        trainings = train(scenario, world, workshop)
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
        found = evaluate(scenario, world, record, players, trainings, workshop, progress)
        report = with_effects(
            _report(scenario, world, record, found, session, workshop), session.twin(play, adversaries)
        )
        session.write(report, lambda path: write_crowdsource_page(path, report, found))
    return report


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


def _report(
    scenario: CrowdsourceScenario,
    world: CrowdsourceWorld,
    record: CrowdsourceRecord,
    found: Evaluated,
    session: Session,
    workshop: Workshop,
) -> CrowdsourceReport:
    section, truth, own = scenario.collector, found.truth, found.knows.public
    settings = [each.setting for each in found.scored]
    chosen = next(
        number
        for number, each in enumerate(settings)
        if (each.weight, each.together) == (section.weight, scenario.federated.rounds > 0)
    )
    floor = guesses(section.hide, truth.private)
    told = induced(
        section.hide, own.columns(section.tasks), own.columns(section.hide), truth.held.columns(section.tasks),
        truth.private,
    )  # fmt: skip
    outcome = outcome_of(scenario, record, settings[0], settings[chosen], floor, told)
    report = session.report(
        CrowdsourceReport,
        record.failures,
        leaks=ranked(leaks(found.scored, truth, found.undefended.extractor)),
        utility=list(worth(found.scored, truth)),
        costs=costs(session),
        promises=promises(settings),
        summary="",
        learned=[],
        notes=notes(scenario, world, settings[0], settings[chosen]),
        outcome=outcome,
        majority=floor,
        induced=told,
        settings=settings,
        chosen=chosen,
        equipment=workshop.equipment,
        seen={} if scenario.cohort is None else pictures_seen(found.scored, truth),
    )
    return report.model_copy(update={"summary": summary(report), "learned": learned(report)})


SIMULATION = Simulation(play, CrowdsourceReport, tables)
