"""Clients with pictures of their own people, and what an attacker knows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from parties.adversaries import Adversary
from parties.federate.client import Client
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from simulations.data.cohort import Cohort, Part, draw_cohort
from simulations.data.faces import draw
from simulations.data.people import ATTRIBUTES, FIXED, look
from simulations.data.scene import Split
from simulations.runs.seeding import SeededEntropy, numpy_generator, secret, torch_generator
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.federate.scenario import FederateScenario

CLASSES = 2
FRESH, STRANGERS = 10**7, 10**8
"""The first numbers of people whom no client has images of."""


@dataclass(frozen=True)
class Labelled:
    """Pictures and the truth about them.

    Attributes:
        pictures: (n, size, size, 3)
        labels: (n,), whether they show what is to be learnt.
        attributes: (n, k)
        persons: (n,), whom they show.
        names: Of the k attributes.
        grouped_by: The two attributes that make four groups of people.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    attributes: NDArray[np.bool_]
    persons: NDArray[np.int64]
    names: tuple[str, ...] = ATTRIBUTES
    grouped_by: tuple[str, str] = ("Male", "Young")

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, chosen: slice | NDArray[np.bool_]) -> "Labelled":
        """Return some of them."""
        return replace(
            self, pictures=self.pictures[chosen], labels=self.labels[chosen], attributes=self.attributes[chosen],
            persons=self.persons[chosen],
        )  # fmt: skip

    def column(self, name: str) -> NDArray[np.bool_]:
        """Return one attribute, (n,)."""
        found: NDArray[np.bool_] = self.attributes[:, self.names.index(name)]
        return found

    @property
    def groups(self) -> NDArray[np.int64]:
        """The group of the person in each picture, 0 to 3."""
        first, second = map(self.column, self.grouped_by)
        return 2 * first.astype(np.int64) + second


@dataclass(frozen=True)
class Candidates:
    """Pictures that may have been trained on, as many that were as others, in an order that does not tell.

    Attributes:
        pictures, labels: (n, size, size, 3) and (n,); attackers know these.
        members: (n,), which were trained on.
        persons, clients: (n,), who is in them, and which client would have them.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    members: NDArray[np.bool_]
    persons: NDArray[np.int64]
    clients: NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """Pictures of everybody, and what is true of them.

    Attributes:
        has_property: (clients,), whether most of its people have the property.
        trained: All pictures of clients, one client after the other.
        others: As many pictures, drawn alike, that nobody trains on.
        known: As many pictures of other people, for the attacker's shadow models.
        strangers: More of them, for its trials with and without the property.
        fresh: Pictures to try models on.
    """

    has_property: NDArray[np.bool_]
    trained: Labelled
    others: Labelled
    known: Labelled
    strangers: Labelled
    fresh: Labelled

    def candidates(self, generator: np.random.Generator) -> Candidates:
        """Return the pictures that were trained on among as many others."""
        both, count = [self.trained, self.others], len(self.trained)
        order = generator.permutation(2 * count)
        client = np.arange(count) // (count // len(self.has_property))
        return Candidates(
            pictures=np.concatenate([each.pictures for each in both])[order],
            labels=np.concatenate([each.labels for each in both])[order],
            members=order < count,
            persons=np.concatenate([each.persons for each in both])[order],
            clients=np.concatenate([client, client + len(self.has_property)])[order],
        )


@dataclass(frozen=True)
class FederateWorld:
    """Everybody and everything.

    Attributes:
        clients: The nodes, in order.
        cheats: The cheat that a client plays, by its number.
    """

    clients: list[Client]
    cheats: dict[int, str]
    people: People

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node."""
        return [client.client_app() for client in self.clients]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        clients = {FIRST_NODE_ID + number: f"client-{number}" for number in range(len(self.clients))}
        return {SERVER_NODE_ID: "cloud", **clients}


def build(scenario: FederateScenario, adversaries: Mapping[str, Adversary]) -> FederateWorld:
    """Build the world of a scenario."""
    section = scenario.clients
    people = _drawn(scenario) if scenario.cohort is None else _of_cohort(draw_cohort(scenario.cohort, scenario.seed))
    generator = numpy_generator(scenario.seed, "cheats")
    mixes = of_role(scenario.adversaries, adversaries, "client")
    cheats = draw_adversaries(generator.permutation(scenario.clients.count).tolist(), mixes, generator)
    clients = []
    for number in range(section.count):
        own = people.trained.part(slice(number * section.pictures, (number + 1) * section.pictures))
        role = Client
        if number in cheats:
            name = cheats[number]
            role = cast(type[Client], adversaries[name].cast(**scenario.adversaries[name].settings))
        client = role(secret(scenario.seed, "client", number), own.pictures, own.labels, CLASSES, own.persons)
        client.entropy = SeededEntropy(secret(scenario.seed, "entropy", number))
        clients.append(client)
    return FederateWorld(clients, cheats, people)


def _drawn(scenario: FederateScenario) -> People:
    """Draw people of the scenario's own."""
    section = scenario.clients
    generator = numpy_generator(scenario.seed, "clients")
    has = np.zeros(section.count, dtype=bool)
    has[generator.permutation(section.count)[: round(section.with_property * section.count)]] = True
    trained, others = (_of_clients(scenario, has, purpose, "traded") for purpose in ("trained", "others"))
    known = _of_clients(scenario, np.arange(section.count) % 2 == 0, "known", "public")
    strangers = _draw(STRANGERS + np.arange(scenario.attacker.strangers), scenario, "strangers", "public")
    fresh = _draw(FRESH + np.arange(1000), scenario, "fresh", "public")
    return People(has, trained, others, known, strangers, fresh)


def _of_cohort(cohort: Cohort) -> People:
    def labelled(part: Part) -> Labelled:
        labels = part.column(cohort.task).astype(np.int64)
        by = (cohort.private, cohort.task)
        return Labelled(part.pictures, labels, part.attributes, part.persons, part.names, by)

    of_owners = [cohort.held_by(owner).column(cohort.private).mean() for owner in range(cohort.owners)]
    trained, public = labelled(cohort.shared), labelled(cohort.public)
    return People(
        np.array(of_owners) > 0.5, trained, labelled(cohort.control), public.part(slice(len(trained))), public,
        labelled(cohort.fresh),
    )  # fmt: skip


def _of_clients(scenario: FederateScenario, has: NDArray[np.bool_], purpose: str, split: Split) -> Labelled:
    """Draw pictures as clients hold them, one client after the other."""
    section = scenario.clients
    generator = numpy_generator(scenario.seed, "people", purpose)
    people = -(-section.pictures // section.per_person)
    persons = []
    for mostly in has:
        wanted = generator.random(people) < (section.mostly if mostly else 1 - section.mostly)
        persons.append(
            _find(wanted, scenario.property, generator, split).repeat(section.per_person)[: section.pictures]
        )
    return _draw(np.concatenate(persons), scenario, purpose, split)


def _find(wanted: NDArray[np.bool_], attribute: str, generator: np.random.Generator, split: Split) -> NDArray[np.int64]:
    """Find a person with the attribute, or without it, for each entry."""
    column = FIXED.index(attribute)
    persons = np.empty(len(wanted), dtype=np.int64)
    missing = np.arange(len(wanted))
    while len(missing):
        persons[missing] = generator.integers(2**62, size=len(missing))
        has = look(persons[missing], torch.Generator(), split)[:, column]
        missing = missing[has != wanted[missing]]
    return persons


def _draw(persons: NDArray[np.int64], scenario: FederateScenario, purpose: str, split: Split) -> Labelled:
    faces = draw(persons, scenario.clients.size, torch_generator(scenario.seed, "paint", purpose), split)
    labels = faces.attributes[:, ATTRIBUTES.index(scenario.task)].astype(np.int64)
    return Labelled(faces.images, labels, faces.attributes, persons)
