"""Unpaired alignment: modules of an attacker's own whose features have the statistics of those in a pool.

After FORA (Xu et al., "A Stealthy Wrongdoer: Feature-Oriented Reconstruction Attack against Split Learning", 2024): the
attacker matches distributions of features, of which it has no pair with an image, and then learns to reverse its own
module, of which it has as many pairs as it likes.
"""

import torch
from torch import Tensor, nn

from strategies.deep_poisoning.module import DeepPoisoningModule, new_module
from strategies.deep_poisoning.reconstructor import Reconstructor
from strategies.deep_poisoning.training import Penalty, disclosed
from strategies.learning.batches import Batches
from strategies.learning.fit import UNWATCHED, Plan, Watch, classification_loss, fit, frozen

LEAST = 1e-3
"""The least standard deviation of a channel that is divided by."""


class Statistics(nn.Module):
    """How far features are from pooled ones in the means of their channels, and in how channels vary together.

    Args:
        pooled: (n, channels, h, w); whose means and deviations are the units.
    """

    def __init__(self, pooled: Tensor) -> None:
        super().__init__()
        self._middle = pooled.mean((0, 2, 3))[:, None, None]
        self._scale = pooled.std((0, 2, 3)).clamp_min(LEAST)[:, None, None]

    def forward(self, features: Tensor, pooled: Tensor) -> Tensor:
        """Return the distance of two batches, 0 for equal ones."""
        (mean, together), (others, of_others) = (self._moments(each) for each in (features, pooled))
        apart: Tensor = (mean - others).square().mean() + 4 * (together - of_others).square().mean()
        return apart

    def _moments(self, features: Tensor) -> tuple[Tensor, Tensor]:
        units = (features - self._middle) / self._scale
        channels = units.transpose(0, 1).flatten(1)
        return channels.mean(1), channels @ channels.T / channels.shape[1]


def aligned_module(
    features: Batches,
    images: Batches,
    labels: Tensor,
    pooled: Tensor,
    decider: nn.Module,
    reconstructor: Reconstructor,
    generator: torch.Generator,
    plan: Plan,
    *,
    weight: float = 1.0,
    penalty: Penalty = "absolute",
    device: torch.device | None = None,
    watch: Watch = UNWATCHED,
) -> DeepPoisoningModule:
    """Train a module of the attacker's own whose features look like those in a pool.

    It minimises what other modules do (`training.train_poisoning`), and the distance of `Statistics` between what it
    makes of the attacker's features and pooled ones.

    Args:
        features, images, labels: The attacker's own: phi_1 x, x in 0..1, and classes or attributes.
        pooled: (n, channels, h, w); poisoned, by somebody else's module.
        decider, reconstructor: phi_2 and psi, as published.
        generator: On the CPU; draws first weights and order.
        weight, penalty: As the others train.

    Examples:
        >>> pooled = torch.rand(8, 4, 6, 6, generator=torch.Generator().manual_seed(1))
        >>> Statistics(pooled)(pooled, pooled).item()
        0.0
    """
    device = device or torch.device("cpu")
    module = new_module(pooled.shape[1], generator).to(device)
    apart = Statistics(pooled).to(device)
    decider.to(device)
    reconstructor.to(device)

    def loss(chosen: Tensor) -> Tensor:
        made = module(features[chosen].to(device))
        others = pooled[torch.randint(len(pooled), (len(chosen),), generator=generator)].to(device)
        shown = disclosed(reconstructor(made), images[chosen].to(device), penalty)
        wrong = classification_loss(decider(made), labels[chosen].to(device))
        unlike: Tensor = apart(made, others)
        return wrong + weight * shown.mean() + unlike

    with frozen(decider, reconstructor):
        fit(module, loss, len(labels), generator, plan, watch)
    return module
