"""How every network is trained from scratch: AdamW, one cycle of learning rates, mixed precision on a GPU."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from strategies.learning.weights import saved, taken_up

WARM_UP, WEIGHT_DECAY = 0.25, 1e-2


class Descent:
    """The optimiser of a network and how far it is in its one cycle; for training that comes in parts.

    Args:
        network: Its parameters that require gradients are trained, on the device where they are.
        learning_rate: The highest learning rate.
    """

    def __init__(self, network: nn.Module, steps: int, learning_rate: float) -> None:
        trained = [weights for weights in network.parameters() if weights.requires_grad]
        self.optimiser = AdamW(trained, weight_decay=WEIGHT_DECAY)
        self.done = 0
        self._device = trained[0].device
        self._steps, self._learning_rate = steps, learning_rate

    def step(self, loss: Callable[[], Tensor]) -> Tensor:
        """Take one step down the gradient of a loss, and return the loss."""
        self.done += 1
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate * one_cycle(self.done / (self._steps + 1))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            value = loss()
        self.optimiser.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return value.detach()


def one_cycle(passed: float) -> float:
    """Learning rate as a share of the highest: a cosine up during the warm-up, and one down to 0 (Smith 2018).

    Examples:
        >>> [round(one_cycle(passed), 2) for passed in (0, WARM_UP, 1)]
        [0.0, 1.0, 0.0]
    """
    if passed < WARM_UP:
        return (1 - math.cos(math.pi * passed / WARM_UP)) / 2
    return (1 + math.cos(math.pi * (passed - WARM_UP) / (1 - WARM_UP))) / 2


@dataclass(frozen=True)
class Plan:
    """How long and in what steps to train.

    Attributes:
        epochs: Rounds over the whole set. What an epoch's last batch would lack is left out of that epoch.
        batch: Examples per step; at most as many as there are.
        learning_rate: The highest learning rate.
    """

    epochs: int
    batch: int = 32
    learning_rate: float = 5e-3

    @classmethod
    def lasting(cls, steps: int, count: int, batch: int = 32, learning_rate: float = 5e-3) -> "Plan":
        """Return a plan of at least so many steps over so many examples, in whole epochs.

        Examples:
            >>> Plan.lasting(190, 500).epochs, Plan.lasting(190, 50).epochs
            (13, 190)
        """
        return cls(-(-steps // max(1, count // min(batch, max(1, count)))), batch, learning_rate)


@dataclass(frozen=True)
class Watch:
    """What happens around training.

    Attributes:
        progress: Told the number of each epoch as it ends, from 1, and the loss of its last step.
        checkpoint: Given, as each epoch ends, all that training needs to go on from there: tensors by name, for
            safetensors.
        resume: A checkpoint to go on from; the plan and the data must be the same.
    """

    progress: Callable[[int, float], None] = lambda epoch, loss: None
    checkpoint: Callable[[Mapping[str, Tensor]], None] | None = None
    resume: Mapping[str, Tensor] | None = None


UNWATCHED = Watch()


def fit(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    generator: torch.Generator,
    plan: Plan,
    watch: Watch = UNWATCHED,
) -> None:
    """Train a network in place, where it is, and leave it in evaluation mode.

    Args:
        network: Its parameters that require gradients are trained.
        loss: From the numbers of the batch's examples, (batch,) int64 on the CPU, to a scalar.
        count: How many examples there are, at least two.
        generator: On the CPU; draws the order.

    Raises:
        ValueError: When there are fewer than two examples, or a checkpoint is of another network.
    """
    if count < 2:
        raise ValueError(f"training takes two examples or more, not {count}")
    batch = min(plan.batch, count)
    steps = count // batch
    descent = Descent(network, plan.epochs * steps, plan.learning_rate)
    done = 0 if watch.resume is None else taken_up(watch.resume, network, descent.optimiser, generator)
    descent.done = done * steps
    for epoch in range(done, plan.epochs):
        network.train()
        order = torch.randperm(count, generator=generator)[: steps * batch]
        for chosen in torch.split(order, batch):
            value = descent.step(lambda chosen=chosen: loss(chosen))  # type: ignore[misc]
        watch.progress(epoch + 1, value.item())
        if watch.checkpoint is not None:
            watch.checkpoint(saved(network, descent.optimiser, generator, epoch + 1))
    network.eval()


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Keep networks as they are while something else is trained through them: no gradients, evaluation mode."""
    weights = [(each, each.requires_grad) for network in networks for each in network.parameters()]
    modes = [(network, network.training) for network in networks]
    try:
        for each, _ in weights:
            each.requires_grad_(False)
        for network, _ in modes:
            network.eval()
        yield
    finally:
        for each, before in weights:
            each.requires_grad_(before)
        for network, mode in modes:
            network.train(mode)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return L_C of Eq. 1: cross entropy for (n,) classes, binary cross entropy for (n, attributes) of 0 and 1."""
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    return F.binary_cross_entropy_with_logits(logits, labels.float())


def mirrored(generator: torch.Generator, *batches: Tensor) -> tuple[Tensor, ...]:
    """Turn some pictures of a batch left to right, the same ones in every (n, channels, height, width) batch."""
    turned = torch.rand(len(batches[0]), generator=generator) < 0.5
    return tuple(
        torch.where(turned.to(pictures.device)[:, None, None, None], pictures.flip(3), pictures) for pictures in batches
    )
