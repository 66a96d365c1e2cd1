"""Attackers on a pool: each a function of what was pooled, and of what it declares to know beside that.

None sees an image that it is after, or what is true of it; `scoring` does. Each is a workshop's job: it takes a device
first, then what it looks at, and draws from a seed alone. It returns its guesses: what the images look like, in 0..1,
or which attributes they have.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parties.pool.holdings import Habits
from parties.pool.published import Published, published
from parties.pool.scrutiny import NOTHING, restored
from protocol.messages.pool import PoisonedFeatures, Role, Rules, SignedNetwork
from simulations.runs.views import View
from strategies.deep_poisoning.alignment import aligned_module
from strategies.deep_poisoning.attacks import from_leaked_pairs, from_modules, inferred, reverse
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import train_poisoning, train_reconstructor
from strategies.learning.batches import apply

TRIED = 128
"""Public images on which the published reconstructor is tried."""


@dataclass(frozen=True, eq=False)
class PoolView:
    """What a party that draws from a pool has of it.

    Attributes:
        features: Each (n, channels, h, w), by the node id of who contributed them.
        labels: Each (n,), as they were contributed.
        shared: The published networks.
    """

    features: dict[int, Tensor]
    labels: dict[int, Tensor]
    shared: Published

    @classmethod
    def of(cls, view: View, rules: Rules) -> "PoolView":
        """Sort out the messages that the cloud received."""
        signed = [message for _, message in view.received() if isinstance(message, SignedNetwork)]
        networks = {each.network.role: each.network for each in signed}
        parts: dict[int, list[PoisonedFeatures]] = {}
        for node, message in view.received():
            if isinstance(message, PoisonedFeatures):
                parts.setdefault(node, []).append(message)
        return cls(
            {node: _joined([part.features for part in own]) for node, own in parts.items()},
            {node: _joined([part.labels for part in own]) for node, own in parts.items()},
            published(rules, {role: networks[role] for role in Role}),
        )


@dataclass(frozen=True, eq=False)
class Seen:
    """Features that an attacker looks at, each (n, channels, h, w).

    Attributes:
        features: As they are shared.
        clean: The same images' without a protection, on which an attack is tried as well; None: it is not.
    """

    features: Tensor
    clean: Tensor | None = None

    def each(self) -> tuple[Tensor, ...]:
        """Return both, or the one."""
        return (self.features,) if self.clean is None else (self.features, self.clean)


@dataclass(frozen=True, eq=False)
class Public:
    """What anybody has: images that are not secret, and the networks.

    Attributes:
        images: (m, 3, height, width), in 0..1, of other classes or people than the entities'.
        attributes: (m, k) bool; what they show.
        shared: The published networks.
    """

    images: Tensor
    attributes: Tensor
    shared: Published

    @property
    def clean(self) -> Tensor:
        """The images' clean features."""
        return apply(self.images, self.shared.network.featurizer)

    @property
    def guessed(self) -> Tensor:
        """What the published decider takes the images for."""
        return apply(self.clean, self.shared.network.decider).argmax(1)

    @property
    def restored(self) -> float:
        """How much the published reconstructor restores of some of them from clean features; 0: nothing."""
        some = self.images[:TRIED]
        return restored(apply(some, self.shared.network.featurizer, self.shared.reconstructor), some)

    @property
    def usable_reconstructor(self) -> Reconstructor | None:
        """The published reconstructor to start from; None where it restores nothing."""
        return self.shared.reconstructor if self.restored > NOTHING else None


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images whose poisoned features leaked with them: (n, 3, height, width) and (n, channels, h, w)."""

    images: Tensor
    features: Tensor


Restored = tuple[Tensor, ...]
"""What images look like, (n, 3, height, width) in 0..1: from shared features, and from clean ones where there are."""


@dataclass(frozen=True, eq=False)
class Undone:
    """What an attacker with modules of its own makes of features.

    Attributes:
        restored: By how many of its modules it had.
        shows: (n, k) bool; attributes, learnt from the features of all its modules.
    """

    restored: dict[int, Restored]
    shows: Tensor


def by(psi: torch.nn.Module, seen: Seen) -> Restored:
    """Return what a reconstructor makes of features."""
    return tuple(apply(features, psi.cpu()) for features in seen.each())


def published_reconstructor(device: torch.device, seen: Seen, public: Public) -> Restored:
    """Use the published reconstructor as it is."""
    return by(public.shared.reconstructor, seen)


def unseen(device: torch.device, seen: Seen, design: str, public: Public, habits: Habits, seed: int) -> Restored:
    """Train a reconstructor of another design on public images, for as long as the published one."""
    generator = torch.Generator().manual_seed(seed)
    plan = habits.plan(habits.reconstruction, len(public.images))
    psi = train_reconstructor(public.clean, public.images, generator, plan, design=design, device=device)
    return by(psi, seen)


def leaked(device: torch.device, seen: Seen, pairs: Pairs, public: Public, steps: int, seed: int) -> Restored:
    """Fine-tune the published reconstructor on pairs that leaked."""
    generator = torch.Generator().manual_seed(seed)
    start = public.shared.reconstructor
    return by(from_leaked_pairs(start, pairs.features, pairs.images, generator, steps=steps, device=device), seen)


def own_modules(
    device: torch.device, seen: Seen, numbers: Sequence[int], public: Public, architecture: str, habits: Habits,
    seed: int,
) -> Undone:  # fmt: skip
    """Train modules of one's own on public images, labelled by the published decider, and undo them.

    Modules are trained as entities train theirs, and reconstructors for as many steps as the published one.

    Args:
        numbers: Of modules; the most of them are trained, and the first of these undone by each number.
    """
    generator = torch.Generator().manual_seed(seed)
    shared, clean, guessed = public.shared, public.clean, public.guessed
    plan = habits.plan(habits.poisoning, len(public.images))
    modules = [
        train_poisoning(clean, public.images, guessed, shared.network.decider, shared.reconstructor, generator, plan,
                        weight=habits.weight, penalty=habits.penalty, device=device)
        for _ in range(max(numbers))
    ]  # fmt: skip
    return _undone(device, seen, modules, numbers, public, architecture, habits, generator)


def aligned_modules(
    device: torch.device, seen: Seen, pooled: Tensor, numbers: Sequence[int], public: Public, architecture: str,
    habits: Habits, seed: int,
) -> Undone:  # fmt: skip
    """Train modules of one's own so that their features have the statistics of pooled ones, and undo them.

    Args:
        pooled: (m, channels, h, w); all features of the entity that it is after.
        numbers: See `own_modules`.
    """
    generator = torch.Generator().manual_seed(seed)
    shared, clean, guessed = public.shared, public.clean, public.guessed
    plan = habits.plan(habits.poisoning, len(public.images))
    modules = [
        aligned_module(clean, public.images, guessed, pooled, shared.network.decider, shared.reconstructor, generator,
                       plan, weight=habits.weight, penalty=habits.penalty, device=device)
        for _ in range(max(numbers))
    ]  # fmt: skip
    return _undone(device, seen, modules, numbers, public, architecture, habits, generator)


def _undone(
    device: torch.device, seen: Seen, modules: Sequence[DeepPoisoningModule], numbers: Sequence[int], public: Public,
    architecture: str, habits: Habits, generator: torch.Generator,
) -> Undone:  # fmt: skip
    clean = public.clean
    found = {}
    for number in numbers:
        plan = habits.plan(habits.reconstruction, number * len(public.images))
        psi = from_modules(
            modules[:number], clean, public.images, generator, plan, start=public.usable_reconstructor, device=device
        )
        found[number] = by(psi, Seen(seen.features))
    poisoned = [apply(clean, module.to(device)) for module in modules]
    known = public.attributes.repeat(len(modules), 1)
    plan = habits.plan(habits.refinement, len(known))
    recogniser = new_network(architecture, known.shape[1], generator).decider
    told = inferred(recogniser, torch.cat(poisoned), known, seen.features, generator, plan, device=device)
    return Undone(found, told)


def reversed_obfuscator(
    device: torch.device, seen: Seen, obfuscator: torch.nn.Module, public: Public, habits: Habits, seed: int
) -> Restored:
    """Learn to reverse an obfuscator that every entity of a pool would have to hold."""
    generator = torch.Generator().manual_seed(seed)
    plan = habits.plan(habits.reconstruction, len(public.images))
    return by(reverse(obfuscator, public.images, generator, plan, device=device), seen)


def attributes(
    device: torch.device, seen: Seen, architecture: str, public: Public, habits: Habits, seed: int
) -> tuple[Tensor, ...]:
    """Infer attributes of images from their features, having learnt them from clean features of public images.

    Args:
        architecture: Of the pool's network.

    Returns:
        (n, k) bool, from shared features, and from clean ones where there are.
    """
    generator = torch.Generator().manual_seed(seed)
    known, clean = public.attributes, public.clean
    recogniser = new_network(architecture, known.shape[1], generator).decider
    plan = habits.plan(habits.refinement, len(known))
    told = inferred(recogniser, clean, known, torch.cat(seen.each()), generator, plan, device=device)
    return tuple(torch.split(told, len(seen.features)))


def classes(device: torch.device, seen: Seen, public: Public) -> tuple[Tensor, ...]:
    """Name classes by the published decider, (n,) each."""
    return tuple(apply(features, public.shared.network.decider).argmax(1) for features in seen.each())


def _joined(parts: list[NDArray[np.float32]] | list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))
