"""Plays a round of crowdsourcing and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from parties.adversaries import Adversary
from parties.crowdsource.collector import Collector
from parties.crowdsource.plan import recipe_of, sign_plan
from parties.crowdsource.training import train_together
from parties.crowdsource.workflow import STEPS, CrowdsourceRecord, Crowdsourcing
from parties.secure_sum.summing import PATIENCE, SumFailed
from parties.workflow import Progress, roll_call
from protocol.compute.workshop import Handle, Workshop
from protocol.crypto.signing import SigningKey
from protocol.encoding.canonical import canonical
from protocol.errors import RunFailed
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import ObservedGrid
from protocol.messages.crowdsource import SignedTrainingPlan, TrainingPlan
from protocol.storage.vault import Vault
from simulations.reports.model import failed_steps, versions
from simulations.runs.grids import grid_opener, worker_count
from simulations.runs.progress import Stopwatch
from simulations.runs.seeding import generator, secret, torch_generator
from simulations.runs.views import TrafficLog
from simulations.runs.workflows import Workflow
from simulations.runs.workshops import finished, open_workshop
from simulations.scenarios.expectations import figures
from simulations.workflows.crowdsource.attacks import (
    Material,
    Measured,
    guesses,
    induced,
    measured,
    trained,
    trained_and_measured,
)
from simulations.workflows.crowdsource.page import write_crowdsource_page
from simulations.workflows.crowdsource.report import (
    SCHEMA_VERSION,
    CrowdsourceOutcome,
    CrowdsourceReport,
    Readings,
    Setting,
)
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from simulations.workflows.crowdsource.words import learned, notes, summary, tables
from simulations.workflows.crowdsource.world import Portraits, World, build
from strategies.pric.federated import Leader
from strategies.pric.training import Trained, new_players

Failures = list[tuple[str, int, str]]


def trained_by_participants(
    scenario: CrowdsourceScenario, grid: Grid, key: bytes, progress: Progress
) -> tuple[Trained, Failures]:
    """Have participants train the extractor; return the networks, and which step failed at whom, and why.

    Raises
    ------
    RunFailed
        When too many drop out of a round.
    """
    section, federated = scenario.collector, scenario.federated
    signed = plan_of(scenario, SigningKey.derive(key, "identity"))
    exchange = Exchange(grid)
    draws = torch_generator(scenario.seed, "extractor")
    recipe = replace(recipe_of(signed.plan), rate=federated.rate, adversary_rate=federated.adversary_rate)
    leader = Leader(new_players(section.extractor, recipe, len(section.hide), draws), recipe)
    try:
        failures = train_together(
            exchange,
            roll_call(exchange, PATIENCE).get("participant", []),
            signed,
            leader,
            federated.rounds,
            federated.called,
            generator(scenario.seed, "called"),
            PATIENCE,
            lambda number: progress("participants train the extractor", number - 1, federated.rounds),
        )
    except SumFailed as failed:
        raise RunFailed(f"participants could not train the extractor: {failed}") from None
    return leader.players, failures


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


RUN_ID = 1
FEWEST = 20
"""Participants whose representations and labels it takes, at least, to measure anything."""


def play_crowdsource(
    scenario: CrowdsourceScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> CrowdsourceReport:
    """Play one round and write its folder.

    Raises
    ------
    RunFailed
        When too few participants sent anything, or an extractor could not be trained.
    """
    clock = Stopwatch(progress, len(STEPS) + 2)
    clock.step("making the pictures")
    key = secret(scenario.seed, "collector")
    world = build(scenario, SigningKey.derive(key, "identity").public, adversaries)
    with open_workshop(scenario) as workshop:
        clock.step("training the extractor")
        done = None if scenario.federated.rounds else _trained_centrally(scenario, world, workshop)
        with (folder / "messages.jsonl").open("w", encoding="utf-8") as stream:
            log = TrafficLog(stream, party_names(scenario))
            done, record = _collect(scenario, world, key, done, log, clock, progress, folder / "vault")
        clock.step("measuring what leaks, and other lambdas")
        material = _material(scenario, world, record)
        jobs = _jobs(scenario, workshop, material, done, record)
        ends = finished(workshop, jobs, "measuring", progress)
        equipment = workshop.equipment
    results = [end.result() for end in ends]
    clock.step("writing the report")
    report = _report(scenario, world, record, material, [each.setting for each in results], log, clock, equipment)
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_crowdsource_page(folder / "report.html", report, world, material, results)
    shutil.rmtree(folder / "vault", ignore_errors=True)
    return report


def party_names(scenario: CrowdsourceScenario) -> dict[int, str]:
    """Name every node as in ``messages.jsonl``."""
    nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + scenario.participants.count)
    return {SERVER_NODE_ID: "collector"} | {node_id: f"participant-{node_id}" for node_id in nodes}


def _trained_centrally(scenario: CrowdsourceScenario, world: World, workshop: Workshop) -> Trained:
    section = scenario.collector
    recipe = section.recipe(section.weight)
    job = workshop.submit(trained, world.public, section.hide, recipe, section.extractor, scenario.seed)
    return finished(workshop, [job], "training the extractor")[0].result()


def _collect(
    scenario: CrowdsourceScenario,
    world: World,
    key: bytes,
    done: Trained | None,
    log: TrafficLog,
    clock: Stopwatch,
    progress: Progress,
    vault: Path,
) -> tuple[Trained, CrowdsourceRecord]:
    """Play the round; participants train the extractor first, where it is not trained yet."""
    section = scenario.collector
    played: list[tuple[Trained, CrowdsourceRecord]] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        observed = ObservedGrid(grid, log.observe)
        players, failures = (done, []) if done else trained_by_participants(scenario, observed, key, progress)
        collector = Collector(
            key, players.extractor, section.extractor, scenario.side, section.hide, section.tasks, section.quantised
        )
        record = Crowdsourcing(collector, observed, lambda number: clock.step(STEPS[number - 1], number + 1)).run()
        record.failures[:0] = failures
        played.append((players, record))

    context = Context(run_id=RUN_ID, node_id=SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config={})
    open_grid = grid_opener(scenario, Vault(str(vault), lasting=False))
    with open_grid([party.client_app() for party in world.participants]) as grid, task_identity(RUN_ID):
        app(grid, context)
    players, record = played[0]
    if len(record.labels) < FEWEST:
        why = f": {record.failures[0][2].strip().splitlines()[-1]}" if record.failures else ""
        raise RunFailed(f"only {len(record.labels)} participants sent representations and labels{why}")
    return players, record


def _material(scenario: CrowdsourceScenario, world: World, record: CrowdsourceRecord) -> Material:
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
    scenario: CrowdsourceScenario, workshop: Workshop, material: Material, done: Trained, record: CrowdsourceRecord
) -> list[Handle[Measured]]:
    """Hand in what is to be measured: undefended, by lambda, and last what participants trained."""
    section, attackers = scenario.collector, scenario.attackers
    how = (attackers.pictures, attackers.leaked)
    together = scenario.federated.rounds > 0

    def published() -> Handle[Measured]:
        return workshop.submit(measured, done, record.labelled()[0], material, section.weight, *how, True, together)

    jobs = [workshop.submit(trained_and_measured, material, section.undefended(), section.extractor, None, *how, True)]
    for weight in sorted({section.weight, *section.curve}):
        if weight == section.weight and not together:
            jobs.append(published())
        else:
            recipe = section.recipe(weight)
            jobs.append(
                workshop.submit(trained_and_measured, material, recipe, section.extractor, weight, (), 0.0, False)
            )
    return [*jobs, published()] if together else jobs


def _report(
    scenario: CrowdsourceScenario,
    world: World,
    record: CrowdsourceRecord,
    material: Material,
    settings: list[Setting],
    log: TrafficLog,
    clock: Stopwatch,
    equipment: str,
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
    outcome = _outcome(scenario, record, settings[0], settings[chosen], floor, told)
    report = CrowdsourceReport(
        schema_version=SCHEMA_VERSION,
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        summary="",
        traffic=log.flows,
        timings=clock.timings(),
        failed=failed_steps(record.failures, party_names(scenario).__getitem__),
        learned=[],
        notes=notes(scenario, world),
        versions=versions(),
        outcome=outcome,
        majority=floor,
        induced=told,
        settings=settings,
        chosen=chosen,
        equipment=equipment,
    )
    return report.model_copy(update={"summary": summary(report), "learned": learned(report)})


def _outcome(
    scenario: CrowdsourceScenario,
    record: CrowdsourceRecord,
    undefended: Setting,
    chosen: Setting,
    floor: Readings,
    told: Readings,
) -> CrowdsourceOutcome:
    sent = list(record.contributions.values())
    pictures = sum(map(len, sent))
    representations = record.representations()
    low, high, fresh = mean(floor), mean(undefended.fresh), mean(chosen.fresh)
    assert chosen.leaks is not None
    return CrowdsourceOutcome(
        participants=len(record.participants),
        contributed=len(sent),
        pictures=pictures,
        labelled=sum(len(each.labels) for each in record.labels.values()),
        bytes_sent=sum(
            each.nbytes for part in sent for each in (part.values, part.codes, part.highest) if each is not None
        ),
        bytes_as_numbers=representations.nbytes,
        bytes_as_pictures=pictures * 3 * scenario.side**2,
        fresh=fresh,
        in_loop=mean(chosen.in_loop),
        undefended=high,
        majority=low,
        induced=mean(told),
        way=(high - fresh) / (high - low) if high > low else 0.0,
        utility=mean(chosen.tasks),
        undefended_utility=mean(undefended.tasks),
        worst_loss=max(undefended.tasks[name].accuracy - found.accuracy for name, found in chosen.tasks.items()),
        ssim=chosen.leaks.ssim,
        recognised=chosen.leaks.recognised,
        membership=chosen.leaks.membership,
        presence=chosen.leaks.presence,
        digest=_digest(record, [undefended, chosen]),
    )


def mean(found: Readings) -> float:
    """Return the mean accuracy over attributes."""
    return float(np.mean([each.accuracy for each in found.values()]))


def _digest(record: CrowdsourceRecord, settings: list[Setting]) -> str:
    """Hash what must not depend on the grid: what every participant sent, and what was measured, to six digits."""
    hashed = hashlib.sha256()
    for part in (record.contributions, record.labels):
        for node_id, message in part.items():
            hashed.update(node_id.to_bytes(8) + canonical(message))
    for setting in settings:
        for found in (setting.tasks, setting.in_loop, setting.fresh):
            for name, each in found.items():
                hashed.update(f"{name} {each.accuracy:.6f} {each.balanced:.6f}".encode())
    return hashed.hexdigest()


def _figures(scenario: CrowdsourceScenario) -> Iterator[str]:
    yield from figures(CrowdsourceOutcome, "outcome")


WORKFLOW = Workflow(play_crowdsource, _figures, tables)
