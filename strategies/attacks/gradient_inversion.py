"""Pictures reconstructed from gradients, and from models: what a curious server can see."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMOOTHNESS = 5e-2
_RATE = 0.1


def label_in_gradient(gradient: list[Tensor]) -> int:
    """Return the label of the one picture behind a gradient: whose last bias is to rise (Zhao et al. 2020)."""
    return int(gradient[-1].argmin())


def invert_gradient(
    network: nn.Module,
    gradient: list[Tensor],
    shape: tuple[int, int, int],
    generator: torch.Generator,
    *,
    steps: int = 400,
) -> Tensor:
    """Search the picture whose gradient points the same way (Geiping et al. 2020, equation 4).

    1 - cosine + smoothness x total variation, by signed Adam with a falling rate, from random noise.

    Args:
        network: The model at which the gradient was taken.
        gradient: One per parameter, of a single picture.
        shape: (3, height, width)

    Returns:
        (3, height, width) float32, in -1..1.
    """
    label = torch.tensor([label_in_gradient(gradient)])
    guess = (0.1 * torch.randn(1, *shape, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([guess], lr=_RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [steps * 3 // 8, steps * 5 // 8, steps * 7 // 8], 0.1)
    size = torch.stack([part.square().sum() for part in gradient]).sum().sqrt()
    parameters = list(network.parameters())
    for _ in range(steps):
        loss = F.cross_entropy(network(guess), label)
        found = torch.autograd.grad(loss, parameters, create_graph=True)
        product = torch.stack([(one * other).sum() for one, other in zip(found, gradient, strict=True)]).sum()
        length = torch.stack([part.square().sum() for part in found]).sum().sqrt()
        unlike = 1 - product / (length * size + 1e-12)
        guess.grad = torch.autograd.grad(unlike + SMOOTHNESS * _variation(guess), guess)[0].sign()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            guess.clamp_(-1, 1)
    return guess.detach()[0]


def invert_class(
    network: nn.Module, label: int, shape: tuple[int, int, int], generator: torch.Generator, *, steps: int = 150
) -> Tensor:
    """Paint a smooth picture that the model is most confident is of a class (Fredrikson et al. 2015, algorithm 1).

    Returns:
        (3, height, width) float32, in -1..1.
    """
    guess = (0.1 * torch.randn(1, *shape, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([guess], lr=0.05)
    target = torch.tensor([label])
    for _ in range(steps):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(guess), target) + 40 * SMOOTHNESS * _variation(guess)
        guess.grad = torch.autograd.grad(loss, guess)[0]
        optimiser.step()
        with torch.no_grad():
            guess.clamp_(-1, 1)
    return guess.detach()[0]


def _variation(pictures: Tensor) -> Tensor:
    """Return the total variation, by pixel."""
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
    return down + across
