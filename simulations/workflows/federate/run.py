"""Plays federated learning and writes its folder."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from flwr.serverapp import Grid
from torch import Tensor

from parties.adversaries import Adversary
from parties.federate.client import ARRAYS
from parties.federate.workflow import Federate
from parties.workflow import Failure, Progress
from protocol.errors import BadScenario
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope, ObservedGrid
from simulations.runs.seeding import reproducible, torch_generator
from simulations.runs.session import RUN_ID, Session
from simulations.runs.workflows import Simulation
from simulations.runs.workshops import finished, open_workshop
from simulations.workflows.federate.attackers import Preparation
from simulations.workflows.federate.attacks import Inverted, invert, probe, received, settings_of
from simulations.workflows.federate.page import write_federate_page
from simulations.workflows.federate.report import FederateOutcome, FederateReport, MethodResult, Promise
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.scoring import federation_of, finite, network_of, promise_of, score
from simulations.workflows.federate.words import learned, notes, summary, tables
from simulations.workflows.federate.world import CLASSES, FederateWorld, People, build
from strategies.attacks.gradient_inversion import invert_class
from strategies.learning.batches import accuracy
from strategies.learning.group_normalised import inputs_of, new_group_normalised
from strategies.learning.weights import Weights, weights

IMAGINED = 4
"""Methods whose models are inverted."""


@dataclass
class Learnt:
    """What came of one method.

    Attributes:
        curve: Accuracy before the first round and after each.
        updates: First updates of clients by their numbers, as the cloud saw them.
        agreed: Whether clients were asked to train as the scenario says, with all of its noise.
    """

    model: Weights = field(default_factory=dict)
    curve: list[float] = field(default_factory=list)
    updates: dict[int, Weights] = field(default_factory=dict)
    agreed: bool = True


def play(
    scenario: FederateScenario, folder: Path, progress: Progress, adversaries: Mapping[str, Adversary]
) -> FederateReport:
    """Play all methods, attack what came of them, and write the folder."""
    steps = len(scenario.methods) + 5
    with Session(scenario, folder, progress, steps) as session, open_workshop(scenario) as workshop:
        session.step("painting people")
        world = build(scenario, adversaries)
        people = world.people
        start = weights(new_group_normalised(CLASSES, torch_generator(scenario.seed, "model")))
        session.step("choosing noise")
        promises = {name: _promised(scenario, name) for name in scenario.methods}
        preparation = Preparation(workshop, scenario, people, start)
        drives = session.server(adversaries, Federate)
        training = Training(scenario, world, start, promises, session, drives)
        with session.grid(world.apps, world.names) as grid, _quietly():
            learnt = {name: training.learn(ObservedGrid(grid, training.observe), name) for name in scenario.methods}
            session.step("asking for one step on one picture")
            probes = training.probe(grid)
        session.step("training shadow models")
        attackers = preparation.done()
        for each in (*attackers.shadows, *attackers.ratio):
            finite(each.model, "shadow models")
        session.step("attacking models and updates")
        scored = [
            workshop.submit(
                score, name, scenario, people, attackers, each.model, start, each.curve,
                promises[name] if each.agreed else None, each.updates,
            )
            for name, each in learnt.items()
        ]  # fmt: skip
        inversions = [workshop.submit(inverted, scenario, people, start, answers) for answers in probes]
        imaginations = [workshop.submit(imagined, scenario, learnt[name].model) for name in list(learnt)[:IMAGINED]]
        found = finished(workshop, scored, "attacking models and updates", progress)
        results = {name: end.result() for name, end in zip(learnt, found, strict=True)}
        session.step("inverting gradients and models")
        plain, private = (end.result() for end in finished(workshop, inversions, "inverting gradients"))
        pictured = [end.result() for end in finished(workshop, imaginations, "inverting models")]
        outcome = _outcome(world, results, (plain, private))
        report = session.report(
            FederateReport,
            training.failures,
            schema_version=1,
            summary=summary(results, outcome, scenario),
            learned=learned(results, outcome, scenario),
            notes=notes(scenario, world, [name for name, each in learnt.items() if not each.agreed]),
            outcome=outcome,
            methods=results,
        )
        session.write(
            report,
            lambda path: write_federate_page(path, report, (plain, private), list(zip(learnt, pictured, strict=False))),
        )
    return report


def _promised(scenario: FederateScenario, name: str) -> Promise | None:
    try:
        return promise_of(scenario, name)
    except ValueError as error:
        raise BadScenario(f"methods.{name}.epsilon: {error}") from None


class Training:
    """All methods learn, one after the other, while the cloud's first view of each client's update is kept."""

    def __init__(
        self,
        scenario: FederateScenario,
        world: FederateWorld,
        start: Weights,
        promises: Mapping[str, Promise | None],
        session: Session,
        drives: type[Federate] = Federate,
    ) -> None:
        self._drives = drives
        self._scenario, self._world, self._start = scenario, world, start
        self._promises, self._session = promises, session
        self._fresh = inputs_of(world.people.fresh.pictures), torch.from_numpy(world.people.fresh.labels)
        self._current, self._agreed = Learnt(), dict[str, float]()
        self.failures: list[Failure] = []

    def observe(self, envelope: Envelope) -> None:
        """Keep a client's first update, and note who does not answer, and whether clients are asked as agreed."""
        if envelope.target != SERVER_NODE_ID and envelope.step in ("train", "add") and envelope.content is not None:
            told = settings_of(envelope.content)
            self._current.agreed &= all(told.get(name) == value for name, value in self._agreed.items())
        if envelope.step != "train" or envelope.target != SERVER_NODE_ID:
            return
        number = envelope.source - FIRST_NODE_ID
        if envelope.content is None:
            self.failures.append(Failure("train", envelope.source, "it did not answer"))
        elif number not in self._current.updates and ARRAYS in envelope.content:
            self._current.updates[number] = received(envelope.content, self._start)

    def learn(self, grid: Grid, name: str) -> Learnt:
        """Learn by one method."""
        self._session.step(f"learning by {name}")
        self._current = Learnt()
        federation = federation_of(self._scenario, name, self._promises[name], self._start, len(self._world.clients))
        self._agreed = {**federation.settings, **federation.noise}
        federate = self._drives(federation, Exchange(grid), watch=self._watch)
        try:
            with reproducible(self._scenario.seed, "strategy", name):
                self._current.model = finite(federate.run().model, name)
        finally:
            self.failures += federate.record.failures
        return self._current

    def probe(self, grid: Grid) -> tuple[list[Weights], list[Weights]]:
        """Ask some clients for one step on one picture: without privacy, and with that of the first private method."""
        scenario = self._scenario
        nodes = list(range(FIRST_NODE_ID, FIRST_NODE_ID + min(scenario.attacker.probed, len(self._world.clients))))
        plain = probe(grid, RUN_ID, nodes, self._start, {})
        private = next(
            (p for name, p in self._promises.items() if p and scenario.methods[name].strategy == "dp-images"), None
        )
        if private is None:
            return plain, []
        noise = {"sigma": private.sigma, "sampling-rate": 1.0, "steps": 1, "clipping": 1.0}
        return plain, probe(grid, RUN_ID, nodes, self._start, noise)

    def _watch(self, number: int, model: Weights) -> None:
        self._current.curve.append(accuracy(network_of(model), *self._fresh))


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


def inverted(
    device: torch.device, scenario: FederateScenario, people: People, start: Weights, answers: list[Weights]
) -> Inverted | None:
    """Find the pictures behind clients' answers; a job."""
    if not answers:
        return None
    firsts = inputs_of(people.trained.pictures[:: scenario.clients.pictures][: len(answers)])
    return invert(start, answers, firsts, torch_generator(scenario.seed, "inversion"))


def imagined(device: torch.device, scenario: FederateScenario, model: Weights) -> Tensor:
    """Return what a model takes for each class, in 0..1; a job."""
    size = scenario.clients.size
    generator = torch_generator(scenario.seed, "imagined")
    network = network_of(model)
    return (torch.stack([invert_class(network, label, (3, size, size), generator) for label in range(CLASSES)]) + 1) / 2


def _outcome(
    world: FederateWorld,
    results: Mapping[str, MethodResult],
    inverted: tuple[Inverted | None, Inverted | None],
) -> FederateOutcome:
    positive = float(world.people.fresh.labels.mean())
    plain, private = (None if each is None else each.alike for each in inverted)
    return FederateOutcome(
        clients=len(world.clients),
        pictures=len(world.people.trained),
        majority=max(positive, 1 - positive),
        inverted=plain,
        inverted_private=private,
        digest=hashlib.sha256("".join(each.digest for each in results.values()).encode()).hexdigest(),
    )


SIMULATION = Simulation(play, FederateReport, tables)
