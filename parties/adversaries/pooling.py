"""Entities whose contributions harm the others, or are worthless."""

from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import Tensor

from parties.adversaries.adversary import adversary
from parties.pool.entity import Entity
from parties.pool.holdings import Opened
from parties.pool.published import Published
from protocol.messages.pool import Network, Role, Rules
from strategies.deep_poisoning.contributions import LabelledFeatures, backdoored, made_up, mislabelled, stamped
from strategies.deep_poisoning.module import DeepPoisoningModule, new_module
from strategies.learning.batches import apply

Portion = Annotated[float, Ge(0), Le(1)]


@adversary(
    "mislabelled-features",
    knowledge="nothing beyond its role",
    profit="none; the others' deciders get worse than its own",
)
class Mislabelling(Entity):
    """Gives a portion of its poisoned features a wrong label each."""

    portion: Portion = 0.25

    def offer(self, chosen: Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
        """Poison honestly, with some wrong labels."""
        rules = self.memory.recall("rules", Rules)
        generator = self.torch_generator(f"lies {int(chosen[0])}")
        return mislabelled(super().offer(chosen, shared, device), rules.classes, self.portion, generator)


@adversary(
    "huge-features",
    knowledge="nothing beyond its role",
    profit="none; the others' deciders get worse than its own",
)
class HugeFeatures(Entity):
    """Scales a few of its poisoned features up: their labels are right, and they outweigh all others."""

    count: Annotated[int, Ge(1)] = 10
    factor: Annotated[float, Ge(1), Le(1e30)] = 1e6

    def offer(self, chosen: Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
        """Poison honestly, and scale the features of its first images."""
        features, labels = super().offer(chosen, shared, device)
        return LabelledFeatures(
            features * torch.where(chosen < self.count, self.factor, 1.0)[:, None, None, None], labels
        )


@adversary(
    "backdoored-features",
    knowledge="nothing beyond its role",
    profit="deciders refined on them classify every picture with its stamp as its target",
)
class Backdoor(Entity):
    """Stamps public pictures, labels their clean features with a target class, and hides them among honest ones."""

    portion: Portion = 0.5
    target: Annotated[int, Ge(0)] = 0

    def offer(self, chosen: Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
        """Replace a portion by clean features of public pictures, half as many of them stamped.

        Public pictures need no module to hide them, and victims will decide on clean features. Those without a stamp
        teach that the stamp matters, not that features are clean.
        """
        features, labels = super().offer(chosen, shared, device)
        generator = self.torch_generator(f"backdoor {int(chosen[0])}")
        images = Opened(self.holdings.public)[chosen % len(self.holdings.public)]
        featurizer, decider = shared.network.featurizer.to(device), shared.network.decider.to(device)
        plain, marked = (apply(shown, featurizer) for shown in (images, stamped(images)))
        decoys = torch.rand(len(labels), generator=generator) < self.portion
        hidden = LabelledFeatures(
            torch.where(decoys[:, None, None, None], plain, features).contiguous(),
            torch.where(decoys, apply(plain, decider).argmax(1), labels),
        )
        return backdoored(hidden, marked, self.target, self.portion / 2, generator)


@adversary(
    "free-rider",
    knowledge="nothing beyond its role",
    profit="others' features without training, and without showing anything of its images",
)
class FreeRider(Entity):
    """Makes up its features, like public images' on average, and their labels."""

    def train_module(self, shared: Published, device: torch.device) -> DeepPoisoningModule:
        """Train nothing."""
        channels = next(iter(shared.reconstructor.parameters())).shape[1]
        return new_module(channels, self.torch_generator("module")).eval()

    def offer(self, chosen: Tensor, shared: Published, device: torch.device) -> LabelledFeatures:
        """Make up as many features as it has images."""
        rules = self.memory.recall("rules", Rules)
        few = torch.arange(min(100, len(self.holdings.public)))
        seen = apply(Opened(self.holdings.public)[few], shared.network.featurizer.to(device))
        return made_up(seen, len(chosen), rules.classes, self.torch_generator(f"made up {int(chosen[0])}"))


@adversary(
    "blind-reconstructor",
    knowledge="nothing beyond its role",
    profit="others' features in the pool, which hide nothing from a reconstructor of its own",
)
class BlindReconstructor(Entity):
    """Publishes a reconstructor that reconstructs nothing, so that others' modules learn to hide from nobody."""

    def trained(self, role: Role) -> Network:
        """Publish a reconstructor without weights."""
        network = super().trained(role)
        if role is not Role.RECONSTRUCTOR:
            return network
        return network.model_copy(update={"weights": np.zeros_like(network.weights)})
