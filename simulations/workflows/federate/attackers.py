"""What attackers of federated learning train themselves, once, before they look at any method's model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from protocol.compute.workshop import Handle, Workshop
from protocol.errors import BadScenario
from simulations.runs.seeding import numpy_generator, torch_generator
from simulations.runs.workshops import finished
from simulations.workflows.federate.methods import finite, network_of
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import Labelled
from strategies.attacks.membership import confidence, halves
from strategies.learning.classifier import train_classifier
from strategies.learning.group_normalised import inputs_of
from strategies.learning.local import LocalTraining, train_locally
from strategies.learning.weights import Weights, from_row, to_row, weights

EPOCHS = 6
"""Of training the recogniser."""


@dataclass(frozen=True)
class Shadow:
    """A model that an attacker trained, and on which pictures, (n,)."""

    model: Weights
    inside: NDArray[np.bool_]


@dataclass(frozen=True)
class Trials:
    """Updates that an attacker made itself, (k, parameters), and which of them of pictures with the property."""

    updates: NDArray[np.float32]
    has: NDArray[np.bool_]


@dataclass(frozen=True)
class References:
    """Models trained on halves of the candidates, for likelihood ratios.

    Attributes:
        confidences: (k, n), theirs in each candidate.
        inside: (k, n), which candidates each was trained on.
        others: (k, m), their confidences in other pictures.
    """

    confidences: NDArray[np.float64]
    inside: NDArray[np.bool_]
    others: NDArray[np.float64]

    def first(self, count: int) -> "References":
        """Return some of them."""
        return References(self.confidences[:count], self.inside[:count], self.others[:count])


@dataclass(frozen=True)
class Attackers:
    """What attackers prepare once, and use on every method.

    Attributes:
        known: Pictures of the attacker's own, with labels.
        shadows: Trained on halves of these.
        references: None where the scenario asks for none.
        trials: To tell a property by.
        recogniser: Names the group of the person in a picture; trained on strangers alone.
    """

    known: Labelled
    shadows: Sequence[Shadow]
    references: References | None
    trials: Trials
    recogniser: nn.Module


class Preparation:
    """Attackers' trainings, which run while the clients learn.

    Args:
        known: The attacker's own pictures.
        strangers: More of them.
        candidates: Pictures that may have been trained on, and their labels.
        start: The model that clients begin with.

    Raises:
        BadScenario: When no property can be told, as all or none of the strangers have it.
    """

    def __init__(
        self,
        workshop: Workshop,
        scenario: FederateScenario,
        known: Labelled,
        strangers: Labelled,
        candidates: tuple[NDArray[np.uint8], NDArray[np.int64]],
        start: Weights,
    ) -> None:
        self._workshop, self._known, self._candidates, attacker = workshop, known, candidates, scenario.attacker
        has = strangers.column(scenario.property)
        if has.all() or not has.any():
            raise BadScenario(
                f"property: of {len(has)} strangers all or none have {scenario.property}; choose another one"
            )
        self._trials = workshop.submit(trials, scenario, strangers, start)
        self._recogniser = workshop.submit(recogniser, strangers.pictures, strangers.groups, scenario.seed)
        self._own = self._shadows(scenario, attacker.shadows, "own", known.pictures, known.labels, start)
        self._ratio = self._shadows(scenario, attacker.lira, "candidates", *candidates, start)

    def _shadows(
        self,
        scenario: FederateScenario,
        count: int,
        whose: str,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64],
        start: Weights,
    ) -> list[tuple[Handle[Weights], NDArray[np.bool_]]]:
        insides = halves(count, len(labels), numpy_generator(scenario.seed, "halves", whose))
        return [
            (
                self._workshop.submit(shadow, scenario, pictures[inside], labels[inside], start, f"{whose} {number}"),
                inside,
            )
            for number, inside in enumerate(insides)
        ]

    def done(self) -> Attackers:
        """Wait for the trainings.

        Raises:
            RunFailed: When one of them failed.
        """
        pairs = [*self._own, *self._ratio]
        ends = finished(self._workshop, [handle for handle, _ in pairs], "training shadow models")
        shadows = [
            Shadow(finite(end.result(), "shadow models"), inside) for end, (_, inside) in zip(ends, pairs, strict=True)
        ]
        (tried,) = finished(self._workshop, [self._trials], "training on strangers")
        (recognises,) = finished(self._workshop, [self._recogniser], "training a recogniser")
        own = len(self._own)
        return Attackers(
            self._known, shadows[:own], self._references(shadows[own:]), tried.result(), recognises.result()
        )

    def _references(self, shadows: Sequence[Shadow]) -> References | None:
        if not shadows:
            return None
        handles = [
            self._workshop.submit(confidences, shadow.model, self._candidates, self._known) for shadow in shadows
        ]
        found = [end.result() for end in finished(self._workshop, handles, "trying shadow models")]
        inside = np.array([shadow.inside for shadow in shadows])
        return References(np.array([each for each, _ in found]), inside, np.array([others for _, others in found]))


def shadow(
    device: torch.device,
    scenario: FederateScenario,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    start: Weights,
    name: str,
) -> Weights:
    """Train a shadow model as clients train: federated averaging among as many pictures each; a job."""
    generator, section, training = torch_generator(scenario.seed, "shadow", name), scenario.clients, scenario.training
    once = LocalTraining(training.epochs, training.batch, training.learning_rate)
    inputs, targets = inputs_of(pictures), torch.from_numpy(labels)
    clients = torch.split(torch.randperm(len(labels), generator=generator), section.pictures)
    network, model = network_of(start), to_row(start)
    for _ in range(training.rounds):
        total = torch.zeros_like(model)
        for own in clients:
            network.load_state_dict(from_row(model, start))
            train_locally(network, inputs[own], targets[own], once, generator)
            total += len(own) * to_row(weights(network))
        model = total / len(labels)
    return from_row(model, start)


def confidences(
    device: torch.device, model: Weights, candidates: tuple[NDArray[np.uint8], NDArray[np.int64]], others: Labelled
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a model's confidences in the labels of candidates and of other pictures; a job."""
    network, (pictures, labels) = network_of(model), candidates
    return (
        confidence(network, inputs_of(pictures), torch.from_numpy(labels)),
        confidence(network, inputs_of(others.pictures), torch.from_numpy(others.labels)),
    )


def recogniser(device: torch.device, pictures: NDArray[np.uint8], groups: NDArray[np.int64], seed: int) -> nn.Module:
    """Train a network to name the group of people; a job."""
    return train_classifier(pictures, groups, 4, torch_generator(seed, "recogniser"), epochs=EPOCHS)


def trials(device: torch.device, scenario: FederateScenario, strangers: Labelled, start: Weights) -> Trials:
    """Train on strangers with the property and without it, as a client does in the first round; a job."""
    generator, choice_generator = torch_generator(scenario.seed, "trials"), numpy_generator(scenario.seed, "trials")
    training = scenario.training
    once = LocalTraining(training.epochs, training.batch, training.learning_rate)
    size = scenario.clients.pictures
    column = strangers.column(scenario.property)
    updates = []
    has = np.arange(scenario.attacker.trials) % 2 == 0
    for mostly in has:
        wanted = choice_generator.random(size) < (scenario.clients.mostly if mostly else 1 - scenario.clients.mostly)
        with_it, without = (choice_generator.choice(np.flatnonzero(kind), size) for kind in (column, ~column))
        chosen = np.where(wanted, with_it, without)
        network = network_of(start)
        train_locally(
            network,
            inputs_of(strangers.pictures[chosen]),
            torch.from_numpy(strangers.labels[chosen]),
            once,
            generator,
        )
        updates.append((to_row(weights(network)) - to_row(start)).numpy())
    return Trials(np.stack(updates), has)
