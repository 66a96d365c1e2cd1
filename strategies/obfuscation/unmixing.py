"""The unmixing attack: original images from the mixtures of several epochs (Raynal et al. 2020, section 4.4).

The paper claims that finding the mixtures which share an image costs O(N!) comparisons. It costs O(N^2), one product of
matrices: fine detail of different photographs is uncorrelated, so that two mixtures correlate just when they share an
image. So

1. a mixture of the first epoch and one of the second that correlates with it share an image: each such pair is one;
2. in every further epoch the mixture that holds it is the one that correlates with both;
3. the mean of all of these, sharpened, is a first guess of the image; of guesses that are of one image, one is kept;
4. every mixture of every epoch is of those images that it correlates most with, by weights that a regression gives, or
   that are known and go in the same order;
5. all epochs together are an overdetermined linear system: least squares gives the images. Steps 4 and 5 are repeated.

Noise averages out over epochs. It takes neither weights nor how often an image is used: both follow. The service needs
at least three epochs, and knows how many images are in a mixture: the technique and its setting are no secret.

Signs that were flipped at random (InstaHide) are undone as far as they do not matter: the distance of a value from the
middle is what is correlated, and from the second round on the sign is that of the guess (after Carlini et al. 2020, "Is
Private Learning Possible with Instance Encoding?").
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from strategies.obfuscation.blurring import gaussian_blur
from strategies.pixels import to_pixels

FEWEST_EPOCHS = 3
_GREY, _RIDGE = 127.5, 1e-3
_SAME = 0.7
"""Guesses that correlate more than this are of one image."""
_TRIES = 3
"""How often signs are guessed and the images solved for again, in each round."""


class Unmixed(NamedTuple):
    """The recovered images.

    Attributes:
        pictures: (n, 3, height, width) uint8, one per image found.
        groups: (m, k) int64, which of these each mixture of all epochs is taken to be of.
    """

    pictures: Tensor
    groups: Tensor


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


def means(pictures: Tensor, squares: int) -> Tensor:
    """Return the mean of every square of (n, channels, height, width) uint8 pictures, as such.

    Args:
        squares: Their width, in pixels; 1 leaves pictures as they are.
    """
    return pictures if squares == 1 else to_pixels(F.avg_pool2d(pictures.float(), squares))


def unmix(
    epochs: Sequence[Tensor],
    images: int,
    sources: int,
    *,
    weights: tuple[float, ...] | None = None,
    smoothing: int = 1,
    squares: int = 1,
    signed: bool = True,
    rounds: int = 5,
) -> Unmixed:
    """Recover original images from epochs of mixtures.

    Args:
        epochs: Each (m, 3, height, width) uint8; the mixtures of three or more epochs, in any order within each.
        images: How many images are in a mixture.
        sources: How many images there are, at most.
        weights: Those of every mixture, in any order; None where they are not known.
        smoothing: How wide a blur (odd, in pixels) to see through noise with; 1 for none.
        squares: Width of squares within which nothing can be told, in pixels, as where they were shuffled: of these
            the means are recovered, and pictures are interpolated between them.
        signed: False where signs were flipped at random.
        rounds: How often to look for the images in all mixtures and to solve.

    Raises:
        ValueError: When there are fewer than three epochs, or an epoch has fewer than two mixtures.
    """
    if len(epochs) < FEWEST_EPOCHS or min(len(mixtures) for mixtures in epochs) < 2:
        raise ValueError(f"unmixing takes {FEWEST_EPOCHS} epochs of at least two mixtures, not {len(epochs)}")
    shape = epochs[0].shape[1:]
    values = torch.cat(list(epochs)).flatten(1).float() - _GREY
    if not signed:
        values = values.abs()
    sizes = [len(mixtures) for mixtures in epochs]

    def look(rows: Tensor) -> Tensor:
        """Return fine detail of values around 0; without their signs where these were flipped."""
        shown = to_pixels(rows + _GREY if signed else 2 * rows.abs()).reshape(-1, *shape)
        return detail(means(shown, squares), smoothing)

    seen = look(values)
    guesses = _distinct(_found(torch.split(seen, sizes), images), sources)
    for number in range(rounds):
        amounts, groups = (seen @ guesses.T).topk(min(images, len(guesses)), dim=1)
        shares = _shares(amounts, weights)
        target = values
        solved = _solve(target, groups, shares, len(guesses))
        for _ in range(0 if signed else _TRIES):
            target = values * _mixtures(solved, groups, shares).sign()
            solved = _solve(target, groups, shares, len(guesses))
        if number == rounds - 1:
            break
        guesses = _distinct(look(solved), sources)
        if signed and len(guesses) < sources and number < rounds - 2:
            left = target - _mixtures(solved, groups, shares)
            others = _missing(left, look(left), sizes, number % len(sizes), images, sources - len(guesses))
            guesses = _distinct(torch.cat([guesses, others]), sources)
    pictures = to_pixels(solved + _GREY).reshape(-1, *shape)
    return Unmixed(pictures if squares == 1 else _enlarged(means(pictures, squares), shape[1:]), groups)


def _enlarged(pictures: Tensor, size: torch.Size) -> Tensor:
    return to_pixels(F.interpolate(pictures.float(), size=tuple(size), mode="bicubic"))


def _found(epochs: Sequence[Tensor], images: int, chosen: Tensor | None = None) -> Tensor:
    """Return guesses of the detail of images, by which mixtures of each epoch correlate.

    Args:
        epochs: Details of the mixtures; the images of some of the first epoch are looked for.
        chosen: Which of the first epoch; None: all.
    """
    first = epochs[0] if chosen is None else epochs[0][chosen]
    partners = (first @ epochs[1].T).topk(min(images, len(epochs[1])), dim=1).indices
    one, other = first.repeat_interleave(partners.shape[1], dim=0), epochs[1][partners.flatten()]
    total = one + other
    for mixtures in epochs[2:]:
        both = (one @ mixtures.T).clamp(min=0).mul_((other @ mixtures.T).clamp(min=0))
        total += mixtures[both.argmax(dim=1)]
    return F.normalize(total)


def _missing(left: Tensor, seen: Tensor, sizes: list[int], first: int, images: int, most: int) -> Tensor:
    """Return guesses of images that are not found yet, in what is left of the mixtures.

    Args:
        left, seen: What is left, and its detail.
        first: The epoch whose mixtures are looked at, those of which most is left.
    """
    strength = torch.split(left.square().mean(dim=1), sizes)[first]
    details = torch.split(seen, sizes)
    ordered = [details[(first + place) % len(sizes)] for place in range(len(sizes))]
    return _found(ordered, images, strength.topk(min(most, len(strength))).indices)


def _distinct(guesses: Tensor, most: int) -> Tensor:
    """Return the first guess of each image, and no more than that many."""
    alike = (guesses @ guesses.T > _SAME).cpu()
    again = torch.zeros(len(guesses), dtype=torch.bool)
    kept: list[int] = []
    for place in range(len(guesses)):
        if not again[place] and len(kept) < most:
            kept.append(place)
            again |= alike[place]
    return guesses[kept]


def _shares(amounts: Tensor, weights: tuple[float, ...] | None) -> Tensor:
    """Return the weight of each image in a mixture, (m, k), from what it correlates with, the largest first."""
    if weights is None:
        some = amounts.clamp(min=1e-3)
        return some / some.sum(dim=1, keepdim=True)
    known = torch.tensor(sorted(weights, reverse=True), device=amounts.device)
    return (known / known.sum())[: amounts.shape[1]].expand(len(amounts), -1)


def _mixtures(solved: Tensor, groups: Tensor, shares: Tensor) -> Tensor:
    """Mix images."""
    total = torch.zeros(len(groups), solved.shape[1], device=solved.device)
    for role in range(groups.shape[1]):
        total.addcmul_(solved[groups[:, role]], shares[:, role, None])
    return total


def _solve(values: Tensor, groups: Tensor, shares: Tensor, count: int) -> Tensor:
    """Solve mixtures = shares x images by least squares; a small ridge term makes grey the guess of what is unknown."""
    given = shares.double()
    normal = torch.zeros(count, count, dtype=torch.float64, device=values.device)
    right = torch.zeros(count, values.shape[1], dtype=torch.float64, device=values.device)
    for role in range(groups.shape[1]):
        right.index_add_(0, groups[:, role], values * given[:, role, None])
        for other in range(groups.shape[1]):
            normal.index_put_((groups[:, role], groups[:, other]), given[:, role] * given[:, other], accumulate=True)
    normal.diagonal().add_(_RIDGE)
    solved: Tensor = torch.linalg.solve(normal, right).float()
    return solved
