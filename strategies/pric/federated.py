"""PRIC's training where the pictures are: owners send gradients, and the leader takes the steps.

The paper's extractor is trained by whoever has labelled pictures. Here each owner of pictures works out the gradients
of Eq. 6 on its own, with private labels that nobody else gets; a step is taken with their mean (federated SGD, McMahan
et al. 2017). Federated averaging, where owners take steps of their own, hid nothing when it was tried: each seems to
fool a classifier that has learned its own few pictures by heart.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from strategies.learning.weights import in_one_row, restore_row
from strategies.pric.training import WEIGHT_DECAY, Recipe, Trained, cross_entropy, exposed, new_players


def row_of(players: Trained) -> NDArray[np.float32]:
    """Return all weights and buffers of the three networks as one (n,) array."""
    return np.concatenate([in_one_row(network) for network in players.networks()])


def players_of(row: NDArray[np.float32], architecture: str, recipe: Recipe, private: int) -> Trained:
    """Return the three networks of a row.

    Args:
        row: (n,), as `row_of` returned it.
        architecture: A key of `networks.EXTRACTORS`.
        private: How many private attributes.

    Raises:
        ValueError: When the row is of other networks, or a number is not finite.

    Examples:
        >>> row = row_of(new_players("compact", Recipe(), 1, torch.Generator().manual_seed(1)))
        >>> np.array_equal(row_of(players_of(row, "compact", Recipe(), 1)), row)
        True
    """
    players = new_players(architecture, recipe, private, torch.Generator())
    lengths = [len(in_one_row(network)) for network in players.networks()]
    if row.shape != (sum(lengths),):
        raise ValueError(f"these weights are of other networks: {row.size} numbers, and {sum(lengths)} are needed")
    for network, part in zip(players.networks(), np.split(row, np.cumsum(lengths)[:-1]), strict=True):
        restore_row(network, part)
    return players


def gradients(
    players: Trained, albums: Iterable[tuple[Tensor, Tensor]], recipe: Recipe, *, warm_up: bool
) -> Iterator[NDArray[np.float64]]:
    """Yield what each owner of pictures tells: the mean over its pictures, (`gradients_length`,).

    These are the gradients of each network's loss, and by how much running means are to change.

    Args:
        players: As they came; they come back unchanged, but in training mode.
        albums: Pairs: (n, 3, side, side) in 0..1, at least one, and (n, attributes), each 0 or 1.
        recipe: Its `weight`, `conditional` and `ascent` matter.
        warm_up: Whether extractor and classifier are on the same side still.
    """
    extractor, adversary, bound = (network.train() for network in players.networks())
    buffers = [each for network in players.networks() for each in network.buffers()]
    came = [each.clone() for each in buffers]
    for pictures, private in albums:
        labels = private.float()
        representations = extractor(pictures)
        information = bound(pictures, representations, labels)
        said = adversary(representations)
        wrong = cross_entropy(said, labels)
        hidden, weight = (wrong, 1.0) if warm_up else (exposed(recipe.ascent, said, labels), recipe.weight)
        wanted = hidden - weight * information
        losses = ((wanted, extractor), (wrong, adversary), (-information, bound))
        told = [
            gradient
            for loss, network in losses
            for gradient in torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        ]
        pairs = list(zip(buffers, came, strict=True))
        told += [now - before for now, before in pairs if now.is_floating_point()]
        for now, before in pairs:
            now.copy_(before)
        yield torch.cat([each.flatten() for each in told]).double().numpy()


def gradients_length(players: Trained) -> int:
    """Return how many numbers an owner tells."""
    return sum(each.numel() for each in (*_weights(players), *_running(players)))


class Leader:
    """Takes the steps.

    Args:
        players: Changed in place.
        recipe: Its rates matter.
    """

    def __init__(self, players: Trained, recipe: Recipe) -> None:
        self.players = players
        groups = [
            {"params": list(network.parameters()), "lr": rate}
            for network, rate in zip(players.networks(), recipe.learning_rates, strict=True)
        ]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)

    def step(self, mean: NDArray[np.float64]) -> None:
        """Take one step, given the mean of what owners told.

        Raises:
            ValueError: When it is of other networks.
        """
        if mean.shape != (length := gradients_length(self.players),):
            raise ValueError(f"these gradients are of other networks: {mean.size} numbers, and {length} are needed")
        weights, running = _weights(self.players), _running(self.players)
        targets = [*weights, *running]
        parts = torch.split(torch.from_numpy(mean).float(), [each.numel() for each in targets])
        shaped = [part.reshape(target.shape) for part, target in zip(parts, targets, strict=True)]
        for weight, gradient in zip(weights, shaped, strict=False):
            weight.grad = gradient
        self._optimiser.step()
        for each, change in zip(running, shaped[len(weights) :], strict=True):
            each.add_(change)


def _weights(players: Trained) -> list[Tensor]:
    return [each for network in players.networks() for each in network.parameters()]


def _running(players: Trained) -> list[Tensor]:
    """Return the running means and variances of all networks."""
    return [each for network in players.networks() for each in network.buffers() if each.is_floating_point()]
