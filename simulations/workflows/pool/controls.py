"""What Table 5 compares a pool with: trainings that need no pool, or need what nobody would show.

Each is a workshop's job: it takes a device first, and draws from a seed alone. Those that are compared by accuracy
return the classes of fresh images; `scoring` knows the true ones.
"""

import torch
from torch import Tensor, nn

from parties.pool.holdings import Habits
from parties.pool.published import Published
from simulations.workflows.pool.attacks import Public
from strategies.deep_poisoning.module import DeepPoisoningModule
from strategies.deep_poisoning.obfuscator import DeepObfuscator, train_obfuscator
from strategies.deep_poisoning.split import SplitNetwork, new_network
from strategies.deep_poisoning.training import Penalty, train_decider, train_network, train_poisoning
from strategies.learning.batches import apply
from strategies.learning.fit import Plan

OBFUSCATION_LEARNING_RATE, OBFUSCATION_WEIGHT = 2e-3, 4.0
"""DeepObfuscator's learning rate, and what hiding is worth to it beside accuracy."""


def end_to_end(
    device: torch.device, architecture: str, classes: int, images: Tensor, labels: Tensor, habits: Habits, seed: int,
    fresh: Tensor,
) -> Tensor:  # fmt: skip
    """Train a whole network on an entity's own images; return the classes of fresh ones, (n,): rows 1 to 4."""
    generator = torch.Generator().manual_seed(seed)
    plan = habits.plan(habits.pretraining, len(labels))
    network = train_network(
        new_network(architecture, classes, generator), images, labels, generator, plan, device=device
    )
    return apply(fresh, network.featurizer, network.decider).argmax(1)


def recogniser(
    device: torch.device, architecture: str, classes: int, public: Public, images: Tensor, labels: Tensor,
    habits: Habits, seed: int,
) -> SplitNetwork:  # fmt: skip
    """Train a network to judge reconstructions by, on public images of the task's classes.

    It sees them as they are and as the published reconstructor restores them, so that it knows how blurred they may be.
    """
    generator = torch.Generator().manual_seed(seed)
    shared = public.shared
    if public.usable_reconstructor is not None:
        restored = apply(images, shared.network.featurizer, shared.reconstructor)
        images, labels = torch.cat([images, restored]), labels.repeat(2)
    plan = habits.plan(habits.pretraining, len(labels))
    untrained = new_network(architecture, classes, generator)
    return train_network(untrained, images, labels, generator, plan, device=device).cpu()


def decider(
    device: torch.device, start: nn.Module, features: Tensor, labels: Tensor, habits: Habits, seed: int,
    fresh_features: Tensor,
) -> Tensor:  # fmt: skip
    """Train a decider on features of the shared featurizer; return the classes of fresh clean ones, (n,)."""
    generator = torch.Generator().manual_seed(seed)
    plan = habits.plan(habits.refinement, len(labels))
    trained = train_decider(start, features, labels, generator, plan, device=device)
    return apply(fresh_features, trained).argmax(1)


def module(
    device: torch.device, penalty: Penalty, weight: float, features: Tensor, images: Tensor, labels: Tensor,
    shared: Published, habits: Habits, seed: int,
) -> DeepPoisoningModule:  # fmt: skip
    """Train a module with another loss than the entities': what it would have left to see."""
    generator = torch.Generator().manual_seed(seed)
    plan = habits.plan(habits.poisoning, len(labels))
    return train_poisoning(
        features, images, labels, shared.network.decider, shared.reconstructor, generator, plan,
        weight=weight, penalty=penalty, device=device,
    ).cpu()  # fmt: skip


def obfuscated(
    device: torch.device, shared: Published, images: Tensor, labels: Tensor, steps: int, seed: int
) -> DeepObfuscator:
    """Train DeepObfuscator from the published networks, on the images of who published them."""
    generator = torch.Generator().manual_seed(seed)
    plan = Plan.lasting(steps, len(labels), learning_rate=OBFUSCATION_LEARNING_RATE)
    found = train_obfuscator(
        shared.network, shared.reconstructor, images, labels, generator, plan, weight=OBFUSCATION_WEIGHT, device=device
    )
    return DeepObfuscator(found.network.cpu(), found.reconstructor.cpu())
