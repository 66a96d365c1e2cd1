"""What training reads batch by batch: images and feature maps, in memory or computed when they are asked for."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.pixels import to_tensor

PART = 256
"""How many go through a network at once where nothing is trained."""


class Batches(Protocol):
    """Images or feature maps: a tensor is one, and so is whatever can be asked for some by number."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return the chosen ones, first axis first."""
        ...


class Images:
    """Pictures as networks take them.

    Args:
        pictures: (n, height, width, 3), RGB; an array, or a memory map, of which only what is asked for is read.
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._pictures = pictures

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self._pictures)

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return chosen pictures as (m, 3, height, width) in 0..1."""
        return to_tensor(self._pictures[chosen.cpu().numpy()]).float().div_(255)


class Mirrored:
    """Images, then the same ones left to right: twice as many to train on.

    Examples:
        >>> Mirrored(torch.tensor([[[[0.1, 0.9]]]]))[torch.tensor([0, 1])].flatten().tolist() == torch.tensor(
        ...     [0.1, 0.9, 0.9, 0.1]).tolist()
        True
    """

    def __init__(self, images: Batches) -> None:
        self._images = images

    def __len__(self) -> int:
        """Count both."""
        return 2 * len(self._images)

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return the chosen ones."""
        count = len(self._images)
        shown = self._images[chosen % count]
        return torch.where((chosen >= count).to(shown.device)[:, None, None, None], shown.flip(3), shown)


class Mapped:
    """Inputs seen through frozen networks, computed anew at each look: for sets whose features do not fit in memory.

    Args:
        inputs: What the first network takes.
        networks: In order, in evaluation mode, all on one device.
    """

    def __init__(self, inputs: Batches, *networks: nn.Module) -> None:
        self._inputs, self._networks = inputs, networks

    def __len__(self) -> int:
        """Count the inputs."""
        return len(self._inputs)

    @torch.no_grad()
    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return the chosen ones' features, on the networks' device."""
        values = self._inputs[chosen].to(device_of(self._networks[0]))
        with torch.autocast(values.device.type, torch.bfloat16, enabled=values.device.type == "cuda"):
            for network in self._networks:
                values = network(values)
        return values.float()


class Joined:
    """Several sets, one after the other."""

    def __init__(self, parts: Sequence[Batches]) -> None:
        self._parts = parts
        self._starts = torch.tensor([0, *(len(part) for part in parts)]).cumsum(0)

    def __len__(self) -> int:
        """Count all."""
        return int(self._starts[-1])

    def __getitem__(self, chosen: Tensor, /) -> Tensor:
        """Return the chosen ones, in their order, on the CPU."""
        chosen = chosen.cpu()
        owner = torch.bucketize(chosen, self._starts[1:], right=True)
        found = [part[chosen[owner == n] - start].cpu() for n, part, start in self._numbered() if (owner == n).any()]
        positions = torch.cat([torch.nonzero(owner == n)[:, 0] for n, _, _ in self._numbered()])
        return torch.cat(found)[positions.argsort()]

    def _numbered(self) -> list[tuple[int, Batches, Tensor]]:
        return [(n, part, self._starts[n]) for n, part in enumerate(self._parts)]


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's weights are; the CPU for one without any."""
    return next((weights.device for weights in network.parameters()), torch.device("cpu"))


def apply(inputs: Batches, *networks: nn.Module) -> Tensor:
    """Send all inputs through networks in evaluation mode, in parts; return the results on the CPU, float32.

    Examples:
        >>> apply(torch.ones(3, 2), nn.Linear(2, 4).eval()).shape
        torch.Size([3, 4])
    """
    mapped = Mapped(inputs, *networks)
    return torch.cat([mapped[part].cpu() for part in torch.split(torch.arange(len(inputs)), PART)])


def guessed(decider: nn.Module, features: Batches, labels: Tensor, top: int = 1) -> Tensor:
    """Say for each of (n,) labels whether it is among a decider's `top` first guesses.

    Examples:
        >>> guessed(nn.Identity(), torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1])).tolist()
        [True, False]
    """
    return (apply(features, decider).topk(top, dim=1).indices == labels[:, None]).any(1)


def accuracy(decider: nn.Module, features: Batches, labels: Tensor, top: int = 1) -> float:
    """Return the share of features whose label is among a decider's `top` first guesses."""
    return guessed(decider, features, labels, top).double().mean().item()
