"""Weights and unfinished training as plain tensors by name: what safetensors files and messages can hold."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def weights(network: nn.Module) -> dict[str, Tensor]:
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


def in_one_row(network: nn.Module) -> NDArray[np.float32]:
    """Return all weights and buffers of a network as one (n,) array, in the order of their names.

    Examples:
        >>> layer, other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        >>> restore_row(other, in_one_row(layer))
        >>> fingerprint(layer) == fingerprint(other)
        True
    """
    return torch.cat([tensor.flatten().float() for _, tensor in sorted(weights(network).items())]).numpy()


def restore_row(network: nn.Module, row: NDArray[np.float32]) -> None:
    """Load what `in_one_row` returned into a network of the same architecture, wherever it is.

    Raises:
        ValueError: When it is not of the network's length, or a number is not finite.
    """
    expected = sorted(network.state_dict().items())
    length = sum(tensor.numel() for _, tensor in expected)
    if row.shape != (length,):
        raise ValueError(f"these weights are of another architecture: {row.size} numbers, and {length} are needed")
    parts = torch.split(torch.from_numpy(row.copy()), [tensor.numel() for _, tensor in expected])
    restore(
        network,
        {name: part.reshape(old.shape).to(old.dtype) for (name, old), part in zip(expected, parts, strict=True)},
    )


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
