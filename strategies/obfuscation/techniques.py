"""The obfuscation techniques: from a batch of groups of images to one obfuscated image per group.

Raynal et al. 2020, section 3, and three older techniques for comparison. Every function has the form
``technique(sources, weights, stream[, strength])``:

sources : (m, k, 3, height, width) uint8
    m groups of k images.
weights : (m, k) float32
    Of the images in the mixture, rows summing to 1. With k = 1 the image is not mixed.
stream : Stream
    Of random numbers; every call draws afresh. What protects an image cannot be told from chance, even by who knows
    other images of the batch. All devices draw the same.
strength
    What the technique itself varies; lengths in pixels, noise in the units of 0..255.

Each returns (m, 3, height, width) uint8 and costs time linear in the pixels. Blurring and pixelizing are linear maps,
so that they are done once, after mixing, which is the same; noise on every source sums to one Gaussian of the combined
variance, which is drawn instead.
"""

import math

import numpy as np
import torch
from torch import Tensor

from strategies.obfuscation.blurring import gaussian_blur
from strategies.pixels import to_pixels
from strategies.privacy.rounded_noise import FINE, rounded_gaussian
from strategies.privacy.stream import Stream


def mix(sources: Tensor, weights: Tensor, stream: Stream) -> Tensor:
    """Mix images by their weights (section 3.1)."""
    return to_pixels(_mixture(sources, weights))


def graft_and_mix(sources: Tensor, weights: Tensor, stream: Stream, kept: float = 0.5) -> Tensor:
    """Keep a share of the first image's pixels and mix the others: B x_i + (1 - B) mixture (section 3.2).

    Each pixel, with all its channels, is kept with probability `kept`, independently.

    Raises:
        ValueError: When `kept` is no share.
    """
    if not 0 <= kept <= 1:
        raise ValueError(f"the share of pixels kept lies between 0 and 1, not at {kept}")
    shape = (len(sources), 1, *sources.shape[3:])
    keeps = torch.from_numpy(stream.words(math.prod(shape)) < kept * 2.0**32).reshape(shape).to(sources.device)
    return to_pixels(_mixture(sources, weights).lerp_(sources[:, 0].float(), keeps.float()))


def graft_shares(weights: Tensor, kept: float) -> Tensor:
    """Return what each image contributes after grafting: p + (1 - p) lambda for the first (section 3.2)."""
    shares = (1 - kept) * weights
    shares[:, 0] += kept
    return shares


def shuffle_and_mix(sources: Tensor, weights: Tensor, stream: Stream, block: int = 8) -> Tensor:
    """Shuffle the pixels within every block x block square of every image, then mix (section 3.3).

    Every square of every image has its own permutation. Colours move with their pixel.

    Raises:
        ValueError: When squares of that size do not tile the images.
    """
    return to_pixels(_mixture(_shuffled(sources, block, stream), weights))


def noise_and_mix(sources: Tensor, weights: Tensor, stream: Stream, sigma: float = 20.0) -> Tensor:
    """Add Gaussian noise N(0, sigma^2) to every value of every image, then mix (section 3.4).

    Raises:
        ValueError: When sigma is negative.
    """
    if sigma < 0:
        raise ValueError(f"the standard deviation of noise is not negative, as {sigma:g} is")
    noise = _noise(sources, FINE, stream).mul_(1 / FINE)
    return to_pixels(_mixture(sources, weights) + noise.mul_(sigma * weights.norm(dim=1)[:, None, None, None]))


def shuffle_noise_and_mix(
    sources: Tensor, weights: Tensor, stream: Stream, block: int = 4, sigma: float = 20.0
) -> Tensor:
    """Shuffle within squares, then add noise, then mix: what section 4.4 holds against blind source separation.

    Permutations and noise are drawn afresh for every image of every call, so that no two epochs share any. See
    `shuffle_and_mix` and `noise_and_mix`.

    Raises:
        ValueError: When squares of that size do not tile the images, or sigma is negative.
    """
    return noise_and_mix(_shuffled(sources, block, stream), weights, stream, sigma)


def pixelize_and_mix(sources: Tensor, weights: Tensor, stream: Stream, blocks: int = 32) -> Tensor:
    """Replace every square by its mean, `blocks` squares per side, and mix (section 3.5).

    The paper's s: 16 hides more than 32, as in its Table 7. Where the side is no multiple of it, squares differ by a
    pixel.

    Raises:
        ValueError: When there are more squares than pixels on a side.
    """
    if not 1 <= blocks <= min(sources.shape[3:]):
        raise ValueError(f"a side of {min(sources.shape[3:])} pixels has no {blocks} blocks")
    mixture = _mixture(sources, weights)
    rows, columns = (torch.arange(side, device=sources.device) * blocks // side for side in mixture.shape[2:])
    means = _averages(rows, blocks) @ mixture @ _averages(columns, blocks).T
    return to_pixels(means)[:, :, rows][:, :, :, columns]


def blur_and_mix(sources: Tensor, weights: Tensor, stream: Stream, kernel: int = 17) -> Tensor:
    """Blur with a Gaussian kernel of that many pixels and mix (section 3.6); see `gaussian_blur`."""
    return to_pixels(gaussian_blur(_mixture(sources, weights), kernel))


def instahide(sources: Tensor, weights: Tensor, stream: Stream) -> Tensor:
    """Mix and flip the sign of every value with probability 1/2 (Huang et al. 2020, "InstaHide", section 5).

    Values are scaled to -1..1, so that a flip sends x to 255 - x.
    """
    mixture = mix(sources, weights, stream)
    bits = np.unpackbits(np.frombuffer(stream.take(-(-mixture.numel() // 8)), np.uint8), count=mixture.numel())
    return mixture ^ torch.from_numpy(bits).reshape(mixture.shape).to(mixture.device).mul_(255)


def mix_and_noise(sources: Tensor, weights: Tensor, stream: Stream, sigma: float = 40.0) -> Tensor:
    """Add Gaussian noise N(0, sigma^2) to the mixture (Lee et al. 2019, differentially private random mixing).

    Unlike the noise of `noise_and_mix` this one does not shrink as more images are mixed, while what one image can
    change does. Both are counted in parts of 1 / k, in which a mixture of k images of one weight is a whole number, so
    that the sum is exact. Rounding to 0..255 comes after the noise and costs no privacy.

    Raises:
        ValueError: When sigma times k is above 131,072.
    """
    parts = weights.shape[1]
    return to_pixels((_mixture(sources, weights).mul_(parts).round_() + _noise(sources, sigma * parts, stream)) / parts)


def _mixture(sources: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of each group's images, (m, 3, height, width) float32."""
    each = weights[:, :, None, None, None]
    mixture = sources[:, 0] * each[:, 0]
    for image in range(1, sources.shape[1]):
        mixture.addcmul_(sources[:, image].float(), each[:, image])
    return mixture


def _shuffled(sources: Tensor, block: int, stream: Stream) -> Tensor:
    """Shuffle the pixels within every square of every image."""
    groups, images, channels, height, width = sources.shape
    if block < 1 or height % block or width % block:
        raise ValueError(f"squares of {block} pixels do not tile pictures of {width}x{height}")
    places = torch.arange(height * width, device=sources.device).reshape(height, width)
    within = places[:block, :block].flatten()
    corners = places[::block, ::block, None]
    order = _permutations((groups, images, *corners.shape[:2], block**2), stream).to(sources.device)
    moved = corners + within.index_select(0, order.flatten()).reshape(order.shape)
    taken = moved.reshape(*moved.shape[:4], block, block).transpose(3, 4).reshape(groups, images, 1, -1)
    shuffled: Tensor = sources.flatten(3).gather(3, taken.expand(-1, -1, channels, -1)).reshape(sources.shape)
    return shuffled


def _noise(sources: Tensor, sigma: float, stream: Stream) -> Tensor:
    """Draw whole numbers for one picture of each group, (m, 3, height, width) float32."""
    shape = (len(sources), *sources.shape[2:])
    return torch.from_numpy(rounded_gaussian(sigma, math.prod(shape), stream)).reshape(shape).to(sources.device).float()


def _permutations(shape: tuple[int, ...], stream: Stream) -> Tensor:
    """Draw permutations of the last dimension, int32: random numbers, sorted with their place in the lowest bits."""
    room = (1 << (shape[-1] - 1).bit_length()) - 1
    draws = (stream.words(math.prod(shape)) >> np.uint32(1)).astype(np.int32).reshape(shape)
    return torch.from_numpy(np.sort((draws & ~room) | np.arange(shape[-1], dtype=np.int32)) & room)


def _averages(places: Tensor, blocks: int) -> Tensor:
    """Return the (blocks, side) matrix that averages what lies in each block."""
    belongs = (torch.arange(blocks, device=places.device)[:, None] == places).float()
    return belongs / belongs.sum(dim=1, keepdim=True)
