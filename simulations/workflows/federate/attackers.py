"""What attackers of federated learning train themselves, once, before they look at any method's model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from protocol.compute.workshop import Handle, Workshop
from protocol.errors import BadScenario
from simulations.data.people import ATTRIBUTES
from simulations.runs.seeding import numpy_generator, torch_generator
from simulations.runs.workshops import finished
from simulations.workflows.federate.scenario import FederateScenario
from simulations.workflows.federate.world import CLASSES, People
from strategies.attacks.membership import halves
from strategies.learning.group_normalised import inputs_of, new_group_normalised
from strategies.learning.local import LocalTraining, train_locally
from strategies.learning.weights import Weights, to_row, weights


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
class Attackers:
    """What attackers prepare once, and use on every method.

    Attributes:
        shadows: Trained on halves of the attacker's own pictures.
        ratio: Trained on halves of the candidates, for LiRA.
        trials: To tell a property by.
    """

    shadows: Sequence[Shadow]
    ratio: Sequence[Shadow]
    trials: Trials


class Preparation:
    """Attackers' trainings, which run while the clients learn.

    Args:
        start: The model that clients begin with.

    Raises:
        BadScenario: When no property can be told, as all or none of the strangers have it.
    """

    def __init__(self, workshop: Workshop, scenario: FederateScenario, people: People, start: Weights) -> None:
        self._workshop, attacker = workshop, scenario.attacker
        has = people.strangers.attributes[:, ATTRIBUTES.index(scenario.property)]
        if has.all() or not has.any():
            raise BadScenario(
                f"property: of {len(has)} strangers all or none have {scenario.property}; choose another one"
            )
        self._trials = workshop.submit(trials, scenario, people, start)
        known = people.known
        self._own = self._shadows(scenario, attacker.shadows, "own", known.pictures, known.labels)
        self._ratio = self._shadows(scenario, attacker.lira, "candidates", *people.candidates)

    def _shadows(
        self,
        scenario: FederateScenario,
        count: int,
        whose: str,
        pictures: NDArray[np.uint8],
        labels: NDArray[np.int64],
    ) -> list[tuple[Handle[Weights], NDArray[np.bool_]]]:
        training = scenario.training
        alone = LocalTraining(training.rounds * training.epochs, training.batch, training.learning_rate)
        insides = halves(count, len(labels), numpy_generator(scenario.seed, "halves", whose))
        return [
            (
                self._workshop.submit(
                    shadow, pictures[inside], labels[inside], alone, scenario.seed, f"{whose} {number}"
                ),
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
        shadows = [Shadow(end.result(), inside) for end, (_, inside) in zip(ends, pairs, strict=True)]
        (tried,) = finished(self._workshop, [self._trials], "training on strangers")
        own = len(self._own)
        return Attackers(shadows[:own], shadows[own:], tried.result())


def shadow(
    device: torch.device,
    pictures: NDArray[np.uint8],
    labels: NDArray[np.int64],
    training: LocalTraining,
    seed: int,
    name: str,
) -> Weights:
    """Train a shadow model, for as many epochs as all rounds together; a job."""
    generator = torch_generator(seed, "shadow", name)
    network = new_group_normalised(CLASSES, generator)
    train_locally(network, inputs_of(pictures), torch.from_numpy(labels), training, generator)
    return weights(network)


def trials(device: torch.device, scenario: FederateScenario, people: People, start: Weights) -> Trials:
    """Train on strangers with the property and without it, as a client does in the first round; a job."""
    generator, choice_generator = torch_generator(scenario.seed, "trials"), numpy_generator(scenario.seed, "trials")
    training = scenario.training
    once = LocalTraining(training.epochs, training.batch, training.learning_rate)
    known, size = people.strangers, scenario.clients.pictures
    column = known.attributes[:, ATTRIBUTES.index(scenario.property)]
    updates = []
    has = np.arange(scenario.attacker.trials) % 2 == 0
    for mostly in has:
        wanted = choice_generator.random(size) < (scenario.clients.mostly if mostly else 1 - scenario.clients.mostly)
        with_it, without = (choice_generator.choice(np.flatnonzero(kind), size) for kind in (column, ~column))
        chosen = np.where(wanted, with_it, without)
        network = new_group_normalised(CLASSES, torch.Generator())
        network.load_state_dict(start)
        train_locally(
            network, inputs_of(known.pictures[chosen]), torch.from_numpy(known.labels[chosen]), once, generator
        )
        updates.append((to_row(weights(network)) - to_row(start)).numpy())
    return Trials(np.stack(updates), has)
