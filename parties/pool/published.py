"""The networks that a pool's entities share: featurizer, decider and reconstructor, as they are published."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from protocol.errors import ProtocolError
from protocol.messages.pool import Network, Role, Rules
from strategies.deep_poisoning.reconstructor import Reconstructor, new_reconstructor
from strategies.deep_poisoning.split import SplitNetwork, new_network
from strategies.learning.batches import apply
from strategies.learning.weights import fingerprint, in_one_row, restore_row


class BadNetwork(ProtocolError):
    """A published network that does not fit the pool; the text says why."""


@dataclass(frozen=True, eq=False)
class Published:
    """The networks that all entities of a pool share.

    Attributes:
        network: phi_1 and phi_2.
        reconstructor: psi.
    """

    network: SplitNetwork
    reconstructor: Reconstructor

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the featurizer's weights, which features carry."""
        return bytes.fromhex(fingerprint(self.network.featurizer))

    def part(self, role: Role) -> nn.Module:
        """Return one of the networks."""
        return {
            Role.FEATURIZER: self.network.featurizer,
            Role.DECIDER: self.network.decider,
            Role.RECONSTRUCTOR: self.reconstructor,
        }[role]

    def message(self, pool: bytes, role: Role) -> Network:
        """Return one of the networks as a message."""
        return Network(pool=pool, role=role, weights=in_one_row(self.part(role)))


def blank(rules: Rules) -> Published:
    """Return untrained networks of a pool's architecture; their weights are always the same.

    Raises:
        ValueError: When the rules name an architecture or a design that there is not, or that does not fit the images.
    """
    generator = torch.Generator().manual_seed(0)
    network = new_network(rules.architecture, rules.classes, generator).eval()
    channels, height, _ = feature_shape(network, rules.side)
    reconstructor = new_reconstructor(rules.reconstructor, channels, rules.side // height, generator).eval()
    return Published(network, reconstructor)


def feature_shape(network: SplitNetwork, side: int) -> tuple[int, int, int]:
    """Return channels, height and width of the feature maps of images of a side."""
    with torch.inference_mode():
        _, channels, height, width = network.featurizer(torch.zeros(1, 3, side, side)).shape
    return int(channels), int(height), int(width)


def highest_features(network: SplitNetwork, side: int) -> NDArray[np.float32]:
    """Return the highest value in each channel of a featurizer's maps of synthetic images, (channels,).

    Noise, flat colours, gradients and stripes: always the same, so that whoever checks features computes the same.

    Args:
        side: Width and height of the images.

    Raises:
        BadNetwork: When a value is not finite.
    """
    maps = apply(_synthetic(side), network.featurizer)
    highest: NDArray[np.float32] = maps.amax((0, 2, 3)).numpy()
    if not np.isfinite(highest).all():
        raise BadNetwork("the published featurizer cannot be used: its features are not finite")
    return highest


def _synthetic(side: int) -> Tensor:
    """Return (n, 3, side, side) images in 0..1 with more contrast than pictures have."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(16, 3, side, side, generator=generator)
    ends = torch.tensor([0.0, 1.0])
    flat = torch.cartesian_prod(ends, ends, ends)[:, :, None, None].expand(-1, -1, side, side)
    ramp, places = torch.linspace(0, 1, side), torch.arange(side)
    rows = torch.stack([ramp, ramp.flip(0), *((places // width % 2).float() for width in (1, 2, 4, 8))])
    across = rows[:, None, None, :].expand(-1, 3, side, side)
    return torch.cat([noise, noise.round(), flat, across, across.transpose(2, 3)]).contiguous()


def published(rules: Rules, networks: Mapping[Role, Network]) -> Published:
    """Read published networks.

    Raises:
        BadNetwork: When weights are not those of the architecture, or a number in them is not finite.
    """
    found = blank(rules)
    for role in Role:
        if networks[role].role != role:
            raise BadNetwork(f"where the {role} was asked for came the {networks[role].role}")
        try:
            restore_row(found.part(role), np.asarray(networks[role].weights))
        except ValueError as error:
            raise BadNetwork(f"the published {role} cannot be used: {error}") from None
    return found
