"""Local training of a client of federated learning: descent from the model that it was sent."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class LocalTraining:
    """How a client trains in one round.

    Attributes:
        epochs, batch: Rounds over its pictures, and pictures per step.
        learning_rate: Of plain SGD.
        proximal_mu: Pull towards the model that was sent (FedProx, Li et al. 2020); 0 for none.
    """

    epochs: int
    batch: int
    learning_rate: float
    proximal_mu: float = 0.0


def train_locally(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    training: LocalTraining,
    generator: torch.Generator,
) -> nn.Module:
    """Train a network in place, and return it.

    Args:
        network: Holding the weights that were sent; those that require no gradient stay as they are.
        inputs, labels: (n, ...) float32 and (n,) int64, at least one picture.
        generator: Orders the pictures.
    """
    sent = [value.detach().clone() for value in network.parameters()]
    trained = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=training.learning_rate)
    network.train()
    for _ in range(training.epochs):
        for chosen in torch.split(torch.randperm(len(labels), generator=generator), training.batch):
            loss = F.cross_entropy(network(inputs[chosen]), labels[chosen])
            if training.proximal_mu:
                pairs = zip(network.parameters(), sent, strict=True)
                loss = loss + training.proximal_mu / 2 * torch.stack([(w - s).square().sum() for w, s in pairs]).sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return network.eval()
