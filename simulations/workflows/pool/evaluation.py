"""All attacks on a pool and all trainings that it is compared with, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parties.pool.holdings import Habits
from parties.pool.record import PoolRecord
from protocol.compute.workshop import Workshop
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID
from simulations.runs.seeding import numpy_generator
from simulations.runs.workshops import Trainings
from simulations.workflows.pool import attacks, controls
from simulations.workflows.pool.attacks import Pairs, PoolView, Public, Restored, Seen
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.world import PoolWorld
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import Penalty
from strategies.learning.batches import apply

PAPERS_LOSS: tuple[Penalty, float] = ("signed", 1.0)
"""Of a module, as the paper trains it: penalty and lambda."""
PICTURED = 6
"""Images in the picture table."""
PAPERS, OBFUSCATED = "the paper's loss", "DeepObfuscator"


@dataclass(frozen=True, eq=False)
class Target:
    """The entity that attackers are after, and the truth about it.

    Attributes:
        index: Which entity it is.
        images, labels, features: Its images with their classes, and what is pooled of them, in the same order.
        clean: (n, channels, h, w), what would be pooled without protection.
        attacked, leakable: (k,) int64; positions on which attackers are scored, and others.
    """

    index: int
    images: Tensor
    labels: Tensor
    features: Tensor
    clean: Tensor
    attacked: Tensor
    leakable: Tensor

    @property
    def seen(self) -> Seen:
        """What attackers look at."""
        return Seen(self.features[self.attacked], self.clean[self.attacked])

    def pairs(self, count: int) -> Pairs:
        """Return pairs that leaked, of other images than are attacked."""
        some = self.leakable[:count]
        return Pairs(self.images[some], self.features[some])


class Evaluation:
    """Attacks a pool that was played, and trains what it is compared with.

    Args:
        scenario, world, record: What was to be, who took part, and what the cloud wrote down.
        view: What attackers see.
        workshop: Where everything is trained.

    Raises:
        RunFailed: When the largest entity has pooled nothing.
    """

    def __init__(
        self, scenario: PoolScenario, world: PoolWorld, record: PoolRecord, view: PoolView, workshop: Workshop
    ) -> None:
        self.scenario, self.world, self.record, self.view = scenario, world, record, view
        self.names = list(world.public_attributes)
        known = torch.stack([world.public_attributes[name] for name in self.names], 1)
        self.public = Public(world.public, known, view.shared)
        self.target = self._target()
        self.trainings = Trainings(workshop, scenario.seed)

    def run(self) -> Mapping[str, Any]:
        """Train and attack; return what came of each by its name.

        Raises:
            RunFailed: When a training failed.
        """
        self.add_controls()
        self.add_attackers()
        self.add_others()
        return self.trainings.gather()

    @property
    def pair_counts(self) -> list[int]:
        """Numbers of leaked pairs that are tried: as many as there are."""
        return sorted({min(count, len(self.target.leakable)) for count in self.scenario.attacks.pairs})

    @cached_property
    def clean(self) -> list[Tensor]:
        """Clean features of each entity's images."""
        featurizer = self.view.shared.network.featurizer
        return [apply(self.world.images(index), featurizer) for index in range(len(self.world.members))]

    def _target(self) -> Target:
        index = int(np.argmax(self.scenario.entities.images))
        features = self.view.features.get(FIRST_NODE_ID + index)
        if features is None:
            raise RunFailed("the largest entity has nothing in the pool: there is nothing to attack")
        order = torch.from_numpy(numpy_generator(self.scenario.seed, "attacked").permutation(len(features)))
        count, world = self.scenario.attacks.attacked, self.world
        if world.people is not None:  # one image of each of the first people comes first, to be shown
            firsts = torch.from_numpy(np.unique(world.people.persons[index], return_index=True)[1][:PICTURED].copy())
            order = torch.cat([firsts, order[~torch.isin(order, firsts)]])
        return Target(
            index, world.images(index), world.labels(index), features, self.clean[index], order[:count], order[count:]
        )

    def _start(self) -> nn.Module:
        training, rules = self.scenario.training, self.world.rules
        if training.decider == "published":
            return self.view.shared.network.decider
        generator = torch.Generator().manual_seed(self.trainings.seed("decider"))
        return new_network(training.architecture, rules.classes, generator).decider

    def add_controls(self) -> None:
        """Hand in what a pool is compared with, and the recogniser that judges reconstructions."""
        world, habits, add, seed = self.world, self.scenario.training.habits(), self.trainings.add, self.trainings.seed
        rules, fresh = world.rules, apply(world.held_back, self.view.shared.network.featurizer)
        start = self._start()
        for index in range(len(world.members)):
            labels = world.labels(index)
            add(f"entity-{index + 1}, its own features", controls.decider, start, self.clean[index], labels, habits,
                seed(f"control {index}"), fresh)  # fmt: skip
            if FIRST_NODE_ID + index != self.record.publisher:
                add(f"entity-{index + 1}, end to end", controls.end_to_end, rules.architecture, rules.classes,
                    world.images(index), labels, habits, seed(f"alone {index}"), world.held_back)  # fmt: skip
        everybody = [world.labels(index) for index in range(len(world.members))]
        add("clean union", controls.decider, start, torch.cat(self.clean), torch.cat(everybody), habits,
            seed("union"), fresh)  # fmt: skip
        shown = max(rules.classes, int(world.labels_of_these.max()) + 1)
        add("recogniser", controls.recogniser, rules.architecture, shown, self.public, world.labelled,
            world.labels_of_these, habits, seed("recogniser"))  # fmt: skip

    def add_attackers(self) -> None:
        """Hand in what attacks the pool, and nothing that is true of the images that it is after."""
        section, public, add, seed = self.scenario.attacks, self.public, self.trainings.add, self.trainings.seed
        habits, architecture = self.scenario.training.habits(), self.world.rules.architecture
        target, seen = self.target, self.target.seen
        alone = Seen(seen.features)
        add("published", attacks.published_reconstructor, seen, public)
        for design in section.unseen:
            add(f"unseen {design}", attacks.unseen, seen, design, public, habits, seed(design))
        if section.modules:
            add("own modules", attacks.own_modules, alone, section.modules, public, architecture, habits,
                seed("own modules"))  # fmt: skip
        if section.aligned:
            add("aligned modules", attacks.aligned_modules, alone, target.features, section.aligned, public,
                architecture, habits, seed("aligned modules"))  # fmt: skip
        for count in self.pair_counts:
            add(f"{count} leaked pairs", attacks.leaked, alone, target.pairs(count), public, section.steps,
                seed(f"{count} pairs"))  # fmt: skip
        add("classes", attacks.classes, seen, public)
        if section.attribute:
            add("attributes", attacks.attributes, seen, architecture, public, habits, seed("attributes"))

    def add_others(self) -> None:
        """Hand in what else protects features: a module of the paper's loss, and DeepObfuscator; and attacks on it."""
        section, target, add, seed = self.scenario.attacks, self.target, self.trainings.add, self.trainings.seed
        habits = self.scenario.training.habits()
        if section.losses:
            penalty, weight = PAPERS_LOSS
            add(PAPERS, _by_papers_loss, penalty, weight, target.clean, target.images, target.labels, target.attacked,
                self.public, habits, seed(PAPERS))  # fmt: skip
        if section.obfuscator:
            add(OBFUSCATED, _obfuscated, target.images, target.labels, target.attacked, self.public, habits,
                section.steps, seed(OBFUSCATED))  # fmt: skip


def _by_papers_loss(
    device: torch.device, penalty: Penalty, weight: float, clean: Tensor, images: Tensor, labels: Tensor,
    attacked: Tensor, public: Public, habits: Habits, seed: int,
) -> Restored:  # fmt: skip
    """Train a module as the paper does, share its features, and attack these: a workshop's job."""
    module = controls.module(device, penalty, weight, clean, images, labels, public.shared, habits, seed)
    return attacks.published_reconstructor(device, Seen(apply(clean[attacked], module)), public)


def _obfuscated(
    device: torch.device, images: Tensor, labels: Tensor, attacked: Tensor, public: Public, habits: Habits, steps: int,
    seed: int,
) -> tuple[Restored, Restored]:  # fmt: skip
    """Train the competitor, share its features, and attack these twice: a workshop's job."""
    found = controls.obfuscated(device, public.shared, images, labels, steps, seed)
    seen = Seen(apply(images[attacked], found.network.featurizer))
    own = attacks.by(found.reconstructor, seen)
    return own, attacks.reversed_obfuscator(device, seen, found.network.featurizer, public, habits, seed + 1)
