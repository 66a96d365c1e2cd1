"""Pictures reconstructed from what a client sends back: what a curious server can see."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

SMOOTHNESS = 5e-2
_RATE = 0.1


@dataclass(frozen=True)
class Steps:
    """How a client came from the model that it was sent to its answer.

    Attributes:
        count: Steps of plain descent, each on all of its pictures.
        learning_rate: Of each.
    """

    count: int = 1
    learning_rate: float = 0.1


def label_in_gradient(gradient: list[Tensor]) -> int:
    """Return the label of the one picture behind a gradient: whose last bias is to rise (Zhao et al. 2020)."""
    return int(gradient[-1].argmin())


def labels_in_gradient(gradient: list[Tensor], pictures: int, usual: Tensor) -> Tensor:
    """Return the labels of the pictures behind a gradient, (pictures,) int64, ascending.

    The gradient of the last bias is the mean probability of each class less its share (Wainakh et al. 2022).

    Args:
        usual: (classes,), mean probabilities that the model gives pictures of this kind.

    Examples:
        >>> labels_in_gradient([torch.tensor([0.25, -0.25])], 4, torch.tensor([0.5, 0.5])).tolist()
        [0, 1, 1, 1]
    """
    expected = (usual - gradient[-1]).clamp(min=0) * pictures
    counts = expected.floor().long()
    while counts.sum() < pictures:
        counts[(expected - counts).argmax()] += 1
    while counts.sum() > pictures:
        counts[(expected - counts).argmin()] -= 1
    return torch.arange(len(counts)).repeat_interleave(counts.clamp(min=0))


def invert_update(
    network: nn.Module,
    update: list[Tensor],
    labels: Tensor,
    shape: tuple[int, int, int],
    generator: torch.Generator,
    *,
    taken: Steps = Steps(),
    steps: int = 400,
) -> Tensor:
    """Search the pictures on which the same steps lead the same way (Geiping et al. 2020, equation 4 and section 6).

    1 - cosine + smoothness x total variation, by signed Adam with a falling rate, from random noise. Several steps of
    the client are taken again in every step of the search.

    Args:
        network: The model that the client was sent.
        update: What it took away from each parameter, in any unit.
        labels: (n,) int64, of its pictures.
        shape: (3, height, width)
        taken: Its steps.
        steps: Of the search.

    Returns:
        (n, 3, height, width) float32, in -1..1, in the order of the labels.
    """
    size = torch.stack([part.square().sum() for part in update]).sum().sqrt()

    def unlike(guess: Tensor) -> Tensor:
        found = _update(network, guess, labels, taken)
        product = torch.stack([(one * other).sum() for one, other in zip(found, update, strict=True)]).sum()
        length = torch.stack([part.square().sum() for part in found]).sum().sqrt()
        return 1 - product / (length * size + 1e-12)

    return search(unlike, 0.1 * torch.randn(len(labels), *shape, generator=generator), steps)


def search(unlike: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Search pictures, (n, 3, height, width) in -1..1, that are smooth and make a measure small, from a start.

    Args:
        unlike: From pictures to a scalar that gradients pass through.
    """
    guess = start.requires_grad_()
    optimiser = torch.optim.Adam([guess], lr=_RATE)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [steps * 3 // 8, steps * 5 // 8, steps * 7 // 8], 0.1)
    for _ in range(steps):
        guess.grad = torch.autograd.grad(unlike(guess) + SMOOTHNESS * _variation(guess), guess)[0].sign()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            guess.clamp_(-1, 1)
    return guess.detach()


def _update(network: nn.Module, pictures: Tensor, labels: Tensor, taken: Steps) -> list[Tensor]:
    """Return the sum of the gradients of the steps, one per parameter, which gradients pass through."""
    parameters: dict[str, Tensor] = dict(network.named_parameters())
    total: list[Tensor] = []
    for _ in range(taken.count):
        loss = F.cross_entropy(functional_call(network, parameters, (pictures,)), labels)
        found = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        total = [one + other for one, other in zip(total, found, strict=True)] if total else list(found)
        parameters = {
            name: value - taken.learning_rate * step
            for (name, value), step in zip(parameters.items(), found, strict=True)
        }
    return total


def _variation(pictures: Tensor) -> Tensor:
    """Return the total variation, by pixel."""
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
    return down + across
