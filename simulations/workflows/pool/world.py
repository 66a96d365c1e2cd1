"""The world of a pool: entities with their images, and what everybody knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from flwr.clientapp import ClientApp
from numpy.typing import NDArray
from torch import Tensor

from parties.adversaries import ADVERSARIES, Adversary
from parties.album import Album
from parties.pool.entity import Entity
from parties.pool.holdings import Holdings, Opened
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from protocol.messages.pool import Rules
from simulations.data import faces, people, pets
from simulations.data.cohort import Cohort, Part, draw_cohort
from simulations.data.partition import by_dirichlet
from simulations.data.stock import PaintedFaces, PaintedPets
from simulations.runs.seeding import numpy_generator, secret, torch_generator
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.pool.attributes import Attributes, of_classes, of_pictures
from simulations.workflows.pool.scenario import PoolScenario
from strategies.deep_poisoning.reconstructor import PUBLISHED

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Member:
    """An entity, and what only the simulation knows about it.

    Attributes:
        party: The actor; its `holdings` are the truth about it.
        adversary: The name of the cheat it plays.
        late: Whether it joins only in the second round.
    """

    party: Entity
    adversary: str | None
    late: bool


@dataclass(frozen=True, eq=False)
class PoolWorld:
    """Everybody and everything in a pool.

    Attributes:
        rules: What all have in common.
        members: The entities, by index.
        held_back: (n, 3, side, side); fresh images in 0..1, and their labels.
        public: (m, 3, side, side); public images in 0..1, of other classes or people.
        public_attributes: What these show.
        labelled, labels_of_these: (k, 3, side, side), (k,); public images of the task's classes, which a recogniser
            learns from that judges reconstructions.
        numbers: (classes,); which of the data set's classes the task's are.
        people: Of a cohort.
    """

    rules: Rules
    members: list[Member]
    held_back: Tensor
    held_back_labels: Tensor
    public: Tensor
    public_attributes: Attributes
    labelled: Tensor
    labels_of_these: Tensor
    numbers: Labels
    dataset: str
    people: "People | None" = None

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node."""
        return [member.party.client_app() for member in self.members]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        names = {FIRST_NODE_ID + index: f"entity-{index + 1}" for index in range(len(self.members))}
        return {SERVER_NODE_ID: "cloud", **names}

    @property
    def late(self) -> list[int]:
        """Node ids of those who join in the second round."""
        return [FIRST_NODE_ID + index for index, member in enumerate(self.members) if member.late]

    @property
    def publishers(self) -> list[int]:
        """Node ids of those who are there from the beginning, the one with most images first."""
        early = [index for index, member in enumerate(self.members) if not member.late]
        early.sort(key=lambda index: -len(self.members[index].party.holdings.images))
        return [FIRST_NODE_ID + index for index in early]

    def images(self, index: int) -> Tensor:
        """Return an entity's images, (n, 3, side, side) in 0..1."""
        return everything(self.members[index].party.holdings.images)

    def labels(self, index: int) -> Tensor:
        """Return the true classes of an entity's images."""
        return torch.from_numpy(self.members[index].party.holdings.labels)

    def attributes(self, index: int) -> tuple[Attributes, Attributes]:
        """Return what an entity's images show: what their classes do not tell, and what they do."""
        if self.people is not None:
            return {self.people.private: self.people.has[index]}, {}
        labels = self.members[index].party.holdings.labels
        return of_pictures(self.images(index), self.public), of_classes(self.dataset, self.numbers[labels])


def build(
    scenario: PoolScenario, adversaries: Mapping[str, Adversary] = ADVERSARIES, painted: Path | None = None
) -> PoolWorld:
    """Build the world of a scenario.

    Args:
        adversaries: The ways to cheat that the scenario chooses from.
        painted: A folder of this run's, where painted albums are kept for other processes; None: in memory alone.
    """
    seed, late = scenario.seed, scenario.entities.late
    cohort = scenario.cohort
    drawn = _drawn(scenario, painted) if cohort is None else _of_cohort(draw_cohort(cohort, seed))
    albums, wanted, held_back, public = drawn.albums, drawn.labels, drawn.held_back, drawn.public
    images, generator = scenario.entities.images, numpy_generator(scenario.seed, "cheats")
    others = [index for index in range(len(images)) if index != int(np.argmax(images))]  # the largest pre-trains
    order = generator.permutation(others).tolist()
    mixes = of_role(scenario.adversaries, adversaries, "entity")
    roles = {name: cast(type[Entity], adversaries[name].cast(**mix.settings)) for name, mix in mixes.items()}
    publishing = {name: mixes.pop(name) for name in roles if roles[name].trained is not Entity.trained}
    cheats = draw_adversaries(order, mixes, generator, of=len(images), least=1)
    early = images[: len(images) - late]
    cheats |= {early.index(max(early)): name for name, mix in publishing.items() if mix.share}
    members = []
    for index, album in enumerate(albums):
        cheat = cheats.get(index)
        party = (roles[cheat] if cheat else Entity)(
            secret(seed, "entity", index),
            Holdings(album, wanted[index], held_back, drawn.held_back_labels, public),
            scenario.training.habits(),
        )
        members.append(Member(party, cheat, late=index >= len(albums) - late))
    rules = Rules(
        pool=secret(seed, "pool"),
        architecture=scenario.training.architecture,
        reconstructor=PUBLISHED,
        names=drawn.names,
        side=scenario.entities.side,
    )
    return PoolWorld(
        rules, members, everything(held_back), torch.from_numpy(drawn.held_back_labels), everything(public),
        drawn.public_attributes, everything(list(drawn.labelled)), torch.from_numpy(drawn.labels_of_these),
        drawn.numbers, scenario.dataset, drawn.people,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class People:
    """Who is in the images of a cohort, and what they show that is private.

    Attributes:
        private: The attribute.
        persons, has, classes: Of each entity, (n,) each: who is shown, who has the attribute, and the class by the task
            and it, which a recogniser names.
        held_back: Who is in the test images.
    """

    private: str
    persons: list[Labels]
    has: list[Tensor]
    classes: list[Tensor]
    held_back: Labels


@dataclass(frozen=True, eq=False)
class _Drawn:
    """All images, and what they show; see `PoolWorld`."""

    albums: list[Album]
    labels: list[Labels]
    held_back: Album
    held_back_labels: Labels
    public: Album
    public_attributes: Attributes
    labelled: NDArray[np.uint8]
    labels_of_these: Labels
    numbers: Labels
    names: tuple[str, ...]
    people: People | None


def _drawn(scenario: PoolScenario, painted: Path | None) -> _Drawn:
    """Draw images of the scenario's own."""
    section, seed = scenario.entities, scenario.seed
    stock = (PaintedPets if scenario.dataset == "pets" else PaintedFaces)(seed, painted, section.side)
    numbers = _classes(scenario)
    generator = numpy_generator(seed, "entities")
    wanted = [_labels(section.classes, count, section.alpha, generator) for count in section.images]
    wanted.append(np.resize(np.arange(section.classes), section.held_back))
    albums = [album for album, _ in stock.deal([numbers[labels] for labels in wanted], one_person=False)]
    painted_public, shown = _public(scenario)
    public: Album = list(painted_public)
    opened = everything(public)
    labelled, labels_of_these = _labelled(scenario, numbers)
    return _Drawn(
        albums[:-1], wanted[:-1], albums[-1], wanted[-1], public,
        of_pictures(opened, opened) | of_classes(scenario.dataset, shown), labelled, labels_of_these, numbers,
        tuple(stock.class_names[number] for number in numbers), None,
    )  # fmt: skip


def _of_cohort(cohort: Cohort) -> _Drawn:
    held = [cohort.held_by(owner) for owner in range(cohort.owners)]
    task = cohort.task.replace("_", " ").lower()

    def labels(part: Part) -> Labels:
        return part.column(cohort.task).astype(np.int64)

    shows = _shows(cohort.private)
    people = People(
        shows, [part.persons for part in held], [torch.from_numpy(part.column(cohort.private)) for part in held],
        [torch.from_numpy(cohort.classes_of(part)) for part in held], cohort.fresh.persons,
    )  # fmt: skip
    return _Drawn(
        [list(part.pictures) for part in held], [labels(part) for part in held], list(cohort.fresh.pictures),
        labels(cohort.fresh), list(cohort.public.pictures),
        {shows: torch.from_numpy(cohort.public.column(cohort.private))}, cohort.public.pictures,
        cohort.classes_of(cohort.public), np.arange(2, dtype=np.int64), (f"not {task}", task), people,
    )  # fmt: skip


def _shows(attribute: str) -> str:
    return f"shows {attribute.replace('_', ' ').lower()}"


def everything(album: Album) -> Tensor:
    """Open a whole album, (n, 3, height, width) in 0..1."""
    return Opened(album)[torch.arange(len(album))]


def _classes(scenario: PoolScenario) -> Labels:
    """Return which classes of the data set are the task's: of pets every other breed; the rest are public."""
    step = 2 if scenario.dataset == "pets" else 1
    return np.arange(scenario.entities.classes, dtype=np.int64) * step


def _labels(classes: int, count: int, alpha: float | None, generator: np.random.Generator) -> Labels:
    """Draw the class of each image of an entity."""
    if alpha is None:
        return generator.permutation(np.resize(np.arange(classes, dtype=np.int64), count))
    return by_dirichlet(np.arange(classes, dtype=np.int64), count, alpha, generator)


def _public(scenario: PoolScenario) -> tuple[NDArray[np.uint8], Labels]:
    """Paint public images: other breeds, or other people, before other backgrounds; return their classes as well."""
    count, side = scenario.entities.public, scenario.entities.side
    generator = torch_generator(scenario.seed, "public")
    if scenario.dataset == "pets":
        breeds = np.resize(np.arange(1, len(pets.BREEDS), 2), count)
        return pets.draw(breeds, side, generator, "public"), breeds
    return _people(numpy_generator(scenario.seed, "public people").integers(2**62, size=count), side, generator)


def _labelled(scenario: PoolScenario, numbers: Labels) -> tuple[NDArray[np.uint8], Labels]:
    """Paint as many public images of the task's classes, and label them."""
    count, side = scenario.entities.public, scenario.entities.side
    generator = torch_generator(scenario.seed, "labelled")
    if scenario.dataset == "pets":
        labels = np.resize(np.arange(len(numbers)), count)
        return pets.draw(numbers[labels], side, generator, "public"), labels
    pictures, classes = _people(
        numpy_generator(scenario.seed, "labelled people").integers(2**62, size=count), side, generator
    )
    return pictures[classes < len(numbers)], classes[classes < len(numbers)]


def _people(persons: Labels, side: int, generator: torch.Generator) -> tuple[NDArray[np.uint8], Labels]:
    looks = people.look(persons, generator, "public")
    return faces.paint(persons, looks, side, generator, "public"), people.classify(looks)
