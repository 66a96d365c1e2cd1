"""Plays a publication and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

from parties.adversaries import Adversary
from parties.publish.workflow import PublicationFailed, Publishing, PublishRecord
from parties.workflow import Progress
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, ObservedGrid
from protocol.messages.publish import Gallery
from protocol.storage.vault import Vault
from simulations.reports.model import Learned, failed_steps, versions
from simulations.reports.words import count
from simulations.runs.grids import grid_opener, worker_count
from simulations.runs.progress import Stopwatch
from simulations.runs.seeding import secret
from simulations.runs.views import TrafficLog, View
from simulations.runs.workflows import Workflow
from simulations.scenarios.expectations import figures
from simulations.workflows.publish.page import percent, write_publish_page
from simulations.workflows.publish.report import MethodResult, PublishOutcome, PublishReport, tables
from simulations.workflows.publish.scenario import PublishScenario
from simulations.workflows.publish.scoring import score
from simulations.workflows.publish.world import PublishWorld, build

RUN_ID = 1
READER = FIRST_NODE_ID


def play_publish(
    scenario: PublishScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> PublishReport:
    """Play a publication and write its folder."""
    clock = Stopwatch(progress, 2 * len(scenario.methods))
    clock.step("painting people")
    world = build(scenario, adversaries)
    calls = [method.call(name, scenario.owners.publish) for name, method in scenario.methods.items()]
    workflow = Publishing(
        secret(scenario.seed, "cloud"), calls, scenario.asks, lambda method: clock.step(f"publishing by {method}")
    )
    view, vault = View(READER, Gallery), folder / "vault"
    names = {SERVER_NODE_ID: "cloud", READER: "reader"}
    names |= {READER + 1 + number: f"publisher-{number}" for number in range(len(world.owners))}
    with (folder / "messages.jsonl").open("w", encoding="utf-8") as stream:
        log = TrafficLog(stream, names)

        def observe(envelope: Envelope) -> None:
            log.observe(envelope)
            view.observe(envelope)

        record = _play(scenario, world, workflow, observe, Vault(str(vault), lasting=False))
    shutil.rmtree(vault, ignore_errors=True)
    seen = [gallery for _, gallery in view.received() if isinstance(gallery, Gallery)]
    scored = {}
    for name in scenario.methods:
        clock.step(f"attacking {name}")
        mine = [number for number, each in enumerate(record.collections) if each.gallery.method == name]
        scored[name] = score(
            name, scenario, world, [record.collections[number] for number in mine], [seen[number] for number in mine]
        )
    clock.step("writing the report")
    results = {name: each.result for name, each in scored.items()}
    outcome = _outcome(scenario, world, results)
    report = PublishReport(
        schema_version=1,
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        summary=_summary(results, outcome, scenario),
        traffic=log.flows,
        timings=clock.timings(),
        failed=failed_steps(record.failures, names.__getitem__),
        learned=_learned(results, outcome),
        notes=_notes(scenario, world),
        versions=versions(),
        outcome=outcome,
        methods=results,
    )
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_publish_page(folder / "report.html", report, scored)
    return report


def _play(
    scenario: PublishScenario,
    world: PublishWorld,
    workflow: Publishing,
    observe: Callable[[Envelope], None],
    vault: Vault,
) -> PublishRecord:
    records: list[PublishRecord] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        records.append(workflow.run(grid))

    context = Context(run_id=RUN_ID, node_id=SERVER_NODE_ID, node_config={}, state=RecordDict(), run_config={})
    apps = [world.reader.client_app(), *(owner.client_app() for owner in world.owners)]
    try:
        with grid_opener(scenario, vault)(apps) as grid, task_identity(RUN_ID):
            app(ObservedGrid(grid, observe), context)
    except PublicationFailed as failed:
        raise RunFailed(str(failed)) from None
    return records[0]


def _outcome(scenario: PublishScenario, world: PublishWorld, results: Mapping[str, MethodResult]) -> PublishOutcome:
    positive = float(world.fresh.labels.mean())
    return PublishOutcome(
        owners=scenario.owners.count,
        published=sum(result.pictures for result in results.values()),
        chance=1 / scenario.owners.count,
        majority=max(positive, 1 - positive),
        digest=hashlib.sha256("".join(result.digest for result in results.values()).encode()).hexdigest(),
    )


def _summary(results: Mapping[str, MethodResult], outcome: PublishOutcome, scenario: PublishScenario) -> str:
    best = max(results.items(), key=lambda item: item[1].worst)
    least = min(results.items(), key=lambda item: item[1].worst)
    words = (
        f"{outcome.published:,} pictures of {outcome.owners} owners were published by {count(len(results), 'method')}."
    )
    for name, result in dict((best, least)).items():
        right = percent(max(result.useful, result.useful_alike))
        words += (
            f" Of those by {name}, an attacker names the owner of {percent(result.worst)}, and a classifier trained on"
            f" them tells {scenario.task} right for {right}."
        )
    return words


def _learned(results: Mapping[str, MethodResult], outcome: PublishOutcome) -> list[Learned]:
    found = []
    for name, result in results.items():
        restored = f"restoring moves dSSIM from {result.dssim:.2f} to {result.dssim_restored:.2f}"
        found.append(
            Learned(
                observer="everybody",
                what=f"who is in {percent(result.worst)} of the pictures published by {name}",
                detail=f"Guessing: {percent(outcome.chance)}; {restored}.",
            )
        )
    return found


def _notes(scenario: PublishScenario, world: PublishWorld) -> list[str]:
    notes = [
        "Each method is played as if it were the only one: whoever published the same pictures by two of them would"
        " lose what both of them cost."
    ]
    if scenario.asks > 1:
        notes.append(
            f"The cloud asked {scenario.asks} times for each. Honest owners answer with the same noise, so that nothing"
            " is learnt by asking again; the attacker puts all answers together."
        )
    for name in sorted(set(world.cheats.values())):
        number = sum(cheat == name for cheat in world.cheats.values())
        notes.append(f"{number} of {len(world.owners)} owners play {name}.")
    return notes


def _figures(scenario: PublishScenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(PublishOutcome, "outcome")
    for name in scenario.methods:
        yield from figures(MethodResult, f"methods.{name}")


WORKFLOW = Workflow(play_publish, _figures, tables)
