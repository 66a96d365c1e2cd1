"""Networks whose first weights come from a generator alone."""

from collections.abc import Callable
from typing import Literal, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def built(
    make: Callable[[], Network],
    generator: torch.Generator,
    *,
    mode: Literal["fan_in", "fan_out"] = "fan_out",
    layout: torch.memory_format = torch.channels_last,
) -> Network:
    """Make a network on the CPU and draw its weights (He et al. 2015), without touching the global generator.

    Convolutions and linear layers are drawn from normal distributions, biases are 0, normalisations are neutral.

    Args:
        make: Makes the network; its own initial weights are never computed.
        generator: On the CPU.
        mode: What the variance of a convolution's weights is kept for, activations or gradients.
        layout: How weights lie in memory: they are drawn in that order, and on a CPU some are faster than others.

    Raises:
        TypeError: When it holds parameters in a layer of another kind.

    Examples:
        >>> layer = built(lambda: nn.Conv2d(3, 8, 3), torch.Generator().manual_seed(1))
        >>> torch.equal(layer.weight, built(lambda: nn.Conv2d(3, 8, 3), torch.Generator().manual_seed(1)).weight)
        True
    """
    with torch.device("meta"):
        network = make()
    network = network.to_empty(device="cpu").to(memory_format=layout)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=mode, nonlinearity="relu", generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.ones_(layer.weight)
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
        elif next(layer.parameters(recurse=False), None) is not None:
            raise TypeError(
                f"layer {name!r} is a {type(layer).__name__}: only convolutions, linear layers, batch and group "
                "normalisations are initialised here"
            )
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    return network
