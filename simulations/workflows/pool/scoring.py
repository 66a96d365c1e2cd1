"""What came of a pool: trains what Table 5 compares with, runs attacks, and scores both against the truth."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from parties.pool.record import PoolRecord
from protocol.compute.workshop import Workshop
from protocol.errors import RunFailed
from protocol.flower import FIRST_NODE_ID
from simulations.reports.words import count as count_of
from simulations.runs.seeding import numpy_generator
from simulations.runs.workshops import Trainings
from simulations.workflows.pool import attacks as attackers
from simulations.workflows.pool import controls
from simulations.workflows.pool.attacks import Pairs, PoolView, Public
from simulations.workflows.pool.perceptual import perceptual_distance
from simulations.workflows.pool.report import Attack, EntityAccount, Inference, PoolOutcome, Shown
from simulations.workflows.pool.scenario import PoolScenario
from simulations.workflows.pool.world import PoolWorld
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.obfuscator import DeepObfuscator
from strategies.deep_poisoning.reconstructor import PUBLISHED, Reconstructor
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import Penalty
from strategies.learning.batches import accuracy, apply
from strategies.scores.image_quality import disclosure

PICTURED = 6
"""Images in the picture table."""
BROKEN = 0.5
"""A protection is broken by who gets this part of the SSIM that clean features give."""
LOSSES: dict[str, tuple[Penalty, float, str]] = {
    "the paper's loss": ("signed", 1.0, "nothing more; but this module was trained by the paper's loss, signed SSIM"),
}
"""Losses of a module beside that of the scenario: penalty, lambda, and what the attacker knows."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Pictures of one attacker for the page, (k, 3, side, side) in 0..1."""

    name: str
    clean: Tensor | None
    protected: Tensor


@dataclass(frozen=True, eq=False)
class ScoredPool:
    """Everything that is known about a pool that was played."""

    scenario: PoolScenario
    world: PoolWorld
    record: PoolRecord
    outcome: PoolOutcome
    entities: list[EntityAccount]
    attacks: list[Attack]
    inferences: list[Inference]
    originals: Tensor
    exhibits: list[Exhibit]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Target:
    """The entity that attackers are after, and the truth about it.

    Attributes:
        images, labels, features: Its images with their classes, and what is pooled of them, in the same order.
        clean: (n, channels, h, w), what would be pooled without protection.
        attacked, leakable: (k,) int64; positions on which attackers are scored, and others.
    """

    images: Tensor
    labels: Tensor
    features: Tensor
    clean: Tensor
    attacked: Tensor
    leakable: Tensor


class Scoring:
    """Scores a pool that was played.

    Args:
        scenario, world, record: What was to be, who took part, and what the cloud wrote down.
        view: What attackers see.
        workshop: Where everything is trained.
    """

    def __init__(
        self, scenario: PoolScenario, world: PoolWorld, record: PoolRecord, view: PoolView, workshop: Workshop
    ) -> None:
        self.scenario, self.world, self.record, self.view = scenario, world, record, view
        self.public = Public(world.public, view.shared)
        self.trainings = Trainings(workshop, scenario.seed)
        self._distance = perceptual_distance()

    def score(self) -> ScoredPool:
        """Train, attack and score.

        Raises:
            RunFailed: When the largest entity has pooled nothing, or a training failed.
        """
        target = self._target()
        self._add_controls()
        self._add_attackers(target)
        done = self.trainings.gather()
        attacks, exhibits = self._attacks(target, done)
        entities = self._entities(done)
        return ScoredPool(
            scenario=self.scenario,
            world=self.world,
            record=self.record,
            outcome=self._outcome(entities, attacks, done["clean union"]),
            entities=entities,
            attacks=attacks,
            inferences=self._inferences(target, done),
            originals=target.images[target.attacked[:PICTURED]],
            exhibits=exhibits,
            seconds=self.trainings.seconds,
        )

    @cached_property
    def _clean(self) -> list[Tensor]:
        """Clean features of each entity's images."""
        featurizer = self.view.shared.network.featurizer
        return [apply(self.world.images(index), featurizer) for index in range(len(self.world.members))]

    @cached_property
    def _fresh(self) -> Tensor:
        return apply(self.world.held_back, self.view.shared.network.featurizer)

    def _target(self) -> Target:
        index = int(np.argmax(self.scenario.entities.images))
        features = self.view.features.get(FIRST_NODE_ID + index)
        if features is None:
            raise RunFailed("the largest entity has nothing in the pool: there is nothing to attack")
        order = torch.from_numpy(numpy_generator(self.scenario.seed, "attacked").permutation(len(features)))
        count = self.scenario.attacks.attacked
        return Target(
            self.world.images(index),
            self.world.labels(index),
            features,
            self._clean[index],
            order[:count],
            order[count:],
        )

    def _start(self) -> nn.Module:
        training, rules = self.scenario.training, self.world.rules
        if training.decider == "published":
            return self.view.shared.network.decider
        generator = torch.Generator().manual_seed(self.trainings.seed("decider"))
        return new_network(training.architecture, rules.classes, generator).decider

    def _add_controls(self) -> None:
        world, habits, add, seed = self.world, self.scenario.training.habits(), self.trainings.add, self.trainings.seed
        rules, fresh = world.rules, (self._fresh, world.held_back_labels)
        start = self._start()
        for index in range(len(world.members)):
            labels = world.labels(index)
            add(f"entity-{index + 1}, its own features", controls.decider, start, self._clean[index], labels, habits,
                seed(f"control {index}"), *fresh)  # fmt: skip
            if FIRST_NODE_ID + index != self.record.publisher:
                add(f"entity-{index + 1}, end to end", controls.end_to_end, rules.architecture, rules.classes,
                    world.images(index), labels, habits, seed(f"alone {index}"), world.held_back,
                    world.held_back_labels)  # fmt: skip
        everybody = [world.labels(index) for index in range(len(world.members))]
        add("clean union", controls.decider, start, torch.cat(self._clean), torch.cat(everybody), habits,
            seed("union"), *fresh)  # fmt: skip

    def _add_attackers(self, target: Target) -> None:
        section, public, add, seed = self.scenario.attacks, self.public, self.trainings.add, self.trainings.seed
        habits, steps = self.scenario.training.habits(), section.steps
        for design in section.unseen:
            add(f"unseen {design}", attackers.unseen, design, public, steps, seed(design))
        for count in self._pair_counts(target):
            some = target.leakable[:count]
            pairs = Pairs(target.images[some], target.features[some])
            add(f"{count} leaked pairs", attackers.leaked, pairs, public, steps, seed(f"{count} pairs"))
        for modules in section.modules:
            add(f"{modules} own modules", attackers.own_modules, modules, public, habits, seed(f"{modules} modules"))
        if section.attribute:
            bright = self._brightness(self.world.public)
            add("brightness", attackers.attribute, self.world.rules.architecture, bright,
                target.features[target.attacked], public, steps, seed("brightness"))  # fmt: skip
        if section.losses:
            for name, (penalty, weight, _) in LOSSES.items():
                add(name, controls.module, penalty, weight, target.clean, target.images, target.labels,
                    self.view.shared, habits, seed(name))  # fmt: skip
        if section.obfuscator:
            add("DeepObfuscator", _obfuscate_and_reverse, self.view.shared, target.images, target.labels, public,
                steps, seed("DeepObfuscator"))  # fmt: skip

    def _pair_counts(self, target: Target) -> list[int]:
        return sorted({min(count, len(target.leakable)) for count in self.scenario.attacks.pairs})

    def _attacks(self, target: Target, done: dict[str, Any]) -> tuple[list[Attack], list[Exhibit]]:
        shared, section = self.view.shared, self.scenario.attacks
        clean, poisoned = target.clean[target.attacked], target.features[target.attacked]
        attacks: list[Attack] = []
        exhibits: list[Exhibit] = []

        def judge(
            name: str, kind: str, knows: str, psi: Reconstructor, before: Tensor | None, after: Tensor, pairs: int = 0
        ) -> None:
            seen = attackers.shown(psi, after)
            bare = None if before is None else attackers.shown(psi, before)
            scores = [None if found is None else self._shown(found, target) for found in (bare, seen)]
            assert scores[1] is not None
            attacks.append(Attack(name=name, kind=kind, knows=knows, pairs=pairs, clean=scores[0], protected=scores[1]))
            exhibits.append(Exhibit(name, None if bare is None else bare[:PICTURED], seen[:PICTURED]))

        nothing = "nothing more"
        psi = shared.reconstructor
        judge(f"published reconstructor ({PUBLISHED})", "published", nothing, psi, clean, poisoned)
        for design in section.unseen:
            judge(f"unseen {design}", "unseen", nothing, done[f"unseen {design}"], clean, poisoned)
        for modules in section.modules:
            name = count_of(modules, "module") + " of its own"
            knows = f"{name}, trained on public images as entities do"
            judge(name, "modules", knows, done[f"{modules} own modules"], None, poisoned)
        for count in self._pair_counts(target):
            knows = f"{count} leaked pairs of an image and its poisoned feature"
            judge(f"{count} leaked pairs", "pairs", knows, done[f"{count} leaked pairs"], None, poisoned, count)
        if section.losses:
            for name, (_, _, knows) in LOSSES.items():
                module: DeepPoisoningModule = done[name]
                judge(
                    f"published reconstructor, against {name}",
                    "loss",
                    knows,
                    shared.reconstructor,
                    None,
                    apply(clean, module),
                )
        if section.obfuscator:
            obfuscated, reverser = done["DeepObfuscator"]
            features = apply(target.images[target.attacked], obfuscated.network.featurizer)
            knows = "nothing more; it is what the obfuscator was trained against"
            judge("DeepObfuscator's own adversary", "obfuscator", knows, obfuscated.reconstructor, None, features)
            knows = "the obfuscator, as every entity in a pool would"
            judge("DeepObfuscator, reversed", "obfuscator", knows, reverser, None, features)
        return attacks, exhibits

    def _shown(self, pictures: Tensor, target: Target) -> Shown:
        network = self.view.shared.network
        recognised = accuracy(network.decider, apply(pictures, network.featurizer), target.labels[target.attacked])
        originals = target.images[target.attacked]
        lpips = self._distance(pictures, originals) if self._distance else None
        return Shown.of(disclosure(pictures, originals), recognised, lpips)

    def _brightness(self, images: Tensor) -> Tensor:
        """Say which images are brighter than the median public one."""
        return images.mean((1, 2, 3)) > self.world.public.mean((1, 2, 3)).median()

    def _inferences(self, target: Target, done: dict[str, Any]) -> list[Inference]:
        labels = target.labels[target.attacked]
        guess = accuracy(self.view.shared.network.decider, target.features[target.attacked], labels)
        found = [
            Inference(
                what="the class, if labels were left out",
                knows="the published decider",
                accuracy=guess,
                majority=labels.bincount().max().item() / len(labels),
            )
        ]
        if self.scenario.attacks.attribute:
            truth = self._brightness(target.images[target.attacked])
            share = truth.double().mean().item()
            right = (done["brightness"] == truth).double().mean().item()
            found.append(
                Inference(
                    what="whether an image is bright",
                    knows="clean features of public images",
                    accuracy=right,
                    majority=max(share, 1 - share),
                )
            )
        return found

    def _entities(self, done: dict[str, Any]) -> list[EntityAccount]:
        record, names, refused = self.record, self.world.names, dict(self.record.refused)
        accounts = []
        for index, member in enumerate(self.world.members):
            node = FIRST_NODE_ID + index
            said = record.poisoned.get(node)
            rounds = [refined[node] for refined in record.refined if node in refined]
            features = self.view.features.get(node)
            found = None
            if features is not None and node not in refused and len(features) == len(self.world.images(index)):
                found = disclosure(attackers.shown(self.view.shared.reconstructor, features), self.world.images(index))
            clean = None if said is None else said.clean
            published = node == record.publisher
            alone = clean if published and clean is not None else done.get(f"{names[node]}, end to end", 0.0)
            accounts.append(
                EntityAccount(
                    party=names[node],
                    adversary=member.adversary,
                    images=len(member.party.holdings.images),
                    late=member.late,
                    published=published,
                    clean=clean,
                    poisoned=None if said is None else said.poisoned,
                    ssim=None if found is None else round(found.ssim, 6),
                    ssim_of_negative=None if found is None else round(found.ssim_of_negative, 6),
                    alone=alone,
                    control=done[f"{names[node]}, its own features"],
                    pooled=rounds[-1].top1 if rounds else None,
                    used=rounds[-1].used if rounds else 0,
                    doubted=rounds[-1].doubted if rounds else 0,
                    refused=refused.get(node),
                )
            )
        return accounts

    def _outcome(self, entities: list[EntityAccount], attacks: list[Attack], union: float) -> PoolOutcome:
        honest = [each for each in entities if each.adversary is None and each.poisoned is not None]
        published = attacks[0]
        assert published.clean is not None
        half = BROKEN * published.clean.ssim
        broken = [
            each.pairs
            for each in attacks
            if each.kind in ("published", "unseen", "modules", "pairs") and each.protected.either_polarity >= half
        ]
        ratios = [
            each.protected.either_polarity / each.clean.ssim for each in attacks if each.kind == "unseen" and each.clean
        ]
        gains = sorted((each.images, each.pooled - each.control) for each in honest if each.pooled is not None)
        return PoolOutcome(
            digest=digest(self.record),
            features=sum(part.count for part in self.record.parts),
            refused=len(self.record.refused),
            clean=_mean([each.clean or 0.0 for each in honest]),
            poisoned=sum(each.images * (each.poisoned or 0.0) for each in honest)
            / max(1, sum(each.images for each in honest)),
            clean_ssim=published.clean.ssim,
            ssim=published.protected.ssim,
            ssim_of_negative=published.protected.ssim_of_negative,
            unseen_ratio=round(max(ratios), 6) if ratios else None,
            breaks_at=min(broken, default=None),
            small_gain=gains[0][1] if gains else None,
            large_gain=_mean([gain for _, gain in gains[1:]]) if gains[1:] else None,
            clean_union=union,
        )


def digest(record: PoolRecord) -> str:
    """Return the SHA-256 of what was pooled, and of how every decider does."""
    hashed = hashlib.sha256()
    for part in record.parts:
        hashed.update(f"{part.entity} {part.blob} {part.labels.tolist()};".encode())
    for refined in record.refined:
        for node, each in sorted(refined.items()):
            hashed.update(f"{node} {each.used} {each.doubted} {each.top1} {each.top5};".encode())
    hashed.update(repr(record.refused).encode())
    return hashed.hexdigest()


def _obfuscate_and_reverse(
    device: torch.device, shared: Any, images: Tensor, labels: Tensor, public: Public, steps: int, seed: int
) -> tuple[DeepObfuscator, Reconstructor]:
    """Train the competitor and the attacker on it: a workshop's job."""
    found = controls.obfuscated(device, shared, images, labels, steps, seed)
    return found, attackers.reversed_obfuscator(device, found.network.featurizer, public, steps, seed + 1)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
