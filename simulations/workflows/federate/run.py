"""Plays federated learning and writes its folder: ``report.json``, ``report.html`` and ``messages.jsonl``."""

import hashlib
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from torch import Tensor

from parties.adversaries import Adversary
from parties.federate.client import ARRAYS
from parties.secure_sum.summing import SumFailed
from parties.workflow import Progress
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID, task_identity
from protocol.grids import Envelope, ObservedGrid
from protocol.storage.vault import Vault
from simulations.reports.model import Learned, failed_steps, versions
from simulations.reports.words import count
from simulations.runs.grids import grid_opener, worker_count
from simulations.runs.progress import Stopwatch
from simulations.runs.seeding import reproducible, torch_generator
from simulations.runs.views import TrafficLog
from simulations.runs.workflows import Workflow
from simulations.scenarios.expectations import figures
from simulations.workflows.federate.attacks import Inverted, invert, probe, received
from simulations.workflows.federate.page import percent, write_federate_page
from simulations.workflows.federate.report import FederateOutcome, FederateReport, MethodResult, Promise, tables
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.scoring import federation_of, network_of, prepare, promise_of, score
from simulations.workflows.federate.world import CLASSES, FederateWorld, build
from strategies.attacks.gradient_inversion import invert_class
from strategies.learning.group_normalised import GroupNormalisedClassifier, accuracy, inputs_of
from strategies.learning.local import Weights, weights_of

RUN_ID = 1
IMAGINED = 4
"""Methods whose models are inverted."""


@dataclass
class Learnt:
    """What came of one method.

    Attributes
    ----------
    model : dict of str to Tensor
    curve : list of float
        Accuracy before the first round and after each.
    updates : dict of int to weights
        First updates of clients by their numbers, as the cloud saw them.
    """

    model: Weights = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    updates: dict[int, Weights] = field(default_factory=dict)


def play_federate(
    scenario: FederateScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> FederateReport:
    """Play all methods and write the folder."""
    clock = Stopwatch(progress, 2 * len(scenario.methods) + 2)
    clock.step("painting people")
    world = build(scenario, adversaries)
    start = weights_of(GroupNormalisedClassifier(CLASSES, torch_generator(scenario.seed, "model")))
    clock.step("choosing noise")
    promises = {name: promise_of(scenario, name) for name in scenario.methods}
    names = {SERVER_NODE_ID: "cloud"}
    names |= {FIRST_NODE_ID + number: f"client-{number}" for number in range(len(world.clients))}
    failures: list[tuple[str, int, str]] = []
    with (folder / "messages.jsonl").open("w", encoding="utf-8") as stream:
        log = TrafficLog(stream, names)
        learnt, probes = _play(scenario, world, start, promises, clock, log, failures, folder / "vault")
    shutil.rmtree(folder / "vault", ignore_errors=True)
    clock.step("training shadow models")
    attackers = prepare(scenario, world, start)
    results = {}
    for name, each in learnt.items():
        clock.step(f"attacking {name}")
        results[name] = score(
            name, scenario, world, attackers, each.model, start, each.curve, promises[name], each.updates
        )
    clock.step("inverting gradients and models")
    inverted = (_invert(scenario, world, start, probes[0]), _invert(scenario, world, start, probes[1]))
    imagined = [(name, _imagined(scenario, learnt[name].model)) for name in list(learnt)[:IMAGINED]]
    clock.step("writing the report")
    outcome = _outcome(world, results, inverted)
    report = FederateReport(
        schema_version=1,
        scenario=scenario.model_dump(mode="json"),
        seed=scenario.seed,
        grid=scenario.grid,
        workers=worker_count(scenario),
        summary=_summary(results, outcome, scenario),
        traffic=log.flows,
        timings=clock.timings(),
        failed=failed_steps(failures, names.__getitem__),
        learned=_learned(results, outcome, scenario),
        notes=_notes(scenario, world),
        versions=versions(),
        outcome=outcome,
        methods=results,
    )
    (folder / "report.json").write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    write_federate_page(folder / "report.html", report, inverted, imagined)
    return report


def _play(
    scenario: FederateScenario,
    world: FederateWorld,
    start: Weights,
    promises: Mapping[str, Promise | None],
    clock: Stopwatch,
    log: TrafficLog,
    failures: list[tuple[str, int, str]],
    vault: Path,
) -> tuple[dict[str, Learnt], tuple[list[Weights], list[Weights]]]:
    """Let all methods learn, one after the other, and probe some clients in the end."""
    fresh, labels = inputs_of(world.fresh.pictures), torch.from_numpy(world.fresh.labels)
    learnt: dict[str, Learnt] = {}
    current = Learnt()

    def observe(envelope: Envelope) -> None:
        log.observe(envelope)
        number = envelope.source - FIRST_NODE_ID
        if envelope.step != "train" or envelope.target != SERVER_NODE_ID:
            return
        if envelope.content is None:
            failures.append(("train", envelope.source, "it did not answer"))
        elif number not in current.updates and ARRAYS in envelope.content:
            current.updates[number] = received(envelope.content, start)

    def watch(number: int, model: Weights) -> None:
        current.curve.append(accuracy(network_of(model), fresh, labels))

    apps = [client.client_app() for client in world.clients]
    with grid_opener(scenario, Vault(str(vault), lasting=False))(apps) as bare, task_identity(RUN_ID), _quietly():
        grid = ObservedGrid(bare, observe)
        for name in scenario.methods:
            clock.step(f"learning by {name}")
            current = learnt[name] = Learnt()
            federation = federation_of(scenario, name, promises[name])
            with reproducible(scenario.seed, "strategy", name):
                try:
                    current.model = federation.run(grid, start, len(world.clients), watch)
                except SumFailed as failed:
                    raise RunFailed(f"{name}: {failed}") from None
                except (AggregationError, InconsistentMessageReplies) as failed:
                    raise RunFailed(f"{name}: {failed or 'too few clients answered'}") from None
            failures.extend(federation.failures)
        current = Learnt()
        clock.step("asking for one step on one picture")
        nodes = list(range(FIRST_NODE_ID, FIRST_NODE_ID + min(scenario.attacker.probed, len(world.clients))))
        plain = probe(grid, RUN_ID, nodes, start, {})
        noisy: list[Weights] = []
        private = next((p for n, p in promises.items() if p and scenario.methods[n].strategy == "dp-images"), None)
        if private is not None:
            noisy = probe(
                grid, RUN_ID, nodes, start, {"sigma": private.sigma, "rate": 1.0, "steps": 1, "clipping": 1.0}
            )
    return learnt, (plain, noisy)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what Flower says about every round to itself."""
    flower = logging.getLogger("flwr")
    before = flower.level
    flower.setLevel(logging.ERROR)
    try:
        yield
    finally:
        flower.setLevel(before)


def _invert(
    scenario: FederateScenario, world: FederateWorld, start: Weights, answers: list[Weights]
) -> Inverted | None:
    if not answers:
        return None
    firsts = inputs_of(world.trained.pictures[:: scenario.clients.pictures][: len(answers)])
    return invert(start, answers, firsts, torch_generator(scenario.seed, "inversion"))


def _imagined(scenario: FederateScenario, model: Weights) -> Tensor:
    """Return what a model takes for each class, in 0..1."""
    size = scenario.clients.size
    draws = torch_generator(scenario.seed, "imagined")
    network = network_of(model)
    return (torch.stack([invert_class(network, label, (3, size, size), draws) for label in range(CLASSES)]) + 1) / 2


def _outcome(
    world: FederateWorld,
    results: Mapping[str, MethodResult],
    inverted: tuple[Inverted | None, Inverted | None],
) -> FederateOutcome:
    positive = float(world.fresh.labels.mean())
    plain, private = (None if each is None else each.alike for each in inverted)
    return FederateOutcome(
        clients=len(world.clients),
        pictures=len(world.trained),
        majority=max(positive, 1 - positive),
        inverted=plain,
        inverted_private=private,
        digest=hashlib.sha256("".join(each.digest for each in results.values()).encode()).hexdigest(),
    )


def _summary(results: Mapping[str, MethodResult], outcome: FederateOutcome, scenario: FederateScenario) -> str:
    learnt = f"{outcome.clients} clients with {outcome.pictures:,} pictures learnt together"
    words = f"{learnt} by {count(len(results), 'method')}."
    best = max(results.items(), key=lambda item: item[1].accuracy)
    for name, each in dict([best, *((n, r) for n, r in results.items() if r.promise)][:2]).items():
        promised = f" (no attack may get beyond {each.promise.bound:.2f})" if each.promise else ""
        words += (
            f" By {name} they tell {scenario.task} right for {percent(each.accuracy)}, and who wants to know which"
            f" pictures were trained on has an advantage of {each.worst.advantage:.2f}{promised}."
        )
    return words


def _learned(
    results: Mapping[str, MethodResult], outcome: FederateOutcome, scenario: FederateScenario
) -> list[Learned]:
    found = [
        Learned(
            observer="everybody",
            what=f"who was trained on by {name}, with an advantage of {each.worst.advantage:+.2f}",
            detail=f"So far it may be off: {each.worst.margin:.2f}.",
        )
        for name, each in results.items()
    ]
    if outcome.inverted is not None:
        found.append(
            Learned(
                observer="the cloud",
                what=f"pictures of clients that take one step on one picture, to a mean SSIM of {outcome.inverted:.2f}",
                detail=""
                if outcome.inverted_private is None
                else f"With DP-SGD at the client it is {outcome.inverted_private:.2f}.",
            )
        )
    return found


def _notes(scenario: FederateScenario, world: FederateWorld) -> list[str]:
    notes = [
        "Each method is played as if it were the only one: whoever took part in two of them would lose what both cost.",
        "Noise comes from generators that follow from the seed, so that runs can be repeated: to protect real people it"
        " takes an unpredictable one.",
    ]
    if any(method.strategy == "dp-clients" for method in scenario.methods.values()):
        notes.append(
            f"dp-clients hides a whole client among {len(world.clients)}: that takes noise as large as one clipped"
            " update, which few clients cannot average away."
        )
    for name in sorted(set(world.cheats.values())):
        number = sum(cheat == name for cheat in world.cheats.values())
        notes.append(f"{number} of {len(world.clients)} clients play {name}.")
    return notes


def _figures(scenario: FederateScenario) -> Iterator[str]:
    """Yield the keys of the report that can be expected to hold something."""
    yield from figures(FederateOutcome, "outcome")
    for name in scenario.methods:
        yield from figures(MethodResult, f"methods.{name}")


WORKFLOW = Workflow(play_federate, _figures, tables)
