"""The unmixing attack: original images from the mixtures of several epochs (Raynal et al. 2020, section 4.4).

The paper holds that finding the mixtures which share an image takes O(N!) comparisons. It takes O(N^2), one product of
matrices: fine detail of different photographs is uncorrelated, so that two mixtures correlate just when they share an
image. With every image at most once per epoch,

1. a mixture of the first epoch has two partners in the second: each such pair is an image;
2. the mixture of every further epoch that holds this image is the one that correlates with both;
3. all epochs together are an overdetermined linear system: least squares, as if weights were equal, gives a first guess
   of every image;
4. in every epoch the mixture that correlates most with the guess holds the image, and of the two images in a mixture
   the one that it correlates more with has the larger weight. So the system is known better and is solved again.

Noise averages out over epochs.

The service needs at least three epochs, and the setting (technique and weights), which is no secret: who is mixed with
whom, and which of the two weights an image has, is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from strategies.obfuscation.blurring import gaussian_blur
from strategies.pixels import to_pixels

FEWEST_EPOCHS = 3
_GREY, _RIDGE = 127, 1e-3


class Unmixed(NamedTuple):
    """What the attack recovers.

    Attributes:
        pictures: (n, 3, height, width) uint8, one per image found.
        holders: (n, epochs) int64, which mixture of every epoch is taken to hold it.
    """

    pictures: Tensor
    holders: Tensor


def detail(pictures: Tensor, smoothing: int = 1) -> Tensor:
    """Return fine detail, (n, values) float32 of norm 1: each pixel minus the mean of its four neighbours.

    Args:
        pictures: (n, channels, height, width) uint8
        smoothing: Width of a Gaussian kernel (odd) that goes before; 1 for none.
    """
    kernel = torch.tensor([[0, -0.25, 0], [-0.25, 1, -0.25], [0, -0.25, 0]], device=pictures.device)
    channels = pictures.shape[1]
    smooth = gaussian_blur(pictures.float(), smoothing)
    fine = F.conv2d(smooth, kernel.expand(channels, 1, 3, 3), groups=channels).flatten(1)
    return F.normalize(fine - fine.mean(dim=1, keepdim=True))


def unmix(epochs: Sequence[Tensor], weights: tuple[float, float], *, smoothing: int = 1, rounds: int = 5) -> Unmixed:
    """Recover original images from epochs of mixtures of two, of which each image is in one per epoch at most.

    Args:
        epochs: Each (m, 3, height, width) uint8; the mixtures of three or more epochs, in any order within each.
        weights: The two weights in every mixture, in any order.
        smoothing: How wide a blur (odd, in pixels) to see through noise and shuffling with; 1 for none.
        rounds: How often to look for the images found in all mixtures again, and to solve again.

    Returns:
        2 m images at most: two for every mixture of the first epoch.

    Raises:
        ValueError: When there are fewer than three epochs, or an epoch has fewer than two mixtures.
    """
    if len(epochs) < FEWEST_EPOCHS or min(len(mixtures) for mixtures in epochs) < 2:
        raise ValueError(f"unmixing takes {FEWEST_EPOCHS} epochs of at least two mixtures, not {len(epochs)}")
    details = [detail(mixtures, smoothing) for mixtures in epochs]
    holders = _holders(details)
    pictures = _solve(epochs, holders, torch.full(holders.shape, sum(weights) / 2, device=holders.device))
    for _ in range(rounds):
        found = detail(pictures, smoothing)
        amounts, places = zip(*((found @ mixtures.T).max(dim=1) for mixtures in details), strict=True)
        holders = torch.stack(places, dim=1)
        pictures = _solve(epochs, holders, _weights(torch.stack(amounts, dim=1), holders, weights))
    return Unmixed(pictures, holders)


def _holders(details: list[Tensor]) -> Tensor:
    """Return which mixture of every epoch holds each image, (n, epochs), by how the mixtures correlate."""
    partners = (details[0] @ details[1].T).topk(2, dim=1).indices
    first, second = details[0].repeat_interleave(2, dim=0), details[1][partners.flatten()]
    columns = [torch.arange(len(details[0]), device=partners.device).repeat_interleave(2), partners.flatten()]
    for mixtures in details[2:]:
        both = (first @ mixtures.T).clamp(min=0) * (second @ mixtures.T).clamp(min=0)
        columns.append(both.argmax(dim=1))
    return torch.stack(columns, dim=1)


def _weights(amounts: Tensor, holders: Tensor, weights: tuple[float, float]) -> Tensor:
    """Return the weight of each image in its holders, (n, epochs): the larger one for the image with more of it."""
    given = torch.full_like(amounts, max(weights))
    for epoch, (amount, holder) in enumerate(zip(amounts.T, holders.T, strict=True)):
        most = torch.zeros(int(holder.max()) + 1, device=amounts.device).scatter_reduce(0, holder, amount, "amax")
        given[amount < most[holder], epoch] = min(weights)
    return given


def _solve(epochs: Sequence[Tensor], holders: Tensor, weights: Tensor) -> Tensor:
    """Solve mixtures = weights x images by least squares, with a whiff of ridge where the system leaves a choice."""
    mixed = torch.cat([mixtures.flatten(1) for mixtures in epochs]).double()
    sizes = torch.tensor([len(mixtures) for mixtures in epochs], device=holders.device)
    images = torch.arange(len(holders), device=holders.device)[:, None].expand_as(holders)
    places = torch.stack([images.flatten(), (holders + (sizes.cumsum(0) - sizes)).flatten()])
    # One weight per image and epoch: a product with the dense matrix would cost hundreds of times as much.
    given, shape = weights.double().flatten(), (len(holders), len(mixed))
    transposed = torch.sparse_coo_tensor(places, given, shape, check_invariants=True).coalesce()
    totals = torch.zeros(len(mixed), dtype=torch.float64, device=holders.device)
    totals.scatter_add_(0, places[1], given)
    # Grey is the guess where nothing is known.
    unexplained = mixed.sub_(_GREY * totals[:, None])
    normal = torch.sparse.mm(transposed, transposed.to_dense().T)
    normal.diagonal().add_(_RIDGE)
    found: Tensor = _GREY + torch.linalg.solve(normal, torch.sparse.mm(transposed, unexplained))
    return to_pixels(found).reshape(-1, *epochs[0].shape[1:])
