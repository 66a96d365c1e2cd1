"""The unmixing attack: original images from the mixtures of several epochs (Raynal et al. 2020, section 4.4).

The paper holds that finding the mixtures which share an image takes O(N!) comparisons. It takes O(N^2), one product of
matrices: fine detail of different photographs is uncorrelated, so that two mixtures correlate just when they share an
image. With every image at most once per epoch,

1. a mixture of the first epoch has two partners in the second: each such pair is an image;
2. the mixture of every further epoch that holds this image is the one that correlates with both;
3. how strongly the three correlate tells how much of the image is in each: rho_uv rho_uw / rho_vw is proportional to
   the square of its weight in u. So the larger of the two weights in a mixture is known;
4. all epochs together are an overdetermined linear system, solved by least squares. Noise averages out over epochs.

The service needs at least three epochs, and the setting (technique and weights), which is no secret: who is mixed with
whom, and which of the two weights an image has, is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from strategies.obfuscation.blurring import gaussian_blur

FEWEST_EPOCHS = 3


class Unmixed(NamedTuple):
    """What the attack recovers.

    Attributes
    ----------
    pictures : (n, 3, height, width) uint8
        One per image found.
    holders : (n, epochs) int64
        Which mixture of every epoch is taken to hold it.
    """

    pictures: Tensor
    holders: Tensor


def detail(pictures: Tensor, smoothing: int = 1) -> Tensor:
    """Return fine detail, (n, values) float32 of norm 1: each pixel minus the mean of its four neighbours.

    Parameters
    ----------
    pictures : (n, channels, height, width) uint8
    smoothing : int
        Width of a Gaussian kernel (odd) that goes before; 1 for none.
    """
    kernel = torch.tensor([[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]], device=pictures.device)
    channels = pictures.shape[1]
    smooth = gaussian_blur(pictures.float(), smoothing)
    fine = F.conv2d(smooth, kernel.expand(channels, 1, 3, 3), groups=channels).flatten(1)
    return F.normalize(fine - fine.mean(dim=1, keepdim=True))


def unmix(epochs: Sequence[Tensor], weights: tuple[float, float], *, smoothing: int = 1, rounds: int = 3) -> Unmixed:
    """Recover original images from epochs of mixtures of two, of which each image is in one per epoch at most.

    Parameters
    ----------
    epochs : sequence of (m, 3, height, width) uint8
        The mixtures of three or more epochs, in any order within each.
    weights : (float, float)
        The two weights in every mixture, in any order.
    smoothing : int
        How wide a blur (odd, in pixels) to see through noise and shuffling with; 1 for none.
    rounds : int
        How often to look for the images found in all mixtures again, and to solve again.

    Returns
    -------
    Unmixed
        2 m images at most: two for every mixture of the first epoch.

    Raises
    ------
    ValueError
        When there are fewer than three epochs, or an epoch has fewer than two mixtures.
    """
    if len(epochs) < FEWEST_EPOCHS or min(len(mixtures) for mixtures in epochs) < 2:
        raise ValueError(f"unmixing takes {FEWEST_EPOCHS} epochs of at least two mixtures, not {len(epochs)}")
    details = [detail(mixtures, smoothing) for mixtures in epochs]
    alike = _correlations(details)
    holders = _holders(alike)
    amounts = _amounts(alike, holders)
    pictures = _solve(epochs, holders, _weights(amounts, holders, weights))
    for _ in range(rounds):
        found = detail(pictures, smoothing)
        with_images = [found @ mixtures.T for mixtures in details]
        holders = torch.stack([alike.argmax(dim=1) for alike in with_images], dim=1)
        amounts = torch.stack([alike.max(dim=1).values for alike in with_images], dim=1)
        pictures = _solve(epochs, holders, _weights(amounts, holders, weights))
    return Unmixed(pictures, holders)


def _correlations(details: list[Tensor]) -> dict[tuple[int, int], Tensor]:
    """Return how mixtures of the first two epochs correlate with those of all later ones, never below a floor."""
    pairs = [(first, later) for first in (0, 1) for later in range(first + 1, len(details))]
    return {(first, later): (details[first] @ details[later].T).clamp(min=1e-4) for first, later in pairs}


def _holders(alike: dict[tuple[int, int], Tensor]) -> Tensor:
    """Return which mixture of every epoch holds each image, (n, epochs)."""
    first = torch.arange(len(alike[0, 1]), device=alike[0, 1].device).repeat_interleave(2)
    second = alike[0, 1].topk(2, dim=1).indices.flatten()
    later = [
        (alike[0, epoch][first] * alike[1, epoch][second]).argmax(dim=1)
        for epoch in range(2, 1 + max(epoch for _, epoch in alike))
    ]
    return torch.stack([first, second, *later], dim=1)


def _amounts(alike: dict[tuple[int, int], Tensor], holders: Tensor) -> Tensor:
    """Return how much of each image is in each of its holders, (n, epochs), up to a factor per image."""
    epochs = holders.shape[1]
    first, second = holders[:, 0], holders[:, 1]
    between = alike[0, 1][first, second]
    ends = [
        [alike[start, epoch][holders[:, start], holders[:, epoch]] for epoch in range(2, epochs)] for start in (0, 1)
    ]
    in_first = torch.stack([between * one / other for one, other in zip(*ends, strict=True)]).median(dim=0).values
    in_second = torch.stack([between * other / one for one, other in zip(*ends, strict=True)]).median(dim=0).values
    in_later = [one * other / between for one, other in zip(*ends, strict=True)]
    return torch.stack([in_first, in_second, *in_later], dim=1)


def _weights(amounts: Tensor, holders: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return the weight of each image in its holders, (n, epochs): the larger one for the image with more of it."""
    given = torch.full_like(amounts, max(weights))
    for epoch, (amount, holder) in enumerate(zip(amounts.T, holders.T, strict=True)):
        most = torch.zeros(int(holder.max()) + 1, device=amounts.device).scatter_reduce(0, holder, amount, "amax")
        given[amount < most[holder], epoch] = min(weights)
    return given


def _solve(epochs: Sequence[Tensor], holders: Tensor, weights: Tensor) -> Tensor:
    """Solve mixtures = weights x images by least squares, a whiff of ridge where the system leaves a choice."""
    starts = torch.tensor([0, *(len(mixtures) for mixtures in epochs)], device=holders.device).cumsum(0)
    images = len(holders)
    system = torch.zeros(int(starts[-1]), images, dtype=torch.float64, device=holders.device)
    for epoch in range(len(epochs)):
        system[starts[epoch] + holders[:, epoch], torch.arange(images, device=holders.device)] = weights[:, epoch].to(
            torch.float64
        )
    # Grey 127 is the guess where nothing is known.
    mixtures = torch.cat([mixtures.flatten(1) for mixtures in epochs]).double()
    guess = system.sum(dim=1, keepdim=True) * 127
    ridge = 1e-3 * torch.eye(images, dtype=torch.float64, device=holders.device)
    found: Tensor = 127 + torch.linalg.solve(system.T @ system + ridge, system.T @ (mixtures - guess))
    return found.round_().clamp_(0, 255).to(torch.uint8).reshape(images, *epochs[0].shape[1:])
