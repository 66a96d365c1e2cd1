"""Labelled pictures of people for everybody: the collector's, the participants', and those of a test."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from parties.adversaries import Adversary
from parties.album import UnreadableImage
from parties.crowdsource.participant import Participant
from protocol.errors import BadInput
from protocol.flower import FIRST_NODE_ID, SERVER_NODE_ID
from simulations.data import faces, published
from simulations.data.cohort import Part, draw_cohort
from simulations.data.scene import Split
from simulations.runs.seeding import SeededEntropy, numpy_generator, secret, torch_generator
from simulations.scenarios.adversaries import draw_adversaries, of_role
from simulations.workflows.crowdsource.scenario import CrowdsourceScenario
from strategies.features.featurizer import prepare

PICTURES_OF_ONE = 8
"""Of each person that the collector has pictures of, about, where they are painted."""


@dataclass(frozen=True)
class Portraits:
    """Pictures, what they show and whom.

    Attributes:
        images: (n, side, side, 3)
        attributes: (n, k)
        persons: (n,)
        names: Of the k attributes.
    """

    images: NDArray[np.uint8]
    attributes: NDArray[np.bool_]
    persons: NDArray[np.int64]
    names: tuple[str, ...]

    def columns(self, names: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return some attributes, (n, names)."""
        return self.attributes[:, [self.names.index(name) for name in names]]

    def __getitem__(self, chosen: slice) -> "Portraits":
        """Return some of them."""
        return Portraits(self.images[chosen], self.attributes[chosen], self.persons[chosen], self.names)


@dataclass(frozen=True)
class CrowdsourceWorld:
    """Everybody and everything in a scenario.

    Attributes:
        public: The collector's own.
        cheats: The cheat that a participant plays, by its number.
        held: The participants' pictures, one album after the other.
        test: Of people who are no participants.
    """

    public: Portraits
    participants: list[Participant]
    cheats: dict[int, str]
    held: Portraits
    test: Portraits

    @property
    def apps(self) -> list[ClientApp]:
        """The parties, by node."""
        return [party.client_app() for party in self.participants]

    @property
    def names(self) -> dict[int, str]:
        """Every node's name, as in ``messages.jsonl``."""
        nodes = range(FIRST_NODE_ID, FIRST_NODE_ID + len(self.participants))
        return {SERVER_NODE_ID: "collector"} | {node_id: f"participant-{node_id}" for node_id in nodes}


def build(scenario: CrowdsourceScenario, collector: bytes, adversaries: Mapping[str, Adversary]) -> CrowdsourceWorld:
    """Build the world of a scenario.

    Args:
        collector: The collector's public key, which participants know.
        adversaries: The ways to cheat that the scenario chooses from.

    Raises:
        BadInput: When CelebA is not available, or has fewer people than are wanted.
    """
    count, album = scenario.participants.count, scenario.participants.album
    if scenario.cohort is not None:
        cohort = draw_cohort(scenario.cohort, scenario.seed)
        public, held, test = map(_of_part, (cohort.public, cohort.shared, cohort.fresh))
    elif scenario.dataset == "faces":
        public, held, test = _painted(scenario)
    else:
        public, held, test = _photographed(scenario)
    generator = numpy_generator(scenario.seed, "cheats")
    mixes = of_role(scenario.adversaries, adversaries, "participant")
    cheats = draw_adversaries(generator.permutation(count)[::-1].tolist(), mixes, generator)
    roles = {name: adversaries[name].cast(**mix.settings) for name, mix in mixes.items()}
    participants = []
    for number in range(count):
        own = held[slice(number * album, (number + 1) * album)]
        role = cast(type[Participant], roles.get(cheats.get(number, ""), Participant))
        participant = role(
            secret(scenario.seed, "participant", number),
            list(own.images),
            own.names,
            own.attributes,
            collector,
            scenario.collector.hide,
        )
        participant.entropy = SeededEntropy(secret(scenario.seed, "entropy", number))
        participants.append(participant)
    return CrowdsourceWorld(public, participants, cheats, held, test)


def _of_part(part: Part) -> Portraits:
    return Portraits(part.pictures, part.attributes, part.persons, part.names)


def _painted(scenario: CrowdsourceScenario) -> tuple[Portraits, Portraits, Portraits]:
    def paint(purpose: str, people: int, of_each: int, count: int, split: Split) -> Portraits:
        generator = numpy_generator(scenario.seed, "people", purpose)
        numbers = np.repeat(generator.integers(2**62, size=people), of_each)[:count]
        if split == "public":
            generator.shuffle(numbers)
        drawn = faces.draw(numbers, scenario.side, torch_generator(scenario.seed, "paint", purpose), split)
        return Portraits(drawn.images, drawn.attributes, drawn.persons, faces.ATTRIBUTES)

    pictures, part = scenario.collector.pictures, scenario.participants
    return (
        paint("public", -(-pictures // PICTURES_OF_ONE), PICTURES_OF_ONE, pictures, "public"),
        paint("held", part.count, part.album, part.count * part.album, "traded"),
        paint("test", scenario.tested, 1, scenario.tested, "traded"),
    )


def _photographed(scenario: CrowdsourceScenario) -> tuple[Portraits, Portraits, Portraits]:
    root = Path(scenario.data_root) if scenario.data_root else None
    part, album = scenario.participants, scenario.participants.album
    traded = published.read("celeba", root, "traded")
    assert traded.persons is not None
    persons, counts = np.unique(traded.persons, return_counts=True)
    owners = numpy_generator(scenario.seed, "owners").permutation(persons[counts >= album])[: part.count]
    if len(owners) < part.count:
        raise BadInput(
            f"participants.count: CelebA has {len(owners)} people with {album} pictures or more among those traded, "
            f"fewer than {part.count}; ask for fewer, or for smaller albums"
        )
    of_each = [np.flatnonzero(traded.persons == owner)[:album] for owner in owners]
    others = np.flatnonzero(~np.isin(traded.persons, owners))
    tested = numpy_generator(scenario.seed, "tested").permutation(others)[: scenario.tested]
    if len(tested) < scenario.tested:
        raise BadInput(f"tested: CelebA has {len(tested)} pictures of people who are no participants; ask for fewer")
    return (
        portraits(published.read("celeba", root, "public"), scenario.collector.pictures, scenario.side, scenario.seed),
        _opened(traded, np.concatenate(of_each), scenario.side),
        _opened(traded, tested, scenario.side),
    )


def portraits(photographs: published.Photographs, count: int, side: int, seed: int) -> Portraits:
    """Open some photographs, drawn at random, or all where there are no more."""
    numbers = numpy_generator(seed, "photographs").permutation(len(photographs.pictures))[:count]
    return _opened(photographs, np.sort(numbers), side)


def _opened(photographs: published.Photographs, numbers: NDArray[np.int64], side: int) -> Portraits:
    assert photographs.attributes is not None
    assert photographs.persons is not None
    images = np.empty((len(numbers), side, side, 3), dtype=np.uint8)
    for place, number in enumerate(numbers):
        try:
            images[place] = prepare(photographs.pictures[int(number)], side)
        except UnreadableImage as unreadable:
            raise BadInput(f"CelebA's picture {number} does not open: {unreadable}") from None
    return Portraits(images, photographs.attributes[numbers], photographs.persons[numbers], photographs.attribute_names)
