"""Weights and unfinished training as plain tensors by name: what safetensors files and messages can hold."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Weights = dict[str, Tensor]
"""A network's weights and buffers by name."""


def weights(network: nn.Module) -> Weights:
    """Return a network's weights and buffers, on the CPU, in rows.

    Examples:
        >>> layer, other = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> restore(other, weights(layer))
        >>> torch.equal(layer.weight, other.weight), fingerprint(layer) == fingerprint(other)
        (True, True)
    """
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}


def restore(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load weights into a network of the same architecture, wherever it is.

    Raises:
        ValueError: When names or shapes are not the network's, or a number is not finite.
    """
    expected = network.state_dict()
    if tensors.keys() != expected.keys():
        odd = sorted(tensors.keys() ^ expected.keys())
        raise ValueError(f"these weights are of another architecture: {len(odd)} names differ, the first is {odd[0]!r}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise ValueError(f"{name!r} has shape {tuple(tensor.shape)}, and {tuple(expected[name].shape)} is needed")
        if not tensor.isfinite().all():
            raise ValueError(f"{name!r} holds numbers that are not finite")
    network.load_state_dict(dict(tensors))


def to_row(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return weights as one (n,) float32 row, in their order.

    Examples:
        >>> to_row({"one": torch.tensor([[1, 2]]), "other": torch.tensor(3.0)})
        tensor([1., 2., 3.])
    """
    return torch.cat([tensor.flatten().float() for tensor in tensors.values()])


def from_row(row: Tensor, like: Mapping[str, Tensor]) -> Weights:
    """Return the weights that `to_row` made a row of, named, shaped and typed like others.

    Raises:
        ValueError: When the row is of another length.
    """
    sizes = [tensor.numel() for tensor in like.values()]
    if row.shape != (sum(sizes),):
        raise ValueError(
            f"these weights are of another architecture: {row.numel()} numbers, and {sum(sizes)} are needed"
        )
    parts = zip(like.items(), torch.split(row, sizes), strict=True)
    return {name: part.reshape(old.shape).to(old.dtype, copy=True) for (name, old), part in parts}


def in_one_row(network: nn.Module) -> NDArray[np.float32]:
    """Return all weights and buffers of a network as one (n,) array, in the order of their names.

    Examples:
        >>> layer, other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        >>> restore_row(other, in_one_row(layer))
        >>> fingerprint(layer) == fingerprint(other)
        True
    """
    row: NDArray[np.float32] = to_row(dict(sorted(weights(network).items()))).numpy()
    return row


def restore_row(network: nn.Module, row: NDArray[np.float32]) -> None:
    """Load what `in_one_row` returned into a network of the same architecture, wherever it is.

    Raises:
        ValueError: When it is not of the network's length, or a number is not finite.
    """
    restore(network, from_row(torch.from_numpy(row.copy()), dict(sorted(network.state_dict().items()))))


def fingerprint(network: nn.Module) -> str:
    """Name a network by the SHA-256 of its weights, in hexadecimal: features carry it to say where they come from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights(network).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def saved(
    network: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator, epoch: int
) -> dict[str, Tensor]:
    """Return all that training after an epoch depends on."""
    state = {f"network.{name}": tensor for name, tensor in weights(network).items()}
    for number, moments in optimiser.state_dict()["state"].items():
        state |= {
            f"optimiser.{number}.{name}": value.detach().cpu().contiguous().clone() for name, value in moments.items()
        }
    return state | {"generator": generator.get_state(), "epoch": torch.tensor(epoch)}


def taken_up(
    state: Mapping[str, Tensor], network: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> int:
    """Put network, optimiser and generator back to where they were saved; return the number of epochs done.

    Raises:
        ValueError: When the state is of another network.
    """
    restore(
        network, {name.removeprefix("network."): value for name, value in state.items() if name.startswith("network.")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        if name.startswith("optimiser."):
            _, number, moment = name.split(".")
            moments.setdefault(int(number), {})[moment] = value.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    generator.set_state(state["generator"])
    return int(state["epoch"])
