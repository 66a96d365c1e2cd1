"""Attacks on DP images: pictures are restored, and people recognised in them.

The attacker knows the mechanism and its setting, public pictures of the same kind, and, to recognise people, some
pictures of theirs (McPherson, Shokri and Shmatikov 2016). It never sees the originals of what was published.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from strategies.dp_images.baselines import P3, P3JPEG, Pixelize
from strategies.dp_images.mechanisms import (
    DPSVD,
    RANGE,
    SNOW,
    DPPix,
    Mechanism,
    Snow,
    cell_means,
    composed,
    singular_values,
)
from strategies.learning.classifier import train_classifier
from strategies.obfuscation.restoration import interpolate
from strategies.pixels import to_pictures, to_pixels
from strategies.privacy.stream import Stream

_NO_NOISE = 1e9
"""An epsilon so large that no noise is visible."""
Restore = Callable[[Tensor], Tensor]
"""From published (n, channels, height, width) uint8 pictures to the attacker's estimate of the originals."""


def restorer(mechanism: Mechanism, public: Tensor) -> Restore:
    """Return the attack that is made for a mechanism.

    Snow is interpolated (the survey's Fig. 1), DP-Pix is denoised by `MeansDenoiser`, of DP-SVD the vectors are kept
    and the noisy values are not (`with_usual_values`), and what P3 took away is guessed by `LinearRestorer`.

    Args:
        public: (n, channels, height, width) uint8; pictures of the same kind, none of them published.
    """
    match mechanism:
        case Snow():
            return melt
        case DPPix():
            return MeansDenoiser.learnt(mechanism, public).restore
        case DPSVD():
            usual = singular_values(public, mechanism.values)[1].mean(dim=0)
            return lambda published: with_usual_values(published, usual)
        case P3() | P3JPEG():
            return LinearRestorer.learnt(mechanism, public).restore
        case Pixelize():
            return MeansDenoiser.learnt(DPPix(_NO_NOISE, mechanism.cell), public).restore
    return lambda published: published


def combined(mechanism: Mechanism, publications: Sequence[Tensor]) -> Tensor:
    """Return what several publications of the same pictures show together, where their noise is not the same.

    For snow, every pixel that was kept in any of them; otherwise the mean.

    Args:
        publications: Each (n, channels, height, width) uint8, at least one.
    """
    if isinstance(mechanism, Snow):
        seen = publications[0]
        for other in publications[1:]:
            seen = torch.where((seen == SNOW).all(dim=1, keepdim=True), other, seen)
        return seen
    return torch.stack([each.float() for each in publications]).mean(0).round().to(torch.uint8)


def melt(published: Tensor) -> Tensor:
    """Fill in what snow removed from the pixels around it: what the survey's Fig. 1 does.

    Pixels that were that grey from the start are filled in, too. A picture without any kept pixel stays grey.

    Examples:
        >>> from strategies.privacy.stream import Stream
        >>> picture = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
        >>> melt(Snow(0.1).publish(picture, Stream(bytes(32)))).unique().tolist()
        [90]
    """
    known = (published != SNOW).any(dim=1)
    nothing = ~known.flatten(1).any(dim=1)
    known[nothing] = True
    colour = published.expand(-1, 3, -1, -1)  # grey pictures, too
    return interpolate(colour, known)[:, : published.shape[1]]


def with_usual_values(published: Tensor, usual: Tensor) -> Tensor:
    """Return pictures of the published singular vectors, each as strong as usual.

    Args:
        published: (n, channels, height, width) uint8, by DP-SVD.
        usual: (channels, k) float64, mean singular values of public pictures.
    """
    left, _, right = singular_values(published, usual.shape[1])
    return composed(left, usual.expand(len(published), -1, -1), right)


@dataclass(frozen=True)
class MeansDenoiser:
    r"""The best linear estimate of cells from noisy ones, :math:`\mu + \Sigma (\Sigma + s^2 I)^{-1} (y - \mu)`.

    Attributes:
        cell: Width of a cell in pixels.
        mean: (d,) float64, of all cells and channels of public pictures.
        gain: (d, d) float64, the share of each deviation that is kept.
    """

    cell: int
    mean: Tensor
    gain: Tensor

    @classmethod
    def learnt(cls, mechanism: DPPix, public: Tensor) -> "MeansDenoiser":
        """Learn mean and covariance of the cells of public pictures, at least two."""
        cells = cell_means(public, mechanism.cell).flatten(1)
        mean, covariance = cells.mean(dim=0), torch.cov(cells.T)
        scale = RANGE * mechanism.changed * public.shape[1] / (mechanism.cell**2 * mechanism.epsilon)
        noise = 2 * scale**2 * torch.eye(len(mean), dtype=torch.float64)
        return cls(mechanism.cell, mean, torch.linalg.solve(covariance + noise, covariance).T)

    def restore(self, published: Tensor) -> Tensor:
        """Return pictures of the estimated cells, smooth between their middles."""
        noisy = published[:, :, :: self.cell, :: self.cell].double()
        cells = self.mean + (noisy.flatten(1) - self.mean) @ self.gain.T
        pictures = torch.nn.functional.interpolate(
            cells.reshape(noisy.shape), scale_factor=self.cell, mode="bilinear", align_corners=False
        )
        return to_pixels(pictures)


@dataclass(frozen=True)
class LinearRestorer:
    r"""The best linear guess of what a method took away, :math:`K(y, Y) (K(Y, Y) + \lambda I)^{-1} (X - Y)`.

    Ridge regression from whole published pictures to whole originals. Its strength :math:`\lambda` is chosen by the
    error on each public picture when the others are known, which has a closed form.

    Attributes:
        published: (n, d) float32, public pictures as they were published, less their mean.
        weights: (n, d) float32
        mean, taken: (d,) float32, means of the published public pictures and of what was taken away.
    """

    published: Tensor
    weights: Tensor
    mean: Tensor
    taken: Tensor

    STRENGTHS: ClassVar[tuple[float, ...]] = (1e3, 1e4, 1e5, 3e5, 1e6, 3e6, 1e7)

    @classmethod
    def learnt(cls, mechanism: P3 | P3JPEG, public: Tensor) -> "LinearRestorer":
        """Learn from public pictures, at least two."""
        published = mechanism.publish(public, Stream(bytes(32))).float().flatten(1)  # which takes nothing of the stream
        missing = public.float().flatten(1) - published
        mean, taken = published.mean(0), missing.mean(0)
        published, missing = published - mean, missing - taken
        values, vectors = torch.linalg.eigh((published @ published.T).double())
        fitted = values <= 1e-6 * values.max()  # the means, which are fitted whatever the strength
        turned = vectors.T @ missing.double()

        def error(strength: float) -> float:
            """Mean squared error on pictures that are left out, one by one."""
            left = torch.where(fitted, 0.0, strength / (values + strength))
            residuals = vectors @ (left[:, None] * turned)
            return float((residuals / (vectors**2 @ left)[:, None]).square().mean())

        strength = min(cls.STRENGTHS, key=error)
        weights = vectors @ (turned / (values + strength)[:, None])
        return cls(published, weights.float(), mean, taken)

    def restore(self, published: Tensor) -> Tensor:
        """Return published pictures with what was probably taken away."""
        seen = published.float().flatten(1)
        guess = seen + self.taken + ((seen - self.mean) @ self.published.T) @ self.weights
        return to_pixels(guess.reshape(published.shape))


def recogniser(
    known: Tensor,
    persons: NDArray[np.int64],
    count: int,
    treat: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    *,
    copies: int = 1,
    epochs: int = 20,
) -> nn.Module:
    """Train a CNN to recognise people in pictures that are treated as the published ones were (McPherson et al. 2016).

    Args:
        known: (n, channels, height, width) uint8, pictures of them that the attacker has.
        persons: (n,); who they show, from 0.
        treat: The mechanism, and what the attacker does to a published picture first.
        copies: How often each known picture is treated, with fresh noise.
        epochs: Of training.
    """
    treated = torch.cat([treat(known) for _ in range(copies)])
    return train_classifier(colours(treated), np.tile(persons, copies), count, generator, epochs=epochs)


def colours(pictures: Tensor) -> NDArray[np.uint8]:
    """Return (n, height, width, 3) pictures of grey or coloured ones."""
    return to_pictures(pictures.expand(-1, 3, -1, -1))
