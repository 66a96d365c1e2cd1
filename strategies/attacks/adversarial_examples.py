"""Imperceptible changes that make a model misclassify pictures: how robust it is."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def perturb(network: nn.Module, inputs: Tensor, labels: Tensor, limit: float, steps: int = 10) -> Tensor:
    """Return inputs that differ by at most `limit` in each value, and that the network misclassifies.

    Projected gradient descent (Madry et al. 2018) from the input itself; one step is the fast gradient sign method
    (Goodfellow et al. 2015).

    Args:
        inputs: (n, ...) float32, in -1..1.
        labels: (n,) int64
        limit: In the units of the inputs: one level of grey is 2 / 255.

    Raises:
        ValueError: When the limit is negative or there is no step.
    """
    if not limit >= 0 or steps < 1:
        raise ValueError(f"the limit is 0 or more and there is at least 1 step, not {limit} and {steps}")
    step = limit if steps == 1 else 2.5 * limit / steps
    perturbed = inputs.clone()
    for _ in range(steps):
        perturbed.requires_grad_()
        loss = F.cross_entropy(network(perturbed), labels, reduction="sum")
        (direction,) = torch.autograd.grad(loss, perturbed)
        moved = perturbed.detach() + step * direction.sign()
        perturbed = torch.clamp(torch.minimum(torch.maximum(moved, inputs - limit), inputs + limit), -1, 1)
    return perturbed
