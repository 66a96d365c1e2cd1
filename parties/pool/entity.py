"""The entity: an institution with confidential images."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from parties.party import Party, step
from parties.pool.checks import contribution_refusal
from parties.pool.holdings import USUAL, Habits, Holdings, Opened
from parties.pool.published import Published, blank, feature_shape, highest_features, published
from parties.pool.scrutiny import Scrutiny
from protocol.compute.workshop import reproducible
from protocol.crypto.signing import verify
from protocol.encoding.canonical import canonical
from protocol.errors import ProtocolError
from protocol.messages.base import Acknowledgement, Digest, ProtocolMessage, PublicKey
from protocol.messages.pool import (
    ContributionCall,
    Enrolment,
    Network,
    NetworkCall,
    Poisoned,
    PoisonedFeatures,
    PoisoningCall,
    PretrainingCall,
    Refined,
    RefinementCall,
    Role,
    Rules,
    SignedNetwork,
    Weights,
)
from strategies.deep_poisoning.contributions import LabelledFeatures
from strategies.deep_poisoning.module import DeepPoisoningModule, new_module
from strategies.deep_poisoning.split import SplitNetwork, new_network
from strategies.deep_poisoning.training import (
    train_decider,
    train_network,
    train_poisoning,
    train_reconstructor,
)
from strategies.learning.batches import Mirrored, accuracy, apply, guessed
from strategies.learning.fit import Plan
from strategies.learning.weights import in_one_row, restore_row
from strategies.privacy.secret_generator import secret_generator

PART_BYTES = 16_000_000
"""Bytes of features in one message, about."""
CREDIBLE = 1
"""The agreement defence accepts a label among this many first guesses of the entity's own decider."""


class Module(ProtocolMessage):
    """The weights of its private module, which it never sends, and the featurizer that it was trained for."""

    featurizer: Digest
    weights: Weights


class Decider(ProtocolMessage):
    """The weights of its refined decider."""

    weights: Weights


class Publisher(ProtocolMessage):
    """The key of the entity that published the networks of a pool."""

    pool: Digest
    key: PublicKey


class Highest(ProtocolMessage):
    """The highest values of a featurizer's channels."""

    values: Weights


class Entity(Party):
    """Pools its images as poisoned features, and learns from those of others.

    Steps:

    1. ``enrol``: take note of the rules, and return its number of images;
    2. ``pretrain`` and ``publish``, if it is the publisher: train the network on its images and the reconstructor
       on public ones, and publish featurizer, decider and reconstructor;
    3. ``adopt``: check who has signed what was published, and take it over;
    4. ``poison``: train its private Deep Poisoning Module, which never leaves it;
    5. ``contribute``: put poisoned features with their labels into the pool, part by part;
    6. ``draw``: take others' features from the pool;
    7. ``refine``: train a decider on its own clean features and on others' poisoned ones.

    Args:
        secret: 32 bytes that only this party knows.
        holdings: Its images.
    """

    role = "entity"

    scrutiny = Scrutiny()
    """What it finds out itself before it contributes; its policy sets that."""

    def __init__(self, secret: bytes, holdings: Holdings, habits: Habits = USUAL) -> None:
        super().__init__(secret)
        self._holdings, self.habits = holdings, habits

    @property
    def holdings(self) -> Holdings:
        """Its images."""
        return self._holdings

    @step("enrol")
    def enrol(self, rules: Rules) -> Enrolment:
        """Take note of the rules."""
        blank(rules)
        shape = (rules.side, rules.side, 3)
        if len(self.holdings.images) and self.holdings.images[0].shape != shape:
            raise ProtocolError(f"this entity's pictures have shape {self.holdings.images[0].shape}, not {shape}")
        self.memory.keep("rules", rules)
        return Enrolment(samples=len(self.holdings.images))

    @step("pretrain")
    def pretrain(self, call: PretrainingCall) -> Acknowledgement:
        """Step 1 (section 3.2): train the network on its own images, and a reconstructor on public ones."""
        rules, habits, holdings = self._rules(call.pool), self.habits, self.holdings
        images, public = Opened(holdings.images), Opened(holdings.public)
        labels = torch.from_numpy(holdings.labels)
        with computing() as device:
            untrained = new_network(rules.architecture, rules.classes, self.torch_generator("network"))
            plan = habits.plan(habits.pretraining, len(labels))
            network = train_network(untrained, images, labels, self.torch_generator("pretraining"), plan, device=device)
            reconstructor = train_reconstructor(
                apply(public, network.featurizer),
                public,
                self.torch_generator("reconstruction"),
                habits.plan(habits.reconstruction, len(public)),
                design=rules.reconstructor,
                device=device,
            )
        made = Published(network, reconstructor)
        for role in Role:
            self.memory.keep(role, made.message(rules.pool, role))
        return Acknowledgement()

    @step("publish")
    def publish(self, call: NetworkCall) -> SignedNetwork:
        """Publish one of the trained networks, and sign it."""
        self._rules(call.pool)
        network, key = self.trained(call.role), self.identity
        return SignedNetwork(
            network=network,
            publisher=key.public,
            signature=key.sign("network", canonical(network)),
            voucher=self.voucher(key.public),
        )

    def trained(self, role: Role) -> Network:
        """Return a network that it has trained."""
        return self.memory.recall(role, Network)

    @step("adopt")
    def adopt(self, signed: SignedNetwork) -> Acknowledgement:
        """Take over one of the published networks, of which one entity has signed all."""
        network = signed.network
        self._rules(network.pool)
        self.scrutiny.check_publisher(self.check_holder(signed.publisher, signed.voucher, "entity"))
        if not verify(signed.publisher, "network", canonical(network), signed.signature):
            raise ProtocolError(f"the {network.role} is not signed by its publisher")
        publisher = Publisher(pool=network.pool, key=signed.publisher)
        before = self.memory.recall("publisher", Publisher) if self.memory.keeps("publisher") else publisher
        if before.pool == network.pool and before != publisher:
            raise ProtocolError(f"the {network.role} is signed by another publisher than the networks that came before")
        self.memory.keep("publisher", publisher)
        self.memory.keep(network.role, network)
        return Acknowledgement()

    @step("poison")
    def poison(self, call: PoisoningCall) -> Poisoned:
        """Step 2 (section 3.3): train the private module; nothing of it is in the answer."""
        rules, holdings = self._rules(call.pool), self.holdings
        shared = self._shared(rules)
        if shared.fingerprint != call.featurizer:
            raise ProtocolError("the networks that reached this entity are not those of the pool")
        with computing() as device:
            self.scrutiny.check_reconstructor(shared, Opened(holdings.public), device)
            module = self.train_module(shared, device)
            self.memory.keep("module", Module(featurizer=shared.fingerprint, weights=in_one_row(module)))
            self._check_module(shared, device)
            clean = poisoned = None
            if len(holdings.held_back):
                features = apply(Opened(holdings.held_back), shared.network.featurizer.to(device))
                labels = torch.from_numpy(holdings.held_back_labels)
                decider = shared.network.decider.to(device)
                clean, poisoned = (
                    accuracy(decider, maps, labels) for maps in (features, apply(features, module.to(device)))
                )
        return Poisoned(parts=len(self._parts(rules)), clean=clean, poisoned=poisoned)

    def _check_module(self, shared: Published, device: torch.device) -> None:
        own, public = Opened(self.holdings.images), Opened(self.holdings.public)
        poisoned = partial(self.poisoned, shared=shared, device=device)
        self.scrutiny.check_module(shared, public, own, poisoned, self.torch_generator("scrutiny"), device)

    def train_module(self, shared: Published, device: torch.device) -> DeepPoisoningModule:
        """Train the module on all of its own images, and on their mirror images."""
        images = Mirrored(Opened(self.holdings.images))
        labels = torch.from_numpy(self.holdings.labels).repeat(2)
        habits = self.habits
        return train_poisoning(
            apply(images, shared.network.featurizer.to(device)),
            images,
            labels,
            shared.network.decider,
            shared.reconstructor,
            self.torch_generator("module"),
            habits.plan(habits.poisoning, len(labels)),
            weight=habits.weight,
            penalty=habits.penalty,
            device=device,
        )

    @step("contribute")
    def contribute(self, call: ContributionCall) -> PoisonedFeatures:
        """Poison the features of some of its images."""
        rules = self._rules(call.pool)
        shared, parts = self._shared(rules), self._parts(rules)
        if call.part >= len(parts):
            raise ProtocolError(f"part {call.part} was asked for, and there are {len(parts)}")
        with computing() as device:
            offered = self.offer(parts[call.part], shared, device)
        return PoisonedFeatures(
            pool=rules.pool,
            featurizer=shared.fingerprint,
            features=offered.features.numpy(),
            labels=offered.labels.numpy(),
        )

    def offer(self, chosen: Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
        """Return the contribution of some of its images, by their positions."""
        images = Opened(self.holdings.images)[chosen]
        return LabelledFeatures(self.poisoned(images, shared, device), torch.from_numpy(self.holdings.labels)[chosen])

    def poisoned(self, images: Tensor, shared: Published, device: torch.device) -> Tensor:
        """Return the poisoned features of (n, 3, height, width) images in 0..1.

        Raises:
            ProtocolError: When no module was trained for this featurizer: one that was for another hides nothing.
        """
        own = self.memory.recall("module", Module) if self.memory.keeps("module") else None
        if own is None or own.featurizer != shared.fingerprint:
            raise ProtocolError("no module of this entity was trained for the networks that it has now")
        module = new_module(feature_shape(shared.network, images.shape[2])[0], torch.Generator()).eval()
        restore_row(module, np.asarray(own.weights))
        return apply(images, shared.network.featurizer.to(device), module.to(device)).contiguous()

    @step("draw")
    def draw(self, contribution: PoisonedFeatures) -> Acknowledgement:
        """Take features of another entity from the pool."""
        rules = self._rules(contribution.pool)
        shared = self._shared(rules)
        shape = feature_shape(shared.network, rules.side)
        highest = self._highest(rules, shared)
        refusal = contribution_refusal(contribution, rules.pool, shared.fingerprint, shape, rules.classes, highest)
        if refusal is not None:
            raise ProtocolError(f"features from the pool are refused: {refusal}")
        self.memory.keep(f"drawn-{self._drawn()}", contribution)
        return Acknowledgement()

    @step("refine")
    def refine(self, call: RefinementCall) -> Refined:
        """Step 3 (section 3.4): refine the decider on its own clean features and others' poisoned ones."""
        rules, holdings = self._rules(call.pool), self.holdings
        shared = self._shared(rules)
        with computing() as device:
            featurizer = shared.network.featurizer.to(device)
            own = LabelledFeatures(apply(Opened(holdings.images), featurizer), torch.from_numpy(holdings.labels))
            drawn = self._pooled(own)
            believed = self.believed(drawn, shared.network.decider.to(device))
            chosen = LabelledFeatures(drawn.features[believed], drawn.labels[believed])
            decider = self.refined(shared, [own, chosen], device)
            top1 = top5 = None
            if len(holdings.held_back):
                fresh = apply(Opened(holdings.held_back), featurizer)
                labels = torch.from_numpy(holdings.held_back_labels)
                top1, top5 = (accuracy(decider, fresh, labels, min(top, rules.classes)) for top in (1, 5))
            self.memory.keep("refined", Decider(weights=in_one_row(decider)))
        used = int(believed.sum())
        return Refined(used=used, doubted=len(believed) - used, top1=top1, top5=top5)

    def model(self) -> SplitNetwork:
        """Return the featurizer that all share with the decider that this entity has refined.

        Raises:
            ProtocolError: When nothing has been refined.
        """
        shared = self._shared(self.memory.recall("rules", Rules))
        if not self.memory.keeps("refined"):
            raise ProtocolError("this entity has refined no decider")
        restore_row(shared.network.decider, np.asarray(self.memory.recall("refined", Decider).weights))
        return shared.network

    def believed(self, drawn: LabelledFeatures, decider: nn.Module) -> Tensor:
        """Return which of the (n,) features from the pool to use: all, or those with which its decider agrees."""
        if self.habits.defence == "none" or not len(drawn.labels):
            return torch.ones(len(drawn.labels), dtype=torch.bool)
        return guessed(decider, *drawn, CREDIBLE)

    def refined(self, shared: Published, parts: Sequence[LabelledFeatures], device: torch.device) -> nn.Module:
        """Train a decider on features."""
        rules = self.memory.recall("rules", Rules)
        start: nn.Module = shared.network.decider
        if self.habits.decider == "new":
            start = new_network(rules.architecture, rules.classes, self.torch_generator("decider")).decider
        together = LabelledFeatures(
            torch.cat([part.features for part in parts]), torch.cat([part.labels for part in parts])
        )
        return train_decider(start, *together, self.torch_generator("refinement"), self._plan(together), device=device)

    def torch_generator(self, purpose: str) -> torch.Generator:
        """Return this party's torch generator for one purpose."""
        return secret_generator(self.derive("torch", purpose))

    def _plan(self, features: LabelledFeatures) -> Plan:
        return self.habits.plan(self.habits.refinement, len(features.labels))

    def _pooled(self, like: LabelledFeatures) -> LabelledFeatures:
        """Return everything that was drawn so far."""
        drawn = [self.memory.recall(f"drawn-{number}", PoisonedFeatures) for number in range(self._drawn())]
        features = [torch.from_numpy(np.array(part.features)) for part in drawn]
        labels = [torch.from_numpy(np.array(part.labels)) for part in drawn]
        return LabelledFeatures(torch.cat([like.features[:0], *features]), torch.cat([like.labels[:0], *labels]))

    def _drawn(self) -> int:
        number = 0
        while self.memory.keeps(f"drawn-{number}"):
            number += 1
        return number

    def _highest(self, rules: Rules, shared: Published) -> NDArray[np.float32]:
        """Return what the featurizer reaches; it is computed once."""
        name = f"highest {shared.fingerprint.hex()}"
        if not self.memory.keeps(name):
            with computing():
                self.memory.keep(name, Highest(values=highest_features(shared.network, rules.side)))
        return self.memory.recall(name, Highest).values

    def _rules(self, pool: bytes) -> Rules:
        """Return the rules of the pool that this entity is in."""
        try:
            rules = self.memory.recall("rules", Rules)
        except KeyError:
            raise ProtocolError("this entity is in no pool") from None
        if rules.pool != pool:
            raise ProtocolError("this entity is in another pool")
        return rules

    def _shared(self, rules: Rules) -> Published:
        try:
            return published(rules, {role: self.memory.recall(role, Network) for role in Role})
        except KeyError:
            raise ProtocolError("the published networks have not reached this entity") from None

    def _parts(self, rules: Rules) -> tuple[Tensor, ...]:
        """Cut the positions of its images into parts of about `PART_BYTES` of features."""
        channels, height, width = feature_shape(blank(rules).network, rules.side)
        positions = torch.arange(len(self.holdings.images))
        return torch.split(positions, max(1, PART_BYTES // (4 * channels * height * width))) if len(positions) else ()


@contextmanager
def computing() -> Iterator[torch.device]:
    """Compute on this process's GPU if it has one, on one thread and by deterministic algorithms."""
    with reproducible():
        yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
