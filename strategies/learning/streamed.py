"""Training on pictures that come in parts, of which nothing is kept: what a training service does."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.learning.classifier import LEARNING_RATE, new_classifier
from strategies.learning.fit import Descent, mirrored
from strategies.pixels import network_inputs


class StreamedTraining:
    """A classifier in training from scratch; pictures that fill no batch wait for the next part of their epoch.

    Args:
        architecture: Of `ARCHITECTURES`.
        steps: How many batches there will be in all epochs; beyond it the learning rate stays at 0.
        batch: Pictures per step.
        seed: Of weights, order and mirroring.

    Examples:
        >>> training = StreamedTraining(torch.device("cpu"), "compact", 2, steps=3, batch=4, seed=1)
        >>> pictures = np.zeros((7, 16, 16, 3), np.uint8)
        >>> training.learn(pictures, np.zeros(7, np.int64)), training.learn(pictures, np.ones(7, np.int64))
        (1, 2)
    """

    def __init__(
        self, device: torch.device, architecture: str, classes: int, steps: int, batch: int, seed: int
    ) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._device, self._batch, self._steps = device, batch, steps
        self._network = new_classifier(architecture, classes, self._generator).to(device)
        self._descent = Descent(self._network, steps, LEARNING_RATE)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._losses: list[float] = []

    def learn(self, pictures: NDArray[np.uint8], labels: NDArray[np.int64] | NDArray[np.float32]) -> int:
        """Train on a part of an epoch, in random order; return how many steps that were.

        Args:
            pictures: (n, height, width, 3)
            labels: (n,) int64, or (n, classes) float32; classes, or every class's share.
        """
        self._network.train()
        order = torch.randperm(len(pictures), generator=self._generator)
        self._waiting.append((torch.tensor(pictures)[order], torch.tensor(labels)[order]))
        shown, wanted = (torch.cat(parts) for parts in zip(*self._waiting, strict=True))
        whole = len(shown) // self._batch * self._batch
        for start in range(0, whole, self._batch):
            self._step(shown[start : start + self._batch], wanted[start : start + self._batch])
        self._waiting = [(shown[whole:].clone(), wanted[whole:].clone())]
        return whole // self._batch

    def _step(self, shown: Tensor, wanted: Tensor) -> None:
        if self._descent.done == self._steps:
            return
        (inputs,) = mirrored(self._generator, network_inputs(shown.numpy()).to(self._device))
        loss = self._descent.step(lambda: F.cross_entropy(self._network(inputs), wanted.to(self._device)))
        self._losses.append(loss.item())

    def end_epoch(self) -> float | None:
        """Forget the pictures that fill no batch; return the epoch's mean loss, None without any step."""
        mean = float(np.mean(self._losses)) if self._losses else None
        self._waiting, self._losses = [], []
        return mean

    @property
    def network(self) -> nn.Module:
        """The network as it is now, in evaluation mode."""
        return self._network.eval()

    def weights(self) -> dict[str, NDArray[np.generic]]:
        """Return the network's weights and buffers by name."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self._network.state_dict().items()}
