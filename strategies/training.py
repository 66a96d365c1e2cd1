"""How every network is trained from scratch: AdamW, one cycle of learning rates, mixed precision on a GPU."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import AdamW

WARM_UP, WEIGHT_DECAY = 0.25, 1e-2


class Descent:
    """The optimiser of a network and how far it is in its one cycle; for training that comes in parts.

    Parameters
    ----------
    network : nn.Module
        Its parameters that require gradients are trained, on the device where they are.
    steps : int
        How many there will be.
    rate : float
        The highest learning rate.
    """

    def __init__(self, network: nn.Module, steps: int, rate: float) -> None:
        trained = [weights for weights in network.parameters() if weights.requires_grad]
        self.optimiser = AdamW(trained, weight_decay=WEIGHT_DECAY)
        self.done = 0
        self._device = trained[0].device
        self._steps, self._rate = steps, rate

    def step(self, loss: Callable[[], Tensor]) -> Tensor:
        """Take one step down the gradient of a loss, and return the loss."""
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate * one_cycle(self.done / (self._steps + 1))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            value = loss()
        self.optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return value.detach()


def one_cycle(passed: float) -> float:
    """Learning rate as a share of the highest: a cosine up during the warm-up, and one down to 0 (Smith 2018).

    Examples
    --------
    >>> [round(one_cycle(passed), 2) for passed in (0, WARM_UP, 1)]
    [0.0, 1.0, 0.0]
    """
    if passed < WARM_UP:
        return (1 - math.cos(math.pi * passed / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (passed - WARM_UP) / (1 - WARM_UP))) / 2


def fit(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    generator: torch.Generator,
    *,
    epochs: int,
    batch: int,
    rate: float,
    begin: Callable[[AdamW], int] = lambda optimiser: 0,
    on_epoch: Callable[[int, float, AdamW], None] = lambda epoch, loss, optimiser: None,
) -> None:
    """Train a network in place, where it is, and leave it in evaluation mode.

    Parameters
    ----------
    network : nn.Module
        Its parameters that require gradients are trained.
    loss : callable
        From the numbers of the batch's examples, (batch,) int64 on the CPU, to a scalar.
    count : int
        How many examples there are, at least two.
    generator : torch.Generator
        On the CPU; draws the order.
    epochs, batch : int
        Rounds over all examples, and examples per step, at most as many as there are. What an epoch's last batch would
        lack is left out of that epoch.
    rate : float
        The highest learning rate.
    begin : callable
        Given the optimiser before the first step, to take up an earlier training; returns how many epochs it has done.
    on_epoch : callable
        Told, as each epoch ends, its number from 1, the loss of its last step, and the optimiser.

    Raises
    ------
    ValueError
        When there are fewer than two examples.
    """
    if count < 2:
        raise ValueError(f"training takes two examples or more, not {count}")
    batch = min(batch, count)
    steps = count // batch
    descent = Descent(network, epochs * steps, rate)
    done = begin(descent.optimiser)
    descent.done = done * steps
    for epoch in range(done, epochs):
        network.train()
        order = torch.randperm(count, generator=generator)[: steps * batch]
        for chosen in torch.split(order, batch):
            value = descent.step(lambda chosen=chosen: loss(chosen))  # type: ignore[misc]
        on_epoch(epoch + 1, value.item(), descent.optimiser)
    network.eval()


def mirrored(generator: torch.Generator, *batches: Tensor) -> tuple[Tensor, ...]:
    """Turn some pictures of a batch left to right, the same ones in every (n, channels, height, width) batch."""
    turned = torch.rand(len(batches[0]), generator=generator) < 0.5
    return tuple(
        torch.where(turned.to(pictures.device)[:, None, None, None], pictures.flip(3), pictures) for pictures in batches
    )
