"""What came of a pool, scored against the truth: what attackers restored and inferred, and what the pool is worth."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from parties.pool.record import PoolRecord
from protocol.flower import FIRST_NODE_ID
from simulations.evaluation import Guesses
from simulations.reports.words import count as count_of
from simulations.workflows.pool.attacks import Restored
from simulations.workflows.pool.evaluation import OBFUSCATED, PAPERS, PICTURED, Evaluation
from simulations.workflows.pool.perceptual import Distance, perceptual_distance
from simulations.workflows.pool.report import Attack, EntityAccount, PoolOutcome, Shown
from strategies.deep_poisoning.reconstructor import PUBLISHED
from strategies.deep_poisoning.split import SplitNetwork
from strategies.learning.batches import accuracy, apply
from strategies.scores.image_quality import disclosure, l1, ssim

BROKEN = 0.5
"""A protection is broken by who gets this part of the SSIM that clean features give."""
POOL, PAPERS_POOL, OBFUSCATOR = "pool", "pool, the paper's loss", OBFUSCATED
"""Ways of sharing features: as the entities do, and two that they are compared with."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What reconstructions show of the attacked images.

    Attributes:
        shown: Means over the images.
        named: Of which an independent recogniser names the class.
        similar, opposite, away, unlike: (n,); SSIM, SSIM of the negative, L1 and, where it can be had, LPIPS.
        pictures: A few of them, (k, 3, side, side) in 0..1.
    """

    shown: Shown
    named: Guesses
    similar: Tensor
    opposite: Tensor
    away: Tensor
    unlike: list[float] | None
    pictures: Tensor


@dataclass(frozen=True, eq=False)
class Tried:
    """One attack that restores images, beside the truth.

    Attributes:
        attack: As the report has it.
        method: The way of sharing.
        budget: How many modules it trained, where it trains any.
        protected, clean: What it restores from shared features, and from clean ones where that was tried.
    """

    attack: Attack
    method: str
    budget: int
    protected: Judged
    clean: Judged | None


@dataclass(frozen=True, eq=False)
class Told:
    """An attribute that one attack infers from pooled features, beside the truth.

    Attributes:
        what: The attribute, in words.
        by_class: Whether it follows from the class, so that it is private only without labels.
        majority: Share of the more frequent value.
        right, clean: Of which images it is told rightly, from pooled features, and from clean ones.
    """

    what: str
    attack: str
    knows: str
    by_class: bool
    majority: float
    right: Guesses
    clean: Guesses


@dataclass(frozen=True, eq=False)
class ScoredPool:
    """Everything that is known about a pool that was played."""

    outcome: PoolOutcome
    entities: list[EntityAccount]
    tried: list[Tried]
    told: list[Told]
    originals: Tensor
    recognised: Guesses
    union: Guesses
    majority: float
    shown_majority: float
    restored: float
    seconds: dict[str, float]

    @property
    def attacks(self) -> list[Attack]:
        """As the report has them."""
        return [each.attack for each in self.tried]


class Scoring:
    """Compares what attackers and controls came to with the truth.

    Args:
        evaluation: Which was run.
        done: What came of it.
    """

    def __init__(self, evaluation: Evaluation, done: Mapping[str, Any]) -> None:
        self.evaluation, self.done = evaluation, done
        self.world, self.record, self.target = evaluation.world, evaluation.record, evaluation.target
        self._originals = self.target.images[self.target.attacked]
        self._labels = self.target.labels[self.target.attacked]
        people, self._persons, self._shown = self.world.people, self.target.attacked.numpy(), self._labels
        if people is not None:
            self._persons = people.persons[self.target.index][self.target.attacked.numpy()]
            self._shown = people.classes[self.target.index][self.target.attacked]
        self._judge: SplitNetwork = done["recogniser"]
        self._distance: Distance | None = perceptual_distance()

    def score(self) -> ScoredPool:
        """Score everything."""
        tried = list(self._tried())
        entities = self._entities()
        union = self._fresh(self.done["clean union"])
        labels = self.world.held_back_labels
        return ScoredPool(
            outcome=self._outcome(entities, tried, union.rate.value),
            entities=entities,
            tried=tried,
            told=list(self._told()),
            originals=self._originals[:PICTURED],
            recognised=self._named(self._originals),
            union=union,
            majority=labels.bincount().max().item() / len(labels),
            shown_majority=self._shown.bincount().max().item() / len(self._shown),
            restored=self.evaluation.public.restored,
            seconds=self.evaluation.trainings.seconds,
        )

    def _fresh(self, classes: Tensor) -> Guesses:
        return Guesses.of((classes == self.world.held_back_labels).numpy())

    def _named(self, pictures: Tensor) -> Guesses:
        named = apply(pictures, self._judge.featurizer, self._judge.decider).argmax(1)
        return Guesses.of((named == self._shown).numpy(), self._persons)

    def _judged(self, pictures: Tensor) -> Judged:
        named, originals = self._named(pictures), self._originals
        unlike = None
        if self._distance is not None:
            unlike = [self._distance(pictures[n : n + 1], originals[n : n + 1]) for n in range(len(pictures))]
        lpips = None if unlike is None else float(np.mean(unlike))
        return Judged(
            Shown.of(disclosure(pictures, originals), named.rate.value, lpips),
            named,
            ssim(pictures, originals),
            ssim(1 - pictures, originals),
            l1(pictures, originals),
            unlike,
            pictures[:PICTURED],
        )

    def _tried(self) -> Iterator[Tried]:
        section, done = self.evaluation.scenario.attacks, self.done
        nothing = "nothing more"
        public = f"{count_of(len(self.world.public), 'public image')} of other classes or people"
        trains = f"{public}, and how entities train modules"

        def tried(
            name: str, kind: str, knows: str, restored: Restored, pairs: int = 0, method: str = POOL, budget: int = 1
        ) -> Tried:
            protected, *clean = map(self._judged, restored)
            bare = clean[0] if clean else None
            attack = Attack(
                name=name, kind=kind, knows=knows, pairs=pairs, clean=None if bare is None else bare.shown,
                protected=protected.shown,
            )  # fmt: skip
            return Tried(attack, method, budget, protected, bare)

        yield tried(f"published reconstructor ({PUBLISHED})", "published", nothing, done["published"])
        for design in section.unseen:
            yield tried(f"unseen {design}", "unseen", public, done[f"unseen {design}"])
        for number in section.modules:
            name = count_of(number, "module") + " of its own"
            yield tried(name, "modules", trains, done["own modules"].restored[number], budget=number)
        for number in section.aligned:
            name = count_of(number, "module") + " of its own, aligned with the pool"
            yield tried(name, "aligned", trains, done["aligned modules"].restored[number], budget=number)
        for number in self.evaluation.pair_counts:
            knows = f"{number} leaked pairs of an image and its poisoned feature"
            yield tried(f"{number} leaked pairs", "pairs", knows, done[f"{number} leaked pairs"], number)
        if section.losses:
            knows = "nothing more; but this module was trained by the paper's loss, signed SSIM"
            (restored,) = done[PAPERS]
            yield tried(f"published reconstructor, against {PAPERS}", "loss", knows, (restored,), method=PAPERS_POOL)
            yield tried(
                f"the same, in the negative, against {PAPERS}", "loss", knows, (1 - restored,), method=PAPERS_POOL
            )
        if section.obfuscator:
            own, reverse = done[OBFUSCATED]
            knows = "nothing more; it is what the obfuscator was trained against"
            yield tried("DeepObfuscator's own adversary", "obfuscator", knows, own, method=OBFUSCATOR)
            knows = f"the obfuscator, as every entity in a pool would, and {public}"
            yield tried("DeepObfuscator, reversed", "obfuscator", knows, reverse, method=OBFUSCATOR)

    @cached_property
    def _truth(self) -> dict[str, tuple[Tensor, bool]]:
        """Attributes of the attacked images, and whether each follows from the class."""
        scene, shown = self.world.attributes(self.target.index)
        return {
            **{name: (has[self.target.attacked], False) for name, has in scene.items()},
            **{name: (has[self.target.attacked], True) for name, has in shown.items()},
        }

    def _told(self) -> Iterator[Told]:
        done = self.done

        def told(what: str, attack: str, knows: str, truth: Tensor, by_class: bool, *guesses: Tensor) -> Told:
            share = float(np.unique(truth.numpy(), return_counts=True)[1].max()) / len(truth)
            right, clean = (Guesses.of((guess == truth).numpy(), self._persons) for guess in guesses)
            return Told(what, attack, knows, by_class, share, right, clean)

        yield told("the class", "published decider", "nothing more", self._labels, True, *done["classes"])
        if "attributes" not in done:
            return
        shared, clean = done["attributes"]
        ways = {"a decider, learnt from clean features": ("public images with their attributes", shared)}
        for name, knows in (
            ("own modules", "public images with their attributes, and how entities train modules"),
            ("aligned modules", "public images with their attributes, and how entities train modules"),
        ):
            if name in done:
                ways[f"a decider, learnt from features of {name}"] = knows, done[name].shows
        for column, name in enumerate(self.evaluation.names):
            truth, by_class = self._truth[name]
            if truth.all() or not truth.any():
                continue
            for attack, (knows, shows) in ways.items():
                guesses = shows[:, column], clean[:, column]
                yield told(f"whether an image {name}", attack, knows, truth, by_class, *guesses)

    def _entities(self) -> list[EntityAccount]:
        record, names, refused = self.record, self.world.names, dict(self.record.refused)
        reconstructor = self.evaluation.view.shared.reconstructor
        accounts = []
        for index, member in enumerate(self.world.members):
            node = FIRST_NODE_ID + index
            said = record.poisoned.get(node)
            rounds = [refined[node] for refined in record.refined if node in refined]
            features = self.evaluation.view.features.get(node)
            found = None
            if features is not None and node not in refused and len(features) == len(self.world.images(index)):
                found = disclosure(apply(features, reconstructor), self.world.images(index))
            clean = None if said is None else said.clean
            published = node == record.publisher
            ends = self.done.get(f"{names[node]}, end to end")
            alone = 0.0 if ends is None else self._fresh(ends).rate.value
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
                    alone=clean if published and clean is not None else alone,
                    control=self._fresh(self.done[f"{names[node]}, its own features"]).rate.value,
                    as_is=self._as_is,
                    pooled=rounds[-1].top1 if rounds else None,
                    used=rounds[-1].used if rounds else 0,
                    doubted=rounds[-1].doubted if rounds else 0,
                    refused=refused.get(node),
                )
            )
        return accounts

    @cached_property
    def _as_is(self) -> float:
        network = self.evaluation.view.shared.network
        return accuracy(network.decider, apply(self.world.held_back, network.featurizer), self.world.held_back_labels)

    def _outcome(self, entities: list[EntityAccount], tried: Sequence[Tried], union: float) -> PoolOutcome:
        honest = [each for each in entities if each.adversary is None and each.poisoned is not None]
        attacks = [each.attack for each in tried if each.method == POOL]
        published = attacks[0]
        assert published.clean is not None
        half = BROKEN * max(each.clean.ssim for each in attacks if each.clean)
        broken = [each.pairs for each in attacks if each.protected.either_polarity >= half]
        ratios = [
            each.protected.either_polarity / each.clean.ssim for each in attacks if each.kind == "unseen" and each.clean
        ]
        gains = sorted((each.images, each.pooled - each.best) for each in honest if each.pooled is not None)
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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
