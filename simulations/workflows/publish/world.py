"""Owners with their pictures, and what the public knows of them beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from torch import Tensor

from parties.adversaries import Adversary
from parties.publish.publisher import Publisher
from parties.publish.reader import Reader
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from simulations.data.cohort import Cohort, Part, draw_cohort
from simulations.data.faces import Faces, draw
from simulations.data.people import ATTRIBUTES
from simulations.data.scene import Split
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.publish.scenario import PublishScenario
from strategies.pixels import to_pictures, to_tensor

FRESH = 10**6
"""The first number of people whom nobody has images of."""


@dataclass(frozen=True)
class Labelled:
    """Pictures and the truth about them.

    Attributes:
        pictures: (n, 3, size, size) uint8
        persons: (n,), who they show: of owners, the owner's number.
        labels: (n,), 0 or 1: whether they show the attribute that is to be learnt.
        private: (n,) bool: whether they show the attribute that attackers infer.
    """

    pictures: Tensor
    persons: NDArray[np.int64]
    labels: NDArray[np.int64]
    private: NDArray[np.bool_]


@dataclass(frozen=True)
class People:
    """Pictures of everybody, and who they show.

    Attributes:
        albums: All pictures of owners, one owner after the other.
        known: Other pictures of the owners, that the attacker has.
        strangers: Pictures of other people, that everybody has.
        fresh: Pictures of people whom nobody has seen, to try classifiers on.
        others: Of a cohort, as many pictures as in albums, of other people, that nobody publishes; else None.
    """

    albums: Labelled
    known: Labelled
    strangers: Labelled
    fresh: Labelled
    others: Labelled | None = None


@dataclass(frozen=True)
class PublishWorld:
    """Everybody and everything.

    Attributes:
        reader: The public; the first node.
        owners: The nodes after it.
        cheats: The cheat that an owner plays, by its number.
    """

    reader: Reader
    owners: list[Publisher]
    cheats: dict[int, str]
    people: People

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node."""
        return [self.reader.client_app(), *(owner.client_app() for owner in self.owners)]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        publishers = {FIRST_NODE_ID + 1 + number: f"publisher-{number}" for number in range(len(self.owners))}
        return {SERVER_NODE_ID: "cloud", FIRST_NODE_ID: "reader", **publishers}


def owner_of(node_ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of owners."""
    return node_ids - (FIRST_NODE_ID + 1)


def build(scenario: PublishScenario, adversaries: Mapping[str, Adversary]) -> PublishWorld:
    """Build the world of a scenario."""
    section = scenario.owners
    people = _drawn(scenario) if scenario.cohort is None else _of_cohort(draw_cohort(scenario.cohort, scenario.seed))
    albums = people.albums
    generator = numpy_generator(scenario.seed, "cheats")
    mixes = of_role(scenario.adversaries, adversaries, "publisher")
    cheats = draw_adversaries(generator.permutation(scenario.owners.count).tolist(), mixes, generator)
    parties = []
    for number in range(section.count):
        own = albums.persons == number
        pictures = to_pictures(albums.pictures[torch.from_numpy(own)])
        role = Publisher
        if number in cheats:
            name = cheats[number]
            role = cast(type[Publisher], adversaries[name].cast(**scenario.adversaries[name].settings))
        parties.append(
            role(secret(scenario.seed, "owner", number), list(pictures), albums.labels[own].tolist(), section.publish)
        )
    return PublishWorld(
        reader=Reader(secret(scenario.seed, "reader")),
        owners=parties,
        cheats=cheats,
        people=people,
    )


def _drawn(scenario: PublishScenario) -> People:
    """Draw people of the scenario's own."""
    section, attacker = scenario.owners, scenario.attacker
    people = numpy_generator(scenario.seed, "people").choice(2**40, section.count, replace=False)

    def faces(persons: NDArray[np.int64], purpose: str, split: Split = "traded") -> Labelled:
        drawn = draw(persons, section.size, torch_generator(scenario.seed, "paint", purpose), split)
        return _labelled(drawn, scenario)

    owners = np.arange(section.count)
    albums = faces(people.repeat(section.pictures), "albums")
    known = faces(people.repeat(attacker.known), "known")
    return People(
        albums=replace(albums, persons=owners.repeat(section.pictures)),
        known=replace(known, persons=owners.repeat(attacker.known)),
        strangers=faces(np.arange(attacker.strangers), "strangers", "public"),
        fresh=faces(FRESH + np.arange(800), "fresh", "public"),
    )


def _of_cohort(cohort: Cohort) -> People:
    def labelled(part: Part) -> Labelled:
        labels = part.column(cohort.task).astype(np.int64)
        return Labelled(to_tensor(part.pictures).contiguous(), part.persons, labels, part.column(cohort.private))

    return People(*map(labelled, (cohort.shared, cohort.known, cohort.public, cohort.fresh, cohort.control)))


def _labelled(faces: Faces, scenario: PublishScenario) -> Labelled:
    pictures = to_tensor(faces.images).contiguous()
    labels = faces.attributes[:, ATTRIBUTES.index(scenario.task)].astype(np.int64)
    private = faces.attributes[:, ATTRIBUTES.index(scenario.attacker.attribute)]
    return Labelled(pictures, faces.persons, labels, private)
