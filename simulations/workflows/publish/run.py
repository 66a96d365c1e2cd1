"""Plays a publication and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from parties.adversaries import Adversary
from parties.publish.workflow import Curator, Publish
from parties.workflow import Progress
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID
from protocol.messages.publish import CallForPictures, Gallery
from simulations.evaluation import costs, costs_of_methods, ranked, utility, with_effects
from simulations.runs.seeding import secret
from simulations.runs.session import Session
from simulations.runs.workflows import Simulation
from simulations.workflows.publish.evaluation import WORK, evaluate
from simulations.workflows.publish.page import write_publish_page
from simulations.workflows.publish.report import MethodResult, PublishOutcome, PublishReport
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.scoring import leaks, pictures_seen, promise, score, weakest
from simulations.workflows.publish.words import learned, notes, summary, tables
from simulations.workflows.publish.world import PublishWorld, build

READER = FIRST_NODE_ID


def play(
    scenario: PublishScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> PublishReport:
    """Play a publication, attack what the reader saw, and write the folder.

    Raises:
        RunFailed: When an attack failed.
    """
    steps = len(scenario.methods) + 2
    with Session(scenario, folder, progress, steps) as session, session.workshop() as workshop:
        session.step("painting people")
        world = build(scenario, adversaries)
        view, calling = session.view(READER, Gallery), session.view(None, CallForPictures)
        calls = [method.call(name, scenario.owners.publish) for name, method in scenario.methods.items()]
        curator = Curator(secret(scenario.seed, "cloud"), calls, scenario.asks)
        with session.grid(world.apps, world.names) as grid:
            names = list(scenario.methods)

            def on_step(number: int, name: str) -> None:
                session.charge(names[number - 1])
                session.on_step(number, name)

            record = session.server(adversaries, Publish)(curator, Exchange(grid), on_step).run()
        seen = [gallery for _, gallery in view.received() if isinstance(gallery, Gallery)]
        received = [call for _, call in calling.received() if isinstance(call, CallForPictures)]
        asked = {call.method: [each for each in received if each.method == call.method] or [call] for call in calls}
        session.step(WORK)
        galleries = {name: [each for each in seen if each.method == name] for name in asked}
        collections = {each.gallery.method: each for each in reversed(record.collections)}
        agreed = {name: weakest(calls, scenario) for name, calls in asked.items()}
        outcomes, undefended = evaluate(workshop, scenario, world.people, agreed, collections, galleries, progress)
        scored = {name: score(scenario, agreed[name], galleries[name], each) for name, each in outcomes.items()}
        results = {name: each.result for name, each in scored.items()}
        outcome = _outcome(scenario, world, results)
        report = session.report(
            PublishReport,
            record.failures,
            leaks=ranked(row for name, each in outcomes.items() for row in leaks(name, each, undefended, scenario)),
            utility=[
                utility(name, f"{scenario.task}, by anyone", each.useful, outcome.majority, undefended.useful)
                for name, each in outcomes.items()
            ],
            costs=costs(session),
            costs_of_methods=costs_of_methods(session),
            promises=[promise(name, call, outcomes[name].audited) for name, call in agreed.items()],
            summary=summary(results, outcome, scenario),
            learned=learned(results, outcome),
            notes=notes(scenario, world, asked),
            outcome=outcome,
            methods=results,
            seen={} if scenario.cohort is None else pictures_seen(scored),
        )
        report = with_effects(report, session.twin(play, adversaries))
        session.write(report, lambda path: write_publish_page(path, report, scored))
    return report


def _outcome(scenario: PublishScenario, world: PublishWorld, results: Mapping[str, MethodResult]) -> PublishOutcome:
    positive = float(world.people.fresh.labels.mean())
    return PublishOutcome(
        owners=scenario.owners.count,
        published=sum(result.pictures for result in results.values()),
        chance=1 / scenario.owners.count,
        majority=max(positive, 1 - positive),
        digest=hashlib.sha256("".join(result.digest for result in results.values()).encode()).hexdigest(),
    )


SIMULATION = Simulation(play, PublishReport, tables)
