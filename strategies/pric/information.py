"""Lower bounds of I(x; z, u), what a representation z and the private attributes u tell about a picture x (Eqs. 4, 5).

Each is a network that is trained to make its bound as tight as it can. With ``conditional=False`` it does not see u and
bounds I(x; z), which pulls the private attributes back into z: the ablation.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from strategies.learning.initialise import built
from strategies.pric.networks import CELLS, SCALE

SHARPNESS = 20.0
"""Nats per unit of mean absolute error: the decoder's pixels are Laplace distributed with a twentieth of the range."""


class Bound(nn.Module):
    """A trainable lower bound.

    Args:
        conditional: Whether it sees the private attributes.
    """

    def __init__(self, conditional: bool) -> None:
        super().__init__()
        self._conditional = conditional

    def forward(self, pictures: Tensor, representations: Tensor, private: Tensor) -> Tensor:
        """Return the bound on a batch, a scalar in nats up to a constant; more is more information.

        Args:
            pictures: (n, 3, height, width); x, in 0..1.
            representations: (n, channels, height / 4, width / 4), z.
            private: (n, attributes); u, each 0 or 1.
        """
        raise NotImplementedError

    def _joined(self, representations: Tensor, private: Tensor) -> Tensor:
        """Return z and u as the channels of one map; u as -1 and 1, or 0 where it is not to be seen."""
        signs = (2 * private.float() - 1) * float(self._conditional)
        rows, columns = representations.shape[2:]
        return torch.cat([representations, signs[:, :, None, None].expand(-1, -1, rows, columns)], dim=1)


class JensenShannon(Bound):
    """Eq. 4: how well a discriminator tells x from another picture x', given z and u; in -2 ln 2..0.

    x' is the batch rolled by one.
    """

    def __init__(self, conditional: bool) -> None:
        super().__init__(conditional)
        self.patches = nn.Sequential(
            nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 48, 3, SCALE // 2, 1), nn.ReLU()
        )
        self.compare: nn.Sequential

    def forward(self, pictures: Tensor, representations: Tensor, private: Tensor) -> Tensor:
        """Return the bound; see `Bound`."""
        seen, given = self.patches(pictures), self._joined(representations, private)
        same, other = (self.compare(torch.cat([some, given], dim=1)) for some in (seen, seen.roll(1, 0)))
        return -F.softplus(-same).mean() - F.softplus(other).mean()


class GlobalJensenShannon(JensenShannon):
    """One verdict per picture. It saturates: to tell x from x' takes a few bits of z."""

    def __init__(self, channels: int, private: int, conditional: bool) -> None:
        super().__init__(conditional)
        self.compare = nn.Sequential(
            nn.Conv2d(channels + private + 48, 64, 3, 2, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(CELLS), nn.Flatten(), nn.Linear(64 * CELLS**2, 128), nn.ReLU(), nn.Linear(128, 1),
        )  # fmt: skip


class LocalJensenShannon(JensenShannon):
    """One verdict per position (Hjelm et al. 2018, Deep InfoMax's local form)."""

    def __init__(self, channels: int, private: int, conditional: bool) -> None:
        super().__init__(conditional)
        self.compare = nn.Sequential(
            nn.Conv2d(channels + private + 48, 128, 1), nn.ReLU(), nn.Conv2d(128, 128, 1), nn.ReLU(),
            nn.Conv2d(128, 1, 1),
        )  # fmt: skip


class Decoder(Bound):
    """Barber and Agakov's bound, by a decoder: I(x; z, u) >= H(x) + E[log q(x | z, u)], Laplace q; H(x) is left out."""

    def __init__(self, channels: int, private: int, conditional: bool) -> None:
        super().__init__(conditional)
        self.decode = nn.Sequential(
            nn.Conv2d(channels + private, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 128, 1), nn.PixelShuffle(2),
            nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 48, 1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(12, 3, 3, 1, 1),
        )  # fmt: skip

    def forward(self, pictures: Tensor, representations: Tensor, private: Tensor) -> Tensor:
        """Return the bound; see `Bound`."""
        painted = self.decode(self._joined(representations, private)) + 0.5
        return -SHARPNESS * F.l1_loss(painted, pictures)


BOUNDS: dict[str, Callable[[int, int, bool], Bound]] = {
    "global": GlobalJensenShannon,
    "local": LocalJensenShannon,
    "decoder": Decoder,
}
"""Bounds by name: what the paper has, its local form, and the one that keeps most here."""


def new_bound(name: str, channels: int, private: int, generator: torch.Generator, *, conditional: bool = True) -> Bound:
    """Return an untrained bound, weights drawn from the generator.

    Args:
        name: A key of `BOUNDS`.
        channels, private: Of the representations; how many private attributes.
        conditional: Whether it sees the private attributes, as in I(x; z, u); otherwise it bounds I(x; z).

    Raises:
        ValueError: When there is no such bound.

    Examples:
        >>> bound = new_bound("local", 32, 1, torch.Generator().manual_seed(1))
        >>> -2 < bound(torch.zeros(2, 3, 32, 32), torch.zeros(2, 32, 8, 8), torch.zeros(2, 1)).item() < 0
        True
    """
    if name not in BOUNDS:
        raise ValueError(f"there is no bound {name!r}; these are: {', '.join(BOUNDS)}")
    return built(lambda: BOUNDS[name](channels, private, conditional), generator)
