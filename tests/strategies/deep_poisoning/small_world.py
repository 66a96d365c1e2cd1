"""One small world of Deep Poisoning, trained once for all tests here."""

import copy
from functools import cache

import numpy as np
import torch
from torch import Tensor

from simulations.data import pets
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.split import SplitNetwork, new_network
from strategies.deep_poisoning.training import train_network, train_poisoning, train_reconstructor
from strategies.learning.batches import Images, apply
from strategies.learning.fit import Plan, Watch

BREEDS = (0, 6, 13, 19)


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def portraits(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Four breeds in turn, 32 pixels wide: images in 0..1, and labels."""
    labels = np.arange(count) % len(BREEDS)
    drawn = Images(pets.draw(np.array(BREEDS)[labels], 32, generator(seed)))
    return drawn[torch.arange(count)], torch.from_numpy(labels)


class World:
    """One entity with a trained network, a published reconstructor, and its module; fresh images to judge by."""

    def __init__(self) -> None:
        self.images, self.labels = portraits(480, 1)
        self.fresh, self.fresh_labels = portraits(200, 2)
        self.public, _ = portraits(960, 3)
        self.network: SplitNetwork = train_network(
            new_network("compact", len(BREEDS), generator()), self.images, self.labels, generator(), Plan(8, 32)
        )
        self.features, self.fresh_features, self.public_features = (
            apply(images, self.network.featurizer) for images in (self.images, self.fresh, self.public)
        )
        self.reconstructor: Reconstructor = train_reconstructor(
            self.public_features, self.public, generator(), Plan(6, 32, 5e-3)
        )
        self.before = copy.deepcopy((self.network, self.reconstructor))
        self.losses: list[float] = []
        self.module: DeepPoisoningModule = train_poisoning(
            self.features, self.images, self.labels, self.network.decider, self.reconstructor, generator(), Plan(8, 32),
            watch=Watch(progress=lambda epoch, loss: self.losses.append(loss)),
        )  # fmt: skip
        self.poisoned = apply(self.features, self.module)
        self.fresh_poisoned = apply(self.fresh_features, self.module)


@cache
def small_world() -> World:
    """The world of all tests of this process."""
    return World()
