"""Attackers on a pool: each a function of what was pooled, and of what it declares to know beside that.

None sees an image that it is after; `scoring` does. Each is a workshop's job: it takes a device first, and draws from a
seed alone.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from parties.pool.holdings import Habits
from parties.pool.published import Published, published
from protocol.messages.pool import PoisonedFeatures, Role, Rules, SignedNetwork
from simulations.runs.views import View
from strategies.deep_poisoning.attacks import from_leaked_pairs, from_own_modules, inferred, reconstructed, reverse
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import new_network
from strategies.deep_poisoning.training import train_reconstructor
from strategies.learning.batches import apply
from strategies.learning.fit import Plan


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
class Public:
    """What anybody has: images that are not secret, and the networks.

    Attributes:
        images: (m, 3, height, width), in 0..1, of other classes or people than the entities'.
        shared: The published networks.
    """

    images: Tensor
    shared: Published

    @property
    def clean(self) -> Tensor:
        """The images' clean features."""
        return apply(self.images, self.shared.network.featurizer)

    @property
    def guessed(self) -> Tensor:
        """What the published decider takes the images for."""
        return apply(self.clean, self.shared.network.decider).argmax(1)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Images whose poisoned features leaked with them: (n, 3, height, width) and (n, channels, h, w)."""

    images: Tensor
    features: Tensor


def unseen(device: torch.device, design: str, public: Public, steps: int, seed: int) -> Reconstructor:
    """Train a reconstructor of another design on public images."""
    generator = torch.Generator().manual_seed(seed)
    plan = Plan.lasting(steps, len(public.images))
    return train_reconstructor(public.clean, public.images, generator, plan, design=design, device=device).cpu()


def leaked(device: torch.device, pairs: Pairs, public: Public, steps: int, seed: int) -> Reconstructor:
    """Fine-tune the published reconstructor on pairs that leaked."""
    generator = torch.Generator().manual_seed(seed)
    start = public.shared.reconstructor
    return from_leaked_pairs(start, pairs.features, pairs.images, generator, steps=steps, device=device).cpu()


def own_modules(device: torch.device, modules: int, public: Public, habits: Habits, seed: int) -> Reconstructor:
    """Train modules of one's own on public images, labelled by the published decider, and a reconstructor of theirs.

    Modules are trained as entities train theirs, and the reconstructor for as many steps as the published one.
    """
    generator = torch.Generator().manual_seed(seed)
    shared, count = public.shared, len(public.images)
    return from_own_modules(
        modules, public.clean, public.images, public.guessed, shared.network.decider, shared.reconstructor, generator,
        habits.plan(habits.poisoning, count), habits.plan(habits.reconstruction, modules * count),
        penalty=habits.penalty, device=device,
    ).cpu()  # fmt: skip


def reversed_obfuscator(
    device: torch.device, obfuscator: torch.nn.Module, public: Public, steps: int, seed: int
) -> Reconstructor:
    """Learn to reverse an obfuscator that every entity of a pool would have to hold."""
    generator = torch.Generator().manual_seed(seed)
    plan = Plan.lasting(steps, len(public.images))
    return reverse(obfuscator, public.images, generator, plan, device=device).cpu()


def attribute(
    device: torch.device, architecture: str, known: Tensor, features: Tensor, public: Public, steps: int, seed: int
) -> Tensor:
    """Infer a binary attribute of images from their features, having learnt it from clean features of public images.

    Args:
        architecture: Of the pool's network.
        known: (m,) bool, the attribute of the public images.
        features: (n, channels, h, w), from the pool.

    Returns:
        (n,) bool
    """
    generator = torch.Generator().manual_seed(seed)
    recogniser = new_network(architecture, 1, generator).decider
    plan = Plan.lasting(steps, len(known))
    return inferred(recogniser, public.clean, known[:, None], features, generator, plan, device=device)[:, 0]


def shown(reconstructor: Reconstructor, features: Tensor) -> Tensor:
    """Return what a reconstructor makes of features, (n, 3, height, width) in 0..1."""
    return reconstructed(reconstructor, features)


def _joined(parts: list[NDArray[np.float32]] | list[NDArray[np.int64]]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))
