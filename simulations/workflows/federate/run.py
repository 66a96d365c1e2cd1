"""Plays federated learning and writes its folder."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from flwr.serverapp import Grid

from parties.adversaries import Adversary
from parties.federate.client import ARRAYS
from parties.federate.workflow import Federate
from parties.workflow import Failure, Progress
from protocol.errors import BadScenario
from protocol.exchange import Exchange
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.grids import Envelope, ObservedGrid
from simulations.evaluation import Guesses, costs, costs_of_methods, ranked, with_effects
from simulations.runs.seeding import numpy_generator, reproducible, torch_generator
from simulations.runs.session import OTHERS, RUN_ID, Session
from simulations.runs.workflows import Simulation
from simulations.runs.workshops import finished
from simulations.workflows.federate.attackers import Preparation
from simulations.workflows.federate.evaluation import ATTACKING, evaluate
from simulations.workflows.federate.leaks import leaks, pictures_seen, plain_of, promise
from simulations.workflows.federate.methods import federation_of, finite, network_of, on_public_features, promise_of
from simulations.workflows.federate.page import write_federate_page
from simulations.workflows.federate.probes import (
    BATCH,
    MULTIPLE,
    SINGLE,
    STEPS,
    Asked,
    Planted,
    Trap,
    ask_for_steps,
    baits,
    plants,
    received,
    settings_of,
    trapped,
    trapped_in_sums,
)
from simulations.workflows.federate.report import FederateOutcome, FederateReport, Guarantee, MethodResult
from simulations.workflows.federate.scenario import NOISY, FederateScenario
from simulations.workflows.federate.scoring import Outcome, majority, score, worth
from simulations.workflows.federate.words import learned, notes, summary, tables
from simulations.workflows.federate.world import CLASSES, FederateWorld, build
from strategies.learning.batches import accuracy
from strategies.learning.group_normalised import inputs_of, new_group_normalised
from strategies.learning.weights import Weights, weights


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
    steps = len(scenario.methods) + 4
    with Session(scenario, folder, progress, steps) as session, session.workshop() as workshop:
        session.step("painting people")
        world = build(scenario, adversaries)
        people = world.people
        candidates = people.candidates(numpy_generator(scenario.seed, "candidates"))
        start = weights(new_group_normalised(CLASSES, torch_generator(scenario.seed, "model")))
        session.step("choosing noise")
        attributes = np.delete(people.strangers.attributes, people.strangers.names.index(scenario.task), axis=1)
        features = None
        if any(method.features == "public" for method in scenario.methods.values()):
            job = workshop.submit(on_public_features, people.strangers.pictures, attributes, scenario.seed)
            features = finished(workshop, [job], "training public features")[0].result()
        promises = {name: _promised(scenario, name) for name in scenario.methods}
        preparation = Preparation(
            workshop, scenario, people.known, people.strangers, (candidates.pictures, candidates.labels), start
        )
        drives = session.server(adversaries, Federate)
        training = Training(scenario, world, {"own": start, "public": features or start}, promises, session, drives)
        with session.grid(world.apps, world.names) as grid, _quietly():
            learnt = {name: training.learn(ObservedGrid(grid, training.observe), name) for name in scenario.methods}
            session.charge(OTHERS)
            session.step("asking for single steps")
            asked = training.ask(grid)
        session.step("training shadow models")
        attackers = preparation.done()
        session.step(ATTACKING)
        outcomes = evaluate(workshop, scenario, people, candidates, attackers, learnt, start, asked, progress)
        kept = {name: promises[name] if each.agreed else None for name, each in learnt.items()}
        plain = {kind: plain_of(scenario, outcomes, kind) for kind in ("own", "public")}
        undefended = {name: plain[method.features] for name, method in scenario.methods.items()}
        utilities = []
        for name, each in outcomes.items():
            best = undefended[name]
            ceiling = None if best is None else Guesses.of(best.tests.right, people.fresh.persons)
            utilities.append(worth(name, each.tests.right, people.fresh.labels, ceiling, people.fresh.persons))
        results = {
            name: score(
                name, scenario, outcomes[name], people.fresh, value.learns, learnt[name].model, learnt[name].curve,
                kept[name],
            )
            for name, value in zip(outcomes, utilities, strict=True)
        }  # fmt: skip
        outcome = _outcome(world, results, outcomes)
        base = majority(people.has_property)
        report = session.report(
            FederateReport,
            training.failures,
            leaks=ranked(
                row for name, each in outcomes.items() for row in leaks(name, scenario, each, undefended[name], base)
            ),
            utility=utilities,
            costs=costs(session),
            costs_of_methods=costs_of_methods(session),
            promises=[
                promise(name, scenario.methods[name].strategy, kept[name], each.audited)
                for name, each in results.items()
            ],
            summary=summary(results, outcome, scenario),
            learned=learned(results, outcome, scenario),
            notes=notes(scenario, world, [name for name, each in learnt.items() if not each.agreed]),
            outcome=outcome,
            methods=results,
            seen={} if scenario.cohort is None else pictures_seen(outcomes),
        )
        report = with_effects(report, session.twin(play, adversaries))
        session.write(report, lambda path: write_federate_page(path, report, outcomes))
    return report


def _promised(scenario: FederateScenario, name: str) -> Guarantee | None:
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
        starts: Mapping[str, Weights],
        promises: Mapping[str, Guarantee | None],
        session: Session,
        drives: type[Federate] = Federate,
    ) -> None:
        self._drives = drives
        self._scenario, self._world, self._starts, self._start = scenario, world, starts, starts["own"]
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
        self._session.charge(name)
        self._current = Learnt()
        start = self._starts[self._scenario.methods[name].features]
        federation = federation_of(self._scenario, name, self._promises[name], start, len(self._world.clients))
        self._agreed = {**federation.settings, **federation.noise}
        federate = self._drives(federation, Exchange(grid), watch=self._watch)
        try:
            with reproducible(self._scenario.seed, "strategy", name):
                self._current.model = finite(federate.run().model, name)
        finally:
            self.failures += federate.record.failures
        return self._current

    def ask(self, grid: Grid) -> Asked:
        """Ask some clients for single steps, honestly and with planted weights, as each method shows their answers."""
        scenario, asked, start = self._scenario, Asked(), self._start
        clients, strangers = min(scenario.attacker.probed, len(self._world.clients)), self._world.people.strangers
        if not clients:
            return asked
        for probe in (SINGLE, BATCH, STEPS):
            if probe.pictures <= scenario.clients.pictures:
                asked.steps["", probe] = ask_for_steps(grid, RUN_ID, clients, start, probe, {})
        noisy = {
            name: {"sigma": each.sigma, "sampling-rate": 1.0, "steps": 1, "clipping": scenario.methods[name].clipping}
            for name, each in self._promises.items()
            if each and scenario.methods[name].strategy in NOISY and scenario.methods[name].features == "own"
        }
        for name, settings in list(noisy.items())[:1]:
            asked.steps[name, SINGLE] = ask_for_steps(grid, RUN_ID, clients, start, SINGLE, settings)
        if scenario.clients.size % MULTIPLE:
            return asked
        public, pictures = inputs_of(strangers.pictures), scenario.clients.pictures
        traps: list[tuple[dict[str, Planted], Callable[[int], Trap]]] = [
            (asked.planted, lambda of_sums: plants(start, public, of_sums))
        ]
        if scenario.attacker.fished:
            traps.append((asked.fished, lambda of_sums: baits(network_of(start), start, public, pictures, of_sums)))
        total = pictures * len(self._world.clients)
        for into, trap in traps:
            for name, settings in {"": {}, **noisy}.items():
                into[name] = trapped(grid, RUN_ID, clients, trap(0), pictures, settings)
            for name, method in scenario.methods.items():
                if method.strategy == "secure-sum" and method.features == "own":
                    federation = federation_of(scenario, name, None, start, len(self._world.clients))
                    into[name] = trapped_in_sums(grid, federation, trap(total), total)
        return asked

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


def _outcome(
    world: FederateWorld, results: Mapping[str, MethodResult], outcomes: Mapping[str, Outcome]
) -> FederateOutcome:
    inverted = {name: each.restored[SINGLE].alike for name, each in outcomes.items() if SINGLE in each.restored}
    read = {name: each.planted.alike for name, each in outcomes.items() if each.planted and len(each.planted.alike)}

    def first(found: Mapping[str, np.ndarray[tuple[int], np.dtype[np.float64]]], private: bool) -> float | None:
        """The mean of the first method with DP-SGD at clients, or of the first other one."""
        of = (each for name, each in found.items() if outcomes[name].noisy == private)
        values = next(of, None)
        return None if values is None else float(values.mean())

    return FederateOutcome(
        clients=len(world.clients),
        pictures=len(world.people.trained),
        majority=majority(world.people.fresh.labels),
        inverted=first(inverted, False),
        inverted_private=first(inverted, True),
        read=first(read, False),
        read_private=first(read, True),
        digest=hashlib.sha256("".join(each.digest for each in results.values()).encode()).hexdigest(),
    )


SIMULATION = Simulation(play, FederateReport, tables)
